//! The user's side of one process's stdio: frames on a stream, bytes on the terminal.

use std::{
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use agent::{
    Channel, Exit, Frame, Input, Output, ProtocolError, STDIN_WINDOW, decode_message, read_frame,
    write_data, write_message,
};
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH},
    iterator::Signals,
};

use crate::terminal::{RawMode, window_size};

/// What of the user's surroundings the process gets.
#[derive(Debug, Clone, Copy)]
pub struct Stdio {
    /// Forward standard input.
    pub stdin: bool,
    /// The process has a terminal: switch the user's to raw mode and forward its size.
    pub tty: bool,
    /// Forward signals.
    pub signals: bool,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With the process; all of its output was written.
    Exited(Exit),
    /// The user pressed the detach keys, Control-P Control-Q.
    Detached,
}

/// Carries stdio between this process and an attached stream until the process ends: its output goes to `out` and `err`.
///
/// # Errors
/// When the stream fails, or standard output cannot be written.
pub fn run(
    stream: UnixStream,
    stdio: Stdio,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Ended, ProtocolError> {
    let raw = if stdio.tty { RawMode::enter()? } else { None };
    let link = Arc::new(Link {
        stream: Mutex::new(stream.try_clone()?),
        window: Mutex::new(Window { taken: 0, closed: false }),
        moved: Condvar::new(),
    });
    if stdio.tty
        && let Some(size) = window_size()
    {
        link.send(&Input::Resize(size))?;
    }
    let signals = forward_signals(&link, stdio)?;
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
    let result = receive(stream, &link, out, err);
    drop(stop_stdin);
    link.close();
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

struct Window {
    taken: u64,
    closed: bool,
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

fn receive(
    mut stream: UnixStream,
    link: &Link,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, ProtocolError> {
    let (mut stdout, mut stderr) = (0, 0);
    loop {
        match read_frame(&mut stream)? {
            Frame::Data { channel, offset, bytes } => {
                let end = offset.saturating_add(bytes.len() as u64);
                match channel {
                    Channel::Stdout => {
                        out.write_all(&bytes)?;
                        out.flush()?;
                        stdout = end;
                    }
                    Channel::Stderr => {
                        err.write_all(&bytes)?;
                        stderr = end;
                    }
                    Channel::Stdin | Channel::Archive => continue,
                }
                link.send(&Input::Ack { stdout, stderr })?;
            }
            Frame::Message(body) => match decode_message(&body)? {
                Output::StdinTaken(upto) => link.taken(upto),
                Output::Exited(exit) => return Ok(exit),
                Output::Finished(_) => {}
            },
        }
    }
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
        let bytes = &buffer[..count];
        if keys {
            let mut previous = after_ctrl_p;
            for &byte in bytes {
                if previous && byte == 0x11 {
                    return Ok(StdinEnd::Detach);
                }
                previous = byte == 0x10;
            }
            after_ctrl_p = previous;
        }
        if !link.may_send(offset + count as u64) {
            return Ok(StdinEnd::Stopped);
        }
        link.send_stdin(offset, bytes)?;
        offset += count as u64;
    }
}

fn forward_signals(
    link: &Arc<Link>,
    stdio: Stdio,
) -> Result<Option<signal_hook::iterator::Handle>, ProtocolError> {
    let mut wanted = Vec::new();
    if stdio.tty {
        wanted.push(SIGWINCH);
    }
    if stdio.signals {
        wanted.extend([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2]);
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut signals = Signals::new(wanted)?;
    let handle = signals.handle();
    let link = link.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let sent = match signal {
                SIGWINCH => window_size().map_or(Ok(()), |size| link.send(&Input::Resize(size))),
                _ => link.send(&Input::Signal(crate::signal::linux_number(signal))),
            };
            if sent.is_err() {
                return;
            }
        }
    })?;
    Ok(Some(handle))
}
