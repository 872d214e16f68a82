//! `FPConvert`, `FPToFixed`, `FixedToFP` and `FPRoundInt`.

use super::env::{Env, IOC, IXC, Rounding};
use super::format::Format;
use super::round::{round_for_conversion, rounds_up};
use super::unpack::{Class, propagate_nan, unpack, unpack_for_conversion};

/// `FPConvert`: from format `S` to format `D`.
pub(crate) fn convert<S: Format, D: Format>(bits: u64, rounding: Rounding, env: &mut Env) -> u64 {
    let value = unpack_for_conversion::<S>(bits, env);
    let alternative_half = D::BITS == 16 && env.ahp;
    match value.class {
        Class::Nan => {
            if alternative_half || S::is_signalling(bits) {
                env.raise(IOC);
            }
            if alternative_half {
                D::zero(value.sign)
            } else if env.dn {
                D::DEFAULT_NAN
            } else {
                convert_nan::<S, D>(bits)
            }
        }
        Class::Infinity if alternative_half => {
            env.raise(IOC);
            D::zero(value.sign) | (D::SIGN - 1)
        }
        Class::Infinity => D::infinity(value.sign),
        Class::Zero => D::zero(value.sign),
        Class::Finite => round_for_conversion::<D>(value.sign, value.exp, value.sig, rounding, env),
    }
}

/// `FPConvertNaN`: the leading bits of the payload are kept.
fn convert_nan<S: Format, D: Format>(bits: u64) -> u64 {
    let payload = (bits & S::FRAC_MASK) << (63 - S::FRAC);
    D::zero(bits & S::SIGN != 0) | D::DEFAULT_NAN | payload >> (63 - D::FRAC)
}

/// An integer type of the general-purpose or vector registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Integer {
    /// Width, 32 or 64 bits.
    pub(crate) bits: u32,
    /// Whether it is two's complement.
    pub(crate) signed: bool,
}

impl Integer {
    /// `SatQ`: the nearest representable integer, and whether that is another one.
    #[inline]
    fn saturate(self, negative: bool, magnitude: u128) -> (u64, bool) {
        let limit = match (self.signed, negative) {
            (true, true) => 1u128 << (self.bits - 1),
            (true, false) => (1 << (self.bits - 1)) - 1,
            (false, true) => 0,
            (false, false) => (1 << self.bits) - 1,
        };
        let clamped = magnitude.min(limit) as u64;
        let value = if negative { clamped.wrapping_neg() } else { clamped };
        (value & (u64::MAX >> (64 - self.bits)), magnitude > limit)
    }
}

/// `FPToFixed`: the integer nearest to `bits * 2^fbits`, saturated, in the low bits of the result.
#[inline]
pub(crate) fn to_fixed<F: Format>(
    bits: u64,
    fbits: u32,
    into: Integer,
    rounding: Rounding,
    env: &mut Env,
) -> u64 {
    let value = unpack::<F>(bits, env);
    match value.class {
        Class::Nan => {
            env.raise(IOC);
            0
        }
        Class::Zero => 0,
        Class::Infinity => {
            env.raise(IOC);
            into.saturate(value.sign, u128::MAX).0
        }
        Class::Finite => {
            let exp = value.exp + fbits as i32;
            if exp >= 64 {
                env.raise(IOC);
                return into.saturate(value.sign, u128::MAX).0;
            }
            let (int, rest) = split(value.sig, exp);
            let up = rounds_up(rounding, value.sign, int & 1 != 0, rest);
            let (result, saturated) = into.saturate(value.sign, u128::from(int) + u128::from(up));
            if saturated {
                env.raise(IOC);
            } else if rest != 0 {
                env.raise(IXC);
            }
            result
        }
    }
}

/// Splits `sig / 2^63 * 2^exp` (`exp` at most 63) into its integer and its fraction of 2^64.
#[inline]
fn split(sig: u64, exp: i32) -> (u64, u64) {
    match 63 - exp {
        0 => (sig, 0),
        shift @ 1..64 => (sig >> shift, sig << (64 - shift)),
        64 => (0, sig),
        _ => (0, 1),
    }
}

/// `FixedToFP`: `value / 2^fbits`, where `value` is an integer of type `from`.
#[inline]
pub(crate) fn from_fixed<F: Format>(
    value: u64,
    fbits: u32,
    from: Integer,
    rounding: Rounding,
    env: &mut Env,
) -> u64 {
    let aligned = value << (64 - from.bits);
    let (sign, magnitude) = if from.signed {
        let signed = (aligned as i64) >> (64 - from.bits);
        (signed < 0, signed.unsigned_abs())
    } else {
        (false, aligned >> (64 - from.bits))
    };
    if magnitude == 0 {
        return F::zero(false);
    }
    round_for_conversion::<F>(sign, 63 - fbits as i32, magnitude, rounding, env)
}

/// `FPRoundInt`: the nearest integer in the same format; `exact` raises Inexact for a change.
#[inline]
pub(crate) fn round_to_int<F: Format>(
    bits: u64,
    rounding: Rounding,
    exact: bool,
    env: &mut Env,
) -> u64 {
    let value = unpack::<F>(bits, env);
    match value.class {
        Class::Nan => propagate_nan::<F>(bits, env),
        Class::Infinity => bits,
        Class::Zero => F::zero(value.sign),
        Class::Finite if value.exp >= F::FRAC as i32 => bits,
        Class::Finite => {
            let (int, rest) = split(value.sig, value.exp);
            if exact && rest != 0 {
                env.raise(IXC);
            }
            let int = int + u64::from(rounds_up(rounding, value.sign, int & 1 != 0, rest));
            if int == 0 {
                return F::zero(value.sign);
            }
            // At most 2^FRAC: exact in the format.
            let exp = 63 - int.leading_zeros();
            F::power_of_two(value.sign, exp as i32) | (int << (F::FRAC - exp)) & F::FRAC_MASK
        }
    }
}
