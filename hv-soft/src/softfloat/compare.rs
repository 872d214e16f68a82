//! `FPCompare*`, `FPMax`, `FPMin`, `FPMaxNum` and `FPMinNum`.

use core::cmp::Ordering;

use super::env::{Env, IDC, IOC};
use super::format::Format;
use super::unpack::propagate_nans;

/// The operand as FPCR.FZ lets it be seen: a denormal number may be a zero.
#[inline]
fn flush<F: Format>(bits: u64, env: &mut Env) -> u64 {
    if env.fz && F::is_denormal(bits) {
        env.raise(IDC);
        bits & F::SIGN
    } else {
        bits
    }
}

/// A key that orders numbers (not NaNs) as their values; both zeros have key 0.
#[inline]
fn key<F: Format>(bits: u64) -> i64 {
    let magnitude = (bits & !F::SIGN) as i64;
    if bits & F::SIGN != 0 { -magnitude } else { magnitude }
}

/// `FPCompare`: `None` if unordered. Quiet NaNs are invalid operands if `signal_all` is set.
#[inline]
pub(crate) fn compare<F: Format>(
    a: u64,
    b: u64,
    signal_all: bool,
    env: &mut Env,
) -> Option<Ordering> {
    let (fa, fb) = (flush::<F>(a, env), flush::<F>(b, env));
    if F::is_nan(a) || F::is_nan(b) {
        if signal_all || F::is_signalling(a) || F::is_signalling(b) {
            env.raise(IOC);
        }
        return None;
    }
    Some(key::<F>(fa).cmp(&key::<F>(fb)))
}

/// The NZCV that FCMP gives for a comparison, in bits 3:0.
#[inline]
pub(crate) fn ordering_nzcv(ordering: Option<Ordering>) -> u8 {
    match ordering {
        None => 0b0011,
        Some(Ordering::Equal) => 0b0110,
        Some(Ordering::Less) => 0b1000,
        Some(Ordering::Greater) => 0b0010,
    }
}

/// `FPCompareEQ`.
pub(crate) fn eq<F: Format>(a: u64, b: u64, env: &mut Env) -> bool {
    compare::<F>(a, b, false, env) == Some(Ordering::Equal)
}

/// `FPCompareGE`.
pub(crate) fn ge<F: Format>(a: u64, b: u64, env: &mut Env) -> bool {
    compare::<F>(a, b, true, env).is_some_and(Ordering::is_ge)
}

/// `FPCompareGT`.
pub(crate) fn gt<F: Format>(a: u64, b: u64, env: &mut Env) -> bool {
    compare::<F>(a, b, true, env).is_some_and(Ordering::is_gt)
}

/// `FPMax`: plus zero is greater than minus zero.
pub(crate) fn max<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    pick::<F>(a, b, false, env)
}

/// `FPMin`: minus zero is less than plus zero.
pub(crate) fn min<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    pick::<F>(a, b, true, env)
}

#[inline]
fn pick<F: Format>(a: u64, b: u64, smaller: bool, env: &mut Env) -> u64 {
    let (fa, fb) = (flush::<F>(a, env), flush::<F>(b, env));
    if let Some(nan) = propagate_nans::<F, 2>([a, b], env) {
        return nan;
    }
    let (ka, kb) = (key::<F>(fa), key::<F>(fb));
    if ka == 0 && kb == 0 {
        return if smaller { fa | fb } else { fa & fb };
    }
    let first = if smaller { ka < kb } else { ka > kb };
    if first { fa } else { fb }
}

/// `FPMaxNum`: a single quiet NaN operand counts as missing.
pub(crate) fn max_num<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    let (a, b) = replace_quiet_nan::<F>(a, b, F::infinity(true));
    max::<F>(a, b, env)
}

/// `FPMinNum`: a single quiet NaN operand counts as missing.
pub(crate) fn min_num<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    let (a, b) = replace_quiet_nan::<F>(a, b, F::infinity(false));
    min::<F>(a, b, env)
}

#[inline]
fn replace_quiet_nan<F: Format>(a: u64, b: u64, missing: u64) -> (u64, u64) {
    let quiet = |bits| F::is_nan(bits) && !F::is_signalling(bits);
    match (quiet(a), quiet(b)) {
        (true, false) => (missing, b),
        (false, true) => (a, missing),
        _ => (a, b),
    }
}
