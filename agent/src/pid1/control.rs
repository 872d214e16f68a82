//! The state of the whole guest, and the requests that change it.

use std::fs;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent::{Clock, Config, FailureKind, ProcessId, ProcessSpec};
use rustix::time::{ClockId, Timespec, clock_settime};

use super::failure::{Explain, Outcome, failure};
use super::process::{Process, Table};
use super::spawn::{Workload, spawn};
use super::{cgroup, kernel, root};

/// What Docker sets for every container.
const SYSCTLS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// One for the life of the guest.
#[derive(Default)]
pub(crate) struct Control {
    pub processes: Table,
    stage: Mutex<Stage>,
}

/// How far the workload is.
#[derive(Default)]
enum Stage {
    #[default]
    Empty,
    Configured(Box<Config>),
    Running(Box<Config>, Arc<Process>),
}

impl Control {
    /// Builds the root and everything else that is there before the first process.
    pub(crate) fn configure(&self, config: Config) -> Outcome<()> {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*stage, Stage::Empty) {
            return Err(failure(FailureKind::Invalid, "the guest is configured already"));
        }
        let name = if config.hostname.is_empty() { "kiln" } else { &config.hostname };
        rustix::system::sethostname(name.as_bytes())
            .explain(format_args!("set the host name {name}"))?;
        config.clock.map_or(Ok(()), set_clock)?;
        let asked = config.sysctls.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in SYSCTLS.into_iter().chain(asked) {
            set_sysctl(name, value)?;
        }
        cgroup::configure(&config)?;
        root::assemble(&config)?;
        *stage = Stage::Configured(Box::new(config));
        Ok(())
    }

    /// Starts the workload's own process.
    pub(crate) fn run(&self, id: ProcessId, spec: &ProcessSpec) -> Outcome<Arc<Process>> {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let config = match &*stage {
            Stage::Configured(config) => config.clone(),
            Stage::Empty => return Err(not_configured()),
            Stage::Running(..) => {
                return Err(failure(FailureKind::Invalid, "the workload was started already"));
            }
        };
        let process = spawn(&self.processes, id, spec, Some(&config), None)?;
        *stage = Stage::Running(config, Arc::clone(&process));
        Ok(process)
    }

    /// Starts one more process beside it.
    pub(crate) fn exec(&self, id: ProcessId, spec: &ProcessSpec) -> Outcome<Arc<Process>> {
        let workload = self.workload()?;
        if workload.state().status.is_some() {
            return Err(failure(FailureKind::NotRunning, "the workload runs no longer"));
        }
        let workload = Workload { pidfd: workload.pidfd().as_fd() };
        spawn(&self.processes, id, spec, None, Some(&workload))
    }

    /// The root exists.
    pub(crate) fn check_configured(&self) -> Outcome<()> {
        match *self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Empty => Err(not_configured()),
            _ => Ok(()),
        }
    }

    /// Ends every process: politely first, then by force, and lets go of the disks.
    pub(crate) fn stop(&self, signal: i32, grace: Duration) -> Outcome<()> {
        let deadline = Instant::now().checked_add(grace);
        if let Ok(workload) = self.workload()
            && workload.signal(signal).is_ok()
        {
            workload.wait_for_exit(deadline);
        }
        let _ = cgroup::set_frozen(false);
        cgroup::kill()?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while cgroup::is_populated() && Instant::now() < deadline {
            kernel::pause(1);
        }
        root::disassemble();
        rustix::fs::sync();
        Ok(())
    }

    /// What the power button does.
    pub(crate) fn stop_as_configured(&self) -> Outcome<()> {
        let (signal, grace_ms) = {
            let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
            match &*stage {
                Stage::Empty => (None, None),
                Stage::Configured(config) | Stage::Running(config, _) => {
                    (config.stop_signal, config.stop_grace_ms)
                }
            }
        };
        let grace = Duration::from_millis(grace_ms.unwrap_or(10_000));
        self.stop(signal.unwrap_or(libc::SIGTERM), grace)
    }

    fn workload(&self) -> Outcome<Arc<Process>> {
        match &*self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Running(_, process) => Ok(Arc::clone(process)),
            _ => Err(failure(FailureKind::NotRunning, "the workload does not run yet")),
        }
    }
}

/// Sets the wall clock.
pub(crate) fn set_clock(clock: Clock) -> Outcome<()> {
    /// It is set again if something else ran meanwhile, which made it late; not for ever on a guest that is this busy.
    const ATTEMPTS: u32 = 5;
    for _ in 0..ATTEMPTS {
        let (counter, frequency) = kernel::counter();
        let unix_nanos = clock.at(counter, frequency);
        let time = Timespec {
            tv_sec: (unix_nanos / 1_000_000_000).cast_signed(),
            tv_nsec: (unix_nanos % 1_000_000_000) as _,
        };
        clock_settime(ClockId::Realtime, time).explain("set the clock")?;
        // A millisecond.
        if kernel::counter().0.wrapping_sub(counter) < frequency / 1000 {
            break;
        }
    }
    Ok(())
}

fn set_sysctl(name: &str, value: &str) -> Outcome<()> {
    // A dot separates, and a slash stands for a dot in a name (sysctl(8)).
    let path: String = name
        .chars()
        .map(|letter| match letter {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect();
    if path.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(failure(FailureKind::Invalid, format!("{name} is not a kernel parameter")));
    }
    fs::write(format!("/proc/sys/{path}"), value)
        .explain(format_args!("set the kernel parameter {name} to {value}"))
}

fn not_configured() -> agent::Failure {
    failure(FailureKind::Invalid, "the guest is not configured yet")
}
