//! The machine: built, run, paused, reset, stopped.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arch_aarch64::layout::{Frame, GicFrames, Layout};
use arch_aarch64::mpidr::Mpidr;
use hv::{Gic, GicConfig, GicParameters, Permissions, VcpuTimer, Vm, VmBuilder};
use virtio::Memory;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::Error;
use crate::boot::{BootFiles, Description};
use crate::config::{MachineConfig, OnReset};
use crate::crew::{Crew, End};
use crate::error::Outcome;
use crate::generation;
use crate::parts::{Backends, Parts, PartsState, Site};
use crate::power::{Power, PowerTable};
use crate::vcpu::{self, Common};

/// What a machine takes from its host besides the files its configuration names.
pub struct Resources {
    /// Where the serial port's output goes. A write that blocks holds up the serial port only.
    pub serial: Box<dyn Write + Send>,
}

/// How long the power button stays pressed: longer than a guest debounces (`devices::Pl061`).
const BUTTON_PRESS: Duration = Duration::from_millis(100);

/// One virtual machine; a process has at most one.
///
/// Life cycle: [`new`](Self::new) builds everything and stops before the first instruction;
/// [`run`](Self::run) lets the guest go; [`pause`](Self::pause) and `run` again as often as wanted;
/// [`wait`](Self::wait) until it ends. Dropping it stops what still runs and tears down in this
/// order: vCPUs, platform thread (which flushes the serial output), device workers, GIC and VM, RAM.
///
/// All methods may be called from any thread. While one thread is in `wait`, others may pause, run
/// and stop the machine.
pub struct Machine {
    common: Arc<Common>,
    threads: Vec<JoinHandle<()>>,
    parts: Parts,
    gic: Gic,
    vm: Vm,
    memory: Memory,
    layout: Layout,
    parameters: GicParameters,
    cpus: Vec<Mpidr>,
    boot: BootFiles,
    on_reset: OnReset,
    /// Held by whoever pauses, runs or resets. `Some` is the host's counter at the pause.
    paused: Mutex<Option<u64>>,
}

impl Machine {
    /// Builds the machine, up to but not including its first instruction. Everything that can be
    /// wrong with the configuration is found here, most of it before anything is created.
    pub fn new(config: &MachineConfig, resources: Resources) -> Result<Self, Error> {
        config.check()?;
        let boot = BootFiles::open(config)?;
        let backends = Backends::open(config, resources)?;
        let limits = hv::Limits::query()?;
        let builder = VmBuilder::new(Some(limits.max_ipa_bits))?;
        let parameters = builder.gic_parameters()?;
        let layout = Layout::new(&frames(&parameters), config.memory, limits.max_ipa_bits)?;
        // Before anything is loaded, so that nothing is half done when it does not fit.
        boot.placement(&layout)?;
        let vm = builder.with_gic(&GicConfig {
            distributor: layout.distributor.start,
            redistributors: layout.redistributors.start,
        })?;
        let memory = map_memory(&vm, &layout)?;
        let gic = vm.gic().expect("a VM made with a GIC has one");

        let cpus: Vec<_> = (0..config.vcpus).map(Mpidr::of_index).collect();
        let off = vec![Power::Off; cpus.len()];
        let crew = Crew::new(PowerTable::new(cpus.clone(), off, layout.ram.clone()));
        let site = Site {
            layout: &layout,
            parameters: &parameters,
            gic: &gic,
            memory: &memory,
            crew: &crew,
        };
        generation::renew(&memory, &layout)?;
        let parts = Parts::new(&site, backends, &PartsState::default())?;
        let entry = boot.load(
            &memory,
            &layout,
            &Description {
                cpus: &cpus,
                virtual_timer: parameters.virtual_timer,
                physical_timer: parameters.physical_timer,
                placements: &parts.placements(),
            },
        )?;
        crew.begin(PowerTable::cold(cpus.len(), entry));
        let common = Arc::new(Common {
            crew,
            bus: parts.bus()?,
            timer: Mutex::new(VcpuTimer { offset: hv::host_counter() }),
            unknown: Mutex::new(BTreeMap::new()),
        });
        let mut machine = Self {
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
            on_reset: config.on_reset,
            paused: Mutex::new(Some(hv::host_counter())),
        };
        for index in 0..machine.cpus.len() {
            // On failure the machine is dropped, which ends the threads that exist.
            let thread = vcpu::spawn(index, &machine.vm, &machine.common)?;
            machine.threads.push(thread);
        }
        Ok(machine)
    }

    /// Lets the guest run, for the first time or again after a pause. The time of the pause has not
    /// passed for the guest's counter.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn run(&self) -> Result<(), Error> {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = *paused {
            let gone = hv::host_counter().wrapping_sub(since);
            let timer = {
                let mut timer = self.common.timer.lock().unwrap_or_else(PoisonError::into_inner);
                timer.offset = timer.offset.wrapping_add(gone);
                *timer
            };
            for result in self.crew().each(move |_, vcpu| vcpu.set_timer(timer)) {
                result.unwrap_or(Ok(()))?;
            }
        }
        self.crew().run().map_err(Error::Ended)?;
        *paused = None;
        Ok(())
    }

    /// Takes every vCPU out of the guest and waits for them. Devices go on with what they have
    /// begun.
    pub fn pause(&self) {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        self.crew().hold();
        paused.get_or_insert_with(hv::host_counter);
    }

    /// Waits until the machine has ended, and carries out the resets that the guest asks for
    /// meanwhile. When it returns, the guest does not run any more.
    pub fn wait(&self) -> Outcome {
        loop {
            match self.crew().wait() {
                End::For(outcome) => {
                    self.crew().hold();
                    return outcome;
                }
                End::Reset if self.on_reset == OnReset::End => {
                    self.crew().end(End::For(Outcome::Reset));
                }
                End::Reset => {
                    if let Err(error) = self.reset() {
                        self.crew().failed("reset", error);
                    }
                }
            }
        }
    }

    /// Starts the guest afresh: devices and interrupt controller in their reset state, memory zero,
    /// kernel loaded again.
    fn reset(&self) -> Result<(), Error> {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        self.crew().hold();
        self.parts.reset();
        self.gic.reset()?;
        let ram = &self.layout.ram;
        self.vm.discard(ram.start, ram.end - ram.start)?;
        let entry = self.boot.load(
            &self.memory,
            &self.layout,
            &Description {
                cpus: &self.cpus,
                virtual_timer: self.parameters.virtual_timer,
                physical_timer: self.parameters.physical_timer,
                placements: &self.parts.placements(),
            },
        )?;
        self.crew().begin(PowerTable::cold(self.cpus.len(), entry));
        if paused.is_none() {
            self.crew().run().map_err(Error::Ended)?;
        }
        Ok(())
    }

    /// Presses the power button; a guest that listens switches itself off.
    pub fn press_power_button(&self) {
        self.parts.power_button(true);
        std::thread::sleep(BUTTON_PRESS);
        self.parts.power_button(false);
    }

    /// Presses the power button and, if the machine has not ended after `patience`, stops it.
    pub fn shut_down(&self, patience: Duration) -> Outcome {
        self.press_power_button();
        match self.crew().wait_for_end(patience) {
            Some(outcome) => outcome,
            None => {
                self.stop();
                Outcome::Stopped
            }
        }
    }

    /// Stops the guest where it is, for good.
    pub fn stop(&self) {
        self.crew().end(End::For(Outcome::Stopped));
    }

    /// How the machine has ended, if it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.crew().ended()
    }

    /// Types on the serial console; the number of bytes taken. The rest did not fit, because the
    /// guest does not read.
    pub fn serial_input(&self, bytes: &[u8]) -> usize {
        self.parts.serial_input(bytes)
    }

    /// Which vCPUs are on. Meaningful while the machine is paused.
    pub fn power_states(&self) -> Vec<Power> {
        self.crew().power()
    }

    /// Guest-physical layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Guest memory.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// Where guest memory lies in this process, for accounts of its size.
    pub fn host_memory(&self) -> Vec<Range<u64>> {
        self.memory
            .iter()
            .map(|region| {
                let start = region.get_mmap().as_ptr() as u64;
                start..start + region.len()
            })
            .collect()
    }

    fn crew(&self) -> &Crew {
        &self.common.crew
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.crew().dismiss();
        for thread in self.threads.drain(..) {
            vcpu::join(thread);
        }
        self.parts.finish();
        // Fields drop in order: the bus with `common`, the workers with `parts`, then GIC and VM, and
        // RAM with whoever holds it last.
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
fn map_memory(vm: &Vm, layout: &Layout) -> Result<Memory, Error> {
    let range = layout.memory();
    let region = hv::anonymous_region(GuestAddress(range.start), range.end - range.start)?;
    vm.map(&region, Permissions::ReadWriteExecute)?;
    let memory = GuestMemoryMmap::from_regions(vec![region]).expect("one region does not overlap");
    Ok(Arc::new(memory))
}
