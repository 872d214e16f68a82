//! A connection that carries the stdio of one process.

use std::io::{BufReader, Write};
use std::net::Shutdown;
use std::sync::Arc;

use agent::{
    Attached, Channel, Connection, Exit, FailureKind, Frame, Input, MAX_DATA, Output, ProcessId,
    ProtocolError, Reply, decode_message, read_frame, write_data, write_message,
};

use super::buffer::OutOfRange;
use super::control::Control;
use super::failure::{Outcome, failure};
use super::process::{Process, State};
use super::threads;
use super::transport::Stream;

/// Serves the attachment to its end, which is the connection's.
pub(crate) fn run(
    mut connection: Connection<Stream>,
    control: &Control,
    id: ProcessId,
    stdout: Option<u64>,
    stderr: Option<u64>,
) {
    let begun = control.processes.get(id).and_then(|process| {
        let (number, attached) = begin(&process, stdout, stderr)?;
        Ok((process, number, attached))
    });
    let (process, number, attached) = match begun {
        Ok(begun) => begun,
        Err(failure) => {
            let _ = connection.send_message(&Reply::Failed(failure));
            return;
        }
    };
    // Whatever ended it, it has ended.
    let _ = carry(connection, &process, number, attached);
    leave(control, &process, number);
}

/// Nobody is attached any more, if this was the last attachment; number 0 is before the first.
pub(crate) fn leave(control: &Control, process: &Process, number: u64) {
    let forgotten = process.update(|state| {
        if state.attachment != number {
            return false;
        }
        // Ends the sender.
        state.attachment += 1;
        if state.detaches {
            state.detach();
        }
        state.detached && state.exit.is_some()
    });
    if forgotten {
        // It fails if the host or the reaper was faster.
        let _ = control.processes.remove(process.id);
    }
}

/// Starts the sender, and receives until the connection ends or is taken over.
fn carry(
    mut connection: Connection<Stream>,
    process: &Arc<Process>,
    number: u64,
    attached: Attached,
) -> Result<(), ProtocolError> {
    connection.send_message(&Reply::Attached(attached))?;
    let stream = connection.into_stream();
    let to_host = stream.try_clone()?;
    let sender = Arc::clone(process);
    threads::run(move || {
        let _ = send(&sender, number, attached, &to_host);
        // An attachment that was taken over ends for its reader, too.
        let _ = to_host.shutdown(Shutdown::Both);
    })?;
    receive(process, number, BufReader::with_capacity(MAX_DATA, stream))
}

/// Takes the process over from an earlier attachment.
fn begin(process: &Process, stdout: Option<u64>, stderr: Option<u64>) -> Outcome<(u64, Attached)> {
    process.update(|state| {
        let stdout = stdout.unwrap_or(state.stdout.start());
        let stderr = stderr.unwrap_or(state.stderr.start());
        state.stdout.read(stdout, 0).map_err(|range| gone("output", stdout, &range))?;
        state.stderr.read(stderr, 0).map_err(|range| gone("error output", stderr, &range))?;
        state.attachment += 1;
        let attached = Attached {
            stdin: state.stdin.received(),
            stdin_taken: state.stdin.taken(),
            stdout,
            stderr,
            tty: process.terminal().is_some(),
        };
        Ok((state.attachment, attached))
    })
}

fn gone(what: &str, offset: u64, range: &OutOfRange) -> agent::Failure {
    failure(
        FailureKind::Invalid,
        format!(
            "the guest holds standard {what} from byte {} to {}; byte {offset} is not among them",
            range.start, range.end
        ),
    )
}

/// Everything that is new for the host.
struct News {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    taken: Option<u64>,
    exit: Option<Exit>,
}

fn send(
    process: &Process,
    number: u64,
    attached: Attached,
    mut stream: &Stream,
) -> Result<(), ProtocolError> {
    let mut at = attached;
    let mut exited = false;
    while let Some(news) = wait_for_news(process, number, &mut at, exited) {
        if let Some(taken) = news.taken {
            write_message(&mut stream, &Output::StdinTaken(taken))?;
        }
        for (channel, bytes, end) in
            [(Channel::Stdout, &news.stdout, at.stdout), (Channel::Stderr, &news.stderr, at.stderr)]
        {
            if !bytes.is_empty() {
                write_data(&mut stream, channel, end - bytes.len() as u64, bytes)?;
            }
        }
        if let Some(exit) = news.exit {
            write_message(&mut stream, &Output::Exited(exit))?;
            exited = true;
        }
        stream.flush()?;
    }
    Ok(())
}

/// Waits until there is something to send, and moves `at` past it; `None` ends the attachment.
fn wait_for_news(process: &Process, number: u64, at: &mut Attached, exited: bool) -> Option<News> {
    let mut state = process.state();
    loop {
        if state.attachment != number {
            return None;
        }
        if let Some(news) = news(&state, at, exited) {
            at.stdout += news.stdout.len() as u64;
            at.stderr += news.stderr.len() as u64;
            at.stdin_taken = news.taken.unwrap_or(at.stdin_taken);
            return Some(news);
        }
        state = process.wait_for_change(state);
    }
}

fn news(state: &State, at: &Attached, exited: bool) -> Option<News> {
    // A host may acknowledge what it has from elsewhere: go on where the buffer begins.
    let from = |offset: u64, start: u64| offset.max(start);
    let stdout = state.stdout.read(from(at.stdout, state.stdout.start()), MAX_DATA).ok()?;
    let stderr = state.stderr.read(from(at.stderr, state.stderr.start()), MAX_DATA).ok()?;
    let taken = Some(state.stdin.taken()).filter(|&taken| taken != at.stdin_taken);
    let sent = stdout.is_empty() && stderr.is_empty();
    let exit = if sent && !exited { state.exit } else { None };
    if sent && taken.is_none() && exit.is_none() {
        return None;
    }
    Some(News { stdout, stderr, taken, exit })
}

fn receive(
    process: &Process,
    number: u64,
    mut stream: BufReader<Stream>,
) -> Result<(), ProtocolError> {
    let out_of_range = |range: OutOfRange| ProtocolError::Unexpected {
        expected: "bytes within the window",
        got: format!("others than from {} on", range.end),
    };
    loop {
        let frame = read_frame(&mut stream)?;
        if process.state().attachment != number {
            return Ok(());
        }
        match frame {
            Frame::Data { channel: Channel::Stdin, offset, bytes } => {
                process.update(|state| state.stdin.push(offset, &bytes)).map_err(out_of_range)?;
            }
            Frame::Data { channel, .. } => {
                return Err(ProtocolError::Unexpected {
                    expected: "stdin",
                    got: format!("data of {channel:?}"),
                });
            }
            Frame::Message(body) => match decode_message(&body)? {
                Input::CloseStdin => process.update(|state| state.stdin.closed = true),
                Input::Resize(size) => drop(process.resize(size)),
                Input::Signal(signal) => drop(process.signal(signal)),
                Input::Ack { stdout, stderr } => process
                    .update(|state| {
                        state.stdout.acknowledge(stdout)?;
                        state.stderr.acknowledge(stderr)
                    })
                    .map_err(out_of_range)?,
                Input::Finished => {
                    return Err(ProtocolError::Unexpected {
                        expected: "stdin",
                        got: "the end of an archive".to_owned(),
                    });
                }
            },
        }
    }
}
