//! A live virtqueue: `virtio-queue`'s [`Queue`] with batched completion and the driver's interrupt
//! suppression (virtio 1.2, 2.7).

use std::num::Wrapping;
use std::sync::atomic::{Ordering, fence};

use virtio_bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;
use virtio_queue::{Queue, QueueState, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemory};

use crate::Memory;
use crate::span::Chain;

/// Offsets in the rings (virtio 1.2, 2.7.6 and 2.7.8).
const RING_IDX: u64 = 2;
const RING_ENTRIES: u64 = 4;
const USED_ENTRY: u64 = 8;

/// The driver has broken the queue beyond use: its rings left guest memory, its index jumped by
/// more than the queue holds, or more requests are in flight than there are descriptors. The device
/// needs a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// A queue that its device owns by value.
#[derive(Debug)]
pub struct Virtq {
    queue: Queue,
    memory: Memory,
    /// Requests popped and not completed. A driver that offers a head again before it is back could
    /// make the device hold any number of them.
    in_flight: u16,
    /// `next_used` when the driver was last told, if it ever was.
    told: Option<u16>,
}

impl Virtq {
    /// A queue in the state that the driver, or a snapshot, left it in.
    ///
    /// # Errors
    /// If the size is not a power of two within the device's limit, or a ring is misaligned or
    /// outside guest memory.
    pub fn new(state: QueueState, memory: Memory) -> Result<Self, Broken> {
        let queue = Queue::try_from(state).map_err(|_| Broken)?;
        if !queue.is_valid(&*memory) || queue.avail_ring() == 0 {
            return Err(Broken);
        }
        // The event fields at the end of each ring are not part of what `is_valid` checks.
        let tail = |base: u64, entry: u64| {
            let event = base + RING_ENTRIES + entry * u64::from(queue.size());
            memory.check_range(GuestAddress(event), 2, vm_memory::Permissions::ReadWrite)
        };
        if !tail(queue.avail_ring(), 2) || !tail(queue.used_ring(), USED_ENTRY) {
            return Err(Broken);
        }
        Ok(Self { queue, memory, in_flight: 0, told: None })
    }

    /// The queue's state, complete once everything that was popped is published.
    pub fn state(&self) -> QueueState {
        self.queue.state()
    }

    /// The guest memory that the queue lives in.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Number of descriptors.
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// The next request, if there is one.
    ///
    /// # Errors
    /// If the queue is broken.
    pub fn pop(&mut self) -> Result<Option<Chain>, Broken> {
        use virtio_queue::QueueOwnedT;
        let mut iter = self.queue.iter(self.memory.clone()).map_err(|_| Broken)?;
        let Some(chain) = iter.next() else {
            return Ok(None);
        };
        if chain.head_index() >= self.queue.size() || self.in_flight >= self.queue.size() {
            return Err(Broken);
        }
        self.in_flight += 1;
        Ok(Some(Chain::new(chain)))
    }

    /// Puts the last popped request back; nothing was popped or completed since.
    pub fn unpop(&mut self) {
        let previous = Wrapping(self.queue.next_avail()) - Wrapping(1);
        self.queue.set_next_avail(previous.0);
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// How many requests the driver has ever made available, modulo 2^16.
    ///
    /// # Errors
    /// If the ring cannot be read.
    pub fn offered(&self) -> Result<u16, Broken> {
        let idx = self.queue.avail_idx(&*self.memory, Ordering::Acquire);
        idx.map(|idx| idx.0).map_err(|_| Broken)
    }

    /// Asks the driver to notify when it makes one more request available than it has
    /// [`offered`](Self::offered) now, though those that are there have not all been popped. Returns
    /// that number.
    ///
    /// # Errors
    /// If the ring cannot be read or written.
    pub fn expect_more(&mut self) -> Result<u16, Broken> {
        let there = self.offered()?;
        let next = self.queue.next_avail();
        self.queue.set_next_avail(there);
        let asked = self.queue.enable_notification(&*self.memory);
        self.queue.set_next_avail(next);
        asked.map(|_| there).map_err(|_| Broken)
    }

    /// Writes a request's entry in the used ring; the driver sees it after [`Virtq::publish`].
    ///
    /// # Errors
    /// If the queue is broken.
    pub fn complete(&mut self, head: u16, written: u32) -> Result<(), Broken> {
        let slot = u64::from(self.queue.next_used() % self.queue.size());
        let addr = self.queue.used_ring() + RING_ENTRIES + slot * USED_ENTRY;
        // struct virtq_used_elem: id, then len, both little-endian 32 bits.
        let element = (u64::from(written) << 32 | u64::from(head)).to_le_bytes();
        self.memory.write_slice(&element, GuestAddress(addr)).map_err(|_| Broken)?;
        self.queue.set_next_used(self.queue.next_used().wrapping_add(1));
        self.in_flight = self.in_flight.saturating_sub(1);
        Ok(())
    }

    /// Makes all completed requests visible at once. Returns whether the driver wants to be told.
    ///
    /// # Errors
    /// If the queue is broken.
    pub fn publish(&mut self) -> Result<bool, Broken> {
        let new = self.queue.next_used();
        let idx = GuestAddress(self.queue.used_ring() + RING_IDX);
        let shown: u16 = self.memory.load(idx, Ordering::Relaxed).map_err(|_| Broken)?;
        if u16::from_le(shown) == new && self.told == Some(new) {
            return Ok(false);
        }
        self.memory.store(new.to_le(), idx, Ordering::Release).map_err(|_| Broken)?;
        // The driver's wish is read after it can see the entries (virtio 1.2, 2.7.8.2).
        fence(Ordering::SeqCst);
        let old = self.told.replace(new);
        let Some(old) = old else {
            return Ok(true);
        };
        if self.queue.event_idx_enabled() {
            let used_event = self.queue.avail_ring() + RING_ENTRIES + 2 * u64::from(self.size());
            let event = u16::from_le(self.load(used_event)?);
            return Ok(new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old));
        }
        let flags = u16::from_le(self.load(self.queue.avail_ring())?);
        Ok(u32::from(flags) & VRING_AVAIL_F_NO_INTERRUPT == 0)
    }

    fn load(&self, addr: u64) -> Result<u16, Broken> {
        self.memory.load(GuestAddress(addr), Ordering::Relaxed).map_err(|_| Broken)
    }

    /// Asks the driver not to notify while the queue is being drained.
    ///
    /// # Errors
    /// If the queue is broken.
    pub fn suppress_notifications(&mut self) -> Result<(), Broken> {
        self.queue.disable_notification(&*self.memory).map_err(|_| Broken)
    }

    /// Asks for notifications again. Returns whether requests came in meanwhile.
    ///
    /// # Errors
    /// If the queue is broken.
    pub fn allow_notifications(&mut self) -> Result<bool, Broken> {
        self.queue.enable_notification(&*self.memory).map_err(|_| Broken)
    }
}
