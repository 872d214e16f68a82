//! The stdio of a machine's process: from the agent into the log and to whoever is attached.
//!
//! Nothing is held without bound, and nobody waits for anybody: the agent keeps what was not acknowledged, at most its
//! window, and it is acknowledged once every client has acknowledged it. So a client that does not take its output holds
//! up the process, as a full pipe would, and nothing else: neither standard input, nor signals, nor the machine's end.

mod client;
mod input;

use std::{
    collections::BTreeMap,
    io::Write,
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use agent::{
    Attached, Channel, Exit, Frame, OUTPUT_REST, OUTPUT_WINDOW, Output, ProtocolError, Reply,
    Request, decode_message, encode_message, read_frame, write_data,
};
use anyhow::Context;

use self::{client::Client, input::ToGuest};
use super::supervisor::MAIN;
use crate::{
    agent_link::Agent,
    log::{LogWriter, Stream},
};

/// How long a client may stand still once the machine has ended, before it is left alone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections to the agent that may break off without a byte of stdio before the machine is given up.
const ATTEMPTS: u32 = 5;
/// How much longer to wait after each of them.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a process's stdio goes and comes from.
#[derive(Debug, Clone)]
pub(crate) struct Stdio {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    clients: BTreeMap<u64, Client>,
    /// Clients there ever were.
    count: u64,
    /// Frames that were written to clients.
    written: u64,
    /// Output up to here is in the log.
    seen: (u64, u64),
    to_guest: ToGuest,
    /// The connection to the agent, as long as it is good.
    guest: Option<Arc<UnixStream>>,
    /// End standard input when the first client goes: it was given by `kiln run -i`.
    stdin_once: bool,
    /// The process has ended, or the machine.
    over: bool,
}

impl State {
    /// Output that nobody needs from the agent any more.
    fn acknowledged(&self) -> (u64, u64) {
        let least = |all: (u64, u64), one: (u64, u64)| (all.0.min(one.0), all.1.min(one.1));
        self.clients.values().map(|client| client.acknowledged).fold(self.seen, least)
    }

    fn send_all(&mut self, frame: Vec<u8>) {
        let frame: Arc<[u8]> = frame.into();
        self.clients.values_mut().for_each(|client| client.send(frame.clone()));
    }
}

impl Stdio {
    pub(super) fn new(stdin_once: bool) -> Self {
        let state = State { stdin_once, ..State::default() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }) }
    }

    /// Adds a client: it sees what is written from now on, and may write.
    pub(super) fn attach(&self, stream: UnixStream) -> anyhow::Result<()> {
        let (reading, writing) = (stream.try_clone()?, stream.try_clone()?);
        let id = {
            let mut state = self.shared.lock();
            if !state.to_guest.has_room() {
                anyhow::bail!("too much standard input waits for the process already");
            }
            state.count += 1;
            let (id, client) = (state.count, Client::new(stream, state.seen, state.over));
            state.clients.insert(id, client);
            self.shared.changed.notify_all();
            id
        };
        let shared = self.shared.clone();
        let writer = move || shared.write_to_client(id, writing);
        let shared = self.shared.clone();
        let reader = move || shared.read_from_client(id, reading);
        let started = thread::Builder::new()
            .name("to client".into())
            .spawn(writer)
            .and_then(|_| thread::Builder::new().name("from client".into()).spawn(reader));
        if started.is_err() {
            self.shared.change(|state| state.clients.remove(&id));
        }
        started?;
        Ok(())
    }

    /// Waits until there is a client, or nothing more will come, at most so long.
    pub(super) fn wait_for_client(&self, limit: Duration) {
        let nobody = |state: &mut State| state.clients.is_empty() && !state.over;
        drop(self.shared.changed.wait_timeout_while(self.shared.lock(), limit, nobody));
    }

    /// Carries stdio until the process ends. A broken connection to the agent is made again.
    pub(super) fn pump(
        &self,
        connect: impl Fn() -> anyhow::Result<Agent>,
        log: &mut LogWriter,
    ) -> anyhow::Result<Exit> {
        let shared = self.shared.clone();
        thread::Builder::new().name("to guest".into()).spawn(move || shared.write_to_guest())?;
        // A restored process has written before; what was acknowledged then is gone.
        let mut seen: Option<(u64, u64)> = None;
        let (mut reached, mut in_vain) = (None, 0);
        loop {
            let mut agent = connect()?;
            let request = Request::Attach {
                id: MAIN,
                stdout: seen.map(|offsets| offsets.0),
                stderr: seen.map(|offsets| offsets.1),
            };
            let Reply::Attached(attached) = agent.call(&request)? else {
                anyhow::bail!("the guest's agent did not attach to the process");
            };
            let stream = Arc::new(agent.into_stream());
            self.shared.resume(&stream, &attached, seen.is_none())?;
            let error = match self.shared.read_from_guest(&stream, log) {
                Ok(exit) => return Ok(exit),
                Err(error) => error,
            };
            self.shared.lose(&stream);
            let now = self.shared.reached();
            in_vain = if reached.replace(now) == Some(now) { in_vain + 1 } else { 0 };
            if in_vain == ATTEMPTS {
                return Err(error)
                    .context("the guest's agent breaks off the process's stdio again and again");
            }
            tracing::debug!("attaching to the guest's agent again: {error}");
            // The guest may be short of something for a moment.
            thread::sleep(PAUSE * in_vain);
            seen = Some(self.shared.lock().seen);
        }
    }

    /// Nothing more will come: clients get what was written for them, how the process ended, and the end.
    pub(super) fn close(&self, exit: Option<Exit>) {
        let frame = exit.and_then(|exit| encode_message(&Output::Exited(exit)).ok());
        self.shared.change(|state| {
            if let Some(frame) = frame {
                state.send_all(frame);
            }
            state.over = true;
            state.clients.values_mut().for_each(Client::close);
        });
    }

    /// Waits until every client has got everything. One that takes nothing for a while is left alone; whether there was none.
    pub(super) fn finish(&self) -> bool {
        let mut state = self.shared.lock();
        while !state.clients.is_empty() {
            let before = (state.clients.len(), state.written);
            let stands = |state: &mut State| (state.clients.len(), state.written) == before;
            let (after, waited) = self
                .shared
                .changed
                .wait_timeout_while(state, PATIENCE, stands)
                .unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                tracing::info!("a client stands still and misses the end of the output");
                after.clients.values().for_each(Client::cut);
                return false;
            }
            state = after;
        }
        true
    }
}

impl Shared {
    fn resume(
        &self,
        stream: &Arc<UnixStream>,
        attached: &Attached,
        first: bool,
    ) -> Result<(), ProtocolError> {
        self.change(|state| {
            state.to_guest.resume(attached, first)?;
            if first {
                state.seen = (attached.stdout, attached.stderr);
                for client in state.clients.values_mut() {
                    client.acknowledged = state.seen;
                }
            }
            state.guest = Some(stream.clone());
            Ok(())
        })
    }

    /// How far the process's streams have come; more whenever there was any of them.
    fn reached(&self) -> (u64, u64, u64) {
        let state = self.lock();
        (state.seen.0, state.seen.1, state.to_guest.taken_so_far())
    }

    /// Gives up a connection to the agent.
    fn lose(&self, stream: &Arc<UnixStream>) {
        // Both of its users learn of it.
        let _ = stream.shutdown(Shutdown::Both);
        self.change(|state| {
            if state.guest.as_ref().is_some_and(|current| Arc::ptr_eq(current, stream)) {
                state.guest = None;
            }
        });
    }

    /// From the guest into the log and to the clients, until the process ends.
    fn read_from_guest(
        &self,
        mut from: &UnixStream,
        log: &mut LogWriter,
    ) -> Result<Exit, ProtocolError> {
        loop {
            match read_frame(&mut from)? {
                Frame::Data { channel: channel @ (Channel::Stdin | Channel::Archive), .. } => {
                    return Err(ProtocolError::Unexpected {
                        expected: "output",
                        got: format!("data of {channel:?}"),
                    });
                }
                Frame::Data { channel, offset, bytes } => {
                    self.check_window(channel, offset, bytes.len())?;
                    let mut frame = Vec::new();
                    write_data(&mut frame, channel, offset, &bytes)?;
                    let stream = match channel {
                        Channel::Stderr => Stream::Stderr,
                        _ => Stream::Stdout,
                    };
                    log.append(stream, &bytes);
                    self.change(|state| {
                        match stream {
                            Stream::Stdout => state.seen.0 += bytes.len() as u64,
                            Stream::Stderr => state.seen.1 += bytes.len() as u64,
                        }
                        state.send_all(frame);
                    });
                }
                Frame::Message(body) => match decode_message(&body)? {
                    Output::StdinTaken(upto) => self.change(|state| state.to_guest.taken(upto)),
                    Output::Exited(exit) => return Ok(exit),
                    Output::Finished(_) => {}
                },
            }
        }
    }

    /// What the guest sends must follow what it sent, and must not exceed its window: it is held here.
    fn check_window(&self, channel: Channel, offset: u64, len: usize) -> Result<(), ProtocolError> {
        let state = self.lock();
        let (seen, acknowledged) = match channel {
            Channel::Stderr => (state.seen.1, state.to_guest.acknowledged().1),
            _ => (state.seen.0, state.to_guest.acknowledged().0),
        };
        let end = offset.saturating_add(len as u64);
        let held = end - acknowledged.min(end);
        if len == 0 || offset != seen || held > (OUTPUT_WINDOW + OUTPUT_REST) as u64 {
            return Err(ProtocolError::Unexpected {
                expected: "output from where it ended, within the window",
                got: format!("bytes {offset} to {end} of {channel:?}"),
            });
        }
        Ok(())
    }

    /// To the guest whatever is due, until the process has ended.
    fn write_to_guest(&self) {
        loop {
            let due = self.wait(|state| {
                if state.over {
                    return Some(None);
                }
                let guest = state.guest.clone()?;
                let written = state.acknowledged();
                match state.to_guest.next(written) {
                    Ok(Some(next)) => {
                        for (client, count) in next.taken {
                            if let Some(client) = state.clients.get_mut(&client) {
                                client.taken(count);
                            }
                        }
                        Some(Some((guest, next.frame)))
                    }
                    Ok(None) => None,
                    Err(error) => {
                        tracing::error!("cannot encode a message for the agent: {error}");
                        None
                    }
                }
            });
            let Some((guest, frame)) = due else { return };
            if (&*guest).write_all(&frame).is_err() {
                self.lose(&guest);
            }
        }
    }

    /// Waits until `due` says what to do.
    fn wait<T>(&self, mut due: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut state = self.lock();
        loop {
            if let Some(due) = due(&mut state) {
                drop(state);
                self.changed.notify_all();
                return due;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Changes the state and wakes everybody.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use agent::{Connection, ExitStatus, Hello, write_message};

    use super::*;

    /// Carries the stdio of a guest whose agent does this to each connection once it is attached; how that ended, and
    /// how many connections there were.
    fn pump(
        attached: Attached,
        then: impl Fn(usize, &UnixStream) + Clone + Send + 'static,
    ) -> (anyhow::Result<Exit>, usize) {
        let directory = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(directory.path()).unwrap();
        let connections = std::cell::Cell::new(0);
        let connect = || {
            let (ours, theirs) = UnixStream::pair()?;
            let (then, number) = (then.clone(), connections.get());
            connections.set(number + 1);
            thread::spawn(move || {
                let mut agent = Connection::open(theirs, &Hello::new("test")).unwrap();
                let request: Request = agent.receive_message().unwrap();
                assert!(matches!(request, Request::Attach { id: MAIN, .. }));
                agent.send_message(&Reply::Attached(attached)).unwrap();
                then(number, agent.stream());
            });
            Ok(Agent::greet(ours)?)
        };
        let stdio = Stdio::new(false);
        let ended = stdio.pump(connect, &mut log);
        stdio.close(None);
        (ended, connections.get())
    }

    const EXIT: Exit =
        Exit { status: ExitStatus::Exited(3), oom_killed: false, stdout: 0, stderr: 0 };

    #[test]
    fn a_guest_that_answers_garbage_is_given_up() {
        let (ended, connections) = pump(Attached::default(), |_, mut stream| {
            // It fails when the other side has read enough of it.
            let _ = stream.write_all(&[0xff; 64]);
        });
        let error = format!("{:#}", ended.unwrap_err());
        assert!(error.contains("again and again") && error.contains("protocol"), "{error}");
        assert_eq!(connections, ATTEMPTS as usize + 1);
    }

    #[test]
    fn a_guest_that_hangs_up_is_given_up() {
        let (ended, _) = pump(Attached::default(), |_, _| {});
        let error = ended.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(ProtocolError::Closed)), "{error:#}");
    }

    #[test]
    fn connections_that_carry_something_may_break_as_often_as_they_like() {
        let often = 3 * ATTEMPTS as usize;
        let (ended, _) = pump(Attached::default(), move |number, mut stream| {
            write_data(&mut stream, Channel::Stdout, number as u64, b"x").unwrap();
            if number == often {
                write_message(&mut stream, &Output::Exited(EXIT)).unwrap();
            }
        });
        assert_eq!(ended.unwrap(), EXIT);
    }

    #[test]
    fn a_guest_that_claims_to_be_too_far_is_given_up() {
        let far = Attached { stdout: u64::MAX, ..Attached::default() };
        let (ended, connections) = pump(far, |_, mut stream| {
            let _ = write_data(&mut stream, Channel::Stdout, u64::MAX, b"x");
        });
        assert!(ended.is_err());
        assert_eq!(connections, 1);
    }
}
