//! The bounded, offset-addressed buffers of a process's stdio.

use std::collections::VecDeque;

use agent::{OUTPUT_REST, OUTPUT_WINDOW, STDIN_WINDOW};

/// Output that the host has not acknowledged yet.
#[derive(Debug, Default)]
pub(crate) struct OutputBuffer {
    /// Offset of the first byte held.
    start: u64,
    bytes: VecDeque<u8>,
    /// Nothing more will come.
    pub ended: bool,
}

/// Why an offset cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfRange {
    pub start: u64,
    pub end: u64,
}

impl OutputBuffer {
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Offset of the byte that comes next.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Bytes that may be added now: more once the process has ended, so that its last words hold up nothing.
    pub(crate) fn room(&self, process_ended: bool) -> usize {
        let limit = if process_ended { OUTPUT_WINDOW + OUTPUT_REST } else { OUTPUT_WINDOW };
        limit.saturating_sub(self.bytes.len())
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Nobody asks for it: what is here and what still comes is thrown away.
    pub(crate) fn discard(&mut self) {
        self.start = self.end();
        self.bytes = VecDeque::new();
        self.ended = true;
    }

    /// Forgets what is before this offset; an offset out of range changes nothing.
    pub(crate) fn acknowledge(&mut self, offset: u64) -> Result<(), OutOfRange> {
        let count = self.position(offset.max(self.start))?;
        self.bytes.drain(..count);
        self.start += count as u64;
        if self.bytes.is_empty() {
            self.bytes.shrink_to(4096);
        }
        Ok(())
    }

    /// At most `limit` bytes from this offset on.
    pub(crate) fn read(&self, offset: u64, limit: usize) -> Result<Vec<u8>, OutOfRange> {
        let from = self.position(offset)?;
        let to = self.bytes.len().min(from.saturating_add(limit));
        Ok(self.bytes.range(from..to).copied().collect())
    }

    /// Index of an offset between the first byte held and the end.
    fn position(&self, offset: u64) -> Result<usize, OutOfRange> {
        let range = OutOfRange { start: self.start, end: self.end() };
        if offset < range.start || offset > range.end {
            return Err(range);
        }
        Ok((offset - self.start) as usize)
    }
}

/// Input that the process has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct InputBuffer {
    /// Bytes ever handed to the process.
    taken: u64,
    bytes: VecDeque<u8>,
    /// Nothing more will come.
    pub closed: bool,
}

impl InputBuffer {
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Offset of the byte that the host must send next.
    pub(crate) fn received(&self) -> u64 {
        self.taken + self.bytes.len() as u64
    }

    /// Adds what the host sent at this offset. Bytes that were received before are skipped; a gap,
    /// or more than the window, is an error.
    pub(crate) fn push(&mut self, offset: u64, bytes: &[u8]) -> Result<(), OutOfRange> {
        let (start, end) = (self.taken, self.received());
        let known = match end.checked_sub(offset) {
            Some(known) => usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len()),
            None => return Err(OutOfRange { start, end }),
        };
        let fresh = &bytes[known..];
        if self.bytes.len() + fresh.len() > STDIN_WINDOW {
            return Err(OutOfRange { start, end });
        }
        if !self.closed {
            self.bytes.extend(fresh);
        } else if self.bytes.is_empty() {
            // Thrown away, and so taken: the host goes on counting.
            self.taken += fresh.len() as u64;
        } else if !fresh.is_empty() {
            // The host has said itself that there is no more.
            return Err(OutOfRange { start, end });
        }
        Ok(())
    }

    /// A copy of the next bytes.
    pub(crate) fn peek(&self, limit: usize) -> Vec<u8> {
        self.bytes.iter().take(limit).copied().collect()
    }

    /// Hands over the next bytes.
    pub(crate) fn take(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.bytes.drain(..count);
        self.taken += count as u64;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The process reads no more: what is left and what still comes is thrown away.
    pub(crate) fn discard(&mut self) {
        self.take(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_until_it_is_acknowledged() {
        let mut buffer = OutputBuffer::default();
        buffer.push(b"hello world");
        assert_eq!(buffer.read(0, 5).unwrap(), b"hello");
        buffer.acknowledge(6).unwrap();
        assert_eq!(buffer.read(6, 100).unwrap(), b"world");
        assert_eq!(buffer.read(5, 1), Err(OutOfRange { start: 6, end: 11 }));
        assert_eq!(buffer.read(12, 1), Err(OutOfRange { start: 6, end: 11 }));
        assert_eq!(buffer.read(11, 1).unwrap(), b"");
    }

    #[test]
    fn acknowledging_again_or_too_much_changes_nothing() {
        let mut buffer = OutputBuffer::default();
        buffer.push(b"abc");
        buffer.acknowledge(2).unwrap();
        buffer.acknowledge(1).unwrap();
        assert_eq!(buffer.start(), 2);
        assert!(buffer.acknowledge(4).is_err());
        assert_eq!((buffer.start(), buffer.end()), (2, 3));
    }

    #[test]
    fn room_is_what_the_window_leaves() {
        let mut buffer = OutputBuffer::default();
        buffer.push(&vec![0; OUTPUT_WINDOW]);
        assert_eq!(buffer.room(false), 0);
        buffer.acknowledge(10).unwrap();
        assert_eq!(buffer.room(false), 10);
        assert_eq!(buffer.room(true), 10 + OUTPUT_REST);
    }

    #[test]
    fn input_sent_twice_arrives_once() {
        let mut buffer = InputBuffer::default();
        buffer.push(0, b"abcd").unwrap();
        buffer.take(2);
        buffer.push(2, b"cdef").unwrap();
        buffer.push(0, b"ab").unwrap();
        assert_eq!(buffer.peek(100), b"cdef");
        assert_eq!((buffer.taken(), buffer.received()), (2, 6));
    }

    #[test]
    fn input_with_a_gap_or_beyond_the_window_is_refused() {
        let mut buffer = InputBuffer::default();
        assert!(buffer.push(1, b"x").is_err());
        assert!(buffer.push(0, &vec![0; STDIN_WINDOW + 1]).is_err());
        buffer.push(0, &vec![0; STDIN_WINDOW]).unwrap();
        assert!(buffer.push(STDIN_WINDOW as u64, b"x").is_err());
        buffer.take(1);
        buffer.push(STDIN_WINDOW as u64, b"x").unwrap();
    }
}
