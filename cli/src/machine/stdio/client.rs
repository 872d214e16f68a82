//! One attached client: a queue of what it is to be told, and the two threads that serve it.

use std::{collections::VecDeque, io::Write, net::Shutdown, os::unix::net::UnixStream, sync::Arc};

use agent::{
    Channel, Frame, Input, Output, ProtocolError, STDIN_WINDOW, decode_message, encode_message,
    read_frame,
};

use super::Shared;

/// What is known of a client.
///
/// Its queue is bounded: the agent sends no more than its window beyond what every client has acknowledged.
#[derive(Debug)]
pub(super) struct Client {
    /// A handle of its own, to end the connection whatever its threads wait for.
    stream: UnixStream,
    frames: VecDeque<Arc<[u8]>>,
    /// It has written to its own standard output and error what is before these offsets.
    pub(super) acknowledged: (u64, u64),
    /// Bytes of standard input that it has sent, and those of them that went on to the guest.
    stdin: (u64, u64),
    /// How many of the latter it was told of.
    told: u64,
    /// Nothing more will come: once the queue is empty, so ends the connection.
    closing: bool,
}

impl Client {
    pub(super) fn new(stream: UnixStream, acknowledged: (u64, u64), closing: bool) -> Self {
        Self { stream, frames: VecDeque::new(), acknowledged, stdin: (0, 0), told: 0, closing }
    }

    /// Queues a frame.
    pub(super) fn send(&mut self, frame: Arc<[u8]>) {
        if !self.closing {
            self.frames.push_back(frame);
        }
    }

    /// So many more bytes of its standard input went on to the guest.
    pub(super) fn taken(&mut self, count: usize) {
        self.stdin.1 += count as u64;
    }

    /// Ends the connection once everything was sent.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Ends the connection now.
    pub(super) fn cut(&self) {
        // It may have gone by itself.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// What to write next.
    fn next(&mut self) -> Option<Step> {
        if self.told < self.stdin.1 {
            self.told = self.stdin.1;
            return Some(match encode_message(&Output::StdinTaken(self.told)) {
                Ok(frame) => Step::Write(frame.into()),
                Err(_) => Step::End,
            });
        }
        match self.frames.pop_front() {
            Some(frame) => Some(Step::Write(frame)),
            None => self.closing.then_some(Step::End),
        }
    }
}

enum Step {
    Write(Arc<[u8]>),
    End,
}

impl Shared {
    /// Writes what the client is to be told until it goes, or nothing more will come.
    pub(super) fn write_to_client(&self, id: u64, mut stream: UnixStream) {
        loop {
            let step = self.wait(|state| match state.clients.get_mut(&id) {
                Some(client) => client.next(),
                None => Some(Step::End),
            });
            let Step::Write(frame) = step else { break };
            if stream.write_all(&frame).is_err() {
                break;
            }
            self.change(|state| state.written += 1);
        }
        // It reads what was sent, then the end.
        let _ = stream.shutdown(Shutdown::Write);
        self.change(|state| state.clients.remove(&id));
    }

    /// Takes what the client sends until it goes.
    pub(super) fn read_from_client(&self, id: u64, mut from: UnixStream) {
        if let Err(error) = self.take_from_client(id, &mut from) {
            tracing::debug!("a client went: {error}");
        }
        self.change(|state| {
            if state.stdin_once {
                // The user who gave standard input is gone, so this was all of it.
                state.to_guest.close();
            }
            if let Some(client) = state.clients.remove(&id) {
                client.cut();
            }
        });
    }

    /// Never waits for the process to take anything, so that signals and sizes always pass.
    fn take_from_client(&self, id: u64, from: &mut UnixStream) -> Result<(), ProtocolError> {
        loop {
            match read_frame(from)? {
                Frame::Data { channel: Channel::Stdin, bytes, .. } => {
                    self.change(|state| {
                        let Some(client) = state.clients.get_mut(&id) else {
                            return Err(ProtocolError::Closed);
                        };
                        client.stdin.0 += bytes.len() as u64;
                        if client.stdin.0 - client.stdin.1 > STDIN_WINDOW as u64 {
                            return Err(ProtocolError::Unexpected {
                                expected: "standard input within the window",
                                got: "more".into(),
                            });
                        }
                        state.to_guest.stdin(id, &bytes);
                        Ok(())
                    })?;
                }
                Frame::Data { .. } => {}
                Frame::Message(body) => match decode_message(&body)? {
                    Input::CloseStdin => self.change(|state| state.to_guest.close()),
                    Input::Ack { stdout, stderr } => self.change(|state| {
                        let seen = state.seen;
                        if let Some(client) = state.clients.get_mut(&id) {
                            let known = &mut client.acknowledged;
                            known.0 = stdout.min(seen.0).max(known.0);
                            known.1 = stderr.min(seen.1).max(known.1);
                        }
                    }),
                    Input::Finished => {}
                    request @ (Input::Resize(_) | Input::Signal(_)) => self.request(&request)?,
                },
            }
        }
    }

    /// Passes a signal or a size on; waits only while the guest does not listen at all.
    fn request(&self, request: &Input) -> Result<(), ProtocolError> {
        self.wait(|state| {
            if state.over {
                return Some(Err(ProtocolError::Closed));
            }
            state.to_guest.request(request).then_some(Ok(()))
        })
    }
}
