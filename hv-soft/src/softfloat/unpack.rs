//! From bit patterns to values: `FPUnpack`, `FPUnpackCV` and the NaN rules.

use super::env::{Env, IDC, IOC};
use super::format::Format;

/// What a pattern stands for (`FPType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Zero,
    Finite,
    Infinity,
    Nan,
}

/// An operand taken apart. A finite, non-zero value is `sig / 2^63 * 2^exp` with bit 63 of `sig` set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unpacked {
    pub(super) class: Class,
    pub(super) sign: bool,
    pub(super) exp: i32,
    pub(super) sig: u64,
}

impl Unpacked {
    pub(super) fn is_zero(&self) -> bool {
        self.class == Class::Zero
    }

    pub(super) fn is_infinite(&self) -> bool {
        self.class == Class::Infinity
    }

    /// `2^exp`, positive.
    pub(super) fn power_of_two(exp: i32) -> Unpacked {
        Unpacked { class: Class::Finite, sign: false, exp, sig: 1 << 63 }
    }
}

/// `FPUnpack`: denormal operands become zeros when FPCR.FZ is set.
#[inline]
pub(super) fn unpack<F: Format>(bits: u64, env: &mut Env) -> Unpacked {
    unpack_as::<F>(bits, false, env)
}

/// `FPUnpackCV`: the operand of a conversion, which in half precision obeys FPCR.AHP.
#[inline]
pub(super) fn unpack_for_conversion<F: Format>(bits: u64, env: &mut Env) -> Unpacked {
    unpack_as::<F>(bits, F::BITS == 16 && env.ahp, env)
}

#[inline]
fn unpack_as<F: Format>(bits: u64, alternative_half: bool, env: &mut Env) -> Unpacked {
    let sign = bits & F::SIGN != 0;
    let frac = bits & F::FRAC_MASK;
    let biased = (bits & F::INFINITY) >> F::FRAC;
    let value = |class, exp, sig| Unpacked { class, sign, exp, sig };
    if biased == 0 {
        if frac == 0 {
            return value(Class::Zero, 0, 0);
        }
        if env.fz && F::BITS != 16 {
            env.raise(IDC);
            return value(Class::Zero, 0, 0);
        }
        let lz = frac.leading_zeros();
        return value(Class::Finite, 64 - lz as i32 - F::BIAS - F::FRAC as i32, frac << lz);
    }
    if biased == F::INFINITY >> F::FRAC && !alternative_half {
        return value(if frac == 0 { Class::Infinity } else { Class::Nan }, 0, 0);
    }
    value(Class::Finite, biased as i32 - F::BIAS, 1 << 63 | frac << (63 - F::FRAC))
}

/// `FPProcessNaN`: quiets a NaN operand, or replaces it by the default NaN.
#[inline]
pub(super) fn propagate_nan<F: Format>(nan: u64, env: &mut Env) -> u64 {
    if nan & F::QUIET == 0 {
        env.raise(IOC);
    }
    if env.dn { F::DEFAULT_NAN } else { nan | F::QUIET }
}

/// `FPProcessNaNs` and `FPProcessNaNs3`: the NaN result that the operands decide, if one is a NaN.
/// Signalling NaNs come first, then the order of the operands.
#[inline]
pub(super) fn propagate_nans<F: Format, const N: usize>(
    operands: [u64; N],
    env: &mut Env,
) -> Option<u64> {
    if !operands.iter().any(|&op| F::is_nan(op)) {
        return None;
    }
    let chosen = operands
        .iter()
        .find(|&&op| F::is_signalling(op))
        .or_else(|| operands.iter().find(|&&op| F::is_nan(op)))?;
    Some(propagate_nan::<F>(*chosen, env))
}

/// The default NaN, Invalid Operation raised.
#[inline]
pub(super) fn invalid<F: Format>(env: &mut Env) -> u64 {
    env.raise(IOC);
    F::DEFAULT_NAN
}
