//! Descriptor chains as plain data: where the driver's buffers are.
//!
//! Guest memory is only ever copied; no reference points into it.

use virtio_queue::DescriptorChain;
use vm_memory::{Bytes, GuestAddress};

use crate::Memory;

/// Most descriptors that one chain may have. Larger than any driver's need; it bounds what a
/// hostile chain can make the host allocate.
pub const MAX_SEGMENTS: usize = 1024;

/// Guest memory that a driver's descriptor points to is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadAddress;

/// A scattered buffer in guest memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    pieces: Vec<(GuestAddress, u32)>,
    len: u32,
}

impl Span {
    /// Length in bytes.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[(GuestAddress, u32)] {
        &self.pieces
    }

    fn push(&mut self, addr: GuestAddress, len: u32) {
        // The chain iterator ends before the sum passes 32 bits.
        self.len = self.len.saturating_add(len);
        self.pieces.push((addr, len));
    }

    /// Takes `count` bytes off the end, or everything.
    #[must_use]
    pub fn split_off_end(&mut self, count: u32) -> Span {
        let tail = self.slice(self.len.saturating_sub(count), count);
        *self = self.slice(0, self.len - tail.len);
        tail
    }

    /// The part at `offset`, `count` bytes or as many as there are.
    #[must_use]
    pub fn slice(&self, offset: u32, count: u32) -> Span {
        let mut part = Span::default();
        let (mut skip, mut left) = (offset, count);
        for &(addr, len) in &self.pieces {
            if left == 0 {
                break;
            }
            if skip >= len {
                skip -= len;
                continue;
            }
            let take = (len - skip).min(left);
            part.push(GuestAddress(addr.0.wrapping_add(skip.into())), take);
            left -= take;
            skip = 0;
        }
        part
    }

    /// Copies out of the guest, from `offset`; the number of bytes there were.
    ///
    /// # Errors
    /// If a piece is not guest memory.
    pub fn read(&self, memory: &Memory, offset: u32, buf: &mut [u8]) -> Result<usize, BadAddress> {
        let mut done = 0;
        self.walk(offset, buf.len(), |addr, len| {
            let piece = &mut buf[done..done + len];
            done += len;
            memory.read_slice(piece, addr).map_err(|_| BadAddress)
        })?;
        Ok(done)
    }

    /// Copies into the guest, at `offset`; the number of bytes that had room.
    ///
    /// # Errors
    /// If a piece is not guest memory.
    pub fn write(&self, memory: &Memory, offset: u32, buf: &[u8]) -> Result<usize, BadAddress> {
        let mut done = 0;
        self.walk(offset, buf.len(), |addr, len| {
            let piece = &buf[done..done + len];
            done += len;
            memory.write_slice(piece, addr).map_err(|_| BadAddress)
        })?;
        Ok(done)
    }

    fn walk(
        &self,
        offset: u32,
        count: usize,
        mut each: impl FnMut(GuestAddress, usize) -> Result<(), BadAddress>,
    ) -> Result<(), BadAddress> {
        let (mut skip, mut left) = (offset, count);
        for &(addr, len) in &self.pieces {
            if left == 0 {
                break;
            }
            if skip >= len {
                skip -= len;
                continue;
            }
            let take = ((len - skip) as usize).min(left);
            let start = addr.0.checked_add(skip.into()).ok_or(BadAddress)?;
            each(GuestAddress(start), take)?;
            left -= take;
            skip = 0;
        }
        Ok(())
    }
}

/// One request of a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Index of its first descriptor: what goes back in the used ring.
    pub head: u16,
    /// What the device reads.
    pub readable: Span,
    /// What the device writes.
    pub writable: Span,
    /// The chain loops, leaves its table, points to a table that is not there, has more than
    /// [`MAX_SEGMENTS`] descriptors or readable ones after writable ones (virtio 1.2, 2.7.4.2).
    /// Its spans hold what came before and are not to be used.
    pub malformed: bool,
}

impl Chain {
    pub(crate) fn new(chain: DescriptorChain<Memory>) -> Self {
        let head = chain.head_index();
        let (mut readable, mut writable) = (Span::default(), Span::default());
        // Until a descriptor without NEXT is seen, the chain has not ended properly.
        let mut malformed = true;
        for (count, descriptor) in chain.enumerate() {
            malformed = descriptor.has_next();
            if count == MAX_SEGMENTS || !descriptor.is_write_only() && !writable.is_empty() {
                malformed = true;
                break;
            }
            let span = if descriptor.is_write_only() { &mut writable } else { &mut readable };
            if descriptor.len() != 0 {
                span.push(descriptor.addr(), descriptor.len());
            }
        }
        Self { head, readable, writable, malformed }
    }
}
