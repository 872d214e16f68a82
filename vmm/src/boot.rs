//! Loading Linux into guest memory.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use arch_aarch64::fdt;
use arch_aarch64::layout::Layout;
use arch_aarch64::linux::{BootPlacement, HEADER_LEN, ImageHeader};
use arch_aarch64::mpidr::Mpidr;
use arch_aarch64::sysreg::SysReg;
use devices::{DeviceKind, POWER_BUTTON_PIN, Placement, Trigger};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::Error;
use crate::config::MachineConfig;
use crate::power::Entry;

/// The files a boot reads, open and checked.
pub(crate) struct BootFiles {
    kernel: File,
    kernel_len: u64,
    header: ImageHeader,
    initramfs: Option<(File, u64)>,
    config: MachineConfig,
}

impl BootFiles {
    /// Opens and checks kernel and initramfs.
    pub(crate) fn open(config: &MachineConfig) -> Result<Self, Error> {
        let (mut kernel, kernel_len) = open("kernel", &config.kernel)?;
        let mut header = [0; HEADER_LEN];
        let short = || Error::Kernel {
            path: config.kernel.clone(),
            source: arch_aarch64::linux::ImageError::Short { len: kernel_len },
        };
        if kernel_len < HEADER_LEN as u64 {
            return Err(short());
        }
        kernel.read_exact(&mut header).map_err(|source| Error::File {
            what: "kernel",
            path: config.kernel.clone(),
            verb: "read",
            source,
        })?;
        let header = ImageHeader::parse(&header, kernel_len)
            .map_err(|source| Error::Kernel { path: config.kernel.clone(), source })?;
        if let Some(page_size) = header.page_size
            && !granule_is_supported(page_size)?
        {
            return Err(Error::PageSize { page_size });
        }
        let initramfs =
            config.initramfs.as_ref().map(|path| open("initramfs", path)).transpose()?;
        Ok(Self { kernel, kernel_len, header, initramfs, config: config.clone() })
    }

    /// Where the parts go.
    pub(crate) fn placement(&self, layout: &Layout) -> Result<BootPlacement, Error> {
        let initramfs = self.initramfs.as_ref().map(|(_, len)| *len);
        Ok(BootPlacement::new(&layout.ram, &self.header, initramfs)?)
    }

    /// Puts kernel, initramfs and a fresh FDT into memory and says where to begin.
    pub(crate) fn load(
        &self,
        memory: &GuestMemoryMmap,
        layout: &Layout,
        machine: &Description<'_>,
    ) -> Result<Entry, Error> {
        let place = self.placement(layout)?;
        copy(
            "kernel",
            &self.config.kernel,
            &self.kernel,
            self.kernel_len,
            memory,
            place.kernel.start,
        )?;
        if let (Some((file, len)), Some(range), Some(path)) =
            (&self.initramfs, &place.initramfs, &self.config.initramfs)
        {
            copy("initramfs", path, file, *len, memory, range.start)?;
        }
        let blob = self.fdt(layout, &place, machine)?;
        memory
            .write_slice(&blob, GuestAddress(place.fdt.start))
            .map_err(|source| Error::Memory { address: place.fdt.start, source })?;
        Ok(Entry { pc: place.kernel.start, x0: place.fdt.start })
    }

    fn fdt(
        &self,
        layout: &Layout,
        place: &BootPlacement,
        machine: &Description<'_>,
    ) -> Result<Vec<u8>, Error> {
        let mut rng_seed = [0; 64];
        getrandom::fill(&mut rng_seed).map_err(Error::Random)?;
        let devices: Vec<_> =
            machine.placements.iter().map(|place| describe(place, layout)).collect();
        Ok(fdt::write(&fdt::Machine {
            ram: layout.ram.clone(),
            cpus: machine.cpus,
            distributor: layout.distributor.clone(),
            redistributors: layout.redistributors.clone(),
            virtual_timer: machine.virtual_timer,
            physical_timer: machine.physical_timer,
            devices: &devices,
            command_line: &self.config.command_line,
            initramfs: place.initramfs.clone(),
            rng_seed,
        })?)
    }
}

/// What the FDT says beyond layout and boot files.
pub(crate) struct Description<'a> {
    pub(crate) cpus: &'a [Mpidr],
    pub(crate) virtual_timer: u32,
    pub(crate) physical_timer: u32,
    pub(crate) placements: &'a [Placement],
}

fn describe(place: &Placement, layout: &Layout) -> fdt::Device {
    let registers = place.base..place.base + place.len;
    let (kind, registers) = match place.kind {
        DeviceKind::Serial => (fdt::DeviceKind::Serial, registers),
        DeviceKind::Rtc => (fdt::DeviceKind::Rtc, registers),
        DeviceKind::Gpio => (fdt::DeviceKind::Gpio { power_button: POWER_BUTTON_PIN }, registers),
        DeviceKind::VmGenId => (fdt::DeviceKind::GenerationId, layout.generation.clone()),
        DeviceKind::Virtio(_) => (fdt::DeviceKind::Virtio, registers),
    };
    let trigger = match place.line.trigger() {
        Trigger::Edge => fdt::Trigger::Edge,
        Trigger::Level => fdt::Trigger::Level,
    };
    fdt::Device { kind, registers, intid: place.line.intid(), trigger }
}

/// Whether the vCPUs translate with that granule (`ID_AA64MMFR0_EL1`, Arm ARM D24.2.80).
fn granule_is_supported(page_size: u64) -> Result<bool, Error> {
    let features = hv::Features::query()?;
    let mmfr0 = features
        .0
        .iter()
        .find(|(register, _)| *register == SysReg::ID_AA64MMFR0_EL1)
        .map_or(0, |(_, value)| *value);
    Ok(match page_size {
        0x1000 => mmfr0 >> 28 & 0xf != 0xf,
        0x4000 => mmfr0 >> 20 & 0xf != 0,
        _ => mmfr0 >> 24 & 0xf != 0xf,
    })
}

fn open(what: &'static str, path: &Path) -> Result<(File, u64), Error> {
    let failed = |source| Error::File { what, path: path.to_owned(), verb: "opened", source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("it is not a file")));
    }
    Ok((file, metadata.len()))
}

fn copy(
    what: &'static str,
    path: &Path,
    file: &File,
    len: u64,
    memory: &GuestMemoryMmap,
    address: u64,
) -> Result<(), Error> {
    let failed = |source| Error::File { what, path: path.to_owned(), verb: "read", source };
    let mut file = file.try_clone().map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    memory
        .read_exact_volatile_from(GuestAddress(address), &mut file, len as usize)
        .map_err(|source| Error::Memory { address, source })
}
