//! AdvSIMD: copies, permutations, table look-ups, EXT and modified immediates
//! (Arm ARM C4.1.96, "Advanced SIMD copy", "… permute", "… table lookup", "… extract",
//! "… modified immediate").

use super::Pattern;
use super::fp::expand_imm8;
use super::simd::SimdOp::*;
use super::simd::sizes::*;
use super::simd::{SimdOp, aux, q, vector, vector_width, with_registers};
use super::simd_three::rows;
use crate::insn::{Insn, Op, dst, src};

/// All classes of this file.
pub(super) static GROUPS: [&[Pattern]; 4] = [COPY, PERMUTE, OTHER, IMMEDIATE];

/// Element size and index from imm5 (bits 20:16): the lowest set bit is the size.
fn size_and_index(word: u32) -> Option<(u32, u64)> {
    let imm5 = word >> 16 & 31;
    let size = imm5.trailing_zeros();
    (size < 4).then(|| (size, u64::from(imm5 >> (size + 1))))
}

fn dup(word: u32, op: SimdOp, is_scalar: bool) -> Option<Insn> {
    let (size, imm) = size_and_index(word)?;
    if !is_scalar && size == 3 && !q(word) {
        return None;
    }
    let width = if is_scalar { size as u8 } else { vector_width(word) };
    Some(Insn { imm, ..with_registers(word, op, width, size) })
}

fn dup_general(word: u32) -> Option<Insn> {
    Some(Insn { rn: src(word >> 5), ..dup(word, DupGeneral, false)? })
}

/// UMOV and SMOV: `word_sizes` are allowed into a W register, `long_sizes` into an X register.
fn to_general(word: u32, op: SimdOp, word_sizes: u32, long_sizes: u32) -> Option<Insn> {
    let (size, imm) = size_and_index(word)?;
    let (allowed, width) = if q(word) { (long_sizes, 0) } else { (word_sizes, aux::WORD) };
    (allowed >> size & 1 != 0).then(|| Insn {
        rd: dst(word),
        imm,
        ..with_registers(word, op, 0, size | width)
    })
}

fn ins_general(word: u32) -> Option<Insn> {
    let (size, imm) = size_and_index(word)?;
    Some(Insn { rn: src(word >> 5), imm, ..with_registers(word, InsGeneral, 0, size) })
}

fn ins_element(word: u32) -> Option<Insn> {
    let (size, imm) = size_and_index(word)?;
    let source = (word >> 11 & 15) >> size;
    Some(Insn { rm: source as u8, imm, ..with_registers(word, InsElement, 0, size) })
}

static COPY: &[Pattern] = &[
    Pattern::new("dup_element", "0q001110 000iiiii 000001nn nnnddddd", |w| {
        dup(w, DupElement, false)
    }),
    Pattern::new("dup_element_scalar", "01011110 000iiiii 000001nn nnnddddd", |w| {
        dup(w, DupElement, true)
    }),
    Pattern::new("dup_general", "0q001110 000iiiii 000011nn nnnddddd", dup_general),
    Pattern::new("smov", "0q001110 000iiiii 001011nn nnnddddd", |w| to_general(w, Smov, BH, BHS)),
    Pattern::new("umov", "0q001110 000iiiii 001111nn nnnddddd", |w| to_general(w, Umov, BHS, D)),
    Pattern::new("ins_general", "01001110 000iiiii 000111nn nnnddddd", ins_general),
    Pattern::new("ins_element", "01101110 000iiiii 0jjjj1nn nnnddddd", ins_element),
];

static PERMUTE: &[Pattern] = rows! {
    0xbf20_fc00, 0x0e00_0800, 12, vector;
    "uzp1" 0 0b001 Uzp1 BHSD;
    "trn1" 0 0b010 Trn1 BHSD;
    "zip1" 0 0b011 Zip1 BHSD;
    "uzp2" 0 0b101 Uzp2 BHSD;
    "trn2" 0 0b110 Trn2 BHSD;
    "zip2" 0 0b111 Zip2 BHSD;
};

fn tbl(word: u32) -> Option<Insn> {
    let keep = if word >> 12 & 1 != 0 { aux::KEEP } else { 0 };
    let registers = u64::from(word >> 13 & 3) + 1;
    Some(Insn { imm: registers, ..with_registers(word, Tbl, vector_width(word), keep) })
}

fn ext(word: u32) -> Option<Insn> {
    let position = word >> 11 & 15;
    (q(word) || position < 8)
        .then(|| Insn { imm: position.into(), ..with_registers(word, Ext, vector_width(word), 0) })
}

static OTHER: &[Pattern] = &[
    Pattern::new("tbl", "0q001110 000mmmmm 0ll000nn nnnddddd", tbl),
    Pattern::new("tbx", "0q001110 000mmmmm 0ll100nn nnnddddd", tbl),
    Pattern::new("ext", "0q101110 000mmmmm 0iiii0nn nnnddddd", ext),
];

/// `AdvSIMDExpandImm`, and the operation, by cmode and op.
fn immediate(word: u32) -> Option<Insn> {
    let imm8 = u64::from(word >> 16 & 7) << 5 | u64::from(word >> 5 & 31);
    let (cmode, inverted) = (word >> 12 & 15, word >> 29 & 1 != 0);
    let word32 = |value: u64| value << 32 | value;
    let word16 = |value: u64| word32(value << 16 | value);
    let value = match cmode {
        0b0000..=0b0111 => word32(imm8 << (cmode / 2 * 8)),
        0b1000..=0b1011 => word16(imm8 << (cmode / 2 % 2 * 8)),
        0b1100 => word32(imm8 << 8 | 0xff),
        0b1101 => word32(imm8 << 16 | 0xffff),
        0b1110 if inverted => {
            (0..8).fold(0, |r, k| if imm8 >> k & 1 != 0 { r | 0xff << (8 * k) } else { r })
        }
        0b1110 => imm8 * 0x0101_0101_0101_0101,
        _ if inverted && !q(word) => return None,
        _ if inverted => expand_imm8(imm8, 3),
        _ => word32(expand_imm8(imm8, 2)),
    };
    let accumulates = cmode & 1 != 0 && cmode < 0b1100;
    let (op, value) = match (accumulates, inverted) {
        (true, false) => (OrrImm, value),
        (true, true) => (BicImm, value),
        (false, true) if cmode < 0b1110 => (Movi, !value),
        _ => (Movi, value),
    };
    Some(Insn {
        rd: (word & 31) as u8,
        ra: vector_width(word),
        imm: value,
        ..Insn::new(Op::Simd(op), word)
    })
}

static IMMEDIATE: &[Pattern] = &[
    Pattern::new("movi_orr_fmov_imm", "0q001111 00000iii cccc01ii iiiddddd", immediate),
    Pattern::new("mvni_bic_fmov_imm", "0q101111 00000iii cccc01ii iiiddddd", immediate),
];
