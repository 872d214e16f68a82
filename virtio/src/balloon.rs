//! Memory balloon device (virtio 1.2, section 5.5) with statistics and free page reporting.
//!
//! Queues are numbered densely over the negotiated features, as Linux does on the MMIO transport:
//! without statistics, the reporting queue is number 2. Free page hinting and page poisoning are
//! not offered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_bindings::virtio_ids::VIRTIO_ID_BALLOON;
use vm_memory::{GuestAddress, GuestMemory, Permissions};

use crate::Memory;
use crate::config::ConfigSpace;
use crate::device::{Active, Handled, HostBell, VirtioDevice};
use crate::event::Watch;
use crate::queue::Broken;
use crate::span::{Chain, Span};

/// Feature bits (5.5.3).
const F_STATS: u32 = 1;
const F_DEFLATE_ON_OOM: u32 = 2;
const F_REPORTING: u32 = 5;

const INFLATE: usize = 0;
const DEFLATE: usize = 1;
const QUEUE_SIZE: u16 = 128;

/// The balloon counts in pages of this size whatever the guest's (5.5.6).
const PAGE: u64 = 4096;
/// Most page numbers taken from one request; Linux sends 256.
const MAX_PFNS: usize = 4096;
/// Most statistics in one buffer; the specification has ten.
const MAX_STATS: usize = 64;
/// Length of one statistic: a 16-bit tag and a 64-bit value.
const STAT: usize = 10;

/// Gives guest memory back to the host.
pub trait ReturnMemory: Send {
    /// Smallest piece that can be given back, in bytes; a power of two of at least 4096.
    fn granule(&self) -> u64;

    /// Gives a piece back, aligned to the granule and within guest memory. The guest does not use
    /// it now; if it does later, it finds zeros.
    fn give_back(&mut self, addr: GuestAddress, len: u64);
}

/// One statistic of the guest (5.5.6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stat {
    /// Bytes swapped in.
    SwapIn,
    /// Bytes swapped out.
    SwapOut,
    /// Major page faults.
    MajorFaults,
    /// Minor page faults.
    MinorFaults,
    /// Bytes free.
    Free,
    /// Bytes there are.
    Total,
    /// Bytes that programs could have without swapping.
    Available,
    /// Bytes in the disk caches.
    DiskCaches,
    /// Successful huge page allocations.
    HugePageAllocations,
    /// Failed huge page allocations.
    HugePageFailures,
}

impl Stat {
    fn from_tag(tag: u16) -> Option<Self> {
        Some(match tag {
            0 => Stat::SwapIn,
            1 => Stat::SwapOut,
            2 => Stat::MajorFaults,
            3 => Stat::MinorFaults,
            4 => Stat::Free,
            5 => Stat::Total,
            6 => Stat::Available,
            7 => Stat::DiskCaches,
            8 => Stat::HugePageAllocations,
            9 => Stat::HugePageFailures,
            _ => return None,
        })
    }
}

#[derive(Debug, Default)]
struct Wishes {
    retarget: bool,
    restat: bool,
    stats: HashMap<Stat, u64>,
    /// Counts the guest's answers.
    answers: u64,
}

#[derive(Debug)]
struct Shared {
    wishes: Mutex<Wishes>,
    bell: HostBell,
    config: ConfigSpace,
}

/// The host's hold of a balloon. Clones are handles to the same device.
#[derive(Debug, Clone)]
pub struct BalloonHost(Arc<Shared>);

impl BalloonHost {
    /// Asks the guest to give up `bytes` in total, rounded down to 4 KiB.
    pub fn set_target(&self, bytes: u64) {
        let pages = u32::try_from(bytes / PAGE).unwrap_or(u32::MAX);
        self.0.config.update(|config| config[..4].copy_from_slice(&pages.to_le_bytes()));
        self.lock().retarget = true;
        self.0.bell.ring();
    }

    /// Bytes that the guest is asked to give up.
    pub fn target(&self) -> u64 {
        u64::from(u32::from_le_bytes(self.0.config.field(0))) * PAGE
    }

    /// Bytes that the guest says it has given up.
    pub fn actual(&self) -> u64 {
        u64::from(u32::from_le_bytes(self.0.config.field(4))) * PAGE
    }

    /// Asks the guest for fresh statistics.
    pub fn request_stats(&self) {
        self.lock().restat = true;
        self.0.bell.ring();
    }

    /// The latest statistics, and how many times the guest has sent any.
    pub fn stats(&self) -> (HashMap<Stat, u64>, u64) {
        let wishes = self.lock();
        (wishes.stats.clone(), wishes.answers)
    }

    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.0.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Inflate,
    Deflate,
    Stats,
    Reporting,
}

/// A balloon device.
pub struct Balloon {
    host: BalloonHost,
    deflate_on_oom: bool,
    memory: Box<dyn ReturnMemory>,
    /// Pages in the balloon, by granule: one bit a page.
    inside: HashMap<u64, u64>,
    /// Head of the buffer that the guest gets back when statistics are wanted.
    stats_buffer: Option<u16>,
}

impl Balloon {
    /// A balloon that is empty. `deflate_on_oom` lets the guest take memory back on its own when it
    /// runs out.
    ///
    /// # Panics
    /// If the granule is not a power of two between 4 KiB and 256 KiB.
    pub fn new(memory: Box<dyn ReturnMemory>, deflate_on_oom: bool) -> Self {
        let granule = memory.granule();
        assert!(granule.is_power_of_two() && (PAGE..=64 * PAGE).contains(&granule));
        // num_pages and actual, both of which change; free_page_hint_cmd_id and poison_val.
        let config = ConfigSpace::new(vec![0; 16], 4..8, 0..8);
        let host = BalloonHost(Arc::new(Shared {
            wishes: Mutex::default(),
            bell: HostBell::default(),
            config,
        }));
        Self { host, deflate_on_oom, memory, inside: HashMap::new(), stats_buffer: None }
    }

    /// The host's side.
    pub fn host(&self) -> BalloonHost {
        self.host.clone()
    }

    fn role(active: &Active, queue: usize) -> Option<Role> {
        let optional = [(F_STATS, Role::Stats), (F_REPORTING, Role::Reporting)];
        match queue {
            INFLATE => Some(Role::Inflate),
            DEFLATE => Some(Role::Deflate),
            other => optional
                .into_iter()
                .filter(|(feature, _)| active.has(*feature))
                .map(|(_, role)| role)
                .nth(other - 2),
        }
    }

    fn inflate(&mut self, chain: &Chain, memory: &Memory) {
        let granule = self.memory.granule();
        let full = match granule / PAGE {
            64 => u64::MAX,
            pages => (1 << pages) - 1,
        };
        let mut complete = Vec::new();
        for pfn in page_numbers(chain, memory) {
            let addr = u64::from(pfn) * PAGE;
            let start = addr & !(granule - 1);
            // Only granules that are guest memory as a whole can be given back.
            let whole =
                memory.check_range(GuestAddress(start), granule as usize, Permissions::Write);
            if !whole {
                continue;
            }
            let pages = self.inside.entry(start).or_default();
            let before = *pages;
            *pages |= 1 << ((addr - start) / PAGE);
            if *pages == full && before != full {
                complete.push(start);
            }
        }
        // Neighbours go back together: what it costs is a call, not a byte.
        complete.sort_unstable();
        for run in complete.chunk_by(|a, b| a + granule == *b) {
            self.memory.give_back(GuestAddress(run[0]), granule * run.len() as u64);
        }
    }

    fn deflate(&mut self, chain: &Chain, memory: &Memory) {
        let granule = self.memory.granule();
        for pfn in page_numbers(chain, memory) {
            let addr = u64::from(pfn) * PAGE;
            let start = addr & !(granule - 1);
            if let Some(pages) = self.inside.get_mut(&start) {
                *pages &= !(1 << ((addr - start) / PAGE));
                if *pages == 0 {
                    self.inside.remove(&start);
                }
            }
        }
    }

    /// Free pages that the guest does not touch until it gets the request back.
    fn report(&mut self, free: &Span, memory: &Memory) {
        let granule = self.memory.granule();
        for &(addr, len) in free.pieces() {
            if !memory.check_range(addr, len as usize, Permissions::Write) {
                tracing::debug!(?addr, len, "the guest reported pages that are not its memory");
                continue;
            }
            let Some(start) = addr.0.checked_next_multiple_of(granule) else { continue };
            let end = (addr.0 + u64::from(len)) & !(granule - 1);
            if start < end {
                self.memory.give_back(GuestAddress(start), end - start);
            }
        }
    }

    fn take_stats(&mut self, queue: usize, active: &mut Active) -> Result<(), Broken> {
        let host = self.host.clone();
        let held = &mut self.stats_buffer;
        let mut surplus = Vec::new();
        active.drain(queue, |chain, memory| {
            if !chain.malformed {
                let mut wishes = host.lock();
                wishes.stats.extend(statistics(&chain.readable, memory));
                wishes.answers += 1;
            }
            // The driver has one buffer; should there be more, the older go back.
            surplus.extend(held.replace(chain.head));
            Handled::Kept
        })?;
        for head in surplus {
            if let Some(Some(queue)) = active.queues.get_mut(queue) {
                queue.complete(head, 0)?;
            }
            active.publish(queue)?;
        }
        self.ask_for_stats(active)
    }

    fn ask_for_stats(&mut self, active: &mut Active) -> Result<(), Broken> {
        let queue =
            (2..active.queues.len()).find(|queue| Self::role(active, *queue) == Some(Role::Stats));
        let Some(index) = queue else { return Ok(()) };
        let Some(Some(queue)) = active.queues.get_mut(index) else { return Ok(()) };
        if self.stats_buffer.is_none() || !std::mem::take(&mut self.host.lock().restat) {
            return Ok(());
        }
        if let Some(head) = self.stats_buffer.take() {
            queue.complete(head, 0)?;
        }
        active.publish(index)
    }
}

/// The page numbers of an inflate or deflate request.
fn page_numbers(chain: &Chain, memory: &Memory) -> Vec<u32> {
    if chain.malformed {
        return Vec::new();
    }
    let mut bytes = vec![0; (chain.readable.len() as usize).min(4 * MAX_PFNS)];
    let Ok(count) = chain.readable.read(memory, 0, &mut bytes) else {
        return Vec::new();
    };
    let words = bytes[..count].chunks_exact(4);
    words.map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect()
}

fn statistics(buffer: &Span, memory: &Memory) -> Vec<(Stat, u64)> {
    let mut bytes = vec![0; (buffer.len() as usize).min(STAT * MAX_STATS)];
    let Ok(count) = buffer.read(memory, 0, &mut bytes) else {
        return Vec::new();
    };
    let entries = bytes[..count].chunks_exact(STAT);
    let parse = |entry: &[u8]| {
        let stat = Stat::from_tag(u16::from_le_bytes([entry[0], entry[1]]))?;
        let mut value = [0; 8];
        value.copy_from_slice(&entry[2..]);
        Some((stat, u64::from_le_bytes(value)))
    };
    entries.filter_map(parse).collect()
}

impl VirtioDevice for Balloon {
    fn id(&self) -> u32 {
        VIRTIO_ID_BALLOON
    }

    fn features(&self) -> u64 {
        let oom = u64::from(self.deflate_on_oom) << F_DEFLATE_ON_OOM;
        oom | 1 << F_STATS | 1 << F_REPORTING
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; 4]
    }

    fn config(&self) -> ConfigSpace {
        self.host.0.config.clone()
    }

    fn activate(&mut self, active: &mut Active, _watch: &mut dyn Watch) -> std::io::Result<()> {
        self.host.0.bell.attach(&active.doorbell);
        Ok(())
    }

    fn notify(
        &mut self,
        queue: usize,
        active: &mut Active,
        _watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        match Self::role(active, queue) {
            None => Ok(()),
            Some(Role::Stats) => self.take_stats(queue, active),
            Some(role) => active.drain(queue, |chain, memory| {
                match role {
                    Role::Inflate => self.inflate(chain, memory),
                    Role::Deflate => self.deflate(chain, memory),
                    _ if chain.malformed => {}
                    _ => self.report(&chain.writable, memory),
                }
                Handled::Done(0)
            }),
        }
    }

    fn host_event(&mut self, active: &mut Active, _watch: &mut dyn Watch) -> Result<(), Broken> {
        if std::mem::take(&mut self.host.lock().retarget) {
            active.interrupt.config_changed();
        }
        self.ask_for_stats(active)
    }

    fn quiesce(&mut self, active: &mut Active, _watch: &mut dyn Watch) {
        // The buffer is the only one out of its queue: it goes back as if never taken.
        if self.stats_buffer.take().is_some() {
            let stats = (2..active.queues.len())
                .find(|queue| Self::role(active, *queue) == Some(Role::Stats));
            if let Some(Some(queue)) = stats.and_then(|index| active.queues.get_mut(index)) {
                queue.unpop();
            }
        }
    }

    fn reset(&mut self, _watch: &mut dyn Watch) {
        self.inside.clear();
        self.stats_buffer = None;
        self.host.0.config.update(|config| config[4..8].fill(0));
    }
}

#[cfg(test)]
#[path = "balloon_tests.rs"]
mod tests;
