//! `FPRecipEstimate`, `FPRSqrtEstimate`, `FPRecpX` and the unsigned integer estimates.

use super::env::{DZC, Env, IXC, OFC, UFC};
use super::format::Format;
use super::round::overflow;
use super::unpack::{Class, invalid, propagate_nan, unpack};

/// `RecipEstimate`: of `a / 512` in 0.5..1, as a multiple of 1/256; `a` is in 256..512.
fn recip_table(a: u32) -> u32 {
    let b = (1 << 19) / (a * 2 + 1);
    b.div_ceil(2)
}

/// `RecipSqrtEstimate`: of `a / 512` in 0.25..1, as a multiple of 1/256; `a` is in 128..512.
fn rsqrt_table(a: u32) -> u32 {
    let a = if a < 256 { a * 2 + 1 } else { ((a >> 1 << 1) + 1) * 2 };
    // The largest b with a * b^2 < 2^28.
    let mut b = 512u32;
    while a * (b + 1) * (b + 1) < 1 << 28 {
        b += 1;
    }
    b.div_ceil(2)
}

/// The fraction field of a number, aligned to 52 bits, and its exponent field; a denormal number is
/// normalised, its exponent then zero or negative.
fn fraction<F: Format>(bits: u64) -> (u64, i32) {
    const TOP: u64 = 1 << 51;
    let mut frac = (bits & F::FRAC_MASK) << (52 - F::FRAC);
    let mut exp = ((bits & F::INFINITY) >> F::FRAC) as i32;
    if exp == 0 {
        while frac & TOP == 0 {
            frac <<= 1;
            exp -= 1;
        }
        frac = frac << 1 & ((1 << 52) - 1);
    }
    (frac, exp)
}

/// `FPRecipEstimate`: FRECPE.
pub(crate) fn recip_estimate<F: Format>(bits: u64, env: &mut Env) -> u64 {
    let value = unpack::<F>(bits, env);
    let sign = value.sign;
    match value.class {
        Class::Nan => return propagate_nan::<F>(bits, env),
        Class::Infinity => return F::zero(sign),
        Class::Zero => {
            env.raise(DZC);
            return F::infinity(sign);
        }
        Class::Finite => {}
    }
    if value.exp < -F::BIAS - 1 {
        env.raise(OFC | IXC);
        return overflow::<F>(sign, env.rounding);
    }
    if env.fz && value.exp >= F::BIAS - 1 {
        env.raise(UFC);
        return F::zero(sign);
    }
    let (frac, exp) = fraction::<F>(bits);
    let scaled = 1 << 8 | (frac >> 44) as u32;
    let result_exp = 2 * F::BIAS - 1 - exp;
    let frac = u64::from(recip_table(scaled) & 0xff) << 44;
    let (frac, result_exp) = match result_exp {
        0 => (1 << 51 | frac >> 1, 0),
        -1 => (1 << 50 | frac >> 2, 0),
        _ => (frac, result_exp as u64),
    };
    F::zero(sign) | result_exp << F::FRAC | frac >> (52 - F::FRAC)
}

/// `FPRSqrtEstimate`: FRSQRTE.
pub(crate) fn rsqrt_estimate<F: Format>(bits: u64, env: &mut Env) -> u64 {
    let value = unpack::<F>(bits, env);
    match value.class {
        Class::Nan => return propagate_nan::<F>(bits, env),
        Class::Zero => {
            env.raise(DZC);
            return F::infinity(value.sign);
        }
        _ if value.sign => return invalid::<F>(env),
        Class::Infinity => return F::zero(false),
        Class::Finite => {}
    }
    let (frac, exp) = fraction::<F>(bits);
    let scaled =
        if exp & 1 == 0 { 1 << 8 | (frac >> 44) as u32 } else { 1 << 7 | (frac >> 45) as u32 };
    let result_exp = ((3 * F::BIAS - 1 - exp) / 2) as u64;
    let estimate = u64::from(rsqrt_table(scaled) & 0xff);
    result_exp << F::FRAC | estimate << (F::FRAC - 8)
}

/// `FPRecpX`: FRECPX, the operand's exponent inverted.
pub(crate) fn recip_exponent<F: Format>(bits: u64, env: &mut Env) -> u64 {
    let value = unpack::<F>(bits, env);
    if value.class == Class::Nan {
        return propagate_nan::<F>(bits, env);
    }
    let exp = bits & F::INFINITY;
    let inverted = if exp == 0 { F::INFINITY - (1 << F::FRAC) } else { !exp & F::INFINITY };
    F::zero(value.sign) | inverted
}

/// `UnsignedRecipEstimate`: URECPE.
pub(crate) fn recip_estimate_u32(value: u32) -> u32 {
    if value >> 31 == 0 { u32::MAX } else { recip_table(value >> 23) << 23 }
}

/// `UnsignedRSqrtEstimate`: URSQRTE.
pub(crate) fn rsqrt_estimate_u32(value: u32) -> u32 {
    if value >> 30 == 0 { u32::MAX } else { rsqrt_table(value >> 23) << 23 }
}
