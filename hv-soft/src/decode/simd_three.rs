//! AdvSIMD: three registers of the same size, of different sizes, and by element
//! (Arm ARM C4.1.96, "Advanced SIMD three same", "… three different", "… x indexed element").

use super::Pattern;
use super::simd::SimdOp::*;
use super::simd::sizes::*;
use super::simd::{
    SimdOp, aux, fp_scalar, fp_vector, q, scalar, unsigned, vector, vector_width, with_registers,
};
use crate::insn::Insn;

/// All classes of this file.
pub(super) static GROUPS: [&[Pattern]; 15] = [
    SAME,
    LOGIC,
    SAME_FP,
    SAME_SCALAR,
    SAME_FP_SCALAR,
    EXTRA,
    DIFFERENT,
    NARROWING,
    PMULL,
    DIFFERENT_SCALAR,
    INDEXED,
    INDEXED_LONG,
    INDEXED_FP,
    INDEXED_SCALAR,
    INDEXED_FP_SCALAR,
];

macro_rules! rows {
    ($mask:literal, $base:literal, $shift:literal, $decode:expr;
     $($name:literal $u:literal $opcode:literal $op:ident $arg:expr;)*) => {
        &[$(Pattern {
            name: $name,
            mask: $mask,
            value: $base | $u << 29 | $opcode << $shift,
            decode: |word| ($decode)(word, $op, $arg),
        }),*]
    };
}
pub(super) use rows;

static SAME: &[Pattern] = rows! {
    0xbf20_fc00, 0x0e20_0400, 11, vector;
    "shadd" 0 0b00000 Hadd BHS;
    "sqadd" 0 0b00001 Qadd BHSD;
    "srhadd" 0 0b00010 Rhadd BHS;
    "shsub" 0 0b00100 Hsub BHS;
    "sqsub" 0 0b00101 Qsub BHSD;
    "cmgt_reg" 0 0b00110 Cmgt BHSD;
    "cmge_reg" 0 0b00111 Cmge BHSD;
    "sshl" 0 0b01000 ShlReg BHSD;
    "sqshl_reg" 0 0b01001 QshlReg BHSD;
    "srshl" 0 0b01010 RshlReg BHSD;
    "sqrshl" 0 0b01011 QrshlReg BHSD;
    "smax" 0 0b01100 Max BHS;
    "smin" 0 0b01101 Min BHS;
    "sabd" 0 0b01110 Abd BHS;
    "saba" 0 0b01111 Aba BHS;
    "add_vec" 0 0b10000 Add BHSD;
    "cmtst" 0 0b10001 Cmtst BHSD;
    "mla_vec" 0 0b10010 Mla BHS;
    "mul_vec" 0 0b10011 Mul BHS;
    "smaxp" 0 0b10100 Maxp BHS;
    "sminp" 0 0b10101 Minp BHS;
    "sqdmulh_vec" 0 0b10110 Qdmulh HS;
    "addp_vec" 0 0b10111 Addp BHSD;
    "uhadd" 1 0b00000 Hadd BHS;
    "uqadd" 1 0b00001 Qadd BHSD;
    "urhadd" 1 0b00010 Rhadd BHS;
    "uhsub" 1 0b00100 Hsub BHS;
    "uqsub" 1 0b00101 Qsub BHSD;
    "cmhi" 1 0b00110 Cmgt BHSD;
    "cmhs" 1 0b00111 Cmge BHSD;
    "ushl" 1 0b01000 ShlReg BHSD;
    "uqshl_reg" 1 0b01001 QshlReg BHSD;
    "urshl" 1 0b01010 RshlReg BHSD;
    "uqrshl" 1 0b01011 QrshlReg BHSD;
    "umax" 1 0b01100 Max BHS;
    "umin" 1 0b01101 Min BHS;
    "uabd" 1 0b01110 Abd BHS;
    "uaba" 1 0b01111 Aba BHS;
    "sub_vec" 1 0b10000 Sub BHSD;
    "cmeq_reg" 1 0b10001 Cmeq BHSD;
    "mls_vec" 1 0b10010 Mls BHS;
    "pmul" 1 0b10011 Pmul B;
    "umaxp" 1 0b10100 Maxp BHS;
    "uminp" 1 0b10101 Minp BHS;
    "sqrdmulh_vec" 1 0b10110 Qrdmulh HS;
};

fn logic(word: u32, op: SimdOp, _: ()) -> Option<Insn> {
    Some(with_registers(word, op, vector_width(word), 0))
}

static LOGIC: &[Pattern] = rows! {
    // The opcode includes the size field.
    0xbfe0_fc00, 0x0e20_1c00, 22, logic;
    "and_vec" 0 0b00 And ();
    "bic_vec_reg" 0 0b01 Bic ();
    "orr_vec_reg" 0 0b10 Orr ();
    "orn_vec" 0 0b11 Orn ();
    "eor_vec" 1 0b00 Eor ();
    "bsl" 1 0b01 Bsl ();
    "bit" 1 0b10 Bit ();
    "bif" 1 0b11 Bif ();
};

static SAME_FP: &[Pattern] = rows! {
    // Bit 23 belongs to the opcode: it is 4096 in units of bit 11.
    0xbfa0_fc00, 0x0e20_0400, 11, fp_vector;
    "fmaxnm_vec" 0 0b11000 Fmaxnm 0;
    "fmla_vec" 0 0b11001 Fmla 0;
    "fadd_vec" 0 0b11010 Fadd 0;
    "fmulx_vec" 0 0b11011 Fmulx 0;
    "fcmeq_reg" 0 0b11100 Fcmeq 0;
    "fmax_vec" 0 0b11110 Fmax 0;
    "frecps_vec" 0 0b11111 Frecps 0;
    "fminnm_vec" 0 0b1_0000_0001_1000 Fminnm 0;
    "fmls_vec" 0 0b1_0000_0001_1001 Fmla aux::NEGATE_N;
    "fsub_vec" 0 0b1_0000_0001_1010 Fsub 0;
    "fmin_vec" 0 0b1_0000_0001_1110 Fmin 0;
    "frsqrts_vec" 0 0b1_0000_0001_1111 Frsqrts 0;
    "fmaxnmp_vec" 1 0b11000 Fmaxnmp 0;
    "faddp_vec" 1 0b11010 Faddp 0;
    "fmul_vec" 1 0b11011 Fmul 0;
    "fcmge_reg" 1 0b11100 Fcmge 0;
    "facge_vec" 1 0b11101 Facge 0;
    "fmaxp_vec" 1 0b11110 Fmaxp 0;
    "fdiv_vec" 1 0b11111 Fdiv 0;
    "fminnmp_vec" 1 0b1_0000_0001_1000 Fminnmp 0;
    "fabd_vec" 1 0b1_0000_0001_1010 Fabd 0;
    "fcmgt_reg" 1 0b1_0000_0001_1100 Fcmgt 0;
    "facgt_vec" 1 0b1_0000_0001_1101 Facgt 0;
    "fminp_vec" 1 0b1_0000_0001_1110 Fminp 0;
};

static SAME_SCALAR: &[Pattern] = rows! {
    0xff20_fc00, 0x5e20_0400, 11, scalar;
    "sqadd_scalar" 0 0b00001 Qadd BHSD;
    "sqsub_scalar" 0 0b00101 Qsub BHSD;
    "cmgt_reg_scalar" 0 0b00110 Cmgt D;
    "cmge_reg_scalar" 0 0b00111 Cmge D;
    "sshl_scalar" 0 0b01000 ShlReg D;
    "sqshl_reg_scalar" 0 0b01001 QshlReg BHSD;
    "srshl_scalar" 0 0b01010 RshlReg D;
    "sqrshl_scalar" 0 0b01011 QrshlReg BHSD;
    "add_scalar" 0 0b10000 Add D;
    "cmtst_scalar" 0 0b10001 Cmtst D;
    "sqdmulh_scalar" 0 0b10110 Qdmulh HS;
    "uqadd_scalar" 1 0b00001 Qadd BHSD;
    "uqsub_scalar" 1 0b00101 Qsub BHSD;
    "cmhi_scalar" 1 0b00110 Cmgt D;
    "cmhs_scalar" 1 0b00111 Cmge D;
    "ushl_scalar" 1 0b01000 ShlReg D;
    "uqshl_reg_scalar" 1 0b01001 QshlReg BHSD;
    "urshl_scalar" 1 0b01010 RshlReg D;
    "uqrshl_scalar" 1 0b01011 QrshlReg BHSD;
    "sub_scalar" 1 0b10000 Sub D;
    "cmeq_reg_scalar" 1 0b10001 Cmeq D;
    "sqrdmulh_scalar" 1 0b10110 Qrdmulh HS;
};

static SAME_FP_SCALAR: &[Pattern] = rows! {
    0xffa0_fc00, 0x5e20_0400, 11, fp_scalar;
    "fmulx_scalar" 0 0b11011 Fmulx 0;
    "fcmeq_reg_scalar" 0 0b11100 Fcmeq 0;
    "frecps_scalar" 0 0b11111 Frecps 0;
    "frsqrts_scalar" 0 0b1_0000_0001_1111 Frsqrts 0;
    "fcmge_reg_scalar" 1 0b11100 Fcmge 0;
    "facge_scalar" 1 0b11101 Facge 0;
    "fabd_scalar" 1 0b1_0000_0001_1010 Fabd 0;
    "fcmgt_reg_scalar" 1 0b1_0000_0001_1100 Fcmgt 0;
    "facgt_scalar" 1 0b1_0000_0001_1101 Facgt 0;
};

/// "Three same extra", vector and scalar: FEAT_RDM and FEAT_DotProd.
static EXTRA: &[Pattern] = &[
    Pattern::new("sqrdmlah_vec", "0q101110 zz0mmmmm 100001nn nnnddddd", |w| vector(w, Qrdmlah, HS)),
    Pattern::new("sqrdmlsh_vec", "0q101110 zz0mmmmm 100011nn nnnddddd", |w| vector(w, Qrdmlsh, HS)),
    Pattern::new("sqrdmlah_scalar", "01111110 zz0mmmmm 100001nn nnnddddd", |w| {
        scalar(w, Qrdmlah, HS)
    }),
    Pattern::new("sqrdmlsh_scalar", "01111110 zz0mmmmm 100011nn nnnddddd", |w| {
        scalar(w, Qrdmlsh, HS)
    }),
    Pattern::new("sdot_vec", "0q001110 zz0mmmmm 100101nn nnnddddd", |w| vector(w, Dot, S)),
    Pattern::new("udot_vec", "0q101110 zz0mmmmm 100101nn nnnddddd", |w| vector(w, Dot, S)),
];

/// Operations on narrow sources, the upper halves if Q; all 128 bits take part.
fn different(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    let size = word >> 22 & 3;
    let upper = if q(word) { aux::UPPER } else { 0 };
    (allowed >> size & 1 != 0)
        .then(|| with_registers(word, op, aux::WIDTH_128, size | upper | unsigned(word)))
}

/// Operations on wide sources with a narrow result, in the upper half if Q.
fn narrowing(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    let insn = different(word, op, allowed)?;
    Some(Insn { ra: aux::WIDTH_64, ..insn })
}

static DIFFERENT: &[Pattern] = rows! {
    0xbf20_fc00, 0x0e20_0000, 12, different;
    "saddl" 0 0b0000 Addl BHS;
    "saddw" 0 0b0001 Addw BHS;
    "ssubl" 0 0b0010 Subl BHS;
    "ssubw" 0 0b0011 Subw BHS;
    "sabal" 0 0b0101 Abal BHS;
    "sabdl" 0 0b0111 Abdl BHS;
    "smlal_vec" 0 0b1000 Mlal BHS;
    "sqdmlal_vec" 0 0b1001 Qdmlal HS;
    "smlsl_vec" 0 0b1010 Mlsl BHS;
    "sqdmlsl_vec" 0 0b1011 Qdmlsl HS;
    "smull_vec" 0 0b1100 Mull BHS;
    "sqdmull_vec" 0 0b1101 Qdmull HS;
    "uaddl" 1 0b0000 Addl BHS;
    "uaddw" 1 0b0001 Addw BHS;
    "usubl" 1 0b0010 Subl BHS;
    "usubw" 1 0b0011 Subw BHS;
    "uabal" 1 0b0101 Abal BHS;
    "uabdl" 1 0b0111 Abdl BHS;
    "umlal_vec" 1 0b1000 Mlal BHS;
    "umlsl_vec" 1 0b1010 Mlsl BHS;
    "umull_vec" 1 0b1100 Mull BHS;
};

static NARROWING: &[Pattern] = rows! {
    0xbf20_fc00, 0x0e20_0000, 12, narrowing;
    "addhn" 0 0b0100 Addhn BHS;
    "subhn" 0 0b0110 Subhn BHS;
    "raddhn" 1 0b0100 Raddhn BHS;
    "rsubhn" 1 0b0110 Rsubhn BHS;
};

static PMULL: &[Pattern] = &[
    Pattern::new("pmull8", "0q001110 001mmmmm 111000nn nnnddddd", |w| different(w, Pmull8, B)),
    Pattern::new("pmull64", "0q001110 111mmmmm 111000nn nnnddddd", |w| different(w, Pmull64, D)),
];

/// Scalar operations with a result twice as wide as `size`.
fn different_scalar(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    let insn = scalar(word, op, allowed)?;
    Some(Insn { ra: insn.ra + 1, ..insn })
}

static DIFFERENT_SCALAR: &[Pattern] = rows! {
    0xff20_fc00, 0x5e20_0000, 12, different_scalar;
    "sqdmlal_scalar" 0 0b1001 Qdmlal HS;
    "sqdmlsl_scalar" 0 0b1011 Qdmlsl HS;
    "sqdmull_scalar" 0 0b1101 Qdmull HS;
};

/// Vm and its element index, by the element size: H:L:M and four register bits for halfwords, H:L
/// for words, H for doublewords.
fn element(word: u32, size: u32, insn: Insn) -> Option<Insn> {
    let (h, l, m) = (word >> 11 & 1, word >> 21 & 1, word >> 20 & 1);
    let (index, rm) = match size {
        1 => (h << 2 | l << 1 | m, word >> 16 & 15),
        2 => (h << 1 | l, word >> 16 & 31),
        3 if l == 0 => (h, word >> 16 & 31),
        _ => return None,
    };
    Some(Insn { rm: rm as u8, imm: index.into(), aux: insn.aux | aux::BY_ELEMENT, ..insn })
}

fn indexed(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    element(word, word >> 22 & 3, vector(word, op, allowed)?)
}

static INDEXED: &[Pattern] = rows! {
    0xbf00_f400, 0x0f00_0000, 12, indexed;
    "mul_elem" 0 0b1000 Mul HS;
    "sqdmulh_elem" 0 0b1100 Qdmulh HS;
    "sqrdmulh_elem" 0 0b1101 Qrdmulh HS;
    "sdot_elem" 0 0b1110 Dot S;
    "mla_elem" 1 0b0000 Mla HS;
    "mls_elem" 1 0b0100 Mls HS;
    "sqrdmlah_elem" 1 0b1101 Qrdmlah HS;
    "udot_elem" 1 0b1110 Dot S;
    "sqrdmlsh_elem" 1 0b1111 Qrdmlsh HS;
};

fn indexed_long(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    element(word, word >> 22 & 3, different(word, op, allowed)?)
}

static INDEXED_LONG: &[Pattern] = rows! {
    0xbf00_f400, 0x0f00_0000, 12, indexed_long;
    "smlal_elem" 0 0b0010 Mlal HS;
    "sqdmlal_elem" 0 0b0011 Qdmlal HS;
    "smlsl_elem" 0 0b0110 Mlsl HS;
    "sqdmlsl_elem" 0 0b0111 Qdmlsl HS;
    "smull_elem" 0 0b1010 Mull HS;
    "sqdmull_elem" 0 0b1011 Qdmull HS;
    "umlal_elem" 1 0b0010 Mlal HS;
    "umlsl_elem" 1 0b0110 Mlsl HS;
    "umull_elem" 1 0b1010 Mull HS;
};

fn indexed_fp(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    element(word, word >> 22 & 3, fp_vector(word, op, variant)?)
}

static INDEXED_FP: &[Pattern] = rows! {
    // Bit 23 is set: sizes S and D.
    0xbf80_f400, 0x0f80_0000, 12, indexed_fp;
    "fmla_elem" 0 0b0001 Fmla 0;
    "fmls_elem" 0 0b0101 Fmla aux::NEGATE_N;
    "fmul_elem" 0 0b1001 Fmul 0;
    "fmulx_elem" 1 0b1001 Fmulx 0;
};

fn indexed_scalar(word: u32, op: SimdOp, allowed: u32) -> Option<Insn> {
    let insn = match op {
        Qdmlal | Qdmlsl | Qdmull => different_scalar(word, op, allowed)?,
        _ => scalar(word, op, allowed)?,
    };
    element(word, word >> 22 & 3, insn)
}

static INDEXED_SCALAR: &[Pattern] = rows! {
    0xff00_f400, 0x5f00_0000, 12, indexed_scalar;
    "sqdmlal_elem_scalar" 0 0b0011 Qdmlal HS;
    "sqdmlsl_elem_scalar" 0 0b0111 Qdmlsl HS;
    "sqdmull_elem_scalar" 0 0b1011 Qdmull HS;
    "sqdmulh_elem_scalar" 0 0b1100 Qdmulh HS;
    "sqrdmulh_elem_scalar" 0 0b1101 Qrdmulh HS;
    "sqrdmlah_elem_scalar" 1 0b1101 Qrdmlah HS;
    "sqrdmlsh_elem_scalar" 1 0b1111 Qrdmlsh HS;
};

fn indexed_fp_scalar(word: u32, op: SimdOp, variant: u32) -> Option<Insn> {
    element(word, word >> 22 & 3, fp_scalar(word, op, variant)?)
}

static INDEXED_FP_SCALAR: &[Pattern] = rows! {
    0xff80_f400, 0x5f80_0000, 12, indexed_fp_scalar;
    "fmla_elem_scalar" 0 0b0001 Fmla 0;
    "fmls_elem_scalar" 0 0b0101 Fmla aux::NEGATE_N;
    "fmul_elem_scalar" 0 0b1001 Fmul 0;
    "fmulx_elem_scalar" 1 0b1001 Fmulx 0;
};
