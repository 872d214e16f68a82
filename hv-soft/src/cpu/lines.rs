//! What other threads may ask of a vCPU while it runs: interrupts, an exit, TLB and
//! instruction-cache maintenance.
//!
//! One word, tested with one relaxed load at block boundaries.

use std::sync::PoisonError;

use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, fence};

/// The IRQ line is asserted.
pub const IRQ: u32 = 1 << 0;
/// The FIQ line is asserted.
pub const FIQ: u32 = 1 << 1;
/// `run` shall return [`CoreExit::Attention`](crate::cpu::CoreExit::Attention). Stays until cleared.
pub const EXIT_REQUEST: u32 = 1 << 2;
/// The mailbox holds maintenance operations.
pub(crate) const MAINTENANCE: u32 = 1 << 3;

/// More TLB operations than this in a mailbox become one that drops all translations. A vCPU that
/// sleeps collects them.
const TLB_LIMIT: usize = 32;
/// More code pages than this in a mailbox become one operation that drops all decoded blocks, which
/// cost more to make again.
const CODE_LIMIT: usize = 1024;
/// More changes of the memory map than this in a mailbox become one that drops everything.
const REMAPPED_LIMIT: usize = 64;

/// Maintenance that one PE asks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maintenance {
    /// TLBI VMALLE1IS.
    TlbAll,
    /// TLBI by address (all ASIDs).
    TlbVa(u64),
    /// TLBI by ASID.
    TlbAsid(u16),
    /// IC IVAU: drop decoded blocks of one guest-physical page.
    CodePage(u64),
    /// IC IALLUIS: drop all decoded blocks.
    CodeAll,
    /// The memory map changed in this range: take over the new one, and drop what was derived from the old one.
    Remapped {
        /// First guest-physical address.
        ipa: u64,
        /// Length in bytes.
        len: u64,
    },
    /// The memory map changed: drop everything that was derived from the old one.
    RemappedAll,
}

impl Maintenance {
    /// The operation that does this one's work and that of its kind, and how many to keep before it
    /// takes their place.
    fn whole(self) -> (Maintenance, usize) {
        match self {
            Maintenance::TlbAll | Maintenance::TlbVa(_) | Maintenance::TlbAsid(_) => {
                (Maintenance::TlbAll, TLB_LIMIT)
            }
            Maintenance::CodeAll | Maintenance::CodePage(_) => (Maintenance::CodeAll, CODE_LIMIT),
            Maintenance::RemappedAll | Maintenance::Remapped { .. } => {
                (Maintenance::RemappedAll, REMAPPED_LIMIT)
            }
        }
    }
}

/// Adds an operation to those that wait. They commute, except that nothing is left to do beside
/// [`Maintenance::RemappedAll`].
fn enqueue(waiting: &mut Vec<Maintenance>, op: Maintenance) {
    let (whole, limit) = op.whole();
    let done =
        |&other: &Maintenance| other == op || other == whole || other == Maintenance::RemappedAll;
    if waiting.iter().any(done) {
        return;
    }
    let alike = waiting.iter().filter(|other| other.whole().0 == whole).count();
    if op != whole && alike < limit {
        return waiting.push(op);
    }
    match whole {
        Maintenance::RemappedAll => waiting.clear(),
        whole => waiting.retain(|other| other.whole().0 != whole),
    }
    waiting.push(whole);
}

/// The lines into one vCPU.
#[derive(Debug, Default)]
pub struct Lines {
    attention: AtomicU32,
    /// The vCPU's thread is inside `run`, so it may use translations and decoded code.
    running: AtomicBool,
    /// Event register of WFE (Arm ARM D1.6.1).
    event: AtomicBool,
    posted: AtomicU64,
    done: AtomicU64,
    mailbox: Mutex<Vec<Maintenance>>,
}

impl Lines {
    /// The attention word.
    #[inline(always)]
    pub fn attention(&self) -> u32 {
        self.attention.load(Ordering::Relaxed)
    }

    /// Asserts lines. The caller wakes the vCPU if it sleeps outside the core.
    pub fn assert(&self, bits: u32) {
        self.attention.fetch_or(bits, Ordering::AcqRel);
    }

    /// Deasserts lines.
    pub fn deassert(&self, bits: u32) {
        self.attention.fetch_and(!bits, Ordering::AcqRel);
    }

    /// Sets the event register.
    pub fn send_event(&self) {
        self.event.store(true, Ordering::SeqCst);
    }

    /// Clears the event register; returns whether it was set.
    pub(crate) fn take_event(&self) -> bool {
        self.event.load(Ordering::Relaxed) && self.event.swap(false, Ordering::SeqCst)
    }

    fn mailbox(&self) -> MutexGuard<'_, Vec<Maintenance>> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts an operation; returns the ticket to wait for.
    pub(crate) fn post(&self, op: Maintenance) -> u64 {
        let mut mailbox = self.mailbox();
        enqueue(&mut mailbox, op);
        let ticket = self.posted.fetch_add(1, Ordering::Relaxed) + 1;
        self.assert(MAINTENANCE);
        // Between the store to the attention word and the load of `running`; its twin is in
        // `set_running`. One of the two sides sees the other.
        fence(Ordering::SeqCst);
        ticket
    }

    /// Whether the operation with this ticket can no longer be observed: done, or the vCPU is outside
    /// guest code and will do it before it returns there.
    pub(crate) fn acknowledged(&self, ticket: u64) -> bool {
        self.done.load(Ordering::Acquire) >= ticket || !self.running.load(Ordering::Acquire)
    }

    /// Takes what was posted, with the ticket to pass to [`finish`](Lines::finish).
    pub(crate) fn collect(&self) -> (Vec<Maintenance>, u64) {
        let mut mailbox = self.mailbox();
        self.deassert(MAINTENANCE);
        (std::mem::take(&mut *mailbox), self.posted.load(Ordering::Relaxed))
    }

    /// Acknowledges everything up to the ticket.
    pub(crate) fn finish(&self, ticket: u64) {
        self.done.store(ticket, Ordering::Release);
    }

    /// Marks the vCPU as inside or outside guest code.
    pub(crate) fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Release);
        if running {
            // Before the first load of the attention word; see `post`.
            fence(Ordering::SeqCst);
        }
    }
}
