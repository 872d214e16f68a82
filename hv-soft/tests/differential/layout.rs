//! Addresses and the record of one instance; `guest/layout.h` states the same numbers for the guests.

/// Where the guest image is linked, and how much is mapped for it.
pub(crate) const IMAGE_VA: u64 = 0x4000_0000;
pub(crate) const IMAGE_SIZE: u64 = 0x0010_0000;
/// Random bytes around the slots.
pub(crate) const ARENA_VA: u64 = 0x4400_0000;
pub(crate) const ARENA_SIZE: u64 = 0x0040_0000;
/// The instances' code: one slot each.
pub(crate) const SLOTS_VA: u64 = 0x4420_0000;
pub(crate) const SLOT_SIZE: u64 = 64;
/// Words of a slot that hold instructions; the last two hold the value of x30.
pub(crate) const SLOT_WORDS: usize = 14;
/// Input and output records.
pub(crate) const IN_VA: u64 = 0x6000_0000;
pub(crate) const OUT_VA: u64 = 0x6100_0000;
pub(crate) const IO_SIZE: u64 = 0x0100_0000;
/// Six pages: unmapped, writable, writable, unmapped, read-only, unmapped.
pub(crate) const SCRATCH_VA: u64 = 0x7000_0000;
/// The bytes that an instance's loads and stores meet, across the border of the two writable pages.
pub(crate) const WINDOW_VA: u64 = 0x7000_1f80;
pub(crate) const WINDOW_SIZE: usize = 256;
/// The most instances of one batch.
pub(crate) const BATCH: usize = 2048;

/// Offset of the arena's contents in the memory shared with the oracle.
pub(crate) const SHARED_ARENA: u64 = 2 * IO_SIZE;
pub(crate) const SHARED_SIZE: u64 = SHARED_ARENA + ARENA_SIZE;

/// The state before or after one instance.
#[derive(Clone)]
#[repr(C, align(16))]
pub(crate) struct Record {
    pub nzcv: u64,
    pub fpcr: u64,
    pub fpsr: u64,
    pub sp: u64,
    pub x: [u64; 31],
    /// Before: bit 0 says that the window is part of the instance. After: what kind of fault happened, 0 for none.
    pub flags: u64,
    /// Before: the slot. After: address and program counter of the fault.
    pub code: [u32; 16],
    pub v: [u128; 32],
    pub window: [u8; WINDOW_SIZE],
}

/// `Record::flags`: the window is copied in and out.
pub(crate) const FLAG_WINDOW: u64 = 1;

const _: () = assert!(size_of::<Record>() == 1120);
const _: () = assert!(
    BATCH as u64 * SLOT_SIZE <= 0x10_0000 && BATCH * size_of::<Record>() <= IO_SIZE as usize
);

impl Record {
    pub(crate) fn zeroed() -> Self {
        Record {
            nzcv: 0,
            fpcr: 0,
            fpsr: 0,
            sp: 0,
            x: [0; 31],
            flags: 0,
            code: [0; 16],
            v: [0; 32],
            window: [0; WINDOW_SIZE],
        }
    }

    /// The address that came with the fault of an output record.
    pub(crate) fn fault_address(&self) -> u64 {
        u64::from(self.code[0]) | u64::from(self.code[1]) << 32
    }

    /// Where the fault of an output record happened.
    pub(crate) fn fault_pc(&self) -> u64 {
        u64::from(self.code[2]) | u64::from(self.code[3]) << 32
    }
}

/// The address of instance `index` of a batch.
pub(crate) fn slot_va(index: usize) -> u64 {
    SLOTS_VA + index as u64 * SLOT_SIZE
}
