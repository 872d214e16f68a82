//! From values to bit patterns: `FPRound`, `FPRoundCV` and shifts that keep inexactness.

use super::env::{Env, IOC, IXC, OFC, Rounding, UFC};
use super::format::Format;

/// Shifts right; a lost one bit sets bit 0, so that later rounding sees the inexactness.
#[inline]
pub(super) fn shift_right_jam(value: u64, count: u32) -> u64 {
    match count {
        0 => value,
        1..64 => value >> count | u64::from(value << (64 - count) != 0),
        _ => u64::from(value != 0),
    }
}

/// As [`shift_right_jam`], for 128 bits.
#[inline]
pub(super) fn shift_right_jam_u128(value: u128, count: u32) -> u128 {
    match count {
        0 => value,
        1..128 => value >> count | u128::from(value << (128 - count) != 0),
        _ => u128::from(value != 0),
    }
}

/// Whether a discarded remainder increments the magnitude. `rest` is the remainder as a fraction of
/// 2^64, `odd` whether the kept integer is odd.
#[inline]
pub(super) fn rounds_up(rounding: Rounding, sign: bool, odd: bool, rest: u64) -> bool {
    const HALF: u64 = 1 << 63;
    match rounding {
        Rounding::TieEven => rest > HALF || (rest == HALF && odd),
        Rounding::TieAway => rest >= HALF,
        Rounding::PosInf => rest != 0 && !sign,
        Rounding::NegInf => rest != 0 && sign,
        Rounding::Zero | Rounding::Odd => false,
    }
}

/// `FPRound`: the pattern nearest to `sig / 2^63 * 2^exp` (`sig` not zero, any normalisation) in the
/// rounding mode of the environment.
#[inline]
pub(super) fn round<F: Format>(sign: bool, exp: i32, sig: u64, env: &mut Env) -> u64 {
    round_as::<F>(sign, exp, sig, env.rounding, false, env)
}

/// `FPRoundCV`: as [`round`], where half precision obeys FPCR.AHP and `rounding` is given.
#[inline]
pub(super) fn round_for_conversion<F: Format>(
    sign: bool,
    exp: i32,
    sig: u64,
    rounding: Rounding,
    env: &mut Env,
) -> u64 {
    round_as::<F>(sign, exp, sig, rounding, F::BITS == 16 && env.ahp, env)
}

#[inline]
fn round_as<F: Format>(
    sign: bool,
    exp: i32,
    sig: u64,
    rounding: Rounding,
    alternative_half: bool,
    env: &mut Env,
) -> u64 {
    let lz = sig.leading_zeros();
    let (sig, exp) = (sig << lz, exp - lz as i32);
    let min_exp = 1 - F::BIAS;
    if env.fz && F::BITS != 16 && exp < min_exp {
        env.raise(UFC);
        return F::zero(sign);
    }
    // Split into the unrounded significand and the error, a fraction of 2^64.
    let denormal_shift = (min_exp - exp).max(0) as u32;
    let shift = 63 - F::FRAC + denormal_shift;
    let (mut mantissa, rest) = match shift {
        1..64 => (sig >> shift, sig << (64 - shift)),
        64 => (0, sig),
        _ => (0, 1),
    };
    let mut inexact = rest != 0;
    if denormal_shift > 0 && inexact {
        env.raise(UFC);
    }
    if rounds_up(rounding, sign, mantissa & 1 != 0, rest) {
        mantissa += 1;
    } else if inexact && rounding == Rounding::Odd {
        mantissa |= 1;
    }
    // A normal mantissa carries its leading one into the exponent field, and so does a rounded-up one.
    let biased_less_one = if denormal_shift > 0 { 0 } else { (exp - min_exp) as u64 };
    let magnitude = (biased_less_one << F::FRAC) + mantissa;
    let mut result = F::zero(sign) | magnitude;
    if alternative_half {
        if magnitude >= F::SIGN {
            result = F::zero(sign) | (F::SIGN - 1);
            env.raise(IOC);
            inexact = false;
        }
    } else if magnitude >= F::INFINITY {
        result = overflow::<F>(sign, rounding);
        env.raise(OFC);
        inexact = true;
    }
    if inexact {
        env.raise(IXC);
    }
    result
}

/// The result of an overflow: infinity or the largest number, as the rounding mode says.
#[inline]
pub(super) fn overflow<F: Format>(sign: bool, rounding: Rounding) -> u64 {
    let to_infinity = match rounding {
        Rounding::TieEven | Rounding::TieAway => true,
        Rounding::PosInf => !sign,
        Rounding::NegInf => sign,
        Rounding::Zero | Rounding::Odd => false,
    };
    if to_infinity { F::infinity(sign) } else { F::max_normal(sign) }
}
