//! The flat stage-1 mapping under which the harness runs at EL0 on hv-soft (DDI 0487, D8.3: 4 KiB granule, 48 bits).

use crate::layout::*;

/// Guest-physical memory: one piece, and where in it everything lies. The image alone is where its virtual address
/// is, so that it can turn translation on.
pub(crate) const RAM_IPA: u64 = IMAGE_VA;
pub(crate) const RAM_SIZE: u64 = 0x0400_0000;
const IMAGE: u64 = 0;
pub(crate) const ARENA: u64 = 0x0020_0000;
pub(crate) const IN: u64 = 0x0100_0000;
pub(crate) const OUT: u64 = 0x0200_0000;
const TABLES: u64 = 0x0300_0000;
const SCRATCH: u64 = 0x0310_0000;

/// TTBR0_EL1.
pub(crate) const ROOT: u64 = RAM_IPA + TABLES;
/// TCR_EL1: T0SZ 16, cacheable inner shareable walks, EPD1, IPS 40 bits, TBI0 as Linux sets it.
pub(crate) const TCR: u64 = 16 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2 << 32 | 1 << 37;
/// MAIR_EL1: attribute 0 is normal write-back memory.
pub(crate) const MAIR: u64 = 0xff;
/// SCTLR_EL1: M, C, I and the RES1 bits of Armv8.0; DZE, UCT, UCI, nTWI and nTWE give EL0 what Linux gives it.
pub(crate) const SCTLR: u64 = 1
    | 1 << 2
    | 1 << 12
    | 1 << 11
    | 1 << 20
    | 1 << 22
    | 1 << 23
    | 1 << 28
    | 1 << 29
    | 1 << 14
    | 1 << 15
    | 1 << 26
    | 1 << 16
    | 1 << 18;

const PAGE: u64 = 0b11;
const BLOCK: u64 = 0b01;
const TABLE: u64 = 0b11;
/// Access flag, inner shareable, not global.
const NORMAL: u64 = 1 << 10 | 3 << 8 | 1 << 11;
const USER_RW: u64 = 1 << 6;
const USER_RO: u64 = 3 << 6;
const KERNEL_RO: u64 = 2 << 6;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;

/// The tables' entries: offset in RAM and value.
pub(crate) fn entries() -> Vec<(u64, u64)> {
    let table = |n: u64| TABLES + n * 0x1000;
    let mut entries = vec![
        (table(0), (RAM_IPA + table(1)) | TABLE),
        (table(1) + 8 * index(IMAGE_VA, 30), (RAM_IPA + table(2)) | TABLE),
        // Level 2: the image and the scratch pages by pages, the rest by blocks of 2 MiB.
        (table(2) + 8 * index(IMAGE_VA, 21), (RAM_IPA + table(3)) | TABLE),
        (table(2) + 8 * index(SCRATCH_VA, 21), (RAM_IPA + table(4)) | TABLE),
    ];
    let mut block = |va: u64, offset: u64, size: u64, attributes: u64| {
        for at in (0..size).step_by(0x20_0000) {
            entries.push((
                table(2) + 8 * index(va + at, 21),
                (RAM_IPA + offset + at) | attributes | NORMAL | BLOCK,
            ));
        }
    };
    block(ARENA_VA, ARENA, ARENA_SIZE, USER_RW | PXN);
    block(IN_VA, IN, IO_SIZE, USER_RO | PXN | UXN);
    block(OUT_VA, OUT, IO_SIZE, USER_RW | PXN | UXN);
    for at in (0..IMAGE_SIZE).step_by(0x1000) {
        let attributes = match at {
            0..0x1_0000 => USER_RO | PXN,
            0x1_0000..0x2_0000 => KERNEL_RO | UXN,
            _ => USER_RW | PXN | UXN,
        };
        entries.push((
            table(3) + 8 * index(IMAGE_VA + at, 12),
            (RAM_IPA + IMAGE + at) | attributes | NORMAL | PAGE,
        ));
    }
    for (page, attributes) in [(1, USER_RW), (2, USER_RW), (4, USER_RO)] {
        let va = SCRATCH_VA + page * 0x1000;
        let pa = RAM_IPA + SCRATCH + page * 0x1000;
        entries.push((table(4) + 8 * index(va, 12), pa | attributes | NORMAL | PXN | UXN | PAGE));
    }
    entries
}

fn index(va: u64, shift: u32) -> u64 {
    va >> shift & 511
}
