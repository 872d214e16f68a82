//! The stdio of a machine's process: from the agent into the log and to whoever is attached.
//!
//! Nothing is held here: a client that does not read holds up the process, as a full pipe would, and the agent keeps what was
//! not acknowledged, so that a lost connection to it loses nothing.

use std::{
    collections::BTreeMap,
    io,
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use agent::{
    Attached, Channel, Exit, Frame, Input, Output, ProtocolError, Reply, Request, STDIN_WINDOW,
    decode_message, read_frame, write_data, write_message,
};

use super::supervisor::{MAIN, Supervisor};
use crate::log::{LogWriter, Stream};

/// Where a process's stdio goes and comes from.
#[derive(Debug, Clone)]
pub(crate) struct Stdio {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clients: Mutex<Clients>,
    guest: Mutex<Towards>,
    moved: Condvar,
    /// End standard input when the first client goes: it was given by `kiln run -i`.
    stdin_once: bool,
}

#[derive(Debug, Default)]
struct Clients {
    next: u64,
    streams: BTreeMap<u64, Arc<Mutex<UnixStream>>>,
    over: bool,
}

/// The direction to the guest.
#[derive(Debug, Default)]
struct Towards {
    stream: Option<UnixStream>,
    sent: u64,
    taken: u64,
    closed: bool,
    over: bool,
}

impl Stdio {
    pub(super) fn new(stdin_once: bool) -> Self {
        let shared = Shared {
            clients: Mutex::default(),
            guest: Mutex::default(),
            moved: Condvar::new(),
            stdin_once,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Adds a client: it sees what is written from now on, and may write.
    pub(super) fn attach(&self, stream: UnixStream) -> io::Result<()> {
        let reading = stream.try_clone()?;
        let stream = Arc::new(Mutex::new(stream));
        let id = {
            let mut clients = lock(&self.shared.clients);
            clients.next += 1;
            let id = clients.next;
            clients.streams.insert(id, stream.clone());
            id
        };
        let shared = self.shared.clone();
        thread::Builder::new().name("attached".into()).spawn(move || {
            let result = shared.receive(reading, &stream);
            if shared.stdin_once && result.is_err() {
                // The user who gave standard input is gone, so this was all of it.
                let _ = shared.send(&Input::CloseStdin);
            }
            lock(&shared.clients).streams.remove(&id);
        })?;
        Ok(())
    }

    /// Carries output until the process ends. A broken connection to the agent is made again.
    pub(super) fn pump(
        &self,
        supervisor: &Supervisor,
        log: &mut LogWriter,
    ) -> anyhow::Result<Exit> {
        // A restored process has written before; what was acknowledged then is gone.
        let mut seen: Option<(u64, u64)> = None;
        loop {
            let mut connection = supervisor.greet_agent()?;
            let request = Request::Attach {
                id: MAIN,
                stdout: seen.map(|offsets| offsets.0),
                stderr: seen.map(|offsets| offsets.1),
            };
            let Reply::Attached(attached) = connection.call(&request)? else {
                anyhow::bail!("the guest's agent did not attach to the process");
            };
            let offsets = seen.get_or_insert((attached.stdout, attached.stderr));
            let stream = connection.into_stream();
            self.shared.resume(stream.try_clone()?, attached);
            match self.shared.forward(stream, log, offsets) {
                Ok(exit) => {
                    self.shared.finish(exit);
                    return Ok(exit);
                }
                Err(Lost::Guest(error)) => {
                    tracing::info!("attaching to the guest's agent again: {error}")
                }
                Err(Lost::Log(error)) => return Err(error.into()),
            }
        }
    }

    /// Lets go of every client; nothing more will come.
    pub(super) fn close(&self) {
        self.shared.close();
    }
}

enum Lost {
    Guest(ProtocolError),
    Log(io::Error),
}

impl From<ProtocolError> for Lost {
    fn from(error: ProtocolError) -> Self {
        Self::Guest(error)
    }
}

impl Shared {
    fn resume(&self, stream: UnixStream, attached: Attached) {
        let mut guest = lock(&self.guest);
        let Attached { stdin, stdin_taken, .. } = attached;
        (guest.sent, guest.taken) = (stdin, stdin_taken);
        guest.stream = Some(stream);
        drop(guest);
        self.moved.notify_all();
    }

    fn forward(
        &self,
        mut from: UnixStream,
        log: &mut LogWriter,
        offsets: &mut (u64, u64),
    ) -> Result<Exit, Lost> {
        loop {
            match read_frame(&mut from)? {
                Frame::Data { channel, offset, bytes } => {
                    let end = offset.saturating_add(bytes.len() as u64);
                    let (stream, seen) = match channel {
                        Channel::Stdout => (Stream::Stdout, &mut offsets.0),
                        Channel::Stderr => (Stream::Stderr, &mut offsets.1),
                        Channel::Stdin | Channel::Archive => continue,
                    };
                    log.append(stream, &bytes).map_err(Lost::Log)?;
                    *seen = end;
                    self.each_client(|client| write_data(client, channel, offset, &bytes));
                    self.send(&Input::Ack { stdout: offsets.0, stderr: offsets.1 })?;
                }
                Frame::Message(body) => match decode_message(&body)? {
                    Output::StdinTaken(upto) => {
                        lock(&self.guest).taken = upto;
                        self.moved.notify_all();
                    }
                    Output::Exited(exit) => return Ok(exit),
                    Output::Finished(_) => {}
                },
            }
        }
    }

    fn each_client(&self, mut send: impl FnMut(&mut UnixStream) -> Result<(), ProtocolError>) {
        let clients: Vec<_> =
            lock(&self.clients).streams.iter().map(|(&id, s)| (id, s.clone())).collect();
        for (id, client) in clients {
            if send(&mut lock(&client)).is_err() {
                lock(&self.clients).streams.remove(&id);
            }
        }
    }

    /// From one client to the guest, until the client goes.
    fn receive(&self, mut from: UnixStream, back: &Mutex<UnixStream>) -> Result<(), ProtocolError> {
        loop {
            match read_frame(&mut from)? {
                Frame::Data { channel: Channel::Stdin, offset, bytes } => {
                    self.send_stdin(&bytes)?;
                    let upto = offset.saturating_add(bytes.len() as u64);
                    write_message(&mut *lock(back), &Output::StdinTaken(upto))?;
                }
                Frame::Data { .. } => {}
                Frame::Message(body) => match decode_message(&body)? {
                    Input::CloseStdin => self.close_stdin()?,
                    // Whatever a client has not read yet holds up the guest anyhow.
                    Input::Ack { .. } | Input::Finished => {}
                    other @ (Input::Resize(_) | Input::Signal(_)) => self.send(&other)?,
                },
            }
        }
    }

    fn close_stdin(&self) -> Result<(), ProtocolError> {
        let mut guest = self.wait_for_guest(|_| false)?;
        guest.closed = true;
        write_to(&mut guest, |stream| write_message(stream, &Input::CloseStdin))
    }

    fn send_stdin(&self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let full = |g: &Towards| {
            g.sent.saturating_add(bytes.len() as u64) > g.taken.saturating_add(STDIN_WINDOW as u64)
        };
        let mut guest = self.wait_for_guest(full)?;
        if guest.closed {
            return Ok(());
        }
        let offset = guest.sent;
        write_to(&mut guest, |stream| write_data(stream, Channel::Stdin, offset, bytes))?;
        guest.sent = guest.sent.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn send(&self, message: &Input) -> Result<(), ProtocolError> {
        let mut guest = self.wait_for_guest(|_| false)?;
        write_to(&mut guest, |stream| write_message(stream, message))
    }

    /// Waits until there is a connection to the guest and `full` is not true of it.
    fn wait_for_guest(
        &self,
        full: impl Fn(&Towards) -> bool,
    ) -> Result<MutexGuard<'_, Towards>, ProtocolError> {
        let wait = |guest: &mut Towards| !guest.over && (guest.stream.is_none() || full(guest));
        let guest =
            self.moved.wait_while(lock(&self.guest), wait).unwrap_or_else(PoisonError::into_inner);
        if guest.over { Err(ProtocolError::Closed) } else { Ok(guest) }
    }

    fn finish(&self, exit: Exit) {
        self.each_client(|client| write_message(client, &Output::Exited(exit)));
        self.close();
    }

    fn close(&self) {
        lock(&self.guest).over = true;
        self.moved.notify_all();
        let mut clients = lock(&self.clients);
        clients.over = true;
        for client in std::mem::take(&mut clients.streams).into_values() {
            // It reads what was sent, then the end.
            let _ = lock(&client).shutdown(Shutdown::Write);
        }
    }
}

fn write_to(
    guest: &mut Towards,
    write: impl FnOnce(&mut UnixStream) -> Result<(), ProtocolError>,
) -> Result<(), ProtocolError> {
    match &mut guest.stream {
        Some(stream) => write(stream),
        None => Err(ProtocolError::Closed),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
