//! The virtual machine of a machine's process.

use std::{
    fmt, io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use ::snapshot::Snapshot;
use anyhow::{Context, bail};
use vmm::{
    DiskConfig, DiskSource, Durability, MachineConfig, OnReset, Outcome, PartConfig, Resources,
    Timings, VsockConfig, VsockHost, VsockListener,
};

use super::snapshot::{self, Loading, Restored};
use crate::{
    record::{Machine, Origin, RestoreReport, Spec},
    rotated::RotatedLog,
};

/// The guest's context identifier, the first that is not reserved (virtio 1.2, 5.10.4).
const GUEST_CID: u32 = 3;

/// How long the guest may take to answer a new connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The guest and the way to it.
#[derive(Clone)]
pub(crate) struct Guest {
    machine: Arc<vmm::Machine>,
    /// How long the snapshot took to load, if there is one.
    loading: Option<Loading>,
    vsock: VsockHost,
    /// Where the agent calls once it is ready.
    calls: Arc<Mutex<VsockListener>>,
    end: Arc<(Mutex<Option<String>>, Condvar)>,
}

impl Guest {
    /// Builds the virtual machine, up to but not including its first instruction; and the snapshot that its memory comes from.
    pub(super) fn build(record: &Machine) -> anyhow::Result<(Self, Option<Snapshot>)> {
        let resources =
            Resources::serial(RotatedLog::create(&record.directory.join("console.log"))?);
        let (machine, loading, snapshot) = match &record.spec.origin {
            Origin::Boot { kernel, initramfs, layers, writable } => {
                let mut config = config(&record.spec, kernel, initramfs, layers);
                config.disks.extend(writable.as_deref().map(writable_disk));
                (vmm::Machine::new(&config, resources)?, None, None)
            }
            Origin::Snapshot { path, copy, kernel, initramfs, layers } => {
                let config = config(&record.spec, kernel, initramfs, layers);
                let Restored { machine, loading, snapshot } =
                    snapshot::restore(path, *copy, config, resources)?;
                (machine, Some(loading), (!copy).then_some(snapshot))
            }
        };
        let vsock = machine.vsock().context("the machine has no socket device")?;
        let calls = vsock.listen(agent::DEFAULT_PORT)?;
        let guest = Self {
            machine: Arc::new(machine),
            loading,
            vsock,
            calls: Arc::new(Mutex::new(calls)),
            end: Arc::default(),
        };
        Ok((guest, snapshot))
    }

    /// Lets it run.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        self.machine.run()?;
        let waiting = self.clone();
        thread::Builder::new().name("guest".into()).spawn(move || {
            let cause = match waiting.machine.wait() {
                Outcome::PoweredOff | Outcome::Stopped => "it was switched off".to_owned(),
                Outcome::Reset => {
                    "its kernel panicked or reset it; see the end of console.log".to_owned()
                }
                failed => failed.to_string(),
            };
            let (end, ended) = &*waiting.end;
            *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
            ended.notify_all();
        })?;
        Ok(())
    }

    /// Connects to a vsock port of the guest.
    pub(super) fn connect(&self, port: u32) -> io::Result<UnixStream> {
        if self.machine.outcome().is_some() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.vsock.connect(port, CONNECT_LIMIT)
    }

    /// Waits for the agent's call, at most so long.
    pub(super) fn wait_agent(&self, limit: Duration) -> anyhow::Result<()> {
        /// How often to look whether there still is a guest that could call.
        const LOOK: Duration = Duration::from_millis(100);
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waited = Duration::ZERO;
        while waited < limit {
            if calls.accept(LOOK).is_ok() {
                return Ok(());
            }
            if let Some(cause) = self.ended() {
                bail!("the guest ended before its agent answered: {cause}");
            }
            waited += LOOK;
        }
        bail!(
            "the guest's agent did not answer within {} s; see console.log, or allow more with --init-timeout",
            limit.as_secs()
        )
    }

    /// Waits until the guest has ended; why it did.
    pub(super) fn wait(&self) -> String {
        let (end, ended) = &*self.end;
        let end = end.lock().unwrap_or_else(PoisonError::into_inner);
        let end =
            ended.wait_while(end, |end| end.is_none()).unwrap_or_else(PoisonError::into_inner);
        end.clone().unwrap_or_default()
    }

    /// Waits until the guest has ended, at most so long; whether it did.
    pub(super) fn wait_limited(&self, limit: Duration) -> bool {
        let (end, ended) = &*self.end;
        let end = end.lock().unwrap_or_else(PoisonError::into_inner);
        let (end, _) = ended
            .wait_timeout_while(end, limit, |end| end.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        end.is_some()
    }

    /// How long the steps of its restore took, if it was restored; the last two are the caller's, in milliseconds.
    pub(super) fn restore_report(&self, endpoints_ms: f64, thaw_ms: f64) -> Option<RestoreReport> {
        let Loading { state, copy } = self.loading?;
        let Timings { resources, vm, gic, memory, devices, vcpus, timer, first_instruction } =
            self.machine.timings();
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        Some(RestoreReport {
            state_ms: ms(state),
            memory_ms: ms(copy + memory),
            resources_ms: ms(resources),
            vm_ms: ms(vm),
            gic_ms: ms(gic),
            devices_ms: ms(devices),
            vcpus_ms: ms(vcpus),
            timer_ms: ms(timer),
            first_instruction_ms: ms(first_instruction.unwrap_or_default()),
            endpoints_ms,
            thaw_ms,
        })
    }

    /// The wall clock, as the guest can set its own by it.
    pub(super) fn clock(&self) -> agent::Clock {
        /// One of these is likely not interrupted between its looks at the two.
        const LOOKS: usize = 8;
        let look = || {
            let before = self.machine.counter();
            let unix_nanos = jiff::Timestamp::now().as_nanosecond() as u64;
            let took = self.machine.counter().wrapping_sub(before);
            (took, agent::Clock { unix_nanos, counter: before.wrapping_add(took / 2) })
        };
        let looks = std::iter::repeat_with(look).take(LOOKS);
        looks.min_by_key(|(took, _)| *took).expect("there is more than one").1
    }

    pub(super) fn machine(&self) -> &vmm::Machine {
        &self.machine
    }

    /// Switches it off at once.
    pub(super) fn kill(&self) {
        self.machine.stop();
    }

    fn ended(&self) -> Option<String> {
        self.end.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").finish_non_exhaustive()
    }
}

/// The second disk: `/dev/vdb`.
fn writable_disk(path: &Path) -> DiskConfig {
    let (read_only, durability) = (false, Durability::Medium);
    let source = DiskSource::Raw { path: path.to_path_buf(), read_only, durability };
    DiskConfig { name: "writable".into(), source }
}

fn config(spec: &Spec, kernel: &Path, initramfs: &Path, layers: &[PathBuf]) -> MachineConfig {
    let parts = layers.iter().enumerate().map(|(index, path)| PartConfig {
        path: path.clone(),
        label: format!("layer{}", index + 1),
    });
    let mut config = MachineConfig::new(kernel);
    // What is too much for that is refused by whoever builds the machine.
    config.memory = spec.memory.checked_next_multiple_of(2 << 20).unwrap_or(spec.memory);
    config.vcpus = spec.cpus;
    config.initramfs = Some(initramfs.to_path_buf());
    // A panic ends the machine instead of leaving a guest that does nothing.
    config.command_line = "console=ttyAMA0 quiet panic=-1".into();
    config.disks = vec![DiskConfig {
        name: "image".into(),
        source: DiskSource::Composite { parts: parts.collect() },
    }];
    config.vsock = Some(VsockConfig { cid: GUEST_CID, socket: None });
    config.on_reset = OnReset::End;
    config
}
