//! A driver's side of the transport and its queues, for tests and fuzzing.

use std::sync::Arc;
use std::time::Duration;

use devices::{Access, IrqLine, IrqSink, MmioDevice, Trigger, Width};
use virtio_bindings::virtio_config::*;
use virtio_bindings::virtio_mmio::*;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::{Error, Memory, MmioTransport, VirtioDevice, VirtioState, Worker};

/// Guest memory of `len` bytes at [`RAM_BASE`].
///
/// # Panics
/// If the host has no memory.
pub fn memory(len: usize) -> Memory {
    let ranges = [(GuestAddress(RAM_BASE), len)];
    Arc::new(GuestMemoryMmap::from_ranges(&ranges).expect("anonymous memory"))
}

/// For what takes no time unless it hangs.
pub const LONG: Duration = Duration::from_secs(60);

/// Where [`memory`] starts.
pub const RAM_BASE: u64 = 0x4000_0000;

/// One piece of a request: address, length, device-writable.
pub type Piece = (u64, u32, bool);

/// A split virtqueue as a driver keeps it. Descriptors are handed out in a circle: never have more
/// than the queue's size in flight.
#[derive(Debug)]
pub struct MockQueue {
    memory: Memory,
    /// Number of descriptors.
    pub size: u16,
    /// Address of the descriptor table; the rings follow.
    pub base: u64,
    next_descriptor: u16,
    avail: u16,
    seen: u16,
}

impl MockQueue {
    /// A queue at `base`, zeroed.
    ///
    /// # Panics
    /// If it is outside of memory.
    pub fn new(memory: &Memory, base: u64, size: u16) -> Self {
        let queue =
            Self { memory: memory.clone(), size, base, next_descriptor: 0, avail: 0, seen: 0 };
        let zeros = vec![0; queue.end() as usize - base as usize];
        memory.write_slice(&zeros, GuestAddress(base)).expect("queue in memory");
        queue
    }

    /// Address of the available ring.
    pub fn avail_ring(&self) -> u64 {
        self.base + 16 * u64::from(self.size)
    }

    /// Address of the used ring.
    pub fn used_ring(&self) -> u64 {
        (self.avail_ring() + 6 + 2 * u64::from(self.size)).next_multiple_of(4)
    }

    /// First address after the queue.
    pub fn end(&self) -> u64 {
        self.used_ring() + 6 + 8 * u64::from(self.size)
    }

    /// Writes one descriptor. Flags: 1 next, 2 write, 4 indirect.
    ///
    /// # Panics
    /// If the table is outside of memory.
    pub fn put(&self, index: u16, addr: u64, len: u32, flags: u16, next: u16) {
        let at = self.base + 16 * u64::from(index);
        self.memory.write_slice(&descriptor(addr, len, flags, next), GuestAddress(at)).unwrap();
    }

    /// Makes a head available whatever it is.
    ///
    /// # Panics
    /// If the ring is outside of memory.
    pub fn offer(&mut self, head: u16) {
        let slot = self.avail_ring() + 4 + 2 * u64::from(self.avail % self.size);
        self.memory.write_obj(head, GuestAddress(slot)).unwrap();
        self.avail = self.avail.wrapping_add(1);
        self.set_avail_idx(self.avail);
    }

    /// Writes the available index.
    ///
    /// # Panics
    /// If the ring is outside of memory.
    pub fn set_avail_idx(&self, idx: u16) {
        let addr = GuestAddress(self.avail_ring() + 2);
        self.memory.store(idx, addr, std::sync::atomic::Ordering::Release).unwrap();
    }

    /// Makes a request of direct descriptors available; its head.
    pub fn add(&mut self, pieces: &[Piece]) -> u16 {
        let head = self.next_descriptor;
        for (i, &(addr, len, writable)) in pieces.iter().enumerate() {
            let index = self.next_descriptor;
            self.next_descriptor = (index + 1) % self.size;
            let more = u16::from(i + 1 < pieces.len());
            self.put(index, addr, len, more | u16::from(writable) << 1, self.next_descriptor);
        }
        self.offer(head);
        head
    }

    /// Makes a request available whose descriptors are in a table of their own at `table`.
    ///
    /// # Panics
    /// If the table is outside of memory.
    pub fn add_indirect(&mut self, table: u64, pieces: &[Piece]) -> u16 {
        for (i, &(addr, len, writable)) in pieces.iter().enumerate() {
            let more = u16::from(i + 1 < pieces.len());
            let bytes = descriptor(addr, len, more | u16::from(writable) << 1, i as u16 + 1);
            self.memory.write_slice(&bytes, GuestAddress(table + 16 * i as u64)).unwrap();
        }
        let head = self.next_descriptor;
        self.next_descriptor = (head + 1) % self.size;
        self.put(head, table, 16 * pieces.len() as u32, 4, 0);
        self.offer(head);
        head
    }

    /// The used index as the device published it.
    ///
    /// # Panics
    /// If the ring is outside of memory.
    pub fn used_idx(&self) -> u16 {
        let addr = GuestAddress(self.used_ring() + 2);
        self.memory.load(addr, std::sync::atomic::Ordering::Acquire).unwrap()
    }

    /// The next used entry: head and length written.
    ///
    /// # Panics
    /// If the ring is outside of memory.
    pub fn take_used(&mut self) -> Option<(u32, u32)> {
        if self.used_idx() == self.seen {
            return None;
        }
        let slot = self.used_ring() + 4 + 8 * u64::from(self.seen % self.size);
        self.seen = self.seen.wrapping_add(1);
        let id = self.memory.read_obj(GuestAddress(slot)).unwrap();
        let len = self.memory.read_obj(GuestAddress(slot + 4)).unwrap();
        Some((id, len))
    }

    /// Sets the available ring's flags (1: do not interrupt).
    ///
    /// # Panics
    /// If the ring is outside of memory.
    pub fn set_avail_flags(&self, flags: u16) {
        self.memory.write_obj(flags, GuestAddress(self.avail_ring())).unwrap();
    }

    /// Sets used_event: interrupt when the used index passes it.
    ///
    /// # Panics
    /// If the ring is outside of memory.
    pub fn set_used_event(&self, event: u16) {
        let addr = self.avail_ring() + 4 + 2 * u64::from(self.size);
        self.memory.write_obj(event, GuestAddress(addr)).unwrap();
    }
}

fn descriptor(addr: u64, len: u32, flags: u16, next: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&addr.to_le_bytes());
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[12..14].copy_from_slice(&flags.to_le_bytes());
    bytes[14..].copy_from_slice(&next.to_le_bytes());
    bytes
}

/// Counts what reaches the interrupt controller.
#[derive(Debug, Default)]
pub struct CountingSink {
    /// Changes to high.
    pub raised: std::sync::atomic::AtomicUsize,
    /// The level now.
    pub high: std::sync::atomic::AtomicBool,
}

impl IrqSink for CountingSink {
    fn set_level(&self, _intid: u32, high: bool) {
        use std::sync::atomic::Ordering::SeqCst;
        if high && !self.high.swap(high, SeqCst) {
            self.raised.fetch_add(1, SeqCst);
        }
        self.high.store(high, SeqCst);
    }
}

/// A device behind its transport, with the driver's hands on the registers.
pub struct MockDriver {
    /// The transport. Declared before the worker, which must outlive it.
    pub transport: MmioTransport,
    /// Its worker.
    pub worker: Worker,
    /// Guest memory.
    pub memory: Memory,
    /// The interrupt controller.
    pub sink: Arc<CountingSink>,
    /// The queues, once set up.
    pub queues: Vec<MockQueue>,
}

impl MockDriver {
    /// A cold device.
    ///
    /// # Panics
    /// If the host is out of threads.
    pub fn new(device: Box<dyn VirtioDevice>, memory: &Memory) -> Self {
        Self::from_state(device, memory, &VirtioState::default())
    }

    /// A device from its state.
    ///
    /// # Panics
    /// If the host is out of threads or the state is invalid.
    pub fn from_state(device: Box<dyn VirtioDevice>, memory: &Memory, state: &VirtioState) -> Self {
        Self::try_from_state(device, memory, state).unwrap()
    }

    /// A device from a state that may not be true.
    ///
    /// # Errors
    /// If the state is refused.
    ///
    /// # Panics
    /// If the host is out of threads.
    pub fn try_from_state(
        device: Box<dyn VirtioDevice>,
        memory: &Memory,
        state: &VirtioState,
    ) -> Result<Self, Error> {
        let worker = Worker::spawn("mock", |cause| panic!("worker failed: {cause}")).unwrap();
        let sink = Arc::new(CountingSink::default());
        let line = IrqLine::new(40, Trigger::Level, sink.clone());
        let transport = MmioTransport::new(device, &worker, memory.clone(), line, state)?;
        Ok(Self { transport, worker, memory: memory.clone(), sink, queues: Vec::new() })
    }

    /// Reads a register.
    pub fn r(&self, offset: u32) -> u32 {
        self.transport.read(Access::new(offset.into(), Width::Word)) as u32
    }

    /// Writes a register.
    pub fn w(&self, offset: u32, value: u32) {
        let _ = self.transport.write(Access::new(offset.into(), Width::Word), value.into());
    }

    /// Offered features.
    pub fn offered(&self) -> u64 {
        self.w(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
        let low = self.r(VIRTIO_MMIO_DEVICE_FEATURES);
        self.w(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
        u64::from(self.r(VIRTIO_MMIO_DEVICE_FEATURES)) << 32 | u64::from(low)
    }

    /// Reset to FEATURES_OK; whether the device agreed.
    pub fn negotiate(&self, features: u64) -> bool {
        self.w(VIRTIO_MMIO_STATUS, 0);
        self.w(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
        self.w(VIRTIO_MMIO_STATUS, 3);
        for page in 0..2 {
            self.w(VIRTIO_MMIO_DRIVER_FEATURES_SEL, page);
            self.w(VIRTIO_MMIO_DRIVER_FEATURES, (features >> (32 * page)) as u32);
        }
        self.w(VIRTIO_MMIO_STATUS, 11);
        self.r(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK != 0
    }

    /// Writes a queue's registers.
    pub fn set_up_queue(&self, index: u32, queue: &MockQueue) {
        self.w(VIRTIO_MMIO_QUEUE_SEL, index);
        self.w(VIRTIO_MMIO_QUEUE_NUM, queue.size.into());
        for (low, addr) in [
            (VIRTIO_MMIO_QUEUE_DESC_LOW, queue.base),
            (VIRTIO_MMIO_QUEUE_AVAIL_LOW, queue.avail_ring()),
            (VIRTIO_MMIO_QUEUE_USED_LOW, queue.used_ring()),
        ] {
            self.w(low, addr as u32);
            self.w(low + 4, (addr >> 32) as u32);
        }
        self.w(VIRTIO_MMIO_QUEUE_READY, 1);
    }

    /// The whole initialisation with `count` queues of 64, one after the other from the start of
    /// memory at 16 KiB distance.
    ///
    /// # Panics
    /// If the device does not agree to the features.
    pub fn start(&mut self, features: u64, count: u32) {
        assert!(self.negotiate(features | 1 << VIRTIO_F_VERSION_1));
        self.queues = (0..count)
            .map(|i| MockQueue::new(&self.memory, RAM_BASE + 0x4000 * u64::from(i), 64))
            .collect();
        for (i, queue) in self.queues.iter().enumerate() {
            self.set_up_queue(i as u32, queue);
        }
        self.w(VIRTIO_MMIO_STATUS, 15);
    }

    /// Rings a queue's doorbell.
    pub fn notify(&self, queue: u32) {
        self.w(VIRTIO_MMIO_QUEUE_NOTIFY, queue);
    }

    /// Waits until the worker has handled everything rung so far.
    pub fn settle(&self) {
        // A worker answers the doorbells that were rung before a command first.
        let _ = self.transport.save();
    }

    /// Waits for the next used entry of a queue.
    ///
    /// # Panics
    /// If none comes within 10 s.
    pub fn wait_used(&mut self, queue: usize) -> (u32, u32) {
        for _ in 0..10_000 {
            if let Some(used) = self.queues[queue].take_used() {
                return used;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("queue {queue}: no request came back");
    }
}
