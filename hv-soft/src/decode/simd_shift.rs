//! AdvSIMD shifts by immediate (Arm ARM C4.1.96, "Advanced SIMD shift by immediate", "… scalar shift
//! by immediate").
//!
//! The highest set bit of immh (bits 22:19) is the element size; the amount is the rest of immh:immb.

use super::Pattern;
use super::simd::SimdOp::*;
use super::simd::sizes::*;
use super::simd::{SimdOp, aux, q, unsigned, vector_width, with_registers};
use super::simd_three::rows;
use crate::insn::Insn;

/// All classes of this file.
pub(super) static GROUPS: [&[Pattern]; 10] = [
    RIGHT,
    LEFT,
    NARROW,
    LONG,
    FIXED,
    RIGHT_SCALAR,
    LEFT_SCALAR,
    NARROW_SCALAR,
    FIXED_SCALAR,
    SHLL,
];

/// Element size, and the amounts of a shift to the left and to the right.
fn amounts(word: u32) -> Option<(u32, u64, u64)> {
    let immh_immb = word >> 16 & 0x7f;
    let size = (immh_immb >> 3).checked_ilog2()?;
    let bits = 8 << size;
    Some((size, u64::from(immh_immb - bits), u64::from(2 * bits - immh_immb)))
}

fn by_right(word: u32, op: SimdOp, allowed: u32, is_vector: bool) -> Option<Insn> {
    let (size, _, imm) = amounts(word)?;
    sized(word, op, size, allowed, is_vector, imm)
}

fn by_left(word: u32, op: SimdOp, allowed: u32, is_vector: bool) -> Option<Insn> {
    let (size, imm, _) = amounts(word)?;
    sized(word, op, size, allowed, is_vector, imm)
}

fn sized(
    word: u32,
    op: SimdOp,
    size: u32,
    allowed: u32,
    is_vector: bool,
    imm: u64,
) -> Option<Insn> {
    if allowed >> size & 1 == 0 || (is_vector && size == 3 && !q(word)) {
        return None;
    }
    let width = if is_vector { vector_width(word) } else { size as u8 };
    Some(Insn { imm, ..with_registers(word, op, width, size | unsigned(word)) })
}

fn right(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    by_right(word, op, allowed, true)
}

static RIGHT: &[Pattern] = rows! {
    0xbf80_fc00, 0x0f00_0400, 11, right;
    "sshr" 0 0b00000 Shr BHSD;
    "ssra" 0 0b00010 Sra BHSD;
    "srshr" 0 0b00100 Rshr BHSD;
    "srsra" 0 0b00110 Rsra BHSD;
    "ushr" 1 0b00000 Shr BHSD;
    "usra" 1 0b00010 Sra BHSD;
    "urshr" 1 0b00100 Rshr BHSD;
    "ursra" 1 0b00110 Rsra BHSD;
    "sri" 1 0b01000 Sri BHSD;
};

fn left(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    by_left(word, op, allowed, true)
}

static LEFT: &[Pattern] = rows! {
    0xbf80_fc00, 0x0f00_0400, 11, left;
    "shl" 0 0b01010 Shl BHSD;
    "sqshl_imm" 0 0b01110 Qshl BHSD;
    "sli" 1 0b01010 Sli BHSD;
    "sqshlu" 1 0b01100 Qshlu BHSD;
    "uqshl_imm" 1 0b01110 Qshl BHSD;
};

/// Narrowing shifts, into the upper half if Q. U alone does not tell the sign.
fn narrow(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    let (size, _, imm) = amounts(word)?;
    let upper = if q(word) { aux::UPPER } else { 0 };
    (size < 3)
        .then(|| Insn { imm, ..with_registers(word, op, aux::WIDTH_64, size | upper | variant) })
}

static NARROW: &[Pattern] = rows! {
    0xbf80_fc00, 0x0f00_0400, 11, narrow;
    "shrn" 0 0b10000 Shrn 0;
    "rshrn" 0 0b10001 Rshrn 0;
    "sqshrn" 0 0b10010 Qshrn 0;
    "sqrshrn" 0 0b10011 Qrshrn 0;
    "uqshrn" 1 0b10010 Qshrn aux::UNSIGNED;
    "uqrshrn" 1 0b10011 Qrshrn aux::UNSIGNED;
    "sqshrun" 1 0b10000 Qshrun 0;
    "sqrshrun" 1 0b10001 Qrshrun 0;
};

/// Widening shifts, of the upper half if Q.
fn long(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    let (size, imm, _) = amounts(word)?;
    let upper = if q(word) { aux::UPPER } else { 0 };
    (allowed >> size & 1 != 0).then(|| Insn {
        imm,
        ..with_registers(word, op, aux::WIDTH_128, size | upper | unsigned(word))
    })
}

static LONG: &[Pattern] = rows! {
    0xbf80_fc00, 0x0f00_0400, 11, long;
    "sshll" 0 0b10100 Shll BHS;
    "ushll" 1 0b10100 Shll BHS;
};

/// SHLL: by the width of the element, which is in bits 23:22.
static SHLL: &[Pattern] = &[Pattern::new("shll", "0q101110 zz100001 001110nn nnnddddd", |word| {
    let size = word >> 22 & 3;
    let upper = if q(word) { aux::UPPER } else { 0 };
    (size < 3).then(|| Insn {
        imm: 8 << size,
        ..with_registers(word, Shll, aux::WIDTH_128, size | upper | aux::UNSIGNED)
    })
})];

/// Conversions between fixed point and floating point; the fraction bits are a right shift's amount.
fn fixed(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    let insn = by_right(word, op, SD, true)?;
    Some(Insn { aux: insn.aux | variant, ..insn })
}

/// Towards zero.
const ROUND_Z: u32 = 3 << aux::ROUNDING_SHIFT;

static FIXED: &[Pattern] = rows! {
    0xbf80_fc00, 0x0f00_0400, 11, fixed;
    "scvtf_vec_fixed" 0 0b11100 Cvtf 0;
    "fcvtzs_vec_fixed" 0 0b11111 FcvtInt ROUND_Z;
    "ucvtf_vec_fixed" 1 0b11100 Cvtf 0;
    "fcvtzu_vec_fixed" 1 0b11111 FcvtInt ROUND_Z;
};

fn right_scalar(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    by_right(word, op, allowed, false)
}

static RIGHT_SCALAR: &[Pattern] = rows! {
    0xff80_fc00, 0x5f00_0400, 11, right_scalar;
    "sshr_scalar" 0 0b00000 Shr D;
    "ssra_scalar" 0 0b00010 Sra D;
    "srshr_scalar" 0 0b00100 Rshr D;
    "srsra_scalar" 0 0b00110 Rsra D;
    "ushr_scalar" 1 0b00000 Shr D;
    "usra_scalar" 1 0b00010 Sra D;
    "urshr_scalar" 1 0b00100 Rshr D;
    "ursra_scalar" 1 0b00110 Rsra D;
    "sri_scalar" 1 0b01000 Sri D;
};

fn left_scalar(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    by_left(word, op, allowed, false)
}

static LEFT_SCALAR: &[Pattern] = rows! {
    0xff80_fc00, 0x5f00_0400, 11, left_scalar;
    "shl_scalar" 0 0b01010 Shl D;
    "sqshl_imm_scalar" 0 0b01110 Qshl BHSD;
    "sli_scalar" 1 0b01010 Sli D;
    "sqshlu_scalar" 1 0b01100 Qshlu BHSD;
    "uqshl_imm_scalar" 1 0b01110 Qshl BHSD;
};

fn narrow_scalar(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    let insn = by_right(word, op, BHS, false)?;
    Some(Insn { aux: insn.aux & aux::SIZE | variant, ..insn })
}

static NARROW_SCALAR: &[Pattern] = rows! {
    0xff80_fc00, 0x5f00_0400, 11, narrow_scalar;
    "sqshrn_scalar" 0 0b10010 Qshrn 0;
    "sqrshrn_scalar" 0 0b10011 Qrshrn 0;
    "uqshrn_scalar" 1 0b10010 Qshrn aux::UNSIGNED;
    "uqrshrn_scalar" 1 0b10011 Qrshrn aux::UNSIGNED;
    "sqshrun_scalar" 1 0b10000 Qshrun 0;
    "sqrshrun_scalar" 1 0b10001 Qrshrun 0;
};

fn fixed_scalar(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    let insn = by_right(word, op, SD, false)?;
    Some(Insn { aux: insn.aux | variant, ..insn })
}

static FIXED_SCALAR: &[Pattern] = rows! {
    0xff80_fc00, 0x5f00_0400, 11, fixed_scalar;
    "scvtf_scalar_fixed" 0 0b11100 Cvtf 0;
    "fcvtzs_scalar_fixed" 0 0b11111 FcvtInt ROUND_Z;
    "ucvtf_scalar_fixed" 1 0b11100 Cvtf 0;
    "fcvtzu_scalar_fixed" 1 0b11111 FcvtInt ROUND_Z;
};
