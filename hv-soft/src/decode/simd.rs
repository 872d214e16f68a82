//! SIMD&FP and cryptographic operations, and what their decoded form means.

use super::{Pattern, crypto, fp, simd_copy, simd_mem, simd_misc, simd_shift, simd_three};
use crate::insn::{Insn, Op};

/// SIMD&FP operations.
///
/// Vector and scalar forms share an operation: [`Insn::ra`] tells how much of the registers takes
/// part (see [`aux`]), and [`Insn::aux`] the element size and the variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[rustfmt::skip]
#[expect(missing_docs, reason = "the variants are named for the instructions")]
pub enum SimdOp {
    // Integer arithmetic; signed and unsigned forms differ in `aux::UNSIGNED`.
    Add, Sub, Mul, Mla, Mls, Max, Min, Abd, Aba, Hadd, Rhadd, Hsub,
    Cmgt, Cmge, Cmeq, Cmtst, Cmgt0, Cmge0, Cmeq0, Cmle0, Cmlt0, Abs, Neg, Clz, Cls, Cnt,
    Rbit, Not, And, Bic, Orr, Orn, Eor, Bsl, Bit, Bif, Pmul, Movi, OrrImm, BicImm,
    Qadd, Qsub, Qdmulh, Qrdmulh, Qrdmlah, Qrdmlsh, Qabs, Qneg, Suqadd, Usqadd,
    // Shifts; the amount is in `imm`, or in Vm for the `Reg` forms.
    ShlReg, RshlReg, QshlReg, QrshlReg, Shl, Shr, Sra, Rshr, Rsra, Sli, Sri, Qshl, Qshlu,
    // Narrowing: the element size is the result's.
    Shrn, Rshrn, Qshrn, Qshrun, Qrshrn, Qrshrun, Addhn, Raddhn, Subhn, Rsubhn,
    // Widening: the element size is the narrow source's.
    Shll, Addl, Subl, Mull, Mlal, Mlsl, Abdl, Abal, Addw, Subw, Qdmull, Qdmlal, Qdmlsl,
    Addlp, Adalp, Addlv, Pmull8, Pmull64, Dot,
    // Lanes moved, pairs and reductions.
    DupElement, DupGeneral, InsGeneral, InsElement, Umov, Smov, Ext, Tbl,
    Zip1, Zip2, Uzp1, Uzp2, Trn1, Trn2, Rev16, Rev32, Rev64,
    Addp, Maxp, Minp, AddpScalar, Addv, Maxv, Minv,
    // Floating-point arithmetic.
    Fadd, Fsub, Fmul, Fdiv, Fabd, Fnmul, Fmulx, Fmax, Fmin, Fmaxnm, Fminnm, Frecps, Frsqrts,
    Fmla, Fmadd, Fsqrt, Frecpe, Frsqrte, Frecpx, Urecpe, Ursqrte, Fabs, Fneg, Fmov,
    Faddp, Fmaxp, Fminp, Fmaxnmp, Fminnmp, Faddv, Fmaxv, Fminv, Fmaxnmv, Fminnmv,
    // Floating-point comparison.
    Fcmp, Fccmp, Fcsel, Fcmeq, Fcmge, Fcmgt, Fcmle, Fcmlt, Facge, Facgt,
    // Floating-point conversion. The last letters are the formats.
    Frint, FcvtInt, Cvtf, FcvtGeneral, CvtfGeneral, FmovFromGeneral,
    FcvtSD, FcvtSH, FcvtDS, FcvtDH, FcvtHS, FcvtHD, FcvtlHS, FcvtlSD, FcvtnSH, FcvtnDS, Fcvtxn,
    // Cryptography.
    Aese, Aesd, Aesmc, Aesimc, Sha1c, Sha1p, Sha1m, Sha1h, Sha1su0, Sha1su1,
    Sha256h, Sha256h2, Sha256su0, Sha256su1,
    // Loads and stores; `aux` has the size and the addressing.
    Ldr, Str, LdrLiteral, Ldp, Stp, LdMultiple, StMultiple, LdSingle, StSingle, LdReplicate,
}

/// The fields of [`Insn`] that all SIMD&FP operations share.
///
/// `ra` is the width of the operation, a power of two of bytes: [`aux::WIDTH_128`] and
/// [`aux::WIDTH_64`] for vectors, the element's for scalars. (FMADD and its kin have a register
/// there, FCCMP a condition.)
pub(crate) mod aux {
    /// Element size as a power of two of bytes.
    pub(crate) const SIZE: u32 = 3;
    /// Vm stands for its element `imm` in every lane.
    pub(crate) const BY_ELEMENT: u32 = 1 << 2;
    /// The narrow operand is the upper half of its register (the …2 forms).
    pub(crate) const UPPER: u32 = 1 << 3;
    /// The general register is a W register.
    pub(crate) const WORD: u32 = 1 << 4;
    /// TBX: lanes whose index is out of range keep their value.
    pub(crate) const KEEP: u32 = 1 << 5;
    /// Elements are unsigned.
    pub(crate) const UNSIGNED: u32 = 1 << 6;
    /// FCMPE: quiet NaNs are invalid; FRINTX: a change is inexact.
    pub(crate) const SIGNALLING: u32 = 1 << 7;
    /// The second source is zero.
    pub(crate) const WITH_ZERO: u32 = 1 << 8;
    /// The product is negated.
    pub(crate) const NEGATE_N: u32 = 1 << 9;
    /// The addend is negated.
    pub(crate) const NEGATE_A: u32 = 1 << 10;
    /// Rounding mode: FPCR.RMode's values and the two below.
    pub(crate) const ROUNDING: u32 = 7 << ROUNDING_SHIFT;
    /// Where [`ROUNDING`] begins.
    pub(crate) const ROUNDING_SHIFT: u32 = 12;
    /// To nearest, ties away from zero.
    pub(crate) const ROUND_AWAY: u32 = 4 << ROUNDING_SHIFT;
    /// As FPCR says.
    pub(crate) const ROUND_CURRENT: u32 = 5 << ROUNDING_SHIFT;

    /// `ra` of an operation on 32 bits.
    pub(crate) const WIDTH_32: u8 = 2;
    /// `ra` of an operation on 64 bits.
    pub(crate) const WIDTH_64: u8 = 3;
    /// `ra` of an operation on 128 bits.
    pub(crate) const WIDTH_128: u8 = 4;
}

/// The fields of loads and stores.
pub(crate) mod mem {
    /// Access size as a power of two of bytes, 0 to 4.
    pub(crate) const SIZE: u32 = 7;
    /// The base register is written back.
    pub(crate) const WRITE_BACK: u32 = 1 << 3;
    /// The offset is added after the access.
    pub(crate) const POST: u32 = 1 << 4;
    /// The offset is register `rm`, extended by the option and shifted by the amount below.
    pub(crate) const REGISTER: u32 = 1 << 5;
    /// Where the extend option begins (3 bits, as encoded).
    pub(crate) const OPTION_SHIFT: u32 = 8;
    /// Where the shift amount begins (3 bits).
    pub(crate) const AMOUNT_SHIFT: u32 = 12;
    /// Structures: where the number of registers interleaved, less one, begins (2 bits).
    pub(crate) const INTERLEAVE_SHIFT: u32 = 16;
    /// Structures: where the number of registers, less one, begins (2 bits).
    pub(crate) const REGISTERS_SHIFT: u32 = 18;
    /// Structures: whole registers, not halves.
    pub(crate) const FULL: u32 = 1 << 20;
}

/// A set of element sizes: bit `n` allows elements of `1 << n` bytes.
pub(super) mod sizes {
    pub(in crate::decode) const B: u32 = 1;
    pub(in crate::decode) const H: u32 = 2;
    pub(in crate::decode) const S: u32 = 4;
    pub(in crate::decode) const D: u32 = 8;
    pub(in crate::decode) const BH: u32 = B | H;
    pub(in crate::decode) const HS: u32 = H | S;
    pub(in crate::decode) const SD: u32 = S | D;
    pub(in crate::decode) const BHS: u32 = B | H | S;
    pub(in crate::decode) const BHSD: u32 = B | H | S | D;
}

/// The groups of encoding classes of SIMD&FP.
pub fn groups() -> Vec<&'static [Pattern]> {
    let mut groups = Vec::new();
    groups.extend(simd_three::GROUPS);
    groups.extend(simd_misc::GROUPS);
    groups.extend(simd_shift::GROUPS);
    groups.extend(simd_copy::GROUPS);
    groups.extend(fp::GROUPS);
    groups.extend(crypto::GROUPS);
    groups.extend(simd_mem::GROUPS);
    groups
}

/// An instruction with the usual register fields: Rd, Rn, Rm.
pub(super) fn with_registers(word: u32, op: SimdOp, width: u8, aux: u32) -> Insn {
    Insn {
        rd: (word & 31) as u8,
        rn: (word >> 5 & 31) as u8,
        rm: (word >> 16 & 31) as u8,
        ra: width,
        aux,
        ..Insn::new(Op::Simd(op), word)
    }
}

/// The width of a vector operation, by bit Q.
pub(super) const fn vector_width(word: u32) -> u8 {
    if word >> 30 & 1 != 0 { aux::WIDTH_128 } else { aux::WIDTH_64 }
}

/// Whether Q (bit 30) is set.
pub(super) const fn q(word: u32) -> bool {
    word >> 30 & 1 != 0
}

/// `aux::UNSIGNED` by bit U.
pub(super) const fn unsigned(word: u32) -> u32 {
    if word >> 29 & 1 != 0 { aux::UNSIGNED } else { 0 }
}

/// A vector operation whose element size is in bits 23:22, unless that is not in `allowed` or is a
/// doubleword in a 64-bit vector.
pub(super) fn vector(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    let size = word >> 22 & 3;
    if allowed >> size & 1 == 0 || (size == 3 && !q(word)) {
        return None;
    }
    Some(with_registers(word, op, vector_width(word), size | unsigned(word)))
}

/// A scalar operation whose element size is in bits 23:22.
pub(super) fn scalar(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    let size = word >> 22 & 3;
    (allowed >> size & 1 != 0).then(|| with_registers(word, op, size as u8, size | unsigned(word)))
}

/// A floating-point vector operation: bit 22 tells doubles from singles.
pub(super) fn fp_vector(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    let size = 2 | word >> 22 & 1;
    (size == 2 || q(word)).then(|| with_registers(word, op, vector_width(word), size | variant))
}

/// A floating-point scalar operation of the AdvSIMD space: bit 22 tells doubles from singles.
pub(super) fn fp_scalar(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    let size = 2 | word >> 22 & 1;
    Some(with_registers(word, op, size as u8, size | variant))
}
