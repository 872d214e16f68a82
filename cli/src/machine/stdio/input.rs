//! The direction to the guest: what clients typed, asked and acknowledged, in the order in which it goes out.
//!
//! Signals, sizes and acknowledgements never wait for standard input, which itself waits for the process to take it.

use std::collections::VecDeque;

use agent::{
    Attached, Channel, Input, MAX_DATA, ProtocolError, STDIN_WINDOW, encode_message, write_data,
};

/// Bytes of standard input that wait here for all clients together, those that have gone included.
const LIMIT: usize = 64 * STDIN_WINDOW;

/// No stream has come so far when a connection is made: what is counted from there on cannot overflow.
const FURTHEST: u64 = 1 << 62;

/// Everything that is on its way to the guest.
#[derive(Debug, Default)]
pub(super) struct ToGuest {
    requests: VecDeque<Input>,
    /// From clients, not sent yet.
    waiting: VecDeque<Piece>,
    /// Sent, and not taken by the process as far as is known: a new connection may need it again.
    sent: VecDeque<u8>,
    /// Offset of the first byte of `sent`.
    start: u64,
    /// Offset of the byte that this connection gets next.
    cursor: u64,
    /// The process has taken everything before.
    taken: u64,
    /// Standard input has ended.
    closed: bool,
    /// This connection was told so.
    close_told: bool,
    /// Output up to here was acknowledged.
    acknowledged: (u64, u64),
    /// This connection does not know that yet.
    acknowledge_again: bool,
}

#[derive(Debug)]
enum Piece {
    Bytes { client: u64, bytes: VecDeque<u8> },
    Close,
}

/// The next frame, and whose bytes of standard input it took out of the queue.
#[derive(Debug, Default)]
pub(super) struct Next {
    pub(super) frame: Vec<u8>,
    pub(super) taken: Vec<(u64, usize)>,
}

impl ToGuest {
    /// A new connection goes on where the agent says that it is.
    pub(super) fn resume(&mut self, attached: &Attached, first: bool) -> Result<(), ProtocolError> {
        let Attached { stdin, stdin_taken, stdout, stderr, tty: _ } = *attached;
        let furthest = stdin.max(stdin_taken).max(stdout).max(stderr);
        if furthest > FURTHEST {
            return Err(ProtocolError::Unexpected {
                expected: "where its streams are",
                got: format!("byte {furthest}"),
            });
        }
        if first {
            (self.start, self.acknowledged) = (attached.stdin, (attached.stdout, attached.stderr));
        }
        self.cursor = attached.stdin.clamp(self.start, self.end());
        self.taken(attached.stdin_taken);
        (self.close_told, self.acknowledge_again) = (false, true);
        Ok(())
    }

    /// What the process has taken of standard input.
    pub(super) fn taken_so_far(&self) -> u64 {
        self.taken
    }

    /// The process has taken standard input up to this offset.
    pub(super) fn taken(&mut self, upto: u64) {
        self.taken = upto.clamp(self.taken, self.end().max(self.taken));
        let gone = self.taken.saturating_sub(self.start).min(self.sent.len() as u64);
        self.sent.drain(..gone as usize);
        self.start += gone;
        self.cursor = self.cursor.max(self.start);
    }

    /// Output up to here was acknowledged to the guest.
    pub(super) fn acknowledged(&self) -> (u64, u64) {
        self.acknowledged
    }

    /// Queues a signal or a size; false if there is no room now.
    pub(super) fn request(&mut self, request: &Input) -> bool {
        const MOST: usize = 64;
        if self.requests.len() < MOST {
            self.requests.push_back(request.clone());
            return true;
        }
        false
    }

    /// Queues standard input of a client.
    pub(super) fn stdin(&mut self, client: u64, more: &[u8]) {
        match self.waiting.back_mut() {
            Some(Piece::Bytes { client: last, bytes }) if *last == client => bytes.extend(more),
            _ if more.is_empty() => {}
            _ => {
                let bytes = more.iter().copied().collect();
                self.waiting.push_back(Piece::Bytes { client, bytes });
            }
        }
    }

    /// Queues the end of standard input.
    pub(super) fn close(&mut self) {
        if !matches!(self.waiting.back(), Some(Piece::Close)) {
            self.waiting.push_back(Piece::Close);
        }
    }

    /// Whether there is room for what one more client may queue.
    pub(super) fn has_room(&self) -> bool {
        let bytes = self.waiting.iter().map(|piece| match piece {
            Piece::Bytes { bytes, .. } => bytes.len(),
            Piece::Close => 0,
        });
        bytes.sum::<usize>() + STDIN_WINDOW <= LIMIT
    }

    /// What to send now, if anything: requests first, then acknowledgements, then standard input as far as its window goes.
    ///
    /// `written` is the output that need not be kept any longer.
    pub(super) fn next(&mut self, written: (u64, u64)) -> Result<Option<Next>, ProtocolError> {
        if let Some(request) = self.requests.pop_front() {
            return Ok(Some(Next { frame: encode_message(&request)?, ..Next::default() }));
        }
        let (stdout, stderr) =
            (written.0.max(self.acknowledged.0), written.1.max(self.acknowledged.1));
        if self.acknowledge_again || (stdout, stderr) != self.acknowledged {
            (self.acknowledged, self.acknowledge_again) = ((stdout, stderr), false);
            let frame = encode_message(&Input::Ack { stdout, stderr })?;
            return Ok(Some(Next { frame, ..Next::default() }));
        }
        let mut next = Next::default();
        self.fill(&mut next.taken);
        if self.cursor < self.end() {
            let from = (self.cursor - self.start) as usize;
            let to = self.sent.len().min(from + MAX_DATA);
            let bytes: Vec<u8> = self.sent.range(from..to).copied().collect();
            write_data(&mut next.frame, Channel::Stdin, self.cursor, &bytes)?;
            self.cursor += bytes.len() as u64;
        } else if self.closed && !self.close_told {
            next.frame = encode_message(&Input::CloseStdin)?;
            self.close_told = true;
        }
        Ok((!next.frame.is_empty() || !next.taken.is_empty()).then_some(next))
    }

    /// Moves what clients gave into the window.
    fn fill(&mut self, moved: &mut Vec<(u64, usize)>) {
        while let Some(piece) = self.waiting.front_mut() {
            match piece {
                Piece::Close => self.closed = true,
                Piece::Bytes { client, bytes } if self.closed => {
                    moved.push((*client, bytes.len()));
                }
                Piece::Bytes { client, bytes } => {
                    let held = (self.start + self.sent.len() as u64).saturating_sub(self.taken);
                    let room = STDIN_WINDOW.saturating_sub(held as usize);
                    let count = bytes.len().min(room);
                    if count > 0 {
                        self.sent.extend(bytes.drain(..count));
                        moved.push((*client, count));
                    }
                    if !bytes.is_empty() {
                        return;
                    }
                }
            }
            self.waiting.pop_front();
        }
    }

    fn end(&self) -> u64 {
        self.start + self.sent.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use agent::{Frame, decode_message, read_frame};

    use super::*;

    /// Everything that may be sent now.
    fn drain(to: &mut ToGuest) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(next) = to.next((0, 0)).unwrap() {
            if !next.frame.is_empty() {
                frames.push(read_frame(&mut next.frame.as_slice()).unwrap());
            }
        }
        frames
    }

    fn stdin_of(frames: &[Frame]) -> Vec<u8> {
        let bytes = frames.iter().filter_map(|frame| match frame {
            Frame::Data { bytes, .. } => Some(bytes.clone()),
            Frame::Message(_) => None,
        });
        bytes.flatten().collect()
    }

    fn begun() -> ToGuest {
        let mut to = ToGuest::default();
        to.resume(&Attached::default(), true).unwrap();
        drain(&mut to);
        to
    }

    #[test]
    fn requests_pass_standard_input_that_waits() {
        let mut to = begun();
        to.stdin(1, &vec![b'x'; STDIN_WINDOW + 1]);
        assert_eq!(stdin_of(&drain(&mut to)).len(), STDIN_WINDOW);
        assert!(to.request(&Input::Signal(15)));
        let frames = drain(&mut to);
        let [Frame::Message(body)] = frames.as_slice() else { panic!("{frames:?}") };
        assert_eq!(decode_message::<Input>(body).unwrap(), Input::Signal(15));
        to.taken(1);
        assert_eq!(stdin_of(&drain(&mut to)), b"x");
    }

    #[test]
    fn what_a_lost_connection_swallowed_is_sent_again() {
        let mut to = begun();
        to.stdin(1, b"abcdef");
        to.close();
        assert_eq!(drain(&mut to).len(), 2);
        // The agent had received four bytes, of which the process took two.
        to.resume(&Attached { stdin: 4, stdin_taken: 2, ..Attached::default() }, false).unwrap();
        let frames = drain(&mut to);
        assert!(matches!(frames[1], Frame::Data { offset: 4, .. }), "{frames:?}");
        assert_eq!(stdin_of(&frames), b"ef");
        assert_eq!(frames.len(), 3, "an acknowledgement, the bytes, their end");
    }

    #[test]
    fn a_restored_process_goes_on_with_its_own_offsets() {
        let mut to = ToGuest::default();
        let attached =
            Attached { stdin: 10, stdin_taken: 7, stdout: 5, stderr: 0, ..Attached::default() };
        to.resume(&attached, true).unwrap();
        assert_eq!(to.acknowledged(), (5, 0));
        to.stdin(1, &vec![0; STDIN_WINDOW]);
        let frames = drain(&mut to);
        assert_eq!(stdin_of(&frames).len(), STDIN_WINDOW - 3);
        assert!(frames.iter().any(|frame| matches!(frame, Frame::Data { offset: 10, .. })));
    }

    #[test]
    fn a_guest_that_claims_too_much_gains_nothing() {
        let mut to = begun();
        to.taken(u64::MAX);
        to.stdin(1, &vec![0; 2 * STDIN_WINDOW]);
        assert_eq!(stdin_of(&drain(&mut to)).len(), STDIN_WINDOW);
    }

    #[test]
    fn a_guest_that_claims_to_be_too_far_is_refused() {
        let far = |at| Attached { stdin: at, stdin_taken: at, stdout: at, stderr: at, tty: false };
        let none = Attached::default();
        for attached in [
            Attached { stdin: u64::MAX, ..none },
            Attached { stdin_taken: FURTHEST + 1, ..none },
            Attached { stdout: u64::MAX, ..none },
            Attached { stderr: u64::MAX, ..none },
        ] {
            assert!(ToGuest::default().resume(&attached, true).is_err(), "{attached:?}");
            assert!(begun().resume(&attached, false).is_err(), "{attached:?}");
        }
        let mut to = ToGuest::default();
        to.resume(&far(FURTHEST), true).unwrap();
        to.stdin(1, b"x");
        assert_eq!(stdin_of(&drain(&mut to)), b"x");
    }

    #[test]
    fn standard_input_behind_its_end_is_thrown_away_and_so_taken() {
        let mut to = begun();
        to.close();
        to.stdin(7, b"late");
        let mut taken = Vec::new();
        while let Some(next) = to.next((0, 0)).unwrap() {
            taken.extend(next.taken);
        }
        assert_eq!(taken, [(7, 4)]);
    }
}
