//! A process that the agent started, and the table of all of them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent::{Exit, ExitStatus, FailureKind, ProcessId, ProcessInfo, WindowSize};
use rustix::event::{EventfdFlags, eventfd};

use super::buffer::{InputBuffer, OutputBuffer};
use super::failure::{Explain, Outcome, failure};
use super::kernel;

/// One process and what is known of it.
pub(crate) struct Process {
    pub id: ProcessId,
    pub pid: u32,
    args: Vec<String>,
    pidfd: OwnedFd,
    /// The terminal's master side, if it has one.
    terminal: Option<OwnedFd>,
    state: Mutex<State>,
    /// Something in `state` changed.
    changed: Condvar,
    /// Wakes the thread that moves the stdio.
    pump: OwnedFd,
}

/// The part that changes.
#[derive(Default)]
pub(crate) struct State {
    pub stdin: InputBuffer,
    pub stdout: OutputBuffer,
    pub stderr: OutputBuffer,
    /// How it ended, as soon as the kernel says so.
    pub status: Option<ExitStatus>,
    pub oom_killed: bool,
    /// It is the workload's own process.
    pub main: bool,
    /// Nobody asks for its output or its end.
    pub detached: bool,
    /// So it shall be once nobody is attached any more.
    pub detaches: bool,
    /// How it ended, once its output is complete.
    pub exit: Option<Exit>,
    /// Counts attachments; the last one counts.
    pub attachment: u64,
}

impl State {
    /// Nobody asks for its output or its end from now on.
    pub(crate) fn detach(&mut self) {
        self.detached = true;
        self.stdin.closed = true;
        self.stdout.discard();
        self.stderr.discard();
        self.finish_if_complete();
    }

    /// Publishes the end once the status is known and both streams have ended.
    pub(crate) fn finish_if_complete(&mut self) {
        let complete = self.stdout.ended && self.stderr.ended && self.exit.is_none();
        if let (true, Some(status)) = (complete, self.status) {
            self.exit = Some(Exit {
                status,
                oom_killed: self.oom_killed,
                stdout: self.stdout.end(),
                stderr: self.stderr.end(),
            });
        }
    }
}

impl Process {
    pub(crate) fn new(
        id: ProcessId,
        args: Vec<String>,
        (pid, pidfd): (u32, OwnedFd),
        terminal: Option<OwnedFd>,
        state: State,
    ) -> Outcome<Process> {
        let pump = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .explain("make an eventfd")?;
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Ok(Process { id, pid, args, pidfd, terminal, state, changed, pump })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and tells everybody who waits for a change, the pump included.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        self.wake_pump();
        result
    }

    /// The same for the pump itself, which need not wake itself.
    pub(crate) fn update_from_pump<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    /// Waits for the next change.
    pub(crate) fn wait_for_change<'a>(
        &self,
        state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end, at most until the deadline.
    pub(crate) fn wait_for_exit(&self, deadline: Option<Instant>) -> Option<Exit> {
        let mut state = self.state();
        loop {
            if state.exit.is_some() {
                return state.exit;
            }
            state = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self.wait_for_change(state),
                Some(Duration::ZERO) => return None,
                Some(left) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Read by the pump.
    pub(crate) fn pump_event(&self) -> &OwnedFd {
        &self.pump
    }

    pub(crate) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    pub(crate) fn terminal(&self) -> Option<&OwnedFd> {
        self.terminal.as_ref()
    }

    pub(crate) fn signal(&self, signal: i32) -> Outcome<()> {
        if self.state().status.is_some() {
            return Err(failure(FailureKind::NotRunning, format!("process {} has ended", self.id)));
        }
        kernel::send_signal(self.pidfd.as_fd(), signal)
            .explain(format_args!("send signal {signal} to process {}", self.id))
    }

    pub(crate) fn resize(&self, size: WindowSize) -> Outcome<()> {
        let Some(terminal) = &self.terminal else {
            return Err(failure(
                FailureKind::Invalid,
                format!("process {} has no terminal", self.id),
            ));
        };
        set_size(terminal, size)
    }

    fn info(&self) -> ProcessInfo {
        let exit = self.state().exit;
        ProcessInfo { id: self.id, pid: self.pid, args: self.args.clone(), exit }
    }

    fn wake_pump(&self) {
        // The counter cannot overflow in any lifetime; a full one wakes as well.
        let _ = rustix::io::write(&self.pump, &1_u64.to_ne_bytes());
    }
}

/// Sets the size of a terminal.
pub(crate) fn set_size(terminal: &OwnedFd, size: WindowSize) -> Outcome<()> {
    let size = rustix::termios::Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(terminal, size).explain("set the size of a terminal")
}

/// All processes that were started and not removed.
#[derive(Default)]
pub(crate) struct Table {
    processes: Mutex<BTreeMap<ProcessId, Arc<Process>>>,
    started: Condvar,
}

/// The table, held still: while a child is made, nobody may learn of its end before it is listed.
pub(crate) type Held<'a> = MutexGuard<'a, BTreeMap<ProcessId, Arc<Process>>>;

impl Table {
    pub(crate) fn hold(&self) -> Held<'_> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the reaper that there is a child.
    pub(crate) fn announce(&self) {
        self.started.notify_all();
    }

    /// Waits for [`Table::announce`].
    pub(crate) fn wait_for_announcement(&self) {
        let held = self.hold();
        // A time limit, for the children that are not in the table.
        let _unused = self.started.wait_timeout(held, Duration::from_millis(200));
    }

    pub(crate) fn get(&self, id: ProcessId) -> Outcome<Arc<Process>> {
        self.hold().get(&id).cloned().ok_or_else(|| no_such(id))
    }

    pub(crate) fn by_pid(&self, pid: u32) -> Option<Arc<Process>> {
        let held = self.hold();
        held.values().find(|p| p.pid == pid && p.state().status.is_none()).cloned()
    }

    pub(crate) fn list(&self) -> Vec<ProcessInfo> {
        self.hold().values().map(|process| process.info()).collect()
    }

    /// Forgets a process that has ended.
    pub(crate) fn remove(&self, id: ProcessId) -> Outcome<()> {
        let mut held = self.hold();
        let process = held.get(&id).ok_or_else(|| no_such(id))?;
        if process.state().exit.is_none() {
            return Err(failure(
                FailureKind::Invalid,
                format!("process {id} still runs; stop it before it is removed"),
            ));
        }
        held.remove(&id);
        Ok(())
    }
}

fn no_such(id: ProcessId) -> agent::Failure {
    failure(FailureKind::NoSuchProcess, format!("there is no process {id}"))
}
