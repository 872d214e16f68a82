//! `FPAdd`, `FPSub`, `FPMul`, `FPMulX`, `FPDiv` and `FPSqrt`.

use super::env::{DZC, Env, Rounding};
use super::format::Format;
use super::round::{round, shift_right_jam};
use super::unpack::{Unpacked, invalid, propagate_nan, propagate_nans, unpack};

/// `FPAdd`.
pub(crate) fn add<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    add_or_sub::<F>(a, b, false, env)
}

/// `FPSub`.
pub(crate) fn sub<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    add_or_sub::<F>(a, b, true, env)
}

/// `FPAbs(FPSub(a, b))`: FABD.
pub(crate) fn abs_diff<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    sub::<F>(a, b, env) & !F::SIGN
}

#[inline]
fn add_or_sub<F: Format>(a: u64, b: u64, negate_b: bool, env: &mut Env) -> u64 {
    let ua = unpack::<F>(a, env);
    let mut ub = unpack::<F>(b, env);
    if let Some(nan) = propagate_nans::<F, 2>([a, b], env) {
        return nan;
    }
    ub.sign ^= negate_b;
    match (ua.is_infinite(), ub.is_infinite()) {
        (true, true) if ua.sign != ub.sign => return invalid::<F>(env),
        (true, _) => return F::infinity(ua.sign),
        (_, true) => return F::infinity(ub.sign),
        _ => {}
    }
    match (ua.is_zero(), ub.is_zero()) {
        (true, true) if ua.sign == ub.sign => return F::zero(ua.sign),
        (true, true) => return exact_zero::<F>(env),
        (true, false) => return round::<F>(ub.sign, ub.exp, ub.sig, env),
        (false, true) => return round::<F>(ua.sign, ua.exp, ua.sig, env),
        _ => {}
    }
    // One bit of head room for the carry; ten guard bits remain below a double's 53.
    let (big, small) = if (ua.exp, ua.sig) >= (ub.exp, ub.sig) { (ua, ub) } else { (ub, ua) };
    let small_sig = shift_right_jam(small.sig >> 1, (big.exp - small.exp) as u32);
    let sig = if big.sign == small.sign {
        (big.sig >> 1) + small_sig
    } else {
        (big.sig >> 1) - small_sig
    };
    if sig == 0 {
        return exact_zero::<F>(env);
    }
    round::<F>(big.sign, big.exp + 1, sig, env)
}

/// The zero that an exact cancellation gives: negative only when rounding towards minus infinity.
#[inline]
pub(super) fn exact_zero<F: Format>(env: &Env) -> u64 {
    F::zero(env.rounding == Rounding::NegInf)
}

/// `FPMul`.
pub(crate) fn mul<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    multiply::<F>(a, b, invalid::<F>, env)
}

/// `FPMulX`: zero times infinity is two, not an invalid operation.
pub(crate) fn mulx<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    let sign = (a ^ b) & F::SIGN != 0;
    multiply::<F>(a, b, |_| F::power_of_two(sign, 1), env)
}

#[inline]
fn multiply<F: Format>(
    a: u64,
    b: u64,
    zero_times_infinity: impl FnOnce(&mut Env) -> u64,
    env: &mut Env,
) -> u64 {
    let (ua, ub) = (unpack::<F>(a, env), unpack::<F>(b, env));
    if let Some(nan) = propagate_nans::<F, 2>([a, b], env) {
        return nan;
    }
    let sign = ua.sign != ub.sign;
    let infinite = ua.is_infinite() || ub.is_infinite();
    let zero = ua.is_zero() || ub.is_zero();
    match (infinite, zero) {
        (true, true) => zero_times_infinity(env),
        (true, false) => F::infinity(sign),
        (false, true) => F::zero(sign),
        (false, false) => {
            let product = u128::from(ua.sig) * u128::from(ub.sig);
            let sig = (product >> 64) as u64 | u64::from(product as u64 != 0);
            round::<F>(sign, ua.exp + ub.exp + 1, sig, env)
        }
    }
}

/// `FPDiv`.
pub(crate) fn div<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    let (ua, ub) = (unpack::<F>(a, env), unpack::<F>(b, env));
    if let Some(nan) = propagate_nans::<F, 2>([a, b], env) {
        return nan;
    }
    let sign = ua.sign != ub.sign;
    if (ua.is_infinite() && ub.is_infinite()) || (ua.is_zero() && ub.is_zero()) {
        return invalid::<F>(env);
    }
    if ua.is_infinite() {
        return F::infinity(sign);
    }
    if ub.is_zero() {
        env.raise(DZC);
        return F::infinity(sign);
    }
    if ua.is_zero() || ub.is_infinite() {
        return F::zero(sign);
    }
    // Scale the dividend so that the quotient has 64 significant bits.
    let borrow = u32::from(ua.sig < ub.sig);
    let dividend = u128::from(ua.sig) << (63 + borrow);
    let divisor = u128::from(ub.sig);
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    let sig = quotient as u64 | u64::from(rest != 0);
    round::<F>(sign, ua.exp - ub.exp - borrow as i32, sig, env)
}

/// `FPSqrt`.
pub(crate) fn sqrt<F: Format>(a: u64, env: &mut Env) -> u64 {
    let ua = unpack::<F>(a, env);
    if F::is_nan(a) {
        return propagate_nan::<F>(a, env);
    }
    if ua.is_zero() {
        return F::zero(ua.sign);
    }
    if ua.sign {
        return invalid::<F>(env);
    }
    if ua.is_infinite() {
        return F::infinity(false);
    }
    let Unpacked { exp, sig, .. } = ua;
    // An even exponent, and a radicand of 127 or 128 bits whose root has 64.
    let odd = exp & 1;
    let radicand = u128::from(sig) << (63 + odd);
    let root = radicand.isqrt();
    let sig = root as u64 | u64::from(root * root != radicand);
    round::<F>(false, (exp - odd) / 2, sig, env)
}
