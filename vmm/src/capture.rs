//! The complete state of a machine but its memory: taking it, and what it promises.

use std::io;
use std::ops::Range;

use arch_aarch64::mpidr::Mpidr;
use hv::{GicParameters, MsiParameters, Touched, VcpuState};
use serde::{Deserialize, Serialize};
use snapshot::{Fingerprint, Invalid, MemorySource, Saved};
use vm_memory::{Address, Bytes, GuestAddress};

use crate::Error;
use crate::config::MachineConfig;
use crate::machine::{Devices, Machine};
use crate::parts::PartsState;
use crate::pause::Pause;
use crate::power::Power;

/// Everything a machine is, except the contents of its memory and disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineState {
    /// What it was asked to be.
    pub config: MachineConfig,
    /// Its devices.
    pub parts: PartsState,
    /// Which vCPUs are on.
    pub power: Vec<Power>,
    /// Its vCPUs, by index.
    pub vcpus: Vec<VcpuState>,
    /// Its interrupt controller, in the framework's own bytes.
    #[serde(with = "serde_bytes")]
    pub gic: Vec<u8>,
    /// `CNTVCT_EL0` when it stood still.
    pub counter: u64,
    /// What decided where its devices lie and which interrupts they have. Empty in the oldest snapshots, whose hosts all
    /// had the same.
    #[serde(default)]
    pub platform: Fingerprint,
}

impl Saved for MachineState {
    const KIND: &'static str = "machine";
    const VERSION: u32 = 1;

    fn validate(&self) -> Result<(), Invalid> {
        let invalid = |what| Err(Invalid { kind: Self::KIND, what });
        let vcpus = self.config.vcpus as usize;
        if self.vcpus.len() != vcpus || self.power.len() != vcpus {
            return invalid(format!(
                "{vcpus} vCPUs with {} register states and {} power states",
                self.vcpus.len(),
                self.power.len()
            ));
        }
        for (index, vcpu) in self.vcpus.iter().enumerate() {
            if vcpu.mpidr != Mpidr::of_index(index as u32).affinity() {
                return invalid(format!("vCPU {index} has affinity {:#x}", vcpu.mpidr));
            }
        }
        let PartsState { serial, clock, gpio, virtio } = &self.parts;
        serial.validate()?;
        clock.validate()?;
        gpio.validate()?;
        virtio.values().try_for_each(Saved::validate)
    }
}

impl MachineState {
    /// Fails unless this host puts the devices where the guest has found them.
    pub(crate) fn check_platform(&self, here: &GicParameters) -> Result<(), Error> {
        if self.platform == Fingerprint::default() {
            return Ok(());
        }
        self.platform.fits(&platform(here)).map_err(Error::Host)
    }
}

impl Pause<'_> {
    /// Takes the machine's state. The devices are stopped at a descriptor boundary and memory does not
    /// change from here until the end of the pause, so it can be copied meanwhile.
    ///
    /// This is the machine as it stands, and no more: whoever restores it gives it copies of its writable disks, and its
    /// guest is told of the new life by its generation ID and vsock's reset event only. Programs that must not run before
    /// the randomness is fresh and the clock is right have to be stopped in the guest before, and let go on afterwards.
    ///
    /// # Errors
    /// [`Error::Ended`] if the machine or a thread of it has ended, [`Error::Resetting`] if the guest has just asked for a
    /// reset.
    pub fn capture(&mut self) -> Result<MachineState, Error> {
        let Pause { machine, rest, .. } = self;
        if let Some(outcome) = machine.crew().ended() {
            return Err(Error::Ended(outcome));
        }
        if machine.crew().is_resetting() {
            return Err(Error::Resetting);
        }
        if rest.devices == Devices::Active {
            machine.parts.quiesce()?;
            rest.devices = Devices::Quiet;
        }
        let parts = machine.parts.save()?;
        // The guest's counter stands still in a pause, see `Machine::run_from`.
        let since = rest.since.unwrap_or_else(hv::host_counter);
        let counter = since.wrapping_sub(machine.common.timer().offset);
        let mut vcpus = Vec::new();
        for saved in machine.crew().each(|_, vcpu| vcpu.save()) {
            let saved = saved.ok_or(Error::ThreadGone)?;
            vcpus.push(VcpuState { counter, ..saved? });
        }
        Ok(MachineState {
            config: machine.config.clone(),
            parts,
            power: machine.crew().power(),
            vcpus,
            gic: machine.gic.save()?,
            counter,
            platform: platform(&machine.parameters),
        })
    }

    /// The memory that belongs to a [`capture`](Self::capture).
    pub fn captured_memory(&self) -> MachineMemory<'_> {
        MachineMemory { machine: self.machine, touched: Touched::new(self.machine.region()) }
    }
}

/// Guest memory in the order of a [`MemoryFile`](crate::MemoryFile), to be copied while the machine is
/// captured.
pub struct MachineMemory<'a> {
    machine: &'a Machine,
    touched: Touched<'a>,
}

impl MemorySource for MachineMemory<'_> {
    fn len(&self) -> u64 {
        let range = self.machine.layout.memory();
        range.end - range.start
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        // Whoever stops the machine does not wait for the rest.
        if let Some(outcome) = self.machine.crew().ended() {
            return Err(io::Error::other(Error::Ended(outcome)));
        }
        let address = GuestAddress(self.machine.layout.ram.start).unchecked_add(offset);
        self.machine.memory.read_slice(into, address).map_err(io::Error::other)
    }

    fn next_data(&mut self, offset: u64) -> Option<Range<u64>> {
        self.touched.next(offset).map(|start| start..self.len())
    }
}

/// Everything that the layout of a machine and the interrupts of its devices follow from.
fn platform(parameters: &GicParameters) -> Fingerprint {
    let GicParameters {
        distributor_size,
        distributor_alignment,
        redistributor_region_size,
        redistributor_size,
        redistributor_alignment,
        msi: MsiParameters { size: msi_size, alignment: msi_alignment },
        spis,
        virtual_timer,
        physical_timer,
    } = parameters;
    Fingerprint::default()
        .with("size of the distributor", *distributor_size)
        .with("alignment of the distributor", *distributor_alignment)
        .with("size of all redistributors", *redistributor_region_size)
        .with("size of a redistributor", *redistributor_size)
        .with("alignment of the redistributors", *redistributor_alignment)
        .with("size of the MSI frame", *msi_size)
        .with("alignment of the MSI frame", *msi_alignment)
        .with("first SPI", spis.start.into())
        .with("end of the SPIs", spis.end.into())
        .with("PPI of the virtual timer", (*virtual_timer).into())
        .with("PPI of the physical timer", (*physical_timer).into())
}

/// What decides whether a state fits this host: the identification registers its vCPUs show.
pub fn fingerprint() -> Result<Fingerprint, Error> {
    let features = hv::Features::query()?;
    Ok(features.0.into_iter().fold(Fingerprint::default(), |fingerprint, (register, value)| {
        fingerprint.with(register.to_string(), value)
    }))
}
