//! Scalar floating point (Arm ARM C4.1.96, "Conversion between floating-point and …",
//! "Floating-point …").
//!
//! The format is in bits 23:22: single, double, -, half. Half precision is for FCVT alone.

use super::Pattern;
use super::simd::SimdOp::*;
use super::simd::{SimdOp, aux, with_registers};
use crate::insn::{Insn, Op, dst, src};

/// All classes of this file.
pub(super) static GROUPS: [&[Pattern]; 6] =
    [ONE_SOURCE, TWO_SOURCES, THREE_SOURCES, COMPARE, INTEGER, FIXED];

/// Element size of the format field, if it is single or double.
fn size(word: u32) -> Option<u32> {
    match word >> 22 & 3 {
        0 => Some(2),
        1 => Some(3),
        _ => None,
    }
}

fn scalar(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    let size = size(word)?;
    Some(with_registers(word, op, size as u8, size | variant))
}

/// `VFPExpandImm`: sign, three bits of exponent, four of fraction, to a word or doubleword.
pub(super) fn expand_imm8(imm8: u64, size: u32) -> u64 {
    let (sign, low) = (imm8 >> 7, imm8 & 0x3f);
    let replicated = imm8 >> 6 & 1;
    if size == 3 {
        let exp = ((replicated ^ 1) << 8) | (replicated * 0xff);
        sign << 63 | exp << 54 | low << 48
    } else {
        let exp = ((replicated ^ 1) << 5) | (replicated * 0x1f);
        sign << 31 | exp << 25 | low << 19
    }
}

fn fmov_imm(word: u32) -> Option<Insn> {
    let size = size(word)?;
    Some(Insn {
        rd: (word & 31) as u8,
        ra: size as u8,
        imm: expand_imm8(u64::from(word >> 13 & 0xff), size),
        ..Insn::new(Op::Simd(Movi), word)
    })
}

/// FCVT: from the format in bits 23:22 to the one in bits 16:15.
fn fcvt(word: u32) -> Option<Insn> {
    let op = match (word >> 22 & 3, word >> 15 & 3) {
        (0, 1) => FcvtSD,
        (0, 3) => FcvtSH,
        (1, 0) => FcvtDS,
        (1, 3) => FcvtDH,
        (3, 0) => FcvtHS,
        (3, 1) => FcvtHD,
        _ => return None,
    };
    Some(with_registers(word, op, 0, 0))
}

const ROUND_P: u32 = 1 << aux::ROUNDING_SHIFT;
const ROUND_M: u32 = 2 << aux::ROUNDING_SHIFT;
const ROUND_Z: u32 = 3 << aux::ROUNDING_SHIFT;

static ONE_SOURCE: &[Pattern] = &[
    Pattern::new("fmov_reg", "00011110 pp100000 010000nn nnnddddd", |w| scalar(w, Fmov, 0)),
    Pattern::new("fabs_scalar", "00011110 pp100000 110000nn nnnddddd", |w| scalar(w, Fabs, 0)),
    Pattern::new("fneg_scalar", "00011110 pp100001 010000nn nnnddddd", |w| scalar(w, Fneg, 0)),
    Pattern::new("fsqrt_scalar", "00011110 pp100001 110000nn nnnddddd", |w| scalar(w, Fsqrt, 0)),
    Pattern::new("fcvt", "00011110 pp10001o o10000nn nnnddddd", fcvt),
    Pattern::new("frintn", "00011110 pp100100 010000nn nnnddddd", |w| scalar(w, Frint, 0)),
    Pattern::new("frintp", "00011110 pp100100 110000nn nnnddddd", |w| scalar(w, Frint, ROUND_P)),
    Pattern::new("frintm", "00011110 pp100101 010000nn nnnddddd", |w| scalar(w, Frint, ROUND_M)),
    Pattern::new("frintz", "00011110 pp100101 110000nn nnnddddd", |w| scalar(w, Frint, ROUND_Z)),
    Pattern::new("frinta", "00011110 pp100110 010000nn nnnddddd", |w| {
        scalar(w, Frint, aux::ROUND_AWAY)
    }),
    Pattern::new("frintx", "00011110 pp100111 010000nn nnnddddd", |w| {
        scalar(w, Frint, aux::ROUND_CURRENT | aux::SIGNALLING)
    }),
    Pattern::new("frinti", "00011110 pp100111 110000nn nnnddddd", |w| {
        scalar(w, Frint, aux::ROUND_CURRENT)
    }),
    Pattern::new("fmov_imm", "00011110 pp1iiiii iii10000 000ddddd", fmov_imm),
];

static TWO_SOURCES: &[Pattern] = &[
    Pattern::new("fmul_scalar", "00011110 pp1mmmmm 000010nn nnnddddd", |w| scalar(w, Fmul, 0)),
    Pattern::new("fdiv_scalar", "00011110 pp1mmmmm 000110nn nnnddddd", |w| scalar(w, Fdiv, 0)),
    Pattern::new("fadd_scalar", "00011110 pp1mmmmm 001010nn nnnddddd", |w| scalar(w, Fadd, 0)),
    Pattern::new("fsub_scalar", "00011110 pp1mmmmm 001110nn nnnddddd", |w| scalar(w, Fsub, 0)),
    Pattern::new("fmax_scalar", "00011110 pp1mmmmm 010010nn nnnddddd", |w| scalar(w, Fmax, 0)),
    Pattern::new("fmin_scalar", "00011110 pp1mmmmm 010110nn nnnddddd", |w| scalar(w, Fmin, 0)),
    Pattern::new("fmaxnm_scalar", "00011110 pp1mmmmm 011010nn nnnddddd", |w| scalar(w, Fmaxnm, 0)),
    Pattern::new("fminnm_scalar", "00011110 pp1mmmmm 011110nn nnnddddd", |w| scalar(w, Fminnm, 0)),
    Pattern::new("fnmul", "00011110 pp1mmmmm 100010nn nnnddddd", |w| scalar(w, Fnmul, 0)),
];

/// FMADD and its kin: `ra` is the addend's register.
fn fused(word: u32, variant: u32) -> Option<Insn> {
    Some(Insn { ra: (word >> 10 & 31) as u8, ..scalar(word, Fmadd, variant)? })
}

static THREE_SOURCES: &[Pattern] = &[
    Pattern::new("fmadd", "00011111 pp0mmmmm 0aaaaann nnnddddd", |w| fused(w, 0)),
    Pattern::new("fmsub", "00011111 pp0mmmmm 1aaaaann nnnddddd", |w| fused(w, aux::NEGATE_N)),
    Pattern::new("fnmadd", "00011111 pp1mmmmm 0aaaaann nnnddddd", |w| {
        fused(w, aux::NEGATE_N | aux::NEGATE_A)
    }),
    Pattern::new("fnmsub", "00011111 pp1mmmmm 1aaaaann nnnddddd", |w| fused(w, aux::NEGATE_A)),
];

/// FCCMP and FCCMPE: the condition in `ra`, the other flags in `imm`.
fn fccmp(word: u32, variant: u32) -> Option<Insn> {
    Some(Insn {
        ra: (word >> 12 & 15) as u8,
        imm: u64::from(word & 15),
        ..scalar(word, Fccmp, variant)?
    })
}

/// FCSEL: the condition in `imm`.
fn fcsel(word: u32) -> Option<Insn> {
    Some(Insn { imm: u64::from(word >> 12 & 15), ..scalar(word, Fcsel, 0)? })
}

static COMPARE: &[Pattern] = &[
    Pattern::new("fcmp", "00011110 pp1mmmmm 001000nn nnn00000", |w| scalar(w, Fcmp, 0)),
    Pattern::new("fcmp_zero", "00011110 pp1----- 001000nn nnn01000", |w| {
        scalar(w, Fcmp, aux::WITH_ZERO)
    }),
    Pattern::new("fcmpe", "00011110 pp1mmmmm 001000nn nnn10000", |w| {
        scalar(w, Fcmp, aux::SIGNALLING)
    }),
    Pattern::new("fcmpe_zero", "00011110 pp1----- 001000nn nnn11000", |w| {
        scalar(w, Fcmp, aux::SIGNALLING | aux::WITH_ZERO)
    }),
    Pattern::new("fccmp", "00011110 pp1mmmmm cccc01nn nnn0ffff", |w| fccmp(w, 0)),
    Pattern::new("fccmpe", "00011110 pp1mmmmm cccc01nn nnn1ffff", |w| fccmp(w, aux::SIGNALLING)),
    Pattern::new("fcsel", "00011110 pp1mmmmm cccc11nn nnnddddd", fcsel),
];

/// `aux::WORD` by bit sf.
fn general_width(word: u32) -> u32 {
    if word >> 31 == 0 { aux::WORD } else { 0 }
}

/// To a general register.
fn to_general(word: u32, variant: u32) -> Option<Insn> {
    let insn = scalar(word, FcvtGeneral, variant | general_width(word))?;
    Some(Insn { rd: dst(word), imm: 0, ..insn })
}

/// Rounding mode in bits 20:19.
fn to_general_by_rmode(word: u32, variant: u32) -> Option<Insn> {
    to_general(word, variant | (word >> 19 & 3) << aux::ROUNDING_SHIFT)
}

/// From a general register.
fn from_general(word: u32, variant: u32) -> Option<Insn> {
    let insn = scalar(word, CvtfGeneral, variant | general_width(word))?;
    Some(Insn { rn: src(word >> 5), imm: 0, ..insn })
}

/// FMOV from a lane of `1 << size` bytes to a general register.
fn fmov_to(word: u32, size: u32, index: u64) -> Option<Insn> {
    Some(Insn { rd: dst(word), imm: index, ..with_registers(word, Umov, 0, size) })
}

/// FMOV from a general register; the upper half (`InsGeneral` of lane 1) keeps the lower.
fn fmov_from(word: u32, op: SimdOp, size: u32) -> Option<Insn> {
    Some(Insn { rn: src(word >> 5), imm: 1, ..with_registers(word, op, size as u8, size) })
}

static INTEGER: &[Pattern] = &[
    Pattern::new("fcvt_s_general", "s0011110 pp1rr000 000000nn nnnddddd", |w| {
        to_general_by_rmode(w, 0)
    }),
    Pattern::new("fcvt_u_general", "s0011110 pp1rr001 000000nn nnnddddd", |w| {
        to_general_by_rmode(w, aux::UNSIGNED)
    }),
    Pattern::new("fcvtas_general", "s0011110 pp100100 000000nn nnnddddd", |w| {
        to_general(w, aux::ROUND_AWAY)
    }),
    Pattern::new("fcvtau_general", "s0011110 pp100101 000000nn nnnddddd", |w| {
        to_general(w, aux::ROUND_AWAY | aux::UNSIGNED)
    }),
    Pattern::new("scvtf_general", "s0011110 pp100010 000000nn nnnddddd", |w| from_general(w, 0)),
    Pattern::new("ucvtf_general", "s0011110 pp100011 000000nn nnnddddd", |w| {
        from_general(w, aux::UNSIGNED)
    }),
    Pattern::new("fmov_ws", "00011110 00100110 000000nn nnnddddd", |w| fmov_to(w, 2, 0)),
    Pattern::new("fmov_sw", "00011110 00100111 000000nn nnnddddd", |w| {
        fmov_from(w, FmovFromGeneral, 2)
    }),
    Pattern::new("fmov_xd", "10011110 01100110 000000nn nnnddddd", |w| fmov_to(w, 3, 0)),
    Pattern::new("fmov_dx", "10011110 01100111 000000nn nnnddddd", |w| {
        fmov_from(w, FmovFromGeneral, 3)
    }),
    Pattern::new("fmov_xv", "10011110 10101110 000000nn nnnddddd", |w| fmov_to(w, 3, 1)),
    Pattern::new("fmov_vx", "10011110 10101111 000000nn nnnddddd", |w| fmov_from(w, InsGeneral, 3)),
];

/// Fraction bits of a fixed-point conversion: 64 less the scale, at most 32 with a W register.
fn fraction_bits(word: u32) -> Option<u64> {
    let bits = 64 - u64::from(word >> 10 & 63);
    (word >> 31 != 0 || bits <= 32).then_some(bits)
}

fn to_fixed(word: u32, variant: u32) -> Option<Insn> {
    Some(Insn { imm: fraction_bits(word)?, ..to_general(word, variant | ROUND_Z)? })
}

fn from_fixed(word: u32, variant: u32) -> Option<Insn> {
    Some(Insn { imm: fraction_bits(word)?, ..from_general(word, variant)? })
}

static FIXED: &[Pattern] = &[
    Pattern::new("scvtf_fixed", "s0011110 pp000010 ffffffnn nnnddddd", |w| from_fixed(w, 0)),
    Pattern::new("ucvtf_fixed", "s0011110 pp000011 ffffffnn nnnddddd", |w| {
        from_fixed(w, aux::UNSIGNED)
    }),
    Pattern::new("fcvtzs_fixed", "s0011110 pp011000 ffffffnn nnnddddd", |w| to_fixed(w, 0)),
    Pattern::new("fcvtzu_fixed", "s0011110 pp011001 ffffffnn nnnddddd", |w| {
        to_fixed(w, aux::UNSIGNED)
    }),
];
