//! Conversations with the agent of a machine that runs: nobody waits for a guest that hangs.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use agent::{Connection, Frame, Hello, ProcessId, ProcessSpec, ProtocolError, Reply, Request};
use anyhow::bail;

use crate::{
    control::{self, Client},
    exit::{Exit, KILN_FAILED, NOT_EXECUTABLE, NOT_FOUND},
    session::{self, Ended, Stdio},
};

/// How long the agent may take for what it does at once.
const AT_ONCE: Duration = Duration::from_secs(10);
/// How long it may take for what reads files or starts programs.
const WORK: Duration = Duration::from_secs(60);

/// A connection to the agent, each use of which has a time limit.
#[derive(Debug)]
pub(crate) struct Agent {
    connection: Connection<Timed>,
}

impl Agent {
    /// Greets the agent at the other end, whose answer comes before that to the first request.
    pub(crate) fn greet(stream: UnixStream) -> Result<Self, ProtocolError> {
        let stream = Timed { stream, deadline: Cell::new(None) };
        stream.allow(Some(AT_ONCE));
        let greeted = Connection::open(stream, &Hello::new("kiln"));
        Ok(Self { connection: greeted.map_err(|error| timed_out(error, AT_ONCE))? })
    }

    /// A connection to the agent behind this control socket.
    pub(crate) fn connect(client: &Client) -> anyhow::Result<Self> {
        Ok(Self::greet(client.upgrade("/v1/agent", control::AGENT)?)?)
    }

    /// Asks for something, and waits as long as that may take.
    pub(crate) fn call(&mut self, request: &Request) -> Result<Reply, ProtocolError> {
        self.call_within(request, limit(request))
    }

    fn call_within(
        &mut self,
        request: &Request,
        limit: Option<Duration>,
    ) -> Result<Reply, ProtocolError> {
        self.connection.stream().allow(limit);
        self.connection.call(request).map_err(|error| timed_out(error, limit.unwrap_or_default()))
    }

    /// Sends a message, or whatever `send` does, while the agent is at work.
    pub(crate) fn send(
        &mut self,
        send: impl FnOnce(&mut Connection<Timed>) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.connection.stream().allow(Some(WORK));
        send(&mut self.connection).map_err(|error| timed_out(error, WORK))
    }

    /// Receives the next frame while the agent is at work.
    pub(crate) fn receive(&mut self) -> Result<Frame, ProtocolError> {
        self.connection.stream().allow(Some(WORK));
        self.connection.receive().map_err(|error| timed_out(error, WORK))
    }

    /// The stream, without a limit from here on.
    pub(crate) fn into_stream(self) -> UnixStream {
        let stream = self.connection.into_stream().stream;
        // It fails for a stream that has failed, which its user learns anyhow.
        let _ = stream.set_read_timeout(None).and_then(|()| stream.set_write_timeout(None));
        stream
    }
}

/// How long the agent may take for a request; `None` is forever.
fn limit(request: &Request) -> Option<Duration> {
    let beyond = |ms: u64, more: Duration| Duration::from_millis(ms).saturating_add(more);
    Some(match request {
        Request::Wait { .. } => return None,
        Request::Configure(_)
        | Request::Run { .. }
        | Request::Exec { .. }
        | Request::Freeze
        | Request::Thaw { .. }
        | Request::Stat { .. }
        | Request::CopyOut { .. }
        | Request::CopyIn { .. } => WORK,
        Request::AwaitListener { timeout_ms, .. } => beyond(*timeout_ms, AT_ONCE),
        Request::Shutdown { grace_ms, .. } => beyond(*grace_ms, 2 * AT_ONCE),
        Request::Ping
        | Request::Attach { .. }
        | Request::Signal { .. }
        | Request::Resize { .. }
        | Request::List
        | Request::Remove { .. }
        | Request::Connect { .. }
        | Request::Stats
        | Request::SetClock(_) => AT_ONCE,
    })
}

fn timed_out(error: ProtocolError, limit: Duration) -> ProtocolError {
    match error {
        ProtocolError::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            ProtocolError::NoAnswer { seconds: limit.as_secs() }
        }
        other => other,
    }
}

/// A stream whose reads and writes fail once a time is over.
#[derive(Debug)]
pub(crate) struct Timed {
    stream: UnixStream,
    deadline: Cell<Option<Instant>>,
}

impl Timed {
    /// Allows so much time from now on.
    fn allow(&self, limit: Option<Duration>) {
        // One beyond what the clock can say is none.
        self.deadline.set(limit.and_then(|limit| Instant::now().checked_add(limit)));
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.get().map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

/// What the kernel says when the time of a socket is over.
fn over(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(into).map_err(over)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes).map_err(over)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks the agent for one thing.
pub(crate) fn call(client: &Client, request: &Request) -> anyhow::Result<Reply> {
    Agent::connect(client)?.call(request).map_err(explain)
}

/// A failure of the agent, with the exit status that Docker's users expect of it.
pub(crate) fn explain(error: ProtocolError) -> anyhow::Error {
    let ProtocolError::Failed(failure) = error else { return error.into() };
    let status = match failure.kind {
        agent::FailureKind::CommandNotFound => NOT_FOUND,
        agent::FailureKind::CommandNotExecutable => NOT_EXECUTABLE,
        _ => KILN_FAILED,
    };
    Exit::new(status, failure.message).into()
}

/// One more process with the surroundings of the machine's own.
pub(crate) fn beside(main: &ProcessSpec, args: Vec<String>) -> ProcessSpec {
    let ProcessSpec { env, cwd, user, .. } = main.clone();
    ProcessSpec { args, env, cwd, user, ..ProcessSpec::default() }
}

/// Starts one more process and carries its stdio until it ends.
pub(crate) fn exec(
    client: &Client,
    spec: ProcessSpec,
    stdio: Stdio,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let id = new_id()?;
    let spec = ProcessSpec { detaches: true, ..spec };
    let mut agent = Agent::connect(client)?;
    let Reply::Started { .. } = agent.call(&Request::Exec { id, spec }).map_err(explain)? else {
        bail!("the guest's agent did not start the process");
    };
    let attach = Request::Attach { id, stdout: Some(0), stderr: Some(0) };
    let Reply::Attached(_) = agent.call(&attach)? else {
        bail!("the guest's agent did not attach to the process");
    };
    let ended = session::run(agent.into_stream(), stdio, out, err)?;
    if let Ended::Exited(_) = ended {
        // The machine may have ended with this very process.
        let _ = call(client, &Request::Remove { id });
    }
    Ok(ended)
}

/// Starts one more process whose stdio nobody carries.
pub(crate) fn exec_detached(client: &Client, spec: ProcessSpec) -> anyhow::Result<()> {
    let spec = ProcessSpec { detached: true, ..spec };
    call(client, &Request::Exec { id: new_id()?, spec }).map(drop)
}

fn new_id() -> anyhow::Result<ProcessId> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    // The low ones are the machine's own.
    Ok(ProcessId::from_le_bytes(bytes) | 1 << 32)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Greets, takes requests, and answers none of them.
    fn hung() -> (Agent, thread::JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let guest = thread::spawn(move || {
            let mut connection = Connection::open(theirs, &Hello::new("test")).unwrap();
            while connection.receive().is_ok() {}
        });
        (Agent::greet(ours).unwrap(), guest)
    }

    #[test]
    fn a_guest_that_hangs_is_not_waited_for() {
        let (mut agent, guest) = hung();
        let answer = agent.call_within(&Request::Ping, Some(Duration::from_millis(20)));
        assert!(matches!(answer, Err(ProtocolError::NoAnswer { .. })), "{answer:?}");
        drop(agent);
        guest.join().unwrap();
    }

    #[test]
    fn a_guest_that_answers_byte_by_byte_gains_no_time() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut timed = Timed { stream: ours, deadline: Cell::new(None) };
        timed.allow(Some(Duration::from_millis(50)));
        let guest = thread::spawn(move || while theirs.write_all(b"x").is_ok() {});
        let error = io::copy(&mut timed, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(timed);
        guest.join().unwrap();
    }

    #[test]
    fn what_waits_for_something_may_wait_as_long() {
        let minutes = Request::AwaitListener { port: 1, timeout_ms: 600_000 };
        assert!(limit(&minutes) > Some(Duration::from_secs(600)));
        assert_eq!(limit(&Request::Wait { id: 1 }), None);
        let forever = Request::Shutdown { signal: 15, grace_ms: u64::MAX };
        assert!(limit(&forever).is_some());
    }
}
