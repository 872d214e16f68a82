//! Loads and stores of vector registers where alignment and translation are checked by element.

use super::*;

// Encodings (Arm ARM C7.2), base X1.
const LD1_16B: u32 = 0x4c40_7020;
const LD1_16B_POST: u32 = 0x4cdf_7020;
const LD1_8H: u32 = 0x4c40_7420;
const ST1_16B: u32 = 0x4c00_7020;
const ST2_2D: u32 = 0x4c00_8c20;
const LD1R_4S: u32 = 0x4d40_c820;
const LDR_Q: u32 = 0x3dc0_0020;
/// LDR Q0 from the second instruction after this one.
const LDR_Q_LITERAL: u32 = 0x9c00_0040;

/// ESR of a data abort at EL1: alignment, translation at level 3.
const ALIGNMENT: u64 = 0x25 << 26 | 1 << 25 | 0x21;
const TRANSLATION: u64 = 0x25 << 26 | 1 << 25 | 0x07;
const WRITE: u64 = 1 << 6;

/// A machine that allows SIMD&FP, with the bytes 0 to 63 at `DATA`.
fn machine() -> Machine {
    let mut m = Machine::new();
    m.set(id::CPACR_EL1, 3 << 20);
    for word in 0..8 {
        let bytes = core::array::from_fn(|k| 8 * word + k as u8);
        m.write(DATA + 8 * u64::from(word), u64::from_le_bytes(bytes));
    }
    m
}

/// The bytes `first`, `first + 1`, … of a register.
fn bytes_from(first: u8) -> u128 {
    u128::from_le_bytes(core::array::from_fn(|k| first + k as u8))
}

/// Runs an access at `va`: `Ok`, or ESR and FAR.
fn access(m: &mut Machine, word: u32, va: u64) -> Result<(), (u64, u64)> {
    m.cpu.set_x(1, va);
    match m.vector(&[word, svc(0)], EL1) {
        _ if m.get(id::ESR_EL1) >> 26 == 0x15 => Ok(()),
        _ => Err((m.get(id::ESR_EL1), m.get(id::FAR_EL1))),
    }
}

/// Memory is Device while the MMU is off: elements have to be aligned, registers do not (B2.8.2).
#[test]
fn device_memory_checks_elements() {
    let mut m = machine();
    assert_eq!(access(&mut m, LD1_16B, DATA + 1), Ok(()));
    assert_eq!(m.cpu.v[0], bytes_from(1));
    assert_eq!(access(&mut m, LD1_8H, DATA + 2), Ok(()));
    assert_eq!(m.cpu.v[0], bytes_from(2));
    assert_eq!(access(&mut m, LD1_8H, DATA + 3), Err((ALIGNMENT, DATA + 3)));
    assert_eq!(access(&mut m, LD1R_4S, DATA + 2), Err((ALIGNMENT, DATA + 2)));
    assert_eq!(access(&mut m, LDR_Q, DATA + 8), Err((ALIGNMENT, DATA + 8)));
    assert_eq!(access(&mut m, ST2_2D, DATA + 8), Ok(()));
    assert_eq!(access(&mut m, ST2_2D, DATA + 4), Err((ALIGNMENT | WRITE, DATA + 4)));
}

/// Normal memory has no such rule unless SCTLR_EL1.A makes one.
#[test]
fn alignment_check_enable() {
    let mut m = machine();
    m.mmu_on();
    m.map(DATA, DATA, 3, AF);
    for word in [LD1_16B, LD1_8H, LD1R_4S, LDR_Q] {
        assert_eq!(access(&mut m, word, DATA + 3), Ok(()), "{word:#x}");
    }
    let sctlr = m.get(id::SCTLR_EL1);
    m.set(id::SCTLR_EL1, sctlr | 1 << 1);
    assert_eq!(access(&mut m, LD1_16B, DATA + 3), Ok(()));
    assert_eq!(m.cpu.v[0], bytes_from(3));
    for word in [LD1_8H, LD1R_4S, LDR_Q] {
        assert_eq!(access(&mut m, word, DATA + 3), Err((ALIGNMENT, DATA + 3)), "{word:#x}");
    }
}

/// An access that reaches an unmapped page faults there and leaves its base alone.
#[test]
fn second_page_unmapped() {
    let mut m = machine();
    m.mmu_on();
    m.map(DATA, DATA, 3, AF);
    let (end, unmapped) = (DATA + 0xff8, DATA + 0x1000);
    assert_eq!(access(&mut m, LD1_16B_POST, end), Err((TRANSLATION, unmapped)));
    assert_eq!(m.cpu.x(1), end);
    assert_eq!(access(&mut m, ST1_16B, end), Err((TRANSLATION | WRITE, unmapped)));
    m.map(unmapped, DATA, 3, AF);
    assert_eq!(access(&mut m, LD1_16B_POST, end), Ok(()));
    assert_eq!(m.cpu.x(1), end + 16);
    assert_eq!(m.cpu.v[0] >> 64, bytes_from(0) & u128::from(u64::MAX));
}

/// A literal is relative to its instruction, wherever in a block that is.
#[test]
fn literal() {
    let mut m = machine();
    m.mmu_on();
    for nops in 0..4 {
        let mut words = vec![NOP; nops];
        words.extend([LDR_Q_LITERAL, svc(0), 0x0302_0100, 0x0706_0504, 0x0b0a_0908, 0x0f0e_0d0c]);
        m.cpu.v[0] = 0;
        m.vector(&words, EL1);
        assert_eq!(m.cpu.v[0], bytes_from(0), "after {nops} instructions");
    }
}
