//! Loads and stores of SIMD&FP registers (Arm ARM C4.1.94, "Load/store register …", "Advanced SIMD
//! load/store multiple structures", "… single structure").

use super::Pattern;
use super::simd::SimdOp::*;
use super::simd::{SimdOp, mem};
use crate::insn::{Insn, Op, sp_or, src};

/// All classes of this file.
pub(super) static GROUPS: [&[Pattern]; 3] = [REGISTER, PAIR, STRUCTURE];

/// An instruction with the transferred register, the base and an immediate offset.
fn access(word: u32, op: SimdOp, aux: u32, imm: u64) -> Insn {
    Insn { rd: (word & 31) as u8, rn: sp_or(word >> 5), aux, imm, ..Insn::new(Op::Simd(op), word) }
}

/// Size and direction of a single-register access, by size (bits 31:30) and opc (bits 23:22).
fn single(word: u32) -> Option<(SimdOp, u32)> {
    let size = (word >> 23 & 1) << 2 | word >> 30;
    (size <= 4).then_some((if word >> 22 & 1 != 0 { Ldr } else { Str }, size))
}

fn unsigned_offset(word: u32) -> Option<Insn> {
    let (op, size) = single(word)?;
    Some(access(word, op, size, u64::from(word >> 10 & 0xfff) << size))
}

/// Nine-bit signed offset, scaled by nothing.
fn signed_offset(word: u32, addressing: u32) -> Option<Insn> {
    let (op, size) = single(word)?;
    let offset = i64::from((word << 11) as i32 >> 23);
    Some(access(word, op, size | addressing, offset as u64))
}

fn register_offset(word: u32) -> Option<Insn> {
    let (op, size) = single(word)?;
    let option = word >> 13 & 7;
    if option & 2 == 0 {
        return None;
    }
    let amount = if word >> 12 & 1 != 0 { size } else { 0 };
    let addressing = mem::REGISTER | option << mem::OPTION_SHIFT | amount << mem::AMOUNT_SHIFT;
    Some(Insn { rm: src(word >> 16), ..access(word, op, size | addressing, 0) })
}

fn literal(word: u32) -> Option<Insn> {
    let opc = word >> 30;
    let offset = i64::from((word << 8) as i32 >> 13) * 4;
    (opc < 3).then(|| access(word, LdrLiteral, opc + 2, offset as u64))
}

static REGISTER: &[Pattern] = &[
    Pattern::new("ldst_simd_unsigned", "zz111101 ooiiiiii iiiiiinn nnnttttt", unsigned_offset),
    Pattern::new("ldst_simd_unscaled", "zz111100 oo0iiiii iiii00nn nnnttttt", |w| {
        signed_offset(w, 0)
    }),
    Pattern::new("ldst_simd_post", "zz111100 oo0iiiii iiii01nn nnnttttt", |w| {
        signed_offset(w, mem::WRITE_BACK | mem::POST)
    }),
    Pattern::new("ldst_simd_pre", "zz111100 oo0iiiii iiii11nn nnnttttt", |w| {
        signed_offset(w, mem::WRITE_BACK)
    }),
    Pattern::new("ldst_simd_register", "zz111100 oo1mmmmm pppS10nn nnnttttt", register_offset),
    Pattern::new("ldr_simd_literal", "zz011100 iiiiiiii iiiiiiii iiittttt", literal),
];

fn pair(word: u32, addressing: u32) -> Option<Insn> {
    let opc = word >> 30;
    if opc == 3 {
        return None;
    }
    let op = if word >> 22 & 1 != 0 { Ldp } else { Stp };
    let size = opc + 2;
    let offset = i64::from((word << 10) as i32 >> 25) << size;
    Some(Insn { ra: (word >> 10 & 31) as u8, ..access(word, op, size | addressing, offset as u64) })
}

static PAIR: &[Pattern] = &[
    Pattern::new("ldst_simd_pair_nontemporal", "zz101100 0liiiiii iuuuuunn nnnttttt", |w| {
        pair(w, 0)
    }),
    Pattern::new("ldst_simd_pair_post", "zz101100 1liiiiii iuuuuunn nnnttttt", |w| {
        pair(w, mem::WRITE_BACK | mem::POST)
    }),
    Pattern::new("ldst_simd_pair_offset", "zz101101 0liiiiii iuuuuunn nnnttttt", |w| pair(w, 0)),
    Pattern::new("ldst_simd_pair_pre", "zz101101 1liiiiii iuuuuunn nnnttttt", |w| {
        pair(w, mem::WRITE_BACK)
    }),
];

/// The `aux` of a structure access: element size, registers interleaved, registers in all.
const fn structure(size: u32, interleave: u32, registers: u32) -> u32 {
    size | (interleave - 1) << mem::INTERLEAVE_SHIFT | (registers - 1) << mem::REGISTERS_SHIFT
}

/// The post-index of a structure access: a register, or (field 31) the bytes accessed.
fn post_index(word: u32, insn: Insn, bytes: u32) -> Insn {
    let aux = insn.aux | mem::WRITE_BACK;
    match word >> 16 & 31 {
        31 => Insn { aux, imm: bytes.into(), ..insn },
        rm => Insn { aux: aux | mem::REGISTER, rm: src(rm), ..insn },
    }
}

fn multiple(word: u32, post: bool) -> Option<Insn> {
    let (interleave, registers) = match word >> 12 & 15 {
        0b0000 => (4, 4),
        0b0010 => (1, 4),
        0b0100 => (3, 3),
        0b0110 => (1, 3),
        0b0111 => (1, 1),
        0b1000 => (2, 2),
        0b1010 => (1, 2),
        _ => return None,
    };
    let (size, full) = (word >> 10 & 3, word >> 30 & 1 != 0);
    if size == 3 && !full && interleave > 1 {
        return None;
    }
    let op = if word >> 22 & 1 != 0 { LdMultiple } else { StMultiple };
    let whole = if full { mem::FULL } else { 0 };
    let insn = access(word, op, structure(size, interleave, registers) | whole, 0);
    let bytes = registers * if full { 16 } else { 8 };
    Some(if post { post_index(word, insn, bytes) } else { insn })
}

fn single_structure(word: u32, post: bool) -> Option<Insn> {
    let (q, s, size) = (word >> 30 & 1, word >> 12 & 1, word >> 10 & 3);
    let (opcode, load) = (word >> 13 & 7, word >> 22 & 1 != 0);
    let registers = ((opcode & 1) << 1 | word >> 21 & 1) + 1;
    let (op, size, index) = match (opcode >> 1, size) {
        (0, _) => (LdSingle, 0, q << 3 | s << 2 | size),
        (1, 0 | 2) => (LdSingle, 1, q << 2 | s << 1 | size >> 1),
        (2, 0) => (LdSingle, 2, q << 1 | s),
        (2, 1) if s == 0 => (LdSingle, 3, q),
        (3, _) if load && s == 0 => (LdReplicate, size, 0),
        _ => return None,
    };
    let op = if load { op } else { StSingle };
    let whole = if q != 0 { mem::FULL } else { 0 };
    // The index has a field of its own: `imm` may be the post-index.
    let insn = Insn {
        ra: index as u8,
        ..access(word, op, structure(size, registers, registers) | whole, 0)
    };
    Some(if post { post_index(word, insn, registers << size) } else { insn })
}

static STRUCTURE: &[Pattern] = &[
    Pattern::new("ldst_multiple", "0q001100 0l000000 oooozznn nnnttttt", |w| multiple(w, false)),
    Pattern::new("ldst_multiple_post", "0q001100 1l0mmmmm oooozznn nnnttttt", |w| {
        multiple(w, true)
    }),
    Pattern::new("ldst_single", "0q001101 0lr00000 ooosZznn nnnttttt", |w| {
        single_structure(w, false)
    }),
    Pattern::new("ldst_single_post", "0q001101 1lrmmmmm ooosZznn nnnttttt", |w| {
        single_structure(w, true)
    }),
];
