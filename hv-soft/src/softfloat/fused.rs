//! `FPMulAdd`, `FPRecipStepFused` and `FPRSqrtStepFused`: a product and a sum rounded once.

use super::arith::exact_zero;
use super::env::Env;
use super::format::Format;
use super::round::{round, shift_right_jam_u128};
use super::unpack::{Unpacked, invalid, propagate_nans, unpack};

/// `FPMulAdd`: `addend + a * b`.
pub(crate) fn mul_add<F: Format>(addend: u64, a: u64, b: u64, env: &mut Env) -> u64 {
    let uc = unpack::<F>(addend, env);
    let (ua, ub) = (unpack::<F>(a, env), unpack::<F>(b, env));
    let zero_times_infinity =
        (ua.is_infinite() && ub.is_zero()) || (ua.is_zero() && ub.is_infinite());
    if let Some(nan) = propagate_nans::<F, 3>([addend, a, b], env) {
        // Here a signalling addend wins over the invalid product, a quiet one does not.
        let quiet_addend = F::is_nan(addend) && !F::is_signalling(addend);
        return if quiet_addend && zero_times_infinity { invalid::<F>(env) } else { nan };
    }
    let sign = ua.sign != ub.sign;
    let infinite = ua.is_infinite() || ub.is_infinite();
    if zero_times_infinity || (uc.is_infinite() && infinite && uc.sign != sign) {
        return invalid::<F>(env);
    }
    if uc.is_infinite() {
        return F::infinity(uc.sign);
    }
    if infinite {
        return F::infinity(sign);
    }
    let zero = ua.is_zero() || ub.is_zero();
    match (uc.is_zero(), zero) {
        (true, true) if uc.sign == sign => F::zero(sign),
        (true, true) => exact_zero::<F>(env),
        (false, true) => round::<F>(uc.sign, uc.exp, uc.sig, env),
        _ => sum_of_product::<F>(&uc, &ua, &ub, 0, env),
    }
}

/// `FPRecipStepFused`: `2 - a * b`.
pub(crate) fn recip_step<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    let two = Unpacked::power_of_two(1);
    newton_step::<F>(a, b, F::power_of_two(false, 1), &two, 0, env)
}

/// `FPRSqrtStepFused`: `(3 - a * b) / 2`.
pub(crate) fn rsqrt_step<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    let three = Unpacked { sig: 3 << 62, ..Unpacked::power_of_two(1) };
    let one_and_a_half = F::power_of_two(false, 0) | F::QUIET;
    newton_step::<F>(a, b, one_and_a_half, &three, -1, env)
}

#[inline]
fn newton_step<F: Format>(
    a: u64,
    b: u64,
    of_zero_times_infinity: u64,
    constant: &Unpacked,
    scale: i32,
    env: &mut Env,
) -> u64 {
    let a = a ^ F::SIGN;
    let (ua, ub) = (unpack::<F>(a, env), unpack::<F>(b, env));
    if let Some(nan) = propagate_nans::<F, 2>([a, b], env) {
        return nan;
    }
    let zero = ua.is_zero() || ub.is_zero();
    match (ua.is_infinite() || ub.is_infinite(), zero) {
        (true, true) => of_zero_times_infinity,
        (true, false) => F::infinity(ua.sign != ub.sign),
        (false, true) => round::<F>(false, constant.exp + scale, constant.sig, env),
        (false, false) => sum_of_product::<F>(constant, &ua, &ub, scale, env),
    }
}

/// `(c + a * b) * 2^scale`, rounded once; `a` and `b` are finite and not zero, `c` is finite.
fn sum_of_product<F: Format>(
    c: &Unpacked,
    a: &Unpacked,
    b: &Unpacked,
    scale: i32,
    env: &mut Env,
) -> u64 {
    // Both terms normalised to bit 126: the product's low bits are zero, so the shift loses nothing.
    let product = u128::from(a.sig) * u128::from(b.sig);
    let carry = (product >> 127) as i32;
    let mut big = (product >> carry, a.exp + b.exp + carry, a.sign != b.sign);
    let mut small = (u128::from(c.sig) << 63, c.exp, c.sign);
    if !c.is_zero() && (small.1, small.0) > (big.1, big.0) {
        (big, small) = (small, big);
    }
    let aligned = shift_right_jam_u128(small.0, (big.1 - small.1).max(0) as u32);
    let sum = if big.2 == small.2 { big.0 + aligned } else { big.0 - aligned };
    if sum == 0 {
        return exact_zero::<F>(env);
    }
    let lz = sum.leading_zeros();
    let normalised = sum << lz;
    let sig = (normalised >> 64) as u64 | u64::from(normalised as u64 != 0);
    round::<F>(big.2, big.1 + 1 - lz as i32 + scale, sig, env)
}
