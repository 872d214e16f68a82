//! What a machine's process knows and does, as its control socket sees it.

use std::{
    io,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use agent::{Exit as GuestExit, FailureKind, ProcessId, Reply, Request};
use anyhow::{Context, bail};
use jiff::Timestamp;
use tokio::sync::watch;

use super::{guest::Guest, snapshot, stdio::Stdio, stopwatch::Stopwatch};
use crate::{
    agent_link::{self, Agent},
    control::{SnapshotReply, SnapshotRequest, StopRequest},
    exit::{Exit, KILN_FAILED},
    record::{Machine, Origin, PortMapping, Spec, State, Status},
    signal,
};

/// The agent's name for the process that is the machine's purpose.
pub(crate) const MAIN: ProcessId = 1;

/// How long a stop that has no time waits at least for a snapshot, a pause or its end.
const HEARING: Duration = Duration::from_secs(1);

/// How long the guest may take to end once its process was killed.
const END_LIMIT: Duration = Duration::from_secs(10);

/// One machine, shared by all threads of its process.
#[derive(Debug)]
pub(crate) struct Supervisor {
    spec: Spec,
    directory: PathBuf,
    guest: Guest,
    progress: Mutex<Progress>,
    changed: Condvar,
    /// The exit status, once there is one.
    end: watch::Sender<Option<i32>>,
    /// Held by who freezes and thaws the processes.
    freezing: Mutex<()>,
    /// All of the guest's memory was read by a capture.
    read: AtomicBool,
    pub(super) stdio: Stdio,
}

#[derive(Debug)]
struct Progress {
    state: State,
    phase: Phase,
    /// Why the start failed, with its exit status.
    failure: Option<(u8, String)>,
    /// The agent has answered.
    agent: bool,
    /// Somebody has asked for the start.
    asked: bool,
    /// Whoever started the machine is gone.
    alone: bool,
    /// The machine was given up.
    abandoned: bool,
    stopwatch: Stopwatch,
    /// How long the step took that ended with [`Phase::Ready`], in milliseconds.
    ready_ms: f64,
}

/// How far a machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// The guest boots.
    Booting,
    /// The agent is ready, and the process may be started.
    Ready,
    /// Somebody asked for the start; it is under way.
    Starting,
    /// The process runs.
    Running,
    /// Nothing more happens.
    Ended,
}

impl Supervisor {
    pub(super) fn new(
        machine: Machine,
        guest: Guest,
        stdio: Stdio,
        ports: Vec<PortMapping>,
        stopwatch: Stopwatch,
    ) -> Self {
        let Machine { directory, spec, mut state } = machine;
        state.ports = ports;
        state.pid = Some(std::process::id());
        let progress = Progress {
            state,
            phase: Phase::Booting,
            failure: None,
            agent: false,
            asked: false,
            alone: false,
            abandoned: false,
            stopwatch,
            ready_ms: 0.0,
        };
        Self {
            spec,
            directory,
            guest,
            progress: Mutex::new(progress),
            changed: Condvar::new(),
            end: watch::Sender::new(None),
            freezing: Mutex::new(()),
            read: AtomicBool::new(false),
            stdio,
        }
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn state(&self) -> State {
        self.lock().state.clone()
    }

    pub(super) fn guest(&self) -> &Guest {
        &self.guest
    }

    /// A new, greeted connection to the agent.
    pub(super) fn greet_agent(&self) -> anyhow::Result<Agent> {
        Ok(Agent::greet(self.connect_agent()?)?)
    }

    /// A new connection to the agent, not greeted yet.
    pub(crate) fn connect_agent(&self) -> anyhow::Result<UnixStream> {
        self.guest.connect(agent::DEFAULT_PORT).context("the guest's agent does not answer")
    }

    /// The agent is there and has built the root.
    pub(super) fn ready(&self) {
        {
            let mut progress = self.lock();
            progress.agent = true;
            progress.ready_ms = progress.stopwatch.lap(match self.spec.origin {
                Origin::Boot { .. } => "guest's kernel booted, agent there, root built",
                Origin::Snapshot { .. } => "endpoints opened",
            });
        }
        self.advance(Phase::Ready, |_| {});
    }

    /// As [`start`](Self::start), for whoever made the machine.
    pub(crate) fn start_when_asked(&self) -> anyhow::Result<State> {
        self.lock().asked = true;
        self.changed.notify_all();
        self.start()
    }

    /// Waits until somebody has asked for the start, unless nobody is left to do so.
    pub(super) fn wait_asked(&self) {
        /// Whoever has just made a machine asks at once.
        const LIMIT: Duration = Duration::from_secs(5);
        let wait = |p: &mut Progress| !p.asked && !p.alone;
        // What cannot be asked in that time will not be.
        let _ = self.changed.wait_timeout_while(self.lock(), LIMIT, wait);
    }

    /// Starts the process, once; waits until it runs or why it does not.
    pub(super) fn start(&self) -> anyhow::Result<State> {
        let wait = |p: &mut Progress| p.phase == Phase::Booting || p.phase == Phase::Starting;
        let mut progress =
            self.changed.wait_while(self.lock(), wait).unwrap_or_else(PoisonError::into_inner);
        if progress.phase == Phase::Ready {
            progress.phase = Phase::Starting;
            drop(progress);
            let started = match self.spec.origin {
                Origin::Boot { .. } => self.run_process(),
                Origin::Snapshot { .. } => self.revive(),
            };
            match started {
                Ok(()) => {
                    let (timings, restored) = {
                        let mut progress = self.lock();
                        let last = progress.stopwatch.lap(match self.spec.origin {
                            Origin::Boot { .. } => "process started",
                            Origin::Snapshot { .. } => "guest running, reseeded, clock set, thawed",
                        });
                        let restored = self.guest.restore_report(progress.ready_ms, last);
                        (progress.stopwatch.laps().to_vec(), restored)
                    };
                    self.advance(Phase::Running, |state| {
                        state.status = Status::Running;
                        state.started = Some(Timestamp::now());
                        state.timings = timings;
                        state.restored = restored;
                    });
                }
                Err(error) => self.fail(&error),
            }
            progress = self.lock();
        }
        match &progress.failure {
            Some((status, message)) => Err(Exit::new(*status, message.clone()).into()),
            None => Ok(progress.state.clone()),
        }
    }

    fn run_process(&self) -> anyhow::Result<()> {
        let request = Request::Run { id: MAIN, spec: self.spec.process.clone() };
        match self.greet_agent()?.call(&request).map_err(agent_link::explain)? {
            Reply::Started { .. } => Ok(()),
            other => bail!("the guest's agent answered {other:?} to the start of the process"),
        }
    }

    /// Lets the processes of a restored guest go on: with fresh randomness and the right time before any of them runs.
    fn revive(&self) -> anyhow::Result<()> {
        let mut entropy = vec![0; 64];
        getrandom::fill(&mut entropy)?;
        let thaw = Request::Thaw { clock: Some(self.guest.clock()), entropy: Some(entropy) };
        Ok(self.greet_agent()?.call(&thaw)?.done()?)
    }

    /// Stops all processes where they are, or lets them go on.
    pub(crate) fn set_paused(&self, paused: bool) -> anyhow::Result<()> {
        let _alone = self.freezing.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.is_paused()?, paused) {
            (true, true) => bail!("machine {} is paused already", self.spec.name),
            (false, false) => bail!("machine {} is not paused", self.spec.name),
            (false, true) => drop(self.freeze()?),
            (true, false) => self.greet_agent()?.call(&self.thaw())?.done()?,
        }
        let status = if paused { Status::Paused } else { Status::Running };
        self.advance(Phase::Running, |state| state.status = status);
        Ok(())
    }

    /// Whether a machine that runs stands still.
    fn is_paused(&self) -> anyhow::Result<bool> {
        let progress = self.lock();
        if progress.phase != Phase::Running {
            bail!("machine {} is not running", self.spec.name);
        }
        Ok(progress.state.status == Status::Paused)
    }

    /// Stops all processes; the connection is for whoever lets them go on.
    fn freeze(&self) -> anyhow::Result<Agent> {
        let mut agent = self.greet_agent()?;
        if let Err(error) = agent.call(&Request::Freeze).and_then(Reply::done) {
            // Whatever it froze goes on; what is reported is why it could not freeze all.
            let _ = self.greet_agent().and_then(|mut agent| Ok(agent.call(&self.thaw())?));
            return Err(error).context("the machine's processes could not be stopped");
        }
        Ok(agent)
    }

    /// What lets all processes go on. The guest's clock may have stood still meanwhile.
    fn thaw(&self) -> Request {
        Request::Thaw { clock: Some(self.guest.clock()), entropy: None }
    }

    /// Whether a capture has read all of the guest's memory, or is about to.
    pub(super) fn was_read(&self) -> bool {
        self.read.load(Ordering::Relaxed)
    }

    /// A capture is about to read all of the guest's memory.
    pub(super) fn will_be_read(&self) {
        self.read.store(true, Ordering::Relaxed);
        self.guest.machine().expect_scattered_accesses(false);
    }

    /// Sets the guest's clock.
    pub(super) fn set_clock(&self) -> anyhow::Result<()> {
        Ok(self.greet_agent()?.call(&Request::SetClock(self.guest.clock()))?.done()?)
    }

    /// Takes a snapshot of the guest, whose processes stand still meanwhile and go on afterwards, whatever comes of it,
    /// unless they were paused before.
    pub(crate) fn snapshot(&self, request: &SnapshotRequest) -> anyhow::Result<SnapshotReply> {
        // Two at once would thaw what the other has frozen.
        let alone = self.freezing.lock().unwrap_or_else(PoisonError::into_inner);
        let stood = Instant::now();
        if self.is_paused()? {
            let taken = snapshot::take(self, &request.path)?;
            drop(alone);
            return taken.commit(stood.elapsed());
        }
        let mut agent = self.freeze()?;
        let taken = snapshot::take(self, &request.path);
        let thawed = agent.call(&self.thaw()).and_then(Reply::done);
        let stood = stood.elapsed();
        // Nobody waits for the disk but who asked for the snapshot.
        drop(alone);
        let reply = taken.and_then(|taken| taken.commit(stood));
        let Err(stuck) = thawed else { return reply };
        let stuck = anyhow::Error::from(stuck);
        Err(match reply {
            Ok(_) => {
                stuck.context("the snapshot was taken, but the machine's processes do not go on")
            }
            Err(error) => error.context(format!("the machine's processes do not go on ({stuck})")),
        })
    }

    /// Waits until the process was started; false if the machine ended before.
    pub(super) fn wait_started(&self) -> bool {
        let wait = |p: &mut Progress| p.phase < Phase::Running;
        let progress =
            self.changed.wait_while(self.lock(), wait).unwrap_or_else(PoisonError::into_inner);
        progress.phase == Phase::Running
    }

    /// Whoever started the machine is gone: it is given up if they have not had its process started, or if it is `bound` to them.
    pub(super) fn abandon(&self, bound: bool) {
        {
            let mut progress = self.lock();
            progress.alone = true;
            self.changed.notify_all();
            // One that started by itself is somebody's only once they have asked for it.
            let owned = progress.phase == Phase::Running && progress.asked && !bound;
            if progress.phase == Phase::Ended || owned {
                return;
            }
            progress.abandoned = true;
        }
        self.fail(&anyhow::anyhow!("whoever started the machine is gone"));
        self.guest.kill();
    }

    /// Whether the machine was given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// The process has ended, and all it wrote is in the log.
    pub(super) fn exited(&self, exit: GuestExit) {
        self.advance(Phase::Ended, |state| {
            state.status = Status::Exited;
            state.finished = Some(Timestamp::now());
            state.exit_code = Some(exit.status.code());
            state.oom_killed = exit.oom_killed;
        });
    }

    /// The machine cannot go on. Says nothing if it has ended before.
    pub(super) fn fail(&self, error: &anyhow::Error) {
        let status = error.downcast_ref::<Exit>().map_or(KILN_FAILED, |exit| exit.status);
        let message = format!("{error:#}");
        {
            let mut progress = self.lock();
            if progress.phase == Phase::Ended {
                return;
            }
            if progress.phase < Phase::Running {
                progress.failure = Some((status, message.clone()));
            }
        }
        self.advance(Phase::Ended, |state| {
            state.status = Status::Exited;
            state.finished = Some(Timestamp::now());
            state.exit_code = Some(status.into());
            state.error = Some(message);
        });
    }

    /// Becomes the exit status at the end.
    pub(crate) fn end(&self) -> watch::Receiver<Option<i32>> {
        self.end.subscribe()
    }

    /// Waits for the end, at most so long if there is a limit; whether it came.
    pub(super) fn wait_limited(&self, limit: Option<Duration>) -> bool {
        let wait = |p: &mut Progress| p.phase != Phase::Ended;
        let limit = limit.unwrap_or(Duration::MAX);
        let (progress, _) = self
            .changed
            .wait_timeout_while(self.lock(), limit, wait)
            .unwrap_or_else(PoisonError::into_inner);
        progress.phase == Phase::Ended
    }

    /// Sends the process a signal by its Linux number.
    pub(crate) fn signal(&self, signal: i32) -> anyhow::Result<()> {
        if self.lock().phase != Phase::Running {
            bail!("machine {} is not running", self.spec.name);
        }
        self.greet_agent()?.call(&Request::Signal { id: MAIN, signal })?.done()?;
        Ok(())
    }

    /// Sends the process a signal; whether the agent did so, or knows that the process has ended.
    fn reaches(&self, signal: i32) -> bool {
        self.signal(signal).err().is_none_or(|error| {
            matches!(
                error.downcast_ref(),
                Some(agent::ProtocolError::Failed(failure)) if failure.kind == FailureKind::NotRunning
            )
        })
    }

    /// Asks the process to end, and insists when the time is over.
    pub(crate) fn stop(&self, request: &StopRequest) -> anyhow::Result<()> {
        let grace = Duration::from_secs(request.timeout.unwrap_or(self.spec.stop_timeout));
        // None is a time that never comes.
        let deadline = Instant::now().checked_add(grace);
        let signal = request.signal.unwrap_or(self.spec.stop_signal);
        if self.can_hear_within(grace.max(HEARING)) && self.reaches(signal) {
            if self.is_paused().unwrap_or(false) {
                // Whoever stands still heeds no signal. It fails for a machine that goes on or ends meanwhile.
                let _ = self.set_paused(false);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if self.wait_limited(left) {
                return Ok(());
            }
            if self.reaches(signal::KILL) && self.wait_limited(Some(END_LIMIT)) {
                return Ok(());
            }
        }
        // The guest no longer does what it is told.
        self.fail(&Exit::new(137, "the guest did not answer and was switched off").into());
        self.guest.kill();
        Ok(())
    }

    /// Waits until nobody makes the processes stand still, at most so long: whoever does heeds no signal. Whether it is so.
    fn can_hear_within(&self, limit: Duration) -> bool {
        const LOOK: Duration = Duration::from_millis(5);
        let began = Instant::now();
        loop {
            if !matches!(self.freezing.try_lock(), Err(TryLockError::WouldBlock)) {
                return true;
            }
            if began.elapsed() >= limit {
                return false;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Switches the guest off: by its own hand if it answers, else by force.
    pub(super) fn power_off(&self) {
        if !self.lock().agent {
            // There is nobody to ask.
            return self.guest.kill();
        }
        let request = Request::Shutdown { signal: signal::KILL, grace_ms: 0 };
        let asked = self.greet_agent().and_then(|mut agent| Ok(agent.call(&request)?));
        match asked {
            Ok(_) if self.guest.wait_limited(END_LIMIT) => {}
            _ => self.guest.kill(),
        }
    }

    /// Carries the process's stdio over this stream from now on.
    pub(crate) fn attach(&self, stream: UnixStream) -> anyhow::Result<()> {
        if self.lock().phase == Phase::Ended {
            bail!("machine {} has ended", self.spec.name);
        }
        self.stdio.attach(stream)
    }

    fn advance(&self, phase: Phase, change: impl FnOnce(&mut State)) {
        let mut progress = self.lock();
        if progress.phase == Phase::Ended {
            return;
        }
        progress.phase = phase;
        change(&mut progress.state);
        if let Err(error) = progress.state.write(&self.directory.join("state.json")) {
            tracing::error!("{error:#}");
        }
        if phase == Phase::Ended {
            let status = progress.state.exit_code.unwrap_or(KILN_FAILED.into());
            self.end.send_replace(Some(status));
        }
        drop(progress);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies both ways between two streams until both directions have ended; does not wait for it.
pub(crate) fn splice(one: UnixStream, other: UnixStream) -> anyhow::Result<()> {
    let carry = move || splice_and_wait(one, other);
    std::thread::Builder::new().name("splice".into()).spawn(carry)?;
    Ok(())
}

/// Copies both ways between two streams until both directions have ended.
pub(super) fn splice_and_wait(one: UnixStream, other: UnixStream) -> anyhow::Result<()> {
    // Either end may go at any time; the other learns it from the shutdown.
    let copy = |mut from: UnixStream, mut to: UnixStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    };
    let (from, to) = (one.try_clone()?, other.try_clone()?);
    let there = std::thread::Builder::new().name("splice".into()).spawn(move || copy(from, to))?;
    copy(other, one);
    // It cannot panic: nothing in it does.
    let _ = there.join();
    Ok(())
}
