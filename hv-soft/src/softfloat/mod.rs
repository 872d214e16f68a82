//! Floating-point arithmetic as the Arm architecture defines it, as pure functions.
//!
//! Every function follows the pseudocode of the same purpose in the Arm Architecture Reference
//! Manual (DDI 0487), "Shared pseudocode, floating-point": operands and results are bit patterns,
//! the controls come from [`Env`], and exceptions accumulate in [`Env::flags`] as FPSR bits.
//! Tininess is detected before rounding, results of flushed operations are zeros, and NaNs
//! propagate by the rules of `FPProcessNaNs`. Traps are not supported (FPCR trap enables read as
//! zero), nor is half-precision arithmetic: [`Half`] is a conversion format only.
//!
//! [`host`] has the short cuts that use the host's FPU where it cannot differ.

mod arith;
mod compare;
mod convert;
mod env;
mod estimate;
mod format;
mod fused;
pub(crate) mod host;
mod round;
#[cfg(test)]
mod tests;
mod unpack;

pub(crate) use arith::{abs_diff, add, div, mul, mulx, sqrt, sub};
pub(crate) use compare::{compare, eq, ge, gt, max, max_num, min, min_num, ordering_nzcv};
pub(crate) use convert::{Integer, convert, from_fixed, round_to_int, to_fixed};
pub(crate) use env::{Env, IXC, QC, Rounding};
pub(crate) use estimate::{
    recip_estimate, recip_estimate_u32, recip_exponent, rsqrt_estimate, rsqrt_estimate_u32,
};
pub(crate) use format::{Double, Format, Half, Single};
pub(crate) use fused::{mul_add, recip_step, rsqrt_step};
