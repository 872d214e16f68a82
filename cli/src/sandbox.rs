//! The library's way to what the commands do.

use std::time::Duration;

use agent::Exit as GuestExit;
use hyper::Method;

use crate::{
    Home, Options, RestoreOptions, agent_link,
    bake::{self, Moment},
    control::{Client, SnapshotReply, StopRequest, WaitReply},
    launch::{self, Launched, Life},
    prepare,
    record::{Machine, PortMapping},
    session::{Ended, Stdio},
    snapshots::Snapshots,
};

/// A machine that runs an image in the background, in a process of its own: it outlives this value.
///
/// That process is the program `kiln`, which must lie beside the program that uses this, or in `PATH`.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// use kiln::{Home, Options, Sandbox};
///
/// let mut options = Options::new("docker.io/library/redis");
/// options.ports.push("0:6379".parse()?);
/// let redis = Sandbox::run(&Home::open()?, &options)?;
/// println!("redis listens on {:?}", redis.ports()?);
/// let output = redis.exec(&["redis-cli", "ping"])?;
/// assert_eq!(output.stdout, b"PONG\n");
/// redis.stop()?;
/// redis.remove()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sandbox {
    machine: Machine,
}

/// What a command in a [`Sandbox`] came to.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub exit: GuestExit,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Sandbox {
    /// Makes a machine from an image and starts its process.
    ///
    /// # Errors
    /// One sentence that says what failed, on what, and what to do; an [`Exit`](crate::Exit) inside it tells the kind.
    pub fn run(home: &Home, options: &Options) -> anyhow::Result<Self> {
        Self::started(Launched::new(prepare::from_image(home, options, &|_| {})?, Life::Own)?)
    }

    /// Makes a machine that goes on where a snapshot was taken.
    ///
    /// # Errors
    /// When there is no such snapshot, or it does not fit this host.
    pub fn restore(home: &Home, snapshot: &str, options: &RestoreOptions) -> anyhow::Result<Self> {
        let snapshots = Snapshots::open(home)?;
        let path = snapshots.path(snapshot)?;
        Self::started(snapshots.launch(&path, options, Life::Eager, || {})?)
    }

    /// Runs an image until it is ready, keeps a snapshot of that moment, and lets the machine go.
    ///
    /// # Errors
    /// When the image cannot be run, is not ready in time, or the name is taken.
    pub fn bake(
        home: &Home,
        options: &Options,
        moment: &Moment,
        name: &str,
    ) -> anyhow::Result<SnapshotReply> {
        bake::bake(home, options, moment, name, &|_| {})
    }

    /// Keeps a snapshot of the machine, which goes on.
    ///
    /// # Errors
    /// When it does not run, or the name is taken.
    pub fn snapshot(&self, home: &Home, name: &str) -> anyhow::Result<SnapshotReply> {
        Snapshots::open(home)?.create(&self.machine, name)
    }

    /// Makes so many machines that go on where this one is now. Each has free ports of the host for the published ones.
    ///
    /// # Errors
    /// When it does not run. Those that were made before a failure stay.
    pub fn fork(&self, home: &Home, count: usize) -> anyhow::Result<Vec<Self>> {
        let snapshots = Snapshots::open(home)?;
        let passing = snapshots.passing(&self.machine)?;
        (0..count).map(|_| Self::started(snapshots.fork(&passing.path, false)?)).collect()
    }

    fn started(launched: Launched) -> anyhow::Result<Self> {
        launched.start()?;
        Ok(Self { machine: launched.machine.clone() })
    }

    /// Its id: 64 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.machine.spec.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.machine.spec.name
    }

    /// The published ports, with the host's choice in place of 0.
    ///
    /// # Errors
    /// When the machine has been removed.
    pub fn ports(&self) -> anyhow::Result<Vec<PortMapping>> {
        Ok(Machine::open(&self.machine.directory)?.state.ports)
    }

    /// Runs one more command in the machine, without standard input, and waits for its end.
    ///
    /// # Errors
    /// When the machine does not run, or the command cannot be started.
    pub fn exec<A: AsRef<str>>(&self, command: &[A]) -> anyhow::Result<Output> {
        let client = launch::awake(&Machine::open(&self.machine.directory)?)?;
        let command = command.iter().map(|arg| arg.as_ref().to_owned()).collect();
        let spec = agent_link::beside(&self.machine.spec.process, command);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let stdio = Stdio { stdin: false, tty: false, signals: false };
        match agent_link::exec(&client, spec, stdio, &mut stdout, &mut stderr)? {
            Ended::Exited(exit) => Ok(Output { exit, stdout, stderr }),
            Ended::Detached => anyhow::bail!("the command was left without an end"),
        }
    }

    /// Waits for the end of its process; the exit status.
    ///
    /// # Errors
    /// When the machine's process was killed.
    pub fn wait(&self) -> anyhow::Result<i32> {
        wait(&self.machine)
    }

    /// Asks its process to end, insists after the machine's stop time-out, and waits until the machine is off.
    ///
    /// # Errors
    /// When it cannot be stopped. A machine that has ended is stopped already.
    pub fn stop(&self) -> anyhow::Result<()> {
        stop(&self.machine, &StopRequest::default())
    }

    /// Removes what is left of it once it has ended.
    ///
    /// # Errors
    /// When it still runs.
    pub fn remove(self) -> anyhow::Result<()> {
        self.machine.remove()
    }
}

/// How long a machine's process may take to end after its guest did.
const GONE_LIMIT: Duration = Duration::from_secs(15);

/// Waits until a machine is off; the exit status of its process.
pub(crate) fn wait(machine: &Machine) -> anyhow::Result<i32> {
    if machine.is_alive() {
        let reply = Client::new(&machine.directory).call(Method::GET, "/v1/wait", &());
        // Off altogether, so that it can be removed: its process ends a little later than the guest's.
        machine.wait_gone(GONE_LIMIT);
        if let Ok(WaitReply { exit_code }) = reply {
            return Ok(exit_code);
        }
    }
    // It ended before it could answer.
    let state = Machine::open(&machine.directory)?.state;
    state.exit_code.ok_or_else(|| anyhow::anyhow!("machine {} never ran", machine.spec.name))
}

/// Stops a machine; one that has ended is stopped already.
pub(crate) fn stop(machine: &Machine, request: &StopRequest) -> anyhow::Result<()> {
    if !machine.is_alive() {
        return Ok(());
    }
    let client = Client::new(&machine.directory);
    // Its process may have just begun, and not listen yet.
    let stopped: Result<(), _> = client
        .wait_ready(GONE_LIMIT, || machine.is_alive())
        .and_then(|()| client.call(Method::POST, "/v1/stop", request));
    // A machine that ended meanwhile answers no more, which is what was wanted.
    if machine.wait_gone(GONE_LIMIT) { Ok(()) } else { stopped.map_err(Into::into) }
}
