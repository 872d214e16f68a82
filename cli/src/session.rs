//! The user's side of one process's stdio: frames on a stream, bytes on the terminal.
//!
//! What arrives is taken off the stream at once, whatever holds up this process's own output: the other end sends no more
//! than its window beyond what was acknowledged, and that is acknowledged once it has been written.

use std::{
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread,
};

use agent::{
    Channel, Exit, Frame, Input, OUTPUT_REST, OUTPUT_WINDOW, Output, ProtocolError, STDIN_WINDOW,
    decode_message, read_frame, write_data, write_message,
};
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::terminal::{Modes, RawMode, window_size};

/// What of the user's surroundings the process gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stdio {
    /// Forward standard input.
    pub stdin: bool,
    /// The process has a terminal: forward the size of the user's, and switch that to raw mode if the process gets what is
    /// typed.
    pub tty: bool,
    /// Forward signals.
    pub signals: bool,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With the process; all of its output was written.
    Exited(Exit),
    /// The user pressed the detach keys, Control-P Control-Q.
    Detached,
}

/// Why a session broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// This process's own output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// The way to the process failed.
    #[error(transparent)]
    Link(#[from] ProtocolError),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Link(error.into())
    }
}

/// Carries stdio between this process and an attached stream until the process ends: its output goes to `out` and `err`.
///
/// # Errors
/// [`Broken`].
pub(crate) fn run(
    stream: UnixStream,
    stdio: Stdio,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Ended, Broken> {
    let raw = if stdio.tty && stdio.stdin { RawMode::enter()? } else { None };
    let link = Arc::new(Link {
        stream: Mutex::new(stream.try_clone()?),
        window: Mutex::new(Window::default()),
        moved: Condvar::new(),
    });
    if stdio.tty
        && let Some(size) = window_size()
    {
        link.send(&Input::Resize(size))?;
    }
    let signals = watch_signals(&link, stdio, raw.as_ref().map(RawMode::before))?;
    let (stop_stdin, stopped) = UnixStream::pair()?;
    let detach_from = stream.try_clone()?;
    let stdin = stdio.stdin.then(|| {
        let link = link.clone();
        let keys = stdio.tty && raw.is_some();
        thread::Builder::new().name("stdin".into()).spawn(move || {
            if let Ok(StdinEnd::Detach) = send_stdin(&link, &stopped, keys) {
                // Ends the receiving side below.
                let _ = detach_from.shutdown(std::net::Shutdown::Both);
                return true;
            }
            false
        })
    });
    let (arrived, arrivals) = mpsc::channel();
    let receiver = {
        let (link, stream) = (link.clone(), stream.try_clone()?);
        let receive = move || receive(stream, &link, &arrived);
        thread::Builder::new().name("output".into()).spawn(receive)?
    };
    let result = write_out(&arrivals, &link, out, err);
    drop(stop_stdin);
    link.close();
    // Nothing more is wanted, so the receiver ends. It cannot panic: nothing in it does.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let _ = receiver.join();
    if let Some(signals) = signals {
        signals.close();
    }
    let detached = match stdin.transpose()? {
        Some(thread) => thread.join().unwrap_or(false),
        None => false,
    };
    drop(raw);
    match result {
        Err(_) if detached => Ok(Ended::Detached),
        other => other.map(Ended::Exited),
    }
}

struct Link {
    stream: Mutex<UnixStream>,
    window: Mutex<Window>,
    moved: Condvar,
}

/// How far each direction may go.
#[derive(Default)]
struct Window {
    taken: u64,
    closed: bool,
    /// Output that arrived and was not written yet, of both streams.
    unwritten: [usize; 2],
    /// Offset of the next byte of output of both streams, once one has come.
    next: [Option<u64>; 2],
}

impl Link {
    fn send(&self, message: &Input) -> Result<(), ProtocolError> {
        write_message(&mut *self.stream.lock().unwrap_or_else(PoisonError::into_inner), message)
    }

    fn send_stdin(&self, offset: u64, bytes: &[u8]) -> Result<(), ProtocolError> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        write_data(&mut *stream, Channel::Stdin, offset, bytes)
    }

    fn taken(&self, upto: u64) {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).taken = upto;
        self.moved.notify_all();
    }

    /// Notes output that arrived; it must follow what came before, within the window. The offset of its end.
    fn arrived(&self, channel: Channel, offset: u64, len: usize) -> Result<u64, ProtocolError> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = usize::from(channel == Channel::Stderr);
        let next = window.next[stream].unwrap_or(offset);
        let unwritten = window.unwritten[stream] + len;
        let output = matches!(channel, Channel::Stdout | Channel::Stderr);
        match offset.checked_add(len as u64) {
            Some(end)
                if output
                    && offset == next
                    && len > 0
                    && unwritten <= OUTPUT_WINDOW + OUTPUT_REST =>
            {
                (window.next[stream], window.unwritten[stream]) = (Some(end), unwritten);
                Ok(end)
            }
            _ => Err(ProtocolError::Unexpected {
                expected: "output from where it ended, within the window",
                got: format!("{len} bytes of {channel:?} at {offset}"),
            }),
        }
    }

    /// Notes output that was written.
    fn written(&self, channel: Channel, len: usize) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.unwritten[usize::from(channel == Channel::Stderr)] -= len;
    }

    fn close(&self) {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.moved.notify_all();
    }

    /// Waits until bytes up to `upto` may be sent; false if the session is over.
    fn may_send(&self, upto: u64) -> bool {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |w: &mut Window| !w.closed && upto > w.taken.saturating_add(STDIN_WINDOW as u64);
        let window = self.moved.wait_while(window, full).unwrap_or_else(PoisonError::into_inner);
        !window.closed
    }
}

/// What arrived.
enum Arrival {
    Output { channel: Channel, end: u64, bytes: Vec<u8> },
    End(Result<Exit, ProtocolError>),
}

/// Takes everything off the stream until the process has ended.
fn receive(mut stream: UnixStream, link: &Link, arrived: &mpsc::Sender<Arrival>) {
    let end = loop {
        match next_arrival(&mut stream, link) {
            Ok(None) => {}
            Ok(Some(Arrival::End(end))) => break end,
            Ok(Some(output)) => {
                if arrived.send(output).is_err() {
                    return;
                }
            }
            Err(error) => break Err(error),
        }
    };
    // Nobody is left to tell if this fails.
    let _ = arrived.send(Arrival::End(end));
}

fn next_arrival(stream: &mut UnixStream, link: &Link) -> Result<Option<Arrival>, ProtocolError> {
    match read_frame(stream)? {
        Frame::Data { channel, offset, bytes } => {
            let end = link.arrived(channel, offset, bytes.len())?;
            Ok(Some(Arrival::Output { channel, end, bytes }))
        }
        Frame::Message(body) => Ok(match decode_message(&body)? {
            Output::StdinTaken(upto) => {
                link.taken(upto);
                None
            }
            Output::Exited(exit) => Some(Arrival::End(Ok(exit))),
            Output::Finished(_) => None,
        }),
    }
}

fn write_out(
    arrivals: &mpsc::Receiver<Arrival>,
    link: &Link,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Broken> {
    let (mut stdout, mut stderr) = (0, 0);
    for arrival in arrivals {
        let (channel, end, bytes) = match arrival {
            Arrival::Output { channel, end, bytes } => (channel, end, bytes),
            Arrival::End(end) => return Ok(end?),
        };
        if channel == Channel::Stderr {
            err.write_all(&bytes).map_err(Broken::Output)?;
            stderr = end;
        } else {
            out.write_all(&bytes).and_then(|()| out.flush()).map_err(Broken::Output)?;
            stdout = end;
        }
        link.written(channel, bytes.len());
        // It fails once the process has ended, and what arrived before that is still to be written.
        let _ = link.send(&Input::Ack { stdout, stderr });
    }
    Err(ProtocolError::Closed.into())
}

/// What the process gets of what was typed, and whether the detach keys are behind it: Control-P Control-Q, of which the
/// first may have come before.
fn keys_of<'a>(typed: &'a [u8], after_ctrl_p: &mut bool) -> (&'a [u8], bool) {
    const CTRL_P: u8 = 0x10;
    const CTRL_Q: u8 = 0x11;
    for (at, &byte) in typed.iter().enumerate() {
        if *after_ctrl_p && byte == CTRL_Q {
            return (&typed[..at.saturating_sub(1)], true);
        }
        *after_ctrl_p = byte == CTRL_P;
    }
    (typed, false)
}

enum StdinEnd {
    Eof,
    Detach,
    Stopped,
}

fn send_stdin(link: &Link, stopped: &UnixStream, keys: bool) -> Result<StdinEnd, ProtocolError> {
    let stdin = io::stdin();
    let mut buffer = [0; 16 << 10];
    let mut offset = 0;
    let mut after_ctrl_p = false;
    loop {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.map_err(io::Error::from)?,
        };
        if !fds[1].revents().is_empty() {
            return Ok(StdinEnd::Stopped);
        }
        // Not through std's buffer: what is read must be what poll speaks of.
        let count = match rustix::io::read(stdin.as_fd(), &mut buffer) {
            Err(rustix::io::Errno::INTR) => continue,
            // A terminal that has vanished, or a closed descriptor, is an end like any other.
            Err(_) | Ok(0) => {
                link.send(&Input::CloseStdin)?;
                return Ok(StdinEnd::Eof);
            }
            Ok(count) => count,
        };
        let mut bytes = &buffer[..count];
        let mut detach = false;
        if keys {
            (bytes, detach) = keys_of(bytes, &mut after_ctrl_p);
        }
        if !bytes.is_empty() {
            if !link.may_send(offset + bytes.len() as u64) {
                return Ok(StdinEnd::Stopped);
            }
            link.send_stdin(offset, bytes)?;
            offset += bytes.len() as u64;
        }
        if detach {
            return Ok(StdinEnd::Detach);
        }
    }
}

/// Forwards signals; those that end this process do so, once its terminal is as it was.
fn watch_signals(
    link: &Arc<Link>,
    stdio: Stdio,
    terminal: Option<Modes>,
) -> Result<Option<signal_hook::iterator::Handle>, ProtocolError> {
    let mut wanted = Vec::new();
    if stdio.tty {
        wanted.push(SIGWINCH);
    }
    if stdio.signals {
        wanted.extend([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2]);
    } else if terminal.is_some() {
        wanted.extend([SIGINT, SIGTERM, SIGHUP, SIGQUIT]);
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut signals = Signals::new(wanted)?;
    let handle = signals.handle();
    let link = link.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let sent = match (signal, &terminal) {
                (SIGWINCH, _) => {
                    window_size().map_or(Ok(()), |size| link.send(&Input::Resize(size)))
                }
                (_, Some(terminal)) if !stdio.signals => {
                    terminal.restore();
                    // Whatever the other threads wait for. It does not return for these signals.
                    emulate_default_handler(signal).map_err(ProtocolError::Io)
                }
                _ => link.send(&Input::Signal(crate::signal::linux_number(signal))),
            };
            if sent.is_err() {
                return;
            }
        }
    })?;
    Ok(Some(handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_before_the_detach_keys_is_the_processs() {
        let mut after = false;
        assert_eq!(keys_of(b"exit\r\x10\x11more", &mut after), (&b"exit\r"[..], true));
        let mut after = false;
        assert_eq!(keys_of(b"ab\x10", &mut after), (&b"ab\x10"[..], false));
        assert_eq!(keys_of(b"\x11", &mut after), (&b""[..], true));
        let mut after = false;
        assert_eq!(keys_of(b"\x10x\x11", &mut after), (&b"\x10x\x11"[..], false));
    }
}
