//! Serves connections: each by one thread of a pool, one request after another.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agent::{
    Clock, Connection, FailureKind, FileInfo, Frame, Hello, ProcessId, ProcessSpec, ProtocolError,
    Reply, Request, decode_message,
};

use super::boot::log;
use super::control::{Control, set_clock};
use super::failure::{Explain, Outcome, failure};
use super::transport::{Listener, Stream};
use super::{archive, attach, cgroup, forward, kernel, power, stats};

/// How many threads stay to wait for connections: a machine that was restored starts none for its first ones.
const WAITING: usize = 4;

/// Accepts connections as long as the guest lives.
pub(crate) fn run(listener: Listener, control: Arc<Control>) -> ! {
    let pool = Arc::new(Pool { listener, control, waiting: AtomicUsize::new(1) });
    loop {
        pool.serve_next();
        pool.waiting.fetch_add(1, Ordering::Relaxed);
    }
}

/// The threads that wait for connections and serve them. They accept by themselves: to hand each connection over, as
/// [`threads`](super::threads) does with jobs, costs a guest that was just restored two milliseconds on its way to an answer.
struct Pool {
    listener: Listener,
    control: Arc<Control>,
    /// Those that wait. Never none for long: the last one that gets a connection starts another one first.
    waiting: AtomicUsize,
}

impl Pool {
    /// Serves connections until enough other threads wait for them.
    fn work(self: &Arc<Self>) {
        loop {
            self.serve_next();
            // In one step: a thread that is counted does wait.
            let one_more = |waiting| (waiting < WAITING).then_some(waiting + 1);
            if self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
                return;
            }
        }
    }

    /// Waits for a connection and serves it to its end; the caller counted itself as one that waits, and no longer is.
    fn serve_next(self: &Arc<Self>) {
        let stream = loop {
            match self.listener.accept() {
                Ok(stream) => break stream,
                Err(error) => {
                    // Out of descriptors or memory for now.
                    log(&format!("a connection was not accepted: {error}"));
                    kernel::pause(100);
                }
            }
        };
        let last = self.waiting.fetch_sub(1, Ordering::Relaxed) == 1;
        match if last { self.add() } else { Ok(()) } {
            Ok(()) => serve(stream, &self.control),
            // This thread has to wait for the next one.
            Err(error) => log(&format!("a connection was not served: {error}")),
        }
    }

    fn add(self: &Arc<Self>) -> std::io::Result<()> {
        let pool = Arc::clone(self);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::Builder::new()
            .name("connection".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || pool.work());
        if thread.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        thread.map(drop)
    }
}

/// Serves one connection to its end.
pub(crate) fn serve(stream: Stream, control: &Control) {
    let mut started = None;
    talk(stream, control, &mut started);
    // Whoever started it may have gone before they attached.
    if let Some(process) = started.and_then(|id| control.processes.get(id).ok()) {
        attach::leave(control, &process, 0);
    }
}

/// Serves requests; `started` becomes the last process that shall not outlast its listener unheard.
fn talk(stream: Stream, control: &Control, started: &mut Option<ProcessId>) {
    let who = concat!("kiln agent ", env!("CARGO_PKG_VERSION"));
    let Ok(mut connection) = Connection::open(stream, &Hello::new(who)) else { return };
    loop {
        let body = match connection.receive() {
            Ok(Frame::Message(body)) => body,
            Ok(Frame::Data { .. }) | Err(_) => return,
        };
        let next = match decode_message(&body) {
            Ok(request) => {
                if let Request::Exec { id, spec: ProcessSpec { detaches: true, .. } } = &request {
                    *started = Some(*id);
                }
                handle(request, &mut connection, control)
            }
            // A request of a newer host: refuse it, and stay in step.
            Err(error) => reply(&mut connection, Err(failure(FailureKind::Invalid, error))),
        };
        match next {
            Ok(Next::Request) => {}
            Ok(Next::Attach(id, stdout, stderr)) => {
                return attach::run(connection, control, id, stdout, stderr);
            }
            Ok(Next::Connect(port)) => return forward::run(connection, port),
            Ok(Next::PowerOff) => {
                // The host closes when it has read the reply; do not wait for one that is gone.
                let _ = connection.stream().set_read_timeout(Some(Duration::from_millis(500)));
                let _ = connection.receive();
                power::off();
            }
            Err(_) => return,
        }
    }
}

/// What comes after a request.
enum Next {
    Request,
    Attach(ProcessId, Option<u64>, Option<u64>),
    Connect(u16),
    PowerOff,
}

fn handle(
    request: Request,
    connection: &mut Connection<Stream>,
    control: &Control,
) -> Result<Next, ProtocolError> {
    let outcome = match request {
        Request::Attach { id, stdout, stderr } => return Ok(Next::Attach(id, stdout, stderr)),
        Request::Connect { port } => return Ok(Next::Connect(port)),
        Request::CopyOut { path, follow } => {
            archive::copy_out(connection, control, &path, follow)?;
            return Ok(Next::Request);
        }
        Request::CopyIn { path, owners } => {
            archive::copy_in(connection, control, &path, owners)?;
            return Ok(Next::Request);
        }
        Request::Shutdown { signal, grace_ms } => {
            let stopped = control.stop(signal, Duration::from_millis(grace_ms));
            reply(connection, stopped.map(|()| Reply::Done))?;
            return Ok(Next::PowerOff);
        }
        request => answer(request, control),
    };
    reply(connection, outcome)
}

/// The requests that have one reply and leave the connection as it is.
fn answer(request: Request, control: &Control) -> Outcome<Reply> {
    let started = |process: Arc<super::process::Process>| Reply::Started { pid: process.pid };
    let done = |()| Reply::Done;
    match request {
        Request::Ping => Ok(Reply::Done),
        Request::Configure(config) => control.configure(config).map(done),
        Request::Run { id, spec } => control.run(id, &spec).map(started),
        Request::Exec { id, spec } => control.exec(id, &spec).map(started),
        Request::Wait { id } => {
            let exit = control.processes.get(id)?.wait_for_exit(None);
            exit.map(Reply::Exited)
                .ok_or_else(|| failure(FailureKind::System, "the wait ended without an end"))
        }
        Request::Signal { id, signal } => control.processes.get(id)?.signal(signal).map(done),
        Request::Resize { id, size } => control.processes.get(id)?.resize(size).map(done),
        Request::List => Ok(Reply::Processes(control.processes.list())),
        Request::Remove { id } => control.processes.remove(id).map(done),
        Request::Stat { path } => {
            control.check_configured()?;
            archive::stat(&path).map(Reply::File)
        }
        Request::AwaitListener { port, timeout_ms } => {
            await_listener(port, Duration::from_millis(timeout_ms)).map(done)
        }
        Request::Stats => Ok(Reply::Stats(stats::collect())),
        Request::Freeze => cgroup::set_frozen(true).map(done),
        Request::Thaw { clock, entropy } => thaw(clock, entropy.as_deref()).map(done),
        Request::SetClock(clock) => set_clock(clock).map(done),
        Request::Attach { .. }
        | Request::Connect { .. }
        | Request::CopyOut { .. }
        | Request::CopyIn { .. }
        | Request::Shutdown { .. } => {
            Err(failure(FailureKind::Invalid, "this request needs the connection"))
        }
    }
}

fn reply(
    connection: &mut Connection<Stream>,
    outcome: Outcome<Reply>,
) -> Result<Next, ProtocolError> {
    connection.send_message(&outcome.unwrap_or_else(Reply::Failed))?;
    Ok(Next::Request)
}

fn thaw(clock: Option<Clock>, entropy: Option<&[u8]>) -> Outcome<()> {
    entropy.map_or(Ok(()), reseed)?;
    clock.map_or(Ok(()), set_clock)?;
    cgroup::set_frozen(false)
}

fn reseed(entropy: &[u8]) -> Outcome<()> {
    if !(32..=512).contains(&entropy.len()) {
        return Err(failure(
            FailureKind::Invalid,
            format!("a seed has 32 to 512 bytes, not {}", entropy.len()),
        ));
    }
    kernel::reseed(entropy).explain("reseed the random generator")
}

/// Asks the kernel's socket tables until the port is there: nothing announces a new listener.
fn await_listener(port: u16, timeout: Duration) -> Outcome<()> {
    let begin = Instant::now();
    let mut interval = 1;
    loop {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        if tables
            .iter()
            .any(|path| fs::read_to_string(path).is_ok_and(|table| forward::listens(&table, port)))
        {
            return Ok(());
        }
        if begin.elapsed() >= timeout {
            return Err(failure(
                FailureKind::TimedOut,
                format!("nothing listened on port {port} within {} ms", timeout.as_millis()),
            ));
        }
        kernel::pause(interval);
        interval = (interval * 2).min(20);
    }
}

/// What the protocol tells of a file.
pub(crate) fn file_info(path: &Path, metadata: &fs::Metadata) -> FileInfo {
    let name =
        path.file_name().map_or_else(|| "/".to_owned(), |name| name.to_string_lossy().into_owned());
    let link_target = fs::read_link(path).ok().map(|target| target.to_string_lossy().into_owned());
    FileInfo {
        name,
        mode: metadata.mode(),
        size: metadata.size(),
        mtime: metadata.mtime(),
        link_target,
    }
}
