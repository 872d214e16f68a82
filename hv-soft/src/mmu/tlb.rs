//! The software TLB: direct-mapped, tagged with the execution context, one array for each kind of
//! access, whose entries lead straight to host memory.
//!
//! A tag is the virtual page with the context in its low twelve bits. The context says which regime
//! the translation was made for and which *slot* stands for its ASID; dropping all entries of an
//! ASID, or all entries, just retires slots. The arrays are cleared when the slots run out.

use crate::mem::PAGE;

/// Entries of each array.
const ENTRIES: usize = 1024;
/// Slots that stand for ASIDs (or for the global half).
const SLOTS: u64 = 512;

/// Set in a tag when only naturally aligned accesses may use the entry (Device memory, `SCTLR.A`).
pub(crate) const ALIGNED_ONLY: u64 = 1 << 11;
const REGIME_SHIFT: u32 = 9;
/// A tag that no access has: regime 3 does not exist.
const NEVER: u64 = 3 << REGIME_SHIFT;

/// On whose behalf an access is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Regime {
    /// EL0, or LDTR and STTR.
    User = 0,
    /// EL1.
    Kernel = 1,
    /// EL1 with `PSTATE.PAN`.
    KernelPan = 2,
}

/// One translation.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u64,
    /// For data, host address minus virtual address; for instructions, the address of the
    /// [`CodePage`](crate::cpu::block::CodePage).
    payload: u64,
}

const EMPTY: Entry = Entry { tag: NEVER, payload: 0 };

/// The translations for one kind of access.
#[derive(Debug)]
pub(crate) struct Tlb {
    entries: [Entry; ENTRIES],
}

impl Tlb {
    pub(crate) const fn new() -> Tlb {
        Tlb { entries: [EMPTY; ENTRIES] }
    }

    fn index(va: u64) -> usize {
        (va / PAGE) as usize % ENTRIES
    }

    /// Host address for an access of `size` bytes within one page.
    #[inline(always)]
    pub(crate) fn lookup(&self, va: u64, size: u64, context: u64) -> Option<*mut u8> {
        let entry = &self.entries[Self::index(va)];
        // The entry at the index of the first byte's page can only hold the last byte's page if
        // both are the same.
        let page = va.wrapping_add(size - 1) & !(PAGE - 1);
        (entry.tag == page | context).then(|| va.wrapping_add(entry.payload) as *mut u8)
    }

    /// What the entry for the page of `va` leads to.
    #[inline(always)]
    pub(crate) fn payload(&self, va: u64, context: u64) -> Option<u64> {
        let entry = &self.entries[Self::index(va)];
        (entry.tag == va & !(PAGE - 1) | context).then_some(entry.payload)
    }

    pub(crate) fn insert(&mut self, va: u64, tag_bits: u64, payload: u64) {
        self.entries[Self::index(va)] = Entry { tag: va & !(PAGE - 1) | tag_bits, payload };
    }

    /// Drops every entry that leads to `payload`.
    pub(crate) fn drop_payload(&mut self, payload: u64) {
        for entry in &mut self.entries {
            if entry.payload == payload {
                *entry = EMPTY;
            }
        }
    }

    fn drop_page(&mut self, va: u64) {
        self.entries[Self::index(va)] = EMPTY;
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.entries.fill(EMPTY);
    }
}

/// The translations of one vCPU, with the contexts in use.
#[derive(Debug)]
pub(crate) struct Tlbs {
    pub(crate) read: Tlb,
    pub(crate) write: Tlb,
    pub(crate) exec: Tlb,
    /// Which slot stands for which ASID.
    asids: [(u16, u16); 16],
    asids_used: usize,
    victim: usize,
    next_slot: u64,
    global_slot: u64,
    /// Hashes of 2 MiB and 1 GiB regions from which a page of a block mapping is cached.
    blocks_2m: [u64; 8],
    blocks_1g: u64,
}

impl Tlbs {
    pub(crate) const fn new() -> Tlbs {
        Tlbs {
            read: Tlb::new(),
            write: Tlb::new(),
            exec: Tlb::new(),
            asids: [(0, 0); 16],
            asids_used: 0,
            victim: 0,
            next_slot: 1,
            global_slot: 0,
            blocks_2m: [0; 8],
            blocks_1g: 0,
        }
    }

    /// Tag bits of a context: `[lower half, upper half]` of the address space.
    pub(crate) fn contexts(&mut self, asid: u16, regime: Regime) -> [u64; 2] {
        let slot = self.slot_of(asid);
        let regime = (regime as u64) << REGIME_SHIFT;
        [slot | regime, self.global_slot | regime]
    }

    fn slot_of(&mut self, asid: u16) -> u64 {
        let known = &self.asids[..self.asids_used];
        if let Some(&(_, slot)) = known.iter().find(|&&(a, _)| a == asid) {
            return slot.into();
        }
        let slot = self.new_slot();
        let at = if self.asids_used < self.asids.len() {
            self.asids_used += 1;
            self.asids_used - 1
        } else {
            self.victim = (self.victim + 1) % self.asids.len();
            self.victim
        };
        self.asids[at] = (asid, slot as u16);
        slot
    }

    fn new_slot(&mut self) -> u64 {
        if self.next_slot == SLOTS {
            self.read.clear();
            self.write.clear();
            self.exec.clear();
            self.asids_used = 0;
            self.global_slot = 0;
            self.next_slot = 1;
        }
        self.next_slot += 1;
        self.next_slot - 1
    }

    /// Notes that a page of a larger block mapping is about to be cached.
    pub(crate) fn note_block(&mut self, va: u64, level: u8) {
        match level {
            2 => self.blocks_2m[(va >> 27 & 7) as usize] |= 1 << (va >> 21 & 63),
            _ => self.blocks_1g |= 1 << (va >> 30 & 63),
        }
    }

    /// Drops everything. Contexts change: recompute them afterwards.
    pub(crate) fn drop_all(&mut self) {
        self.asids_used = 0;
        self.blocks_2m = [0; 8];
        self.blocks_1g = 0;
        if self.next_slot + 2 > SLOTS {
            self.next_slot = SLOTS;
        }
        self.global_slot = self.new_slot();
    }

    /// Drops the entries of an ASID. Contexts change: recompute them afterwards.
    pub(crate) fn drop_asid(&mut self, asid: u16) {
        for entry in &mut self.asids[..self.asids_used] {
            if entry.0 == asid {
                // Keep the array dense: give the ASID a slot that nothing is tagged with.
                entry.1 = 0;
            }
        }
        if let Some(at) = self.asids[..self.asids_used].iter().position(|e| e.1 == 0) {
            self.asids_used -= 1;
            self.asids.swap(at, self.asids_used);
        }
    }

    /// Drops the entries of a page in every context, or everything if the page is part of a larger
    /// block. Contexts may change: recompute them afterwards.
    pub(crate) fn drop_page(&mut self, va: u64) {
        if self.blocks_2m[(va >> 27 & 7) as usize] >> (va >> 21 & 63) & 1 != 0
            || self.blocks_1g >> (va >> 30 & 63) & 1 != 0
        {
            self.drop_all();
            return;
        }
        self.read.drop_page(va);
        self.write.drop_page(va);
        self.exec.drop_page(va);
    }
}
