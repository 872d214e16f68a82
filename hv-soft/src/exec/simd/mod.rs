//! Semantics of AdvSIMD integer operations and of SIMD&FP loads and stores, and the table from
//! [`SimdOp`] to handlers.

mod arith;
pub(crate) mod lanes;
mod memory;
mod permute;
pub(crate) mod shift;
mod structure;
mod widen;

use crate::decode::simd::{SimdOp, aux};
use crate::exec::crypto;
use crate::exec::fp::{arith as farith, compare as fcompare, convert as fconvert};
use crate::insn::{Handler, Insn};

/// A function for unsigned lanes of the element size.
macro_rules! lanes_u {
    ($i:expr, $($f:ident)::+ $(, $arg:expr)?) => {
        match $i.aux & aux::SIZE {
            0 => $($f)::+::<u8 $(, $arg)?>,
            1 => $($f)::+::<u16 $(, $arg)?>,
            2 => $($f)::+::<u32 $(, $arg)?>,
            _ => $($f)::+::<u64 $(, $arg)?>,
        }
    };
}

/// A function for signed lanes of the element size.
macro_rules! lanes_s {
    ($i:expr, $($f:ident)::+ $(, $arg:expr)?) => {
        match $i.aux & aux::SIZE {
            0 => $($f)::+::<i8 $(, $arg)?>,
            1 => $($f)::+::<i16 $(, $arg)?>,
            2 => $($f)::+::<i32 $(, $arg)?>,
            _ => $($f)::+::<i64 $(, $arg)?>,
        }
    };
}

/// A function for lanes of the element size and sign.
macro_rules! lanes_either {
    ($i:expr, $($arg:tt)+) => {
        if $i.aux & aux::UNSIGNED != 0 { lanes_u!($i, $($arg)+) } else { lanes_s!($i, $($arg)+) }
    };
}

/// A function for unsigned lanes that can be widened.
macro_rules! narrow_u {
    ($i:expr, $($f:ident)::+ $(, $arg:expr)?) => {
        match $i.aux & aux::SIZE {
            0 => $($f)::+::<u8 $(, $arg)?>,
            1 => $($f)::+::<u16 $(, $arg)?>,
            _ => $($f)::+::<u32 $(, $arg)?>,
        }
    };
}

/// A function for signed lanes that can be widened.
macro_rules! narrow_s {
    ($i:expr, $($f:ident)::+ $(, $arg:expr)?) => {
        match $i.aux & aux::SIZE {
            0 => $($f)::+::<i8 $(, $arg)?>,
            1 => $($f)::+::<i16 $(, $arg)?>,
            _ => $($f)::+::<i32 $(, $arg)?>,
        }
    };
}

/// A function for lanes that can be widened.
macro_rules! narrow_either {
    ($i:expr, $($arg:tt)+) => {
        if $i.aux & aux::UNSIGNED != 0 { narrow_u!($i, $($arg)+) } else { narrow_s!($i, $($arg)+) }
    };
}

/// A function for unsigned lanes of twice the element size.
macro_rules! wide_u {
    ($i:expr, $($f:ident)::+ $(, $arg:expr)?) => {
        match $i.aux & aux::SIZE {
            0 => $($f)::+::<u16 $(, $arg)?>,
            1 => $($f)::+::<u32 $(, $arg)?>,
            _ => $($f)::+::<u64 $(, $arg)?>,
        }
    };
}

/// A function for signed lanes of twice the element size.
macro_rules! wide_s {
    ($i:expr, $($f:ident)::+ $(, $arg:expr)?) => {
        match $i.aux & aux::SIZE {
            0 => $($f)::+::<i16 $(, $arg)?>,
            1 => $($f)::+::<i32 $(, $arg)?>,
            _ => $($f)::+::<i64 $(, $arg)?>,
        }
    };
}

/// A function for lanes of twice the element size.
macro_rules! wide_either {
    ($i:expr, $($arg:tt)+) => {
        if $i.aux & aux::UNSIGNED != 0 { wide_u!($i, $($arg)+) } else { wide_s!($i, $($arg)+) }
    };
}

/// A function of the signed and the unsigned lane type.
macro_rules! both_su {
    ($i:expr, $($f:ident)::+ $(, $arg:expr)?) => {
        match $i.aux & aux::SIZE {
            0 => $($f)::+::<i8, u8 $(, $arg)?>,
            1 => $($f)::+::<i16, u16 $(, $arg)?>,
            2 => $($f)::+::<i32, u32 $(, $arg)?>,
            _ => $($f)::+::<i64, u64 $(, $arg)?>,
        }
    };
}

/// A function of the unsigned and the signed lane type.
macro_rules! both_us {
    ($i:expr, $($f:ident)::+ $(, $arg:expr)?) => {
        match $i.aux & aux::SIZE {
            0 => $($f)::+::<u8, i8 $(, $arg)?>,
            1 => $($f)::+::<u16, i16 $(, $arg)?>,
            2 => $($f)::+::<u32, i32 $(, $arg)?>,
            _ => $($f)::+::<u64, i64 $(, $arg)?>,
        }
    };
}

/// A function for one number of the element size.
macro_rules! float {
    ($i:expr, $($f:ident)::+) => {
        if $i.aux & aux::SIZE == 3 { $($f)::+::<f64, 1> } else { $($f)::+::<f32, 1> }
    };
}

/// A function for the numbers of the element size in the operation's width.
macro_rules! floats {
    ($i:expr, $($f:ident)::+ $(, $arg:expr)?) => {
        match ($i.aux & aux::SIZE, $i.ra) {
            (2, aux::WIDTH_32) => $($f)::+::<f32, 1 $(, $arg)?>,
            (2, aux::WIDTH_64) => $($f)::+::<f32, 2 $(, $arg)?>,
            (2, _) => $($f)::+::<f32, 4 $(, $arg)?>,
            (_, aux::WIDTH_64) => $($f)::+::<f64, 1 $(, $arg)?>,
            _ => $($f)::+::<f64, 2 $(, $arg)?>,
        }
    };
}

/// A saturating narrowing shift, by the size of the result.
macro_rules! narrowing {
    ($i:expr, $module:ident) => {
        match $i.aux & aux::SIZE {
            0 => shift::$module::b,
            1 => shift::$module::h,
            _ => shift::$module::s,
        }
    };
}

/// The handler of a SIMD&FP operation.
pub fn handler(op: SimdOp, i: &Insn) -> Handler {
    let unsigned = i.aux & aux::UNSIGNED != 0;
    let element = i.aux & aux::BY_ELEMENT != 0;
    match op {
        SimdOp::Add => lanes_u!(i, arith::add),
        SimdOp::Sub => lanes_u!(i, arith::sub),
        SimdOp::Mul if element => lanes_u!(i, arith::mul, true),
        SimdOp::Mul => lanes_u!(i, arith::mul, false),
        SimdOp::Mla if element => lanes_u!(i, arith::mla, true),
        SimdOp::Mla => lanes_u!(i, arith::mla, false),
        SimdOp::Mls if element => lanes_u!(i, arith::mls, true),
        SimdOp::Mls => lanes_u!(i, arith::mls, false),
        SimdOp::Max => lanes_either!(i, arith::max),
        SimdOp::Min => lanes_either!(i, arith::min),
        SimdOp::Abd => lanes_either!(i, arith::abd),
        SimdOp::Aba => lanes_either!(i, arith::aba),
        SimdOp::Hadd => lanes_either!(i, arith::hadd),
        SimdOp::Rhadd => lanes_either!(i, arith::rhadd),
        SimdOp::Hsub => lanes_either!(i, arith::hsub),
        SimdOp::Cmgt => lanes_either!(i, arith::cmgt),
        SimdOp::Cmge => lanes_either!(i, arith::cmge),
        SimdOp::Cmeq => lanes_u!(i, arith::cmeq),
        SimdOp::Cmtst => lanes_u!(i, arith::cmtst),
        SimdOp::Cmgt0 => lanes_s!(i, arith::cmgt0),
        SimdOp::Cmge0 => lanes_s!(i, arith::cmge0),
        SimdOp::Cmeq0 => lanes_u!(i, arith::cmeq0),
        SimdOp::Cmle0 => lanes_s!(i, arith::cmle0),
        SimdOp::Cmlt0 => lanes_s!(i, arith::cmlt0),
        SimdOp::Abs => lanes_s!(i, arith::abs),
        SimdOp::Neg => lanes_u!(i, arith::neg),
        SimdOp::Clz => lanes_u!(i, arith::clz),
        SimdOp::Cls => lanes_s!(i, arith::cls),
        SimdOp::Cnt => arith::cnt,
        SimdOp::Rbit => arith::rbit,
        SimdOp::Not => arith::not,
        SimdOp::And => arith::and,
        SimdOp::Bic => arith::bic,
        SimdOp::Orr => arith::orr,
        SimdOp::Orn => arith::orn,
        SimdOp::Eor => arith::eor,
        SimdOp::Bsl => arith::bsl,
        SimdOp::Bit => arith::bit,
        SimdOp::Bif => arith::bif,
        SimdOp::Pmul => arith::pmul,
        SimdOp::Movi => arith::movi,
        SimdOp::OrrImm => arith::orr_imm,
        SimdOp::BicImm => arith::bic_imm,
        SimdOp::Qadd => lanes_either!(i, arith::qadd),
        SimdOp::Qsub => lanes_either!(i, arith::qsub),
        SimdOp::Qdmulh if element => lanes_s!(i, arith::qdmulh, true),
        SimdOp::Qdmulh => lanes_s!(i, arith::qdmulh, false),
        SimdOp::Qrdmulh if element => lanes_s!(i, arith::qrdmulh, true),
        SimdOp::Qrdmulh => lanes_s!(i, arith::qrdmulh, false),
        SimdOp::Qrdmlah if element => lanes_s!(i, arith::qrdmlah, true),
        SimdOp::Qrdmlah => lanes_s!(i, arith::qrdmlah, false),
        SimdOp::Qrdmlsh if element => lanes_s!(i, arith::qrdmlsh, true),
        SimdOp::Qrdmlsh => lanes_s!(i, arith::qrdmlsh, false),
        SimdOp::Qabs => lanes_s!(i, arith::qabs),
        SimdOp::Qneg => lanes_s!(i, arith::qneg),
        SimdOp::Suqadd => both_su!(i, arith::qadd_other),
        SimdOp::Usqadd => both_us!(i, arith::qadd_other),
        SimdOp::ShlReg => lanes_either!(i, shift::shl_reg),
        SimdOp::RshlReg => lanes_either!(i, shift::rshl_reg),
        SimdOp::QshlReg => lanes_either!(i, shift::qshl_reg),
        SimdOp::QrshlReg => lanes_either!(i, shift::qrshl_reg),
        SimdOp::Shl => lanes_u!(i, shift::shl),
        SimdOp::Shr => lanes_either!(i, shift::shr),
        SimdOp::Sra => lanes_either!(i, shift::sra),
        SimdOp::Rshr => lanes_either!(i, shift::rshr),
        SimdOp::Rsra => lanes_either!(i, shift::rsra),
        SimdOp::Sli => lanes_u!(i, shift::sli),
        SimdOp::Sri => lanes_u!(i, shift::sri),
        SimdOp::Qshl => lanes_either!(i, shift::qshl),
        SimdOp::Qshlu => both_su!(i, shift::qshlu),
        SimdOp::Shrn => wide_u!(i, shift::shrn),
        SimdOp::Rshrn => wide_u!(i, shift::rshrn),
        SimdOp::Addhn => wide_u!(i, shift::addhn),
        SimdOp::Raddhn => wide_u!(i, shift::raddhn),
        SimdOp::Subhn => wide_u!(i, shift::subhn),
        SimdOp::Rsubhn => wide_u!(i, shift::rsubhn),
        SimdOp::Qshrn if unsigned => narrowing!(i, uqshrn),
        SimdOp::Qshrn => narrowing!(i, sqshrn),
        SimdOp::Qrshrn if unsigned => narrowing!(i, uqrshrn),
        SimdOp::Qrshrn => narrowing!(i, sqrshrn),
        SimdOp::Qshrun => narrowing!(i, sqshrun),
        SimdOp::Qrshrun => narrowing!(i, sqrshrun),
        SimdOp::Shll => narrow_either!(i, shift::shll),
        SimdOp::Addl => narrow_either!(i, widen::addl),
        SimdOp::Subl => narrow_either!(i, widen::subl),
        SimdOp::Mull if element => narrow_either!(i, widen::mull, true),
        SimdOp::Mull => narrow_either!(i, widen::mull, false),
        SimdOp::Mlal if element => narrow_either!(i, widen::mlal, true),
        SimdOp::Mlal => narrow_either!(i, widen::mlal, false),
        SimdOp::Mlsl if element => narrow_either!(i, widen::mlsl, true),
        SimdOp::Mlsl => narrow_either!(i, widen::mlsl, false),
        SimdOp::Abdl => narrow_either!(i, widen::abdl),
        SimdOp::Abal => narrow_either!(i, widen::abal),
        SimdOp::Addw => narrow_either!(i, widen::addw),
        SimdOp::Subw => narrow_either!(i, widen::subw),
        SimdOp::Qdmull if element => narrow_s!(i, widen::qdmull, true),
        SimdOp::Qdmull => narrow_s!(i, widen::qdmull, false),
        SimdOp::Qdmlal if element => narrow_s!(i, widen::qdmlal, true),
        SimdOp::Qdmlal => narrow_s!(i, widen::qdmlal, false),
        SimdOp::Qdmlsl if element => narrow_s!(i, widen::qdmlsl, true),
        SimdOp::Qdmlsl => narrow_s!(i, widen::qdmlsl, false),
        SimdOp::Addlp => wide_either!(i, widen::addlp, false),
        SimdOp::Adalp => wide_either!(i, widen::addlp, true),
        SimdOp::Addlv => narrow_either!(i, widen::addlv),
        SimdOp::Pmull8 => widen::pmull8,
        SimdOp::Pmull64 => widen::pmull64,
        SimdOp::Dot => match (unsigned, element) {
            (true, true) => widen::udot::<true>,
            (true, false) => widen::udot::<false>,
            (false, true) => widen::sdot::<true>,
            (false, false) => widen::sdot::<false>,
        },
        SimdOp::DupElement => lanes_u!(i, permute::dup_element),
        SimdOp::DupGeneral => lanes_u!(i, permute::dup_general),
        SimdOp::InsGeneral => lanes_u!(i, permute::ins_general),
        SimdOp::InsElement => lanes_u!(i, permute::ins_element),
        SimdOp::Umov => lanes_u!(i, permute::umov),
        SimdOp::Smov => lanes_s!(i, permute::smov),
        SimdOp::Ext => permute::ext,
        SimdOp::Tbl => permute::tbl,
        SimdOp::Zip1 => lanes_u!(i, permute::zip, false),
        SimdOp::Zip2 => lanes_u!(i, permute::zip, true),
        SimdOp::Uzp1 => lanes_u!(i, permute::uzp, false),
        SimdOp::Uzp2 => lanes_u!(i, permute::uzp, true),
        SimdOp::Trn1 => lanes_u!(i, permute::trn, false),
        SimdOp::Trn2 => lanes_u!(i, permute::trn, true),
        SimdOp::Rev16 => lanes_u!(i, permute::rev, 16),
        SimdOp::Rev32 => lanes_u!(i, permute::rev, 32),
        SimdOp::Rev64 => lanes_u!(i, permute::rev, 64),
        SimdOp::Addp => lanes_u!(i, permute::addp),
        SimdOp::Maxp => lanes_either!(i, permute::maxp),
        SimdOp::Minp => lanes_either!(i, permute::minp),
        SimdOp::AddpScalar => permute::addp_scalar,
        SimdOp::Addv => lanes_u!(i, permute::addv),
        SimdOp::Maxv => lanes_either!(i, permute::maxv),
        SimdOp::Minv => lanes_either!(i, permute::minv),
        SimdOp::Fadd => floats!(i, farith::fadd),
        SimdOp::Fsub => floats!(i, farith::fsub),
        SimdOp::Fmul if element => floats!(i, farith::fmul, true),
        SimdOp::Fmul => floats!(i, farith::fmul, false),
        SimdOp::Fdiv => floats!(i, farith::fdiv),
        SimdOp::Fabd => floats!(i, farith::fabd),
        SimdOp::Fnmul => floats!(i, farith::fnmul),
        SimdOp::Fmulx if element => floats!(i, farith::fmulx, true),
        SimdOp::Fmulx => floats!(i, farith::fmulx, false),
        SimdOp::Fmax => floats!(i, farith::fmax),
        SimdOp::Fmin => floats!(i, farith::fmin),
        SimdOp::Fmaxnm => floats!(i, farith::fmaxnm),
        SimdOp::Fminnm => floats!(i, farith::fminnm),
        SimdOp::Frecps => floats!(i, farith::recip_step),
        SimdOp::Frsqrts => floats!(i, farith::rsqrt_step),
        SimdOp::Fmla if element => floats!(i, farith::fmla, true),
        SimdOp::Fmla => floats!(i, farith::fmla, false),
        SimdOp::Fmadd => float!(i, farith::fmadd),
        SimdOp::Fsqrt => floats!(i, farith::fsqrt),
        SimdOp::Frecpe => floats!(i, farith::recip_estimate),
        SimdOp::Frsqrte => floats!(i, farith::rsqrt_estimate),
        SimdOp::Frecpx => floats!(i, farith::recip_exponent),
        SimdOp::Urecpe => farith::urecpe,
        SimdOp::Ursqrte => farith::ursqrte,
        SimdOp::Fabs => farith::fabs,
        SimdOp::Fneg => farith::fneg,
        SimdOp::Fmov => farith::fmov,
        SimdOp::Faddp => floats!(i, farith::faddp),
        SimdOp::Fmaxp => floats!(i, farith::fmaxp),
        SimdOp::Fminp => floats!(i, farith::fminp),
        SimdOp::Fmaxnmp => floats!(i, farith::fmaxnmp),
        SimdOp::Fminnmp => floats!(i, farith::fminnmp),
        SimdOp::Faddv => farith::addv,
        SimdOp::Fmaxv => farith::maxv,
        SimdOp::Fminv => farith::minv,
        SimdOp::Fmaxnmv => farith::max_numv,
        SimdOp::Fminnmv => farith::min_numv,
        SimdOp::Fcmp => float!(i, fcompare::fcmp),
        SimdOp::Fccmp => float!(i, fcompare::fccmp),
        SimdOp::Fcsel => fcompare::fcsel,
        SimdOp::Fcmeq => floats!(i, fcompare::fcmeq),
        SimdOp::Fcmge => floats!(i, fcompare::fcmge),
        SimdOp::Fcmgt => floats!(i, fcompare::fcmgt),
        SimdOp::Fcmle => floats!(i, fcompare::fcmle),
        SimdOp::Fcmlt => floats!(i, fcompare::fcmlt),
        SimdOp::Facge => floats!(i, fcompare::facge),
        SimdOp::Facgt => floats!(i, fcompare::facgt),
        SimdOp::Frint => floats!(i, fconvert::frint),
        SimdOp::FcvtInt => floats!(i, fconvert::fcvt_int),
        SimdOp::Cvtf => floats!(i, fconvert::cvtf),
        SimdOp::FcvtGeneral => float!(i, fconvert::fcvt_general),
        SimdOp::CvtfGeneral => float!(i, fconvert::cvtf_general),
        SimdOp::FmovFromGeneral => fconvert::fmov_from_general,
        SimdOp::FcvtSD => fconvert::fcvt_sd,
        SimdOp::FcvtSH => fconvert::fcvt_sh,
        SimdOp::FcvtDS => fconvert::fcvt_ds,
        SimdOp::FcvtDH => fconvert::fcvt_dh,
        SimdOp::FcvtHS => fconvert::fcvt_hs,
        SimdOp::FcvtHD => fconvert::fcvt_hd,
        SimdOp::FcvtlHS => fconvert::fcvtl_hs,
        SimdOp::FcvtlSD => fconvert::fcvtl_sd,
        SimdOp::FcvtnSH => fconvert::fcvtn_sh,
        SimdOp::FcvtnDS => fconvert::fcvtn_ds,
        SimdOp::Fcvtxn => fconvert::fcvtxn,
        SimdOp::Aese => crypto::aese,
        SimdOp::Aesd => crypto::aesd,
        SimdOp::Aesmc => crypto::aesmc,
        SimdOp::Aesimc => crypto::aesimc,
        SimdOp::Sha1c => crypto::sha1c,
        SimdOp::Sha1p => crypto::sha1p,
        SimdOp::Sha1m => crypto::sha1m,
        SimdOp::Sha1h => crypto::sha1h,
        SimdOp::Sha1su0 => crypto::sha1su0,
        SimdOp::Sha1su1 => crypto::sha1su1,
        SimdOp::Sha256h => crypto::sha256h,
        SimdOp::Sha256h2 => crypto::sha256h2,
        SimdOp::Sha256su0 => crypto::sha256su0,
        SimdOp::Sha256su1 => crypto::sha256su1,
        SimdOp::Ldr => memory::ldr_handler(i),
        SimdOp::Str => memory::str_handler(i),
        SimdOp::LdrLiteral => memory::literal_handler(i),
        SimdOp::Ldp => memory::ldp_handler(i),
        SimdOp::Stp => memory::stp_handler(i),
        SimdOp::LdMultiple => structure::ld_multiple_handler(i),
        SimdOp::StMultiple => structure::st_multiple_handler(i),
        SimdOp::LdSingle => structure::ld_single_handler(i),
        SimdOp::StSingle => structure::st_single_handler(i),
        SimdOp::LdReplicate => structure::ld_replicate_handler(i),
    }
}
