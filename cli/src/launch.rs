//! Starts a machine's process from another one.

use std::{
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use hyper::Method;

use crate::{
    control::{Client, ControlError},
    exit::{Exit, KILN_FAILED},
    program,
    record::{Machine, State, Status},
    session,
};

/// The hidden subcommand that is a machine's process.
pub(crate) const SUBCOMMAND: &str = "machine-process";

/// Standard error of a machine's process once there is a record: why it could not be one, or a panic. What it logs goes
/// elsewhere.
pub(crate) const ERRORS: &str = "process.err";

/// How long a machine's process may take to open its control socket.
const SOCKET_LIMIT: Duration = Duration::from_secs(30);

/// Who a machine's process lives for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It waits to be started, and outlives who did so.
    Own,
    /// The same, but it starts by itself once it is restored.
    Eager,
    /// It waits to be started, and goes away with who did so.
    Bound,
}

/// A machine's process that waits for the machine's record.
///
/// It takes a while to load, which whoever makes the record need not wait for. Without a record it goes away with this value.
#[derive(Debug)]
pub(crate) struct Process {
    /// Taken when somebody waits for it.
    child: Option<Child>,
    /// Ends when this process does.
    tether: Option<ChildStdin>,
    /// It was told to be a machine.
    begun: bool,
}

impl Process {
    /// Starts the process of the machine whose record will be in this directory.
    pub(crate) fn start(directory: &Path, life: Life) -> anyhow::Result<Self> {
        let flag = match life {
            Life::Own => None,
            Life::Eager => Some("--eager"),
            Life::Bound => Some("--bound"),
        };
        let mut child = Command::new(program::find()?)
            .arg(SUBCOMMAND)
            .arg(directory)
            .args(flag)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the machine's process")?;
        let tether = child.stdin.take();
        Ok(Self { child: Some(child), tether, begun: false })
    }

    /// Lets it be this machine, and waits until it can be talked to.
    pub(crate) fn launch(mut self, machine: Machine) -> anyhow::Result<Launched> {
        if let Some(tether) = &mut self.tether {
            // That it has gone already shows below.
            let _ = tether.write_all(b"\n");
        }
        self.begun = true;
        let client = Client::new(&machine.directory);
        let ready = client.wait_ready(SOCKET_LIMIT, || self.is_alive());
        let launched = Launched { process: self, machine, client };
        match ready {
            Ok(()) => Ok(launched),
            Err(error) => Err(launched.explain(error)),
        }
    }

    fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if !self.begun {
                // It has done nothing yet, and may have ended by itself.
                let _ = child.kill();
            }
            // It may outlive this process; until then somebody takes note of its end. Without the thread it stays a zombie.
            let _ = thread::Builder::new().name("machine".into()).spawn(move || child.wait());
        }
    }
}

/// A machine whose process was just started.
///
/// Until its process has started, it goes away together with this one.
#[derive(Debug)]
pub(crate) struct Launched {
    process: Process,
    pub(crate) machine: Machine,
    pub(crate) client: Client,
}

impl Launched {
    /// Starts the process of a machine and waits until it can be talked to.
    pub(crate) fn new(machine: Machine, life: Life) -> anyhow::Result<Self> {
        Process::start(&machine.directory, life)?.launch(machine)
    }

    /// Starts the guest's process; waits until it runs or why it does not.
    pub(crate) fn start(&self) -> anyhow::Result<State> {
        self.client.call(Method::POST, "/v1/start", &()).or_else(|error| {
            match Machine::open(&self.machine.directory).map(|machine| machine.state) {
                // This process stood still for so long that it is over.
                Ok(state) if state.exit_code.is_some() && state.error.is_none() => Ok(state),
                _ => Err(self.explain(error)),
            }
        })
    }

    /// Waits until the machine's process has ended.
    pub(crate) fn wait_gone(mut self) {
        if let Some(mut child) = self.process.child.take() {
            // It can only fail if somebody else has waited for it.
            let _ = child.wait();
        }
    }

    /// What happened when the stdio of this machine broke off.
    pub(crate) fn lost(&self, broken: session::Broken) -> anyhow::Error {
        let error = match broken {
            session::Broken::Link(error) => error,
            // The machine is well, and goes on.
            output @ session::Broken::Output(_) => return output.into(),
        };
        // Its process may be writing down why.
        self.machine.wait_gone(Duration::from_secs(5));
        let state = Machine::open(&self.machine.directory).map(|machine| machine.state);
        if let Ok(State { exit_code: Some(code), error: None, .. }) = state {
            // This process stood still for so long that it was left behind.
            let name = &self.machine.spec.name;
            let message =
                format!("the end of the output is missing here; `kiln logs {name}` has it");
            return Exit::new(u8::try_from(code).unwrap_or(u8::MAX), message).into();
        }
        self.explain(ControlError::Broken(error.to_string()))
    }

    /// Turns what the control socket said, or did not say, into what happened.
    fn explain(&self, error: ControlError) -> anyhow::Error {
        if let ControlError::Refused(body) = error {
            return Exit::new(body.exit_code.unwrap_or(KILN_FAILED), body.error).into();
        }
        let state = Machine::open(&self.machine.directory).map(|machine| machine.state);
        if let Ok(State { error: Some(cause), .. }) = state {
            return Exit::new(KILN_FAILED, cause).into();
        }
        let errors = fs::read_to_string(self.machine.directory.join(ERRORS)).unwrap_or_default();
        let last = errors.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
        Exit::new(KILN_FAILED, format!("the machine's process ended early: {error}{last}")).into()
    }
}

/// The client of a machine that runs and is not paused.
pub(crate) fn awake(machine: &Machine) -> anyhow::Result<Client> {
    if machine.state.status == Status::Paused {
        bail!("machine {} is paused; let it go on with `kiln unpause` first", machine.spec.name);
    }
    running(machine)
}

/// The client of a machine that runs.
pub(crate) fn running(machine: &Machine) -> anyhow::Result<Client> {
    if !machine.is_alive() {
        bail!("machine {} is not running", machine.spec.name);
    }
    Ok(Client::new(&machine.directory))
}
