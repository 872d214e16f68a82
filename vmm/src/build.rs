//! Building a machine: afresh or from the state of another one, on one path.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex};

use arch_aarch64::layout::{Frame, GicFrames, Layout};
use arch_aarch64::mpidr::Mpidr;
use hv::{GicConfig, GicParameters, Limits, Permissions, VcpuTimer, Vm, VmBuilder};
use virtio::Memory;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::boot::BootFiles;
use crate::capture::MachineState;
use crate::config::MachineConfig;
use crate::crew::Crew;
use crate::machine::{Devices, Machine, Resources, Rest};
use crate::parts::{Backends, Parts, Site};
use crate::power::{Power, PowerTable};
use crate::timings::Stopwatch;
use crate::vcpu::{self, Common};
use crate::{Error, generation};

/// Where the memory of a restored machine comes from: a file that nobody changes as long as the
/// machine exists. The guest's writes do not reach it.
#[derive(Debug, Clone)]
pub struct MemoryFile {
    /// The file.
    pub file: Arc<File>,
    /// Where guest memory begins in it, a multiple of the host's page size.
    pub offset: u64,
    /// Guest memory will be touched here and there at first, so the host reads the file page by page, until
    /// [`Machine::expect_scattered_accesses`] says otherwise.
    pub scattered: bool,
}

impl Machine {
    /// Builds the machine, up to but not including its first instruction. Everything that can be
    /// wrong with the configuration is found here, most of it before anything is created.
    pub fn new(config: &MachineConfig, resources: Resources) -> Result<Self, Error> {
        let machine = Self::build(config, resources, None)?;
        let entry = machine.load()?;
        machine.crew().begin(PowerTable::cold(machine.cpus.len(), entry));
        Ok(machine)
    }

    /// Builds a machine that goes on where the captured one stood. The configuration in the state
    /// may name other files than it did then, for instance copies of the disks.
    pub fn restore(
        state: &MachineState,
        memory: &MemoryFile,
        resources: Resources,
    ) -> Result<Self, Error> {
        snapshot::Saved::validate(state)?;
        let MachineState { config, power, vcpus, gic, counter, parts: _, platform: _ } = state;
        let machine = Self::build(config, resources, Some((memory, state)))?;
        let watch = &machine.common.watch;
        watch.step(|t| &mut t.gic, || machine.gic.load(gic))?;
        {
            let mut rest = machine.rest();
            let now = hv::host_counter();
            let timer = VcpuTimer { offset: now.wrapping_sub(*counter) };
            machine.common.set_timer(timer);
            let vcpus = Arc::new(vcpus.clone());
            let load = move |index: usize, vcpu: &mut hv::Vcpu| vcpu.load(&vcpus[index], timer);
            let loaded = watch.step(|t| &mut t.vcpus, || machine.crew().each(load));
            for result in loaded {
                // A thread that is gone has said why.
                result.unwrap_or(Ok(()))?;
            }
            machine.crew().begin(power.clone());
            machine.parts.redrive();
            machine.parts.renewed();
            *rest = Rest { since: Some(now), devices: Devices::Restored };
        }
        Ok(machine)
    }

    fn build(
        config: &MachineConfig,
        resources: Resources,
        from: Option<(&MemoryFile, &MachineState)>,
    ) -> Result<Self, Error> {
        let (memory, state) = from.unzip();
        config.check()?;
        let watch = Stopwatch::default();
        let (boot, backends) = watch.step(
            |t| &mut t.resources,
            || Ok::<_, Error>((BootFiles::open(config)?, Backends::open(config, resources)?)),
        )?;
        let limits = Limits::query()?;
        let builder = watch.step(|t| &mut t.vm, || VmBuilder::new(Some(limits.max_ipa_bits)))?;
        let parameters = builder.gic_parameters()?;
        state.map_or(Ok(()), |state| state.check_platform(&parameters))?;
        let layout = Layout::new(&frames(&parameters), config.memory, limits.max_ipa_bits)?;
        boot.placement(&layout)?;
        let gic = GicConfig {
            distributor: layout.distributor.start,
            redistributors: layout.redistributors.start,
        };
        let vm = watch.step(|t| &mut t.gic, || builder.with_gic(&gic))?;
        let memory = watch.step(|t| &mut t.memory, || map_memory(&vm, &layout, memory))?;
        generation::renew(&memory, &layout)?;
        let gic = vm.gic().expect("a VM made with a GIC has one");
        let cpus: Vec<_> = (0..config.vcpus).map(Mpidr::of_index).collect();
        let off = vec![Power::Off; cpus.len()];
        let crew = Crew::new(PowerTable::new(cpus.clone(), off, layout.ram.clone()));
        let site = Site {
            layout: &layout,
            parameters: &parameters,
            gic: &gic,
            vm: &vm,
            memory: &memory,
            crew: &crew,
        };
        let parts = watch.step(
            |t| &mut t.devices,
            || Parts::new(&site, backends, state.map(|state| &state.parts)),
        )?;
        let now = hv::host_counter();
        let common = Arc::new(Common {
            crew,
            bus: parts.bus()?,
            timer: Mutex::new(VcpuTimer { offset: now }),
            unknown: Mutex::new(BTreeMap::new()),
            watch,
        });
        let mut machine = Self {
            config: config.clone(),
            common,
            threads: Vec::new(),
            parts,
            gic,
            vm,
            memory,
            layout,
            parameters,
            cpus,
            boot,
            rest: Mutex::new(Rest { since: Some(now), devices: Devices::Active }),
        };
        for index in 0..machine.cpus.len() {
            // On failure the machine is dropped, which ends the threads that exist.
            let spawn = || vcpu::spawn(index, &machine.vm, &machine.common);
            let thread = machine.common.watch.step(|t| &mut t.vcpus, spawn)?;
            machine.threads.push(thread);
        }
        Ok(machine)
    }
}

fn frames(parameters: &GicParameters) -> GicFrames {
    let GicParameters {
        distributor_size,
        distributor_alignment,
        redistributor_region_size,
        redistributor_alignment,
        msi,
        ..
    } = *parameters;
    GicFrames {
        distributor: Frame { size: distributor_size, alignment: distributor_alignment },
        redistributors: Frame {
            size: redistributor_region_size,
            alignment: redistributor_alignment,
        },
        msi: Frame { size: msi.size, alignment: msi.alignment },
    }
}

/// RAM and the page of the generation ID, in one mapping.
fn map_memory(vm: &Vm, layout: &Layout, from: Option<&MemoryFile>) -> Result<Memory, Error> {
    let range = layout.memory();
    let (base, size) = (GuestAddress(range.start), range.end - range.start);
    let region = match from {
        None => hv::anonymous_region(base, size)?,
        Some(MemoryFile { file, offset, scattered }) => {
            // An access past the end of a file kills the process.
            let has = file.metadata().map_or(0, |file| file.len()).saturating_sub(*offset);
            if has < size {
                return Err(Error::MemoryFile { has, needs: size });
            }
            let region = hv::private_file_region(base, file, *offset, size)?;
            hv::expect_scattered(&region, *scattered);
            region
        }
    };
    vm.map(&region, Permissions::ReadWriteExecute)?;
    let memory = GuestMemoryMmap::from_regions(vec![region]).expect("one region does not overlap");
    Ok(Arc::new(memory))
}
