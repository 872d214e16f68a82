//! Starts a machine's process from another one.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
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

/// Standard error of a machine's process: why it could not be one, or a panic. What it logs goes elsewhere.
const ERRORS: &str = "process.err";

/// How long a machine's process may take to open its control socket.
const SOCKET_LIMIT: Duration = Duration::from_secs(30);

/// A machine whose process was just started.
///
/// Until its process has started, it goes away together with this one.
#[derive(Debug)]
pub(crate) struct Launched {
    /// Taken when somebody waits for it.
    child: Option<Child>,
    /// Ends when this process does.
    _tether: Option<ChildStdin>,
    pub(crate) machine: Machine,
    pub(crate) client: Client,
}

impl Launched {
    /// Starts the process and waits until it can be talked to.
    pub(crate) fn new(machine: Machine) -> anyhow::Result<Self> {
        Self::launch(machine, false)
    }

    /// The same for a machine that goes away with this process even when it runs.
    pub(crate) fn bound(machine: Machine) -> anyhow::Result<Self> {
        Self::launch(machine, true)
    }

    fn launch(machine: Machine, bound: bool) -> anyhow::Result<Self> {
        let errors = File::create(machine.directory.join(ERRORS))?;
        let mut child = Command::new(program::find()?)
            .arg(SUBCOMMAND)
            .arg(&machine.directory)
            .args(bound.then_some("--bound"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .context("cannot start the machine's process")?;
        let client = Client::new(&machine.directory);
        let ready = client.wait_ready(SOCKET_LIMIT, || matches!(child.try_wait(), Ok(None)));
        let tether = child.stdin.take();
        let launched = Self { child: Some(child), _tether: tether, machine, client };
        match ready {
            Ok(()) => Ok(launched),
            Err(error) => Err(launched.explain(error)),
        }
    }

    /// Starts the guest's process; waits until it runs or why it does not.
    pub(crate) fn start(&self) -> anyhow::Result<State> {
        self.client.call(Method::POST, "/v1/start", &()).map_err(|error| self.explain(error))
    }

    /// Waits until the machine's process has ended.
    pub(crate) fn wait_gone(mut self) {
        if let Some(mut child) = self.child.take() {
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
        let last = errors.lines().last().unwrap_or_default();
        Exit::new(KILN_FAILED, format!("the machine's process ended early: {error} {last}")).into()
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may outlive this process; until then somebody takes note of its end. Without the thread it stays a zombie.
            let _ = thread::Builder::new().name("machine".into()).spawn(move || child.wait());
        }
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
