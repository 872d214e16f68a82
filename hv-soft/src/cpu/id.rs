//! Identification registers: exactly what is implemented (Arm ARM D17.2).

use crate::cpu::sysreg::id;

/// Smallest cache line that the guest may assume, as the logarithm of its words: 64 bytes.
const LINE_WORDS_LOG2: u64 = 4;

/// CTR_EL0: PIPT instruction cache, 64-byte lines, IDC (no clean to the point of unification needed
/// before IC IVAU), but not DIC: decoded blocks are dropped by IC IVAU.
pub(crate) const CTR: u64 = 1 << 31
    | 1 << 28
    | LINE_WORDS_LOG2 << 24
    | LINE_WORDS_LOG2 << 20
    | LINE_WORDS_LOG2 << 16
    | 3 << 14
    | LINE_WORDS_LOG2;

/// DCZID_EL0: DC ZVA writes 64 bytes.
pub(crate) const DCZID: u64 = LINE_WORDS_LOG2;

/// CLIDR_EL1: separate level-1 caches, level of unification and coherency 1.
const CLIDR: u64 = 3 | 1 << 21 | 1 << 24 | 1 << 27;

/// CCSIDR_EL1 of either level-1 cache: 64-byte lines, 4 ways, 256 sets.
pub(crate) const CCSIDR: u64 = 2 | 3 << 3 | 255 << 13;

/// MIDR_EL1: implementer 0 (reserved for software use), architecture by ID registers.
const MIDR: u64 = 0xf << 16 | 1 << 4;

/// ID_AA64PFR0_EL1: CSV3, CSV2, GIC system registers, FP and AdvSIMD without half-precision
/// arithmetic, EL1 and EL0 in AArch64 only.
const PFR0: u64 = 1 << 60 | 1 << 56 | 1 << 24 | 1 << 4 | 1;

/// ID_AA64ISAR0_EL1: DP, RDM, LSE, CRC32, SHA256, SHA1, AES with PMULL.
const ISAR0: u64 = 1 << 44 | 1 << 28 | 2 << 20 | 1 << 16 | 1 << 12 | 1 << 8 | 2 << 4;

/// ID_AA64ISAR1_EL1: LRCPC.
const ISAR1: u64 = 1 << 20;

/// ID_AA64MMFR0_EL1: 4 KiB granule only, 16-bit ASIDs, 40-bit physical addresses.
const MMFR0: u64 = 0xf << 24 | 2 << 4 | 2;

/// ID_AA64MMFR1_EL1: PAN.
const MMFR1: u64 = 1 << 20;

/// ID_AA64MMFR2_EL1: E0PD.
const MMFR2: u64 = 1 << 60;

/// ID_AA64DFR0_EL1: Armv8 debug, two breakpoints (one of them context-aware), two watchpoints, no PMU.
const DFR0: u64 = 1 << 20 | 1 << 12 | 6;

/// The value of an identification register that is a constant. The reserved part of the space reads
/// as zero.
pub(crate) fn constant(reg: u16) -> Option<u64> {
    Some(match reg {
        id::MIDR_EL1 => MIDR,
        id::REVIDR_EL1 | id::AIDR_EL1 => 0,
        id::CTR_EL0 => CTR,
        id::DCZID_EL0 => DCZID,
        id::CLIDR_EL1 => CLIDR,
        id::ID_AA64PFR0_EL1 => PFR0,
        id::ID_AA64ISAR0_EL1 => ISAR0,
        id::ID_AA64ISAR1_EL1 => ISAR1,
        id::ID_AA64MMFR0_EL1 => MMFR0,
        id::ID_AA64MMFR1_EL1 => MMFR1,
        id::ID_AA64MMFR2_EL1 => MMFR2,
        id::ID_AA64DFR0_EL1 => DFR0,
        // S3_0_C0_C1_x to S3_0_C0_C7_x.
        _ if reg & !0x3f == id::MIDR_EL1 & !0x3f && reg >> 3 & 15 != 0 => 0,
        _ if reg & !0x7 == 0xc000 | 7 << 3 => 0,
        _ => return None,
    })
}
