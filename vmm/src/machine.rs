//! The machine: built, run, paused, reset, stopped.

use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arch_aarch64::layout::Layout;
use arch_aarch64::mpidr::Mpidr;
use hv::{Gic, GicParameters, VcpuTimer, Vm};
use virtio::{BalloonHost, ConsoleHost, ConsolePort, Memory, VsockHost};
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap};

use crate::Error;
use crate::boot::{BootFiles, Description};
use crate::config::{MachineConfig, OnReset};
use crate::crew::{Crew, End, RENDEZVOUS, Straggler};
use crate::error::{Outcome, with_causes};
use crate::parts::Parts;
use crate::pause::Pause;
use crate::power::{Entry, Power, PowerTable};
use crate::timings::Timings;
use crate::vcpu::{self, Common};

/// What a machine takes from its host besides the files its configuration names.
pub struct Resources {
    /// Where the serial port's output goes. A write that blocks holds up the serial port only.
    pub serial: Box<dyn Write + Send>,
    /// Ports of a virtio console; without any there is no such device.
    pub console: Vec<ConsolePort>,
}

impl Resources {
    /// A serial port and no virtio console.
    pub fn serial(output: impl Write + Send + 'static) -> Self {
        Self { serial: Box::new(output), console: Vec::new() }
    }
}

/// How long the power button stays pressed: longer than a guest debounces (`devices::Pl061`).
const BUTTON_PRESS: Duration = Duration::from_millis(100);

/// How long a machine that was stopped waits for its serial output to be taken.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One virtual machine; a process has at most one.
///
/// Life cycle: [`new`](Self::new) builds everything and stops before the first instruction;
/// [`run`](Self::run) lets the guest go; [`pause`](Self::pause) as often as wanted;
/// [`wait`](Self::wait) until it ends. Dropping it stops what still runs and tears down in this
/// order: vCPUs, platform thread (which flushes the serial output), device workers, GIC and VM, RAM.
///
/// All methods may be called from any thread. While one thread is in `wait`, others may pause, run
/// and stop the machine.
pub struct Machine {
    pub(crate) config: MachineConfig,
    pub(crate) common: Arc<Common>,
    pub(crate) threads: Vec<JoinHandle<()>>,
    pub(crate) parts: Parts,
    pub(crate) gic: Gic,
    pub(crate) vm: Vm,
    pub(crate) memory: Memory,
    pub(crate) layout: Layout,
    pub(crate) parameters: GicParameters,
    pub(crate) cpus: Vec<Mpidr>,
    pub(crate) boot: BootFiles,
    /// Held by whoever pauses, runs, captures or resets.
    pub(crate) rest: Mutex<Rest>,
}

/// How far a machine is from running.
pub(crate) struct Rest {
    /// The host's counter when the guest was stopped; `None` while it runs.
    pub(crate) since: Option<u64>,
    /// Whether the devices have to be resumed.
    pub(crate) devices: Devices,
}

/// What the devices do while the guest is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Devices {
    /// They go on with what they have begun.
    Active,
    /// They are stopped at a descriptor boundary.
    Quiet,
    /// They were built from the state of another machine.
    Restored,
}

impl Machine {
    /// Lets the guest run.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn run(&self) -> Result<(), Error> {
        self.run_from(&mut self.rest())
    }

    /// Lets the guest run from where it stands. The time that it stood has not passed for its counter.
    pub(crate) fn run_from(&self, rest: &mut Rest) -> Result<(), Error> {
        match std::mem::replace(&mut rest.devices, Devices::Active) {
            Devices::Active => {}
            Devices::Quiet => self.parts.resume(false),
            Devices::Restored => self.parts.resume(true),
        }
        if let Some(since) = rest.since {
            let gone = hv::host_counter().wrapping_sub(since);
            let timer = VcpuTimer { offset: self.common.timer().offset.wrapping_add(gone) };
            self.common.set_timer(timer);
            let set = move |_, vcpu: &mut hv::Vcpu| vcpu.set_timer(timer);
            let watch = &self.common.watch;
            for result in watch.step(|t| &mut t.timer, || self.crew().each(set)) {
                result.unwrap_or(Ok(()))?;
            }
        }
        self.common.watch.ordered();
        self.crew().run().map_err(Error::Ended)?;
        rest.since = None;
        Ok(())
    }

    /// Takes every vCPU out of the guest and waits for them. Devices go on with what they have
    /// begun. Waits for the end of another pause.
    ///
    /// # Errors
    /// [`Error::Rendezvous`] if a vCPU does not come out of the guest; the others go on then.
    /// [`Error::Ended`] if the machine ends meanwhile.
    pub fn pause(&self) -> Result<Pause<'_>, Error> {
        let mut rest = self.rest();
        self.crew().pause(RENDEZVOUS).map_err(|Straggler { vcpu }| match self.crew().ended() {
            Some(outcome) => Error::Ended(outcome),
            None => Error::Rendezvous { vcpu, limit: RENDEZVOUS },
        })?;
        let ran = rest.since.is_none();
        rest.since.get_or_insert_with(hv::host_counter);
        Ok(Pause { machine: self, rest, goes_on: ran })
    }

    /// Waits until the machine has ended, and carries out the resets that the guest asks for
    /// meanwhile. When it returns, the guest does not run any more and every vsock stream to it
    /// has ended, or ends as soon as its reader has taken what the guest had sent.
    pub fn wait(&self) -> Outcome {
        loop {
            match self.crew().wait() {
                End::For(outcome) => {
                    if let Err(Straggler { vcpu }) = self.crew().hold() {
                        tracing::error!(vcpu, "a vCPU does not come out of the guest");
                    }
                    let _alone = self.rest();
                    self.parts.hang_up();
                    return outcome;
                }
                End::Reset if self.config.on_reset == OnReset::End => {
                    self.crew().end(End::For(Outcome::Reset));
                }
                End::Reset => {
                    if let Err(error) = self.reset() {
                        self.crew().failed("reset", with_causes(&error));
                    }
                }
            }
        }
    }

    /// Starts the guest afresh: devices and interrupt controller in their reset state, memory zero,
    /// kernel loaded again.
    fn reset(&self) -> Result<(), Error> {
        let rest = self.rest();
        self.crew()
            .hold()
            .map_err(|Straggler { vcpu }| Error::Rendezvous { vcpu, limit: RENDEZVOUS })?;
        self.parts.reset();
        self.gic.reset()?;
        let ram = &self.layout.ram;
        self.vm.discard(ram.start, ram.end - ram.start)?;
        let entry = self.load()?;
        self.crew().begin(PowerTable::cold(self.cpus.len(), entry));
        if rest.since.is_none() {
            self.crew().run().map_err(Error::Ended)?;
        }
        Ok(())
    }

    /// Loads kernel, initramfs and FDT.
    pub(crate) fn load(&self) -> Result<Entry, Error> {
        let description = Description {
            cpus: &self.cpus,
            virtual_timer: self.parameters.virtual_timer,
            physical_timer: self.parameters.physical_timer,
            placements: &self.parts.placements(),
        };
        self.boot.load(&self.memory, &self.layout, &description)
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

    /// How long the steps of its start took.
    pub fn timings(&self) -> Timings {
        self.common.watch.timings()
    }

    /// The guest's virtual counter (`CNTVCT_EL0`) while the machine runs.
    pub fn counter(&self) -> u64 {
        hv::host_counter().wrapping_sub(self.common.timer().offset)
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

    /// Parts of guest memory that this process has touched, as offsets in a [`MemoryFile`](crate::MemoryFile) and with
    /// what the host maps beside them; nothing where the host does not say.
    pub fn resident_memory(&self) -> Vec<Range<u64>> {
        hv::Touched::new(self.region()).resident()
    }

    /// Those of them that the guest or a device has written.
    pub fn written_memory(&self) -> Vec<Range<u64>> {
        hv::Touched::new(self.region()).written()
    }

    /// Has the host map a part of guest memory before the guest asks for it, to `write` to it or not; offsets in a
    /// [`MemoryFile`](crate::MemoryFile). Waits for the file that it comes from.
    pub fn populate_memory(&self, part: &Range<u64>, write: bool) {
        hv::populate(self.region(), part.clone(), write);
    }

    /// Tells the host whether guest memory will be touched here and there, so that it reads from the file of a restored
    /// machine what is touched and no more, or in longer runs.
    pub fn expect_scattered_accesses(&self, scattered: bool) {
        hv::expect_scattered(self.region(), scattered);
    }

    /// The host's side of the vsock device, if there is one.
    pub fn vsock(&self) -> Option<VsockHost> {
        self.parts.vsock()
    }

    /// The host's side of the balloon.
    pub fn balloon(&self) -> BalloonHost {
        self.parts.balloon()
    }

    /// The host's side of the virtio console, if there is one.
    pub fn console(&self) -> Option<ConsoleHost> {
        self.parts.console()
    }

    /// What the machine was asked to be.
    pub fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// Guest memory as the one mapping that it is.
    pub(crate) fn region(&self) -> &GuestRegionMmap {
        self.memory.iter().next().expect("a machine has memory")
    }

    pub(crate) fn crew(&self) -> &Crew {
        &self.common.crew
    }

    pub(crate) fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let stuck = self.crew().dismiss();
        for (vcpu, thread) in self.threads.drain(..).enumerate() {
            if stuck.contains(&vcpu) {
                // What it may still touch lives as long as it does.
                tracing::error!(vcpu, "a vCPU's thread does not end and is left behind");
            } else {
                vcpu::join(thread);
            }
        }
        // A guest that ended by itself is heard out. Whoever stopped one does not wait for a reader that
        // may never come.
        let by_itself = matches!(self.outcome(), Some(outcome) if outcome != Outcome::Stopped);
        self.parts.finish((!by_itself).then_some(LAST_WORDS));
        // Fields drop in order: the bus with `common`, the workers with `parts`, then GIC and VM, and
        // RAM with whoever holds it last.
    }
}
