//! AdvSIMD: two registers, across lanes, scalar pairwise
//! (Arm ARM C4.1.96, "Advanced SIMD two-register miscellaneous", "… across lanes", "… pairwise").

use super::Pattern;
use super::simd::SimdOp::*;
use super::simd::sizes::*;
use super::simd::{
    SimdOp, aux, fp_scalar, fp_vector, q, scalar, unsigned, vector, vector_width, with_registers,
};
use super::simd_three::rows;
use crate::insn::Insn;

/// All classes of this file.
pub(super) static GROUPS: [&[Pattern]; 13] = [
    MISC,
    REV,
    BITS,
    NARROW,
    MISC_FP,
    ESTIMATE,
    LENGTHS,
    MISC_SCALAR,
    NARROW_SCALAR,
    MISC_FP_SCALAR,
    ACROSS,
    ACROSS_FP,
    PAIRWISE_SCALAR,
];

static MISC: &[Pattern] = rows! {
    0xbf3f_fc00, 0x0e20_0800, 12, vector;
    "suqadd" 0 0b00011 Suqadd BHSD;
    "cls_vec" 0 0b00100 Cls BHS;
    "cnt" 0 0b00101 Cnt B;
    "sqabs" 0 0b00111 Qabs BHSD;
    "cmgt_zero" 0 0b01000 Cmgt0 BHSD;
    "cmeq_zero" 0 0b01001 Cmeq0 BHSD;
    "cmlt_zero" 0 0b01010 Cmlt0 BHSD;
    "abs_vec" 0 0b01011 Abs BHSD;
    "usqadd" 1 0b00011 Usqadd BHSD;
    "clz_vec" 1 0b00100 Clz BHS;
    "sqneg" 1 0b00111 Qneg BHSD;
    "cmge_zero" 1 0b01000 Cmge0 BHSD;
    "cmle_zero" 1 0b01001 Cmle0 BHSD;
    "neg_vec" 1 0b01011 Neg BHSD;
    "saddlp" 0 0b00010 Addlp BHS;
    "sadalp" 0 0b00110 Adalp BHS;
    "uaddlp" 1 0b00010 Addlp BHS;
    "uadalp" 1 0b00110 Adalp BHS;
};

/// Lanes reversed within containers.
static REV: &[Pattern] = rows! {
    0xbf3f_fc00, 0x0e20_0800, 12, vector;
    "rev64" 0 0b00000 Rev64 BHS;
    "rev16_vec" 0 0b00001 Rev16 B;
    "rev32_vec" 1 0b00000 Rev32 BH;
};

fn bytes(word: u32, op: SimdOp) -> Option<Insn> {
    Some(with_registers(word, op, vector_width(word), 0))
}

static BITS: &[Pattern] = &[
    Pattern::new("not", "0q101110 00100000 010110nn nnnddddd", |w| bytes(w, Not)),
    Pattern::new("rbit_vec", "0q101110 01100000 010110nn nnnddddd", |w| bytes(w, Rbit)),
];

/// A narrowing move, into the upper half if Q.
fn narrow(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    let size = word >> 22 & 3;
    let upper = if q(word) { aux::UPPER } else { 0 };
    (size < 3).then(|| with_registers(word, op, aux::WIDTH_64, size | upper | variant))
}

static NARROW: &[Pattern] = rows! {
    0xbf3f_fc00, 0x0e20_0800, 12, narrow;
    "xtn" 0 0b10010 Shrn 0;
    "sqxtn" 0 0b10100 Qshrn 0;
    "sqxtun" 1 0b10010 Qshrun 0;
    "uqxtn" 1 0b10100 Qshrn aux::UNSIGNED;
};

/// Bit 23 in units of bit 12.
const HI: u32 = 1 << 11;

const ROUND_N: u32 = 0;
const ROUND_P: u32 = 1 << aux::ROUNDING_SHIFT;
const ROUND_M: u32 = 2 << aux::ROUNDING_SHIFT;
const ROUND_Z: u32 = 3 << aux::ROUNDING_SHIFT;

macro_rules! fp_rows {
    ($mask:literal, $base:literal, $decode:expr;
     $($name:literal $u:literal $opcode:expr, $op:ident $arg:expr;)*) => {
        &[$(Pattern {
            name: $name,
            mask: $mask,
            value: $base | $u << 29 | ($opcode) << 12,
            decode: |word| ($decode)(word, $op, $arg),
        }),*]
    };
}

static MISC_FP: &[Pattern] = fp_rows! {
    0xbfbf_fc00, 0x0e20_0800, fp_vector;
    "frintn_vec" 0 0b11000, Frint ROUND_N;
    "frintm_vec" 0 0b11001, Frint ROUND_M;
    "fcvtns_vec" 0 0b11010, FcvtInt ROUND_N;
    "fcvtms_vec" 0 0b11011, FcvtInt ROUND_M;
    "fcvtas_vec" 0 0b11100, FcvtInt aux::ROUND_AWAY;
    "scvtf_vec" 0 0b11101, Cvtf 0;
    "fcmgt_zero" 0 HI | 0b01100, Fcmgt aux::WITH_ZERO;
    "fcmeq_zero" 0 HI | 0b01101, Fcmeq aux::WITH_ZERO;
    "fcmlt_zero" 0 HI | 0b01110, Fcmlt aux::WITH_ZERO;
    "fabs_vec" 0 HI | 0b01111, Fabs 0;
    "frintp_vec" 0 HI | 0b11000, Frint ROUND_P;
    "frintz_vec" 0 HI | 0b11001, Frint ROUND_Z;
    "fcvtps_vec" 0 HI | 0b11010, FcvtInt ROUND_P;
    "fcvtzs_vec" 0 HI | 0b11011, FcvtInt ROUND_Z;
    "frecpe_vec" 0 HI | 0b11101, Frecpe 0;
    "frinta_vec" 1 0b11000, Frint aux::ROUND_AWAY;
    "frintx_vec" 1 0b11001, Frint aux::ROUND_CURRENT | aux::SIGNALLING;
    "fcvtnu_vec" 1 0b11010, FcvtInt ROUND_N | aux::UNSIGNED;
    "fcvtmu_vec" 1 0b11011, FcvtInt ROUND_M | aux::UNSIGNED;
    "fcvtau_vec" 1 0b11100, FcvtInt aux::ROUND_AWAY | aux::UNSIGNED;
    "ucvtf_vec" 1 0b11101, Cvtf aux::UNSIGNED;
    "fcmge_zero" 1 HI | 0b01100, Fcmge aux::WITH_ZERO;
    "fcmle_zero" 1 HI | 0b01101, Fcmle aux::WITH_ZERO;
    "fneg_vec" 1 HI | 0b01111, Fneg 0;
    "frinti_vec" 1 HI | 0b11001, Frint aux::ROUND_CURRENT;
    "fcvtpu_vec" 1 HI | 0b11010, FcvtInt ROUND_P | aux::UNSIGNED;
    "fcvtzu_vec" 1 HI | 0b11011, FcvtInt ROUND_Z | aux::UNSIGNED;
    "frsqrte_vec" 1 HI | 0b11101, Frsqrte 0;
    "fsqrt_vec" 1 HI | 0b11111, Fsqrt 0;
};

/// Estimates of unsigned words.
static ESTIMATE: &[Pattern] = &[
    Pattern::new("urecpe", "0q001110 10100001 110010nn nnnddddd", |w| vector(w, Urecpe, S)),
    Pattern::new("ursqrte", "0q101110 10100001 110010nn nnnddddd", |w| vector(w, Ursqrte, S)),
];

/// Conversions to the double and half precision, of or into the upper half if Q.
fn lengths(word: u32, double: Option<SimdOp>, single: Option<SimdOp>) -> Option<Insn> {
    let op = if word >> 22 & 1 != 0 { double } else { single }?;
    let upper = if q(word) { aux::UPPER } else { 0 };
    Some(with_registers(word, op, aux::WIDTH_64, upper))
}

static LENGTHS: &[Pattern] = &[
    Pattern::new("fcvtl", "0q001110 0z100001 011110nn nnnddddd", |w| {
        lengths(w, Some(FcvtlSD), Some(FcvtlHS))
    }),
    Pattern::new("fcvtn", "0q001110 0z100001 011010nn nnnddddd", |w| {
        lengths(w, Some(FcvtnDS), Some(FcvtnSH))
    }),
    Pattern::new("fcvtxn_vec", "0q101110 0z100001 011010nn nnnddddd", |w| {
        lengths(w, Some(Fcvtxn), None)
    }),
    Pattern::new("fcvtxn_scalar", "01111110 01100001 011010nn nnnddddd", |w| {
        Some(with_registers(w, Fcvtxn, aux::WIDTH_32, 0))
    }),
];

static MISC_SCALAR: &[Pattern] = rows! {
    0xff3f_fc00, 0x5e20_0800, 12, scalar;
    "suqadd_scalar" 0 0b00011 Suqadd BHSD;
    "sqabs_scalar" 0 0b00111 Qabs BHSD;
    "cmgt_zero_scalar" 0 0b01000 Cmgt0 D;
    "cmeq_zero_scalar" 0 0b01001 Cmeq0 D;
    "cmlt_zero_scalar" 0 0b01010 Cmlt0 D;
    "abs_scalar" 0 0b01011 Abs D;
    "usqadd_scalar" 1 0b00011 Usqadd BHSD;
    "sqneg_scalar" 1 0b00111 Qneg BHSD;
    "cmge_zero_scalar" 1 0b01000 Cmge0 D;
    "cmle_zero_scalar" 1 0b01001 Cmle0 D;
    "neg_scalar" 1 0b01011 Neg D;
};

fn narrow_scalar(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    let insn = scalar(word, op, BHS)?;
    Some(Insn { aux: insn.aux & aux::SIZE | variant, ..insn })
}

static NARROW_SCALAR: &[Pattern] = rows! {
    0xff3f_fc00, 0x5e20_0800, 12, narrow_scalar;
    "sqxtn_scalar" 0 0b10100 Qshrn 0;
    "sqxtun_scalar" 1 0b10010 Qshrun 0;
    "uqxtn_scalar" 1 0b10100 Qshrn aux::UNSIGNED;
};

static MISC_FP_SCALAR: &[Pattern] = fp_rows! {
    0xffbf_fc00, 0x5e20_0800, fp_scalar;
    "fcvtns_scalar" 0 0b11010, FcvtInt ROUND_N;
    "fcvtms_scalar" 0 0b11011, FcvtInt ROUND_M;
    "fcvtas_scalar" 0 0b11100, FcvtInt aux::ROUND_AWAY;
    "scvtf_scalar" 0 0b11101, Cvtf 0;
    "fcmgt_zero_scalar" 0 HI | 0b01100, Fcmgt aux::WITH_ZERO;
    "fcmeq_zero_scalar" 0 HI | 0b01101, Fcmeq aux::WITH_ZERO;
    "fcmlt_zero_scalar" 0 HI | 0b01110, Fcmlt aux::WITH_ZERO;
    "fcvtps_scalar" 0 HI | 0b11010, FcvtInt ROUND_P;
    "fcvtzs_scalar" 0 HI | 0b11011, FcvtInt ROUND_Z;
    "frecpe_scalar" 0 HI | 0b11101, Frecpe 0;
    "frecpx" 0 HI | 0b11111, Frecpx 0;
    "fcvtnu_scalar" 1 0b11010, FcvtInt ROUND_N | aux::UNSIGNED;
    "fcvtmu_scalar" 1 0b11011, FcvtInt ROUND_M | aux::UNSIGNED;
    "fcvtau_scalar" 1 0b11100, FcvtInt aux::ROUND_AWAY | aux::UNSIGNED;
    "ucvtf_scalar" 1 0b11101, Cvtf aux::UNSIGNED;
    "fcmge_zero_scalar" 1 HI | 0b01100, Fcmge aux::WITH_ZERO;
    "fcmle_zero_scalar" 1 HI | 0b01101, Fcmle aux::WITH_ZERO;
    "fcvtpu_scalar" 1 HI | 0b11010, FcvtInt ROUND_P | aux::UNSIGNED;
    "fcvtzu_scalar" 1 HI | 0b11011, FcvtInt ROUND_Z | aux::UNSIGNED;
    "frsqrte_scalar" 1 HI | 0b11101, Frsqrte 0;
};

/// Reductions: four words at least.
fn across(word: u32, op: SimdOp, (): ()) -> Option<Insn> {
    let size = word >> 22 & 3;
    let enough = size < 2 || (size == 2 && q(word));
    enough.then(|| with_registers(word, op, vector_width(word), size | unsigned(word)))
}

static ACROSS: &[Pattern] = rows! {
    0xbf3f_fc00, 0x0e30_0800, 12, across;
    "saddlv" 0 0b00011 Addlv ();
    "smaxv" 0 0b01010 Maxv ();
    "sminv" 0 0b11010 Minv ();
    "addv" 0 0b11011 Addv ();
    "uaddlv" 1 0b00011 Addlv ();
    "umaxv" 1 0b01010 Maxv ();
    "uminv" 1 0b11010 Minv ();
};

/// Reductions of four singles.
fn across_fp(word: u32, op: SimdOp) -> Option<Insn> {
    Some(with_registers(word, op, aux::WIDTH_128, 2))
}

static ACROSS_FP: &[Pattern] = &[
    Pattern::new("fmaxnmv", "01101110 00110000 110010nn nnnddddd", |w| across_fp(w, Fmaxnmv)),
    Pattern::new("fminnmv", "01101110 10110000 110010nn nnnddddd", |w| across_fp(w, Fminnmv)),
    Pattern::new("fmaxv", "01101110 00110000 111110nn nnnddddd", |w| across_fp(w, Fmaxv)),
    Pattern::new("fminv", "01101110 10110000 111110nn nnnddddd", |w| across_fp(w, Fminv)),
];

static PAIRWISE_SCALAR: &[Pattern] = &[
    Pattern::new("addp_scalar", "01011110 11110001 101110nn nnnddddd", |w| {
        scalar(w, AddpScalar, D)
    }),
    Pattern::new("faddp_scalar", "01111110 0z110000 110110nn nnnddddd", |w| fp_scalar(w, Faddv, 0)),
    Pattern::new("fmaxnmp_scalar", "01111110 0z110000 110010nn nnnddddd", |w| {
        fp_scalar(w, Fmaxnmv, 0)
    }),
    Pattern::new("fminnmp_scalar", "01111110 1z110000 110010nn nnnddddd", |w| {
        fp_scalar(w, Fminnmv, 0)
    }),
    Pattern::new("fmaxp_scalar", "01111110 0z110000 111110nn nnnddddd", |w| fp_scalar(w, Fmaxv, 0)),
    Pattern::new("fminp_scalar", "01111110 1z110000 111110nn nnnddddd", |w| fp_scalar(w, Fminv, 0)),
];
