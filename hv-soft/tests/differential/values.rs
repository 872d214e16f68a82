//! Register contents that reach corner cases far more often than uniform bits do.

use crate::rng::Rng;

/// What the lanes of a vector register are likely to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Anything: chosen for each instance.
    Any,
    Half,
    Single,
    Double,
    /// Integers of 8, 16, 32 or 64 bits.
    Integer(u32),
}

/// A value for a general register.
pub(crate) fn general(rng: &mut Rng) -> u64 {
    match rng.below(12) {
        0..=2 => rng.u64(),
        3 => rng.below(65),
        4 => rng.below(65).wrapping_neg(),
        5 => 1 << rng.below(64),
        6 => (1 << rng.below(64)) - 1,
        7 => u64::from(rng.u32()),
        8 => rng.u32() as i32 as u64,
        9 => integer(rng, 32) | (rng.u64() << 32),
        10 => integer(rng, 64),
        _ => rng.u64() >> rng.below(64),
    }
}

/// A vector register of lanes of `lane`.
pub(crate) fn vector(rng: &mut Rng, lane: Lane) -> u128 {
    let (bits, float) = match lane {
        Lane::Any => {
            let lane = any(rng);
            return vector(rng, lane);
        }
        Lane::Half => (16, Some((5, 10))),
        Lane::Single => (32, Some((8, 23))),
        Lane::Double => (64, Some((11, 52))),
        Lane::Integer(bits) => (bits, None),
    };
    (0..128 / bits).fold(0, |v, i| {
        let lane = match float {
            Some((exponent, mantissa)) => self::float(rng, exponent, mantissa),
            None => integer(rng, bits),
        };
        v | u128::from(lane) << (i * bits)
    })
}

/// A concrete choice for [`Lane::Any`].
pub(crate) fn any(rng: &mut Rng) -> Lane {
    rng.pick(&[
        Lane::Half,
        Lane::Single,
        Lane::Single,
        Lane::Double,
        Lane::Double,
        Lane::Integer(8),
        Lane::Integer(16),
        Lane::Integer(32),
        Lane::Integer(64),
    ])
}

fn ones(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

fn integer(rng: &mut Rng, bits: u32) -> u64 {
    let value = match rng.below(10) {
        0..=3 => rng.u64(),
        4 => 0,
        5 => u64::MAX,
        6 => 1 << (bits - 1),
        7 => ones(bits - 1),
        8 => rng.below(2 * u64::from(bits) + 2).wrapping_sub(u64::from(bits) + 1),
        _ => rng.u64() >> rng.below(64),
    };
    value & ones(bits)
}

/// A floating-point number with the given widths of exponent and fraction.
fn float(rng: &mut Rng, exponent_bits: u32, fraction_bits: u32) -> u64 {
    let all = ones(exponent_bits);
    let bias = all >> 1;
    let quiet = 1u64 << (fraction_bits - 1);
    let random = rng.u64() & ones(fraction_bits);
    let fraction = match rng.below(6) {
        0..=2 => random,
        3 => 0,
        4 => ones(fraction_bits) << rng.below(u64::from(fraction_bits)) & ones(fraction_bits),
        _ => ones(fraction_bits) >> rng.below(u64::from(fraction_bits)),
    };
    let near = |rng: &mut Rng, centre: i64, spread: u64| {
        (centre + rng.below(2 * spread + 1) as i64 - spread as i64).clamp(1, all as i64 - 1) as u64
    };
    let (exponent, fraction) = match rng.below(20) {
        0 => (0, 0),
        1 => (all, 0),
        2 => (all, random | quiet),
        3 => (all, (random & !quiet) | 1),
        4 => (0, fraction),
        5 => (rng.below(2), if rng.chance(50) { 0 } else { fraction }),
        6 => (all - 1, fraction),
        // A small integer or a multiple of a half, a quarter, …: ties.
        7..=9 => {
            let k = rng.below(63) + 1;
            let top = 63 - u64::from(k.leading_zeros());
            let shifted = (k << (u64::from(fraction_bits) - top)) & ones(fraction_bits);
            let down = rng.below(7);
            ((bias + top).saturating_sub(down).max(1), shifted)
        }
        10 | 11 => (near(rng, bias as i64, u64::from(fraction_bits) + 2), fraction),
        12 | 13 => (near(rng, bias as i64, 2), fraction),
        // About 2^31, 2^32, 2^63 and 2^64: the edges of integers.
        14 => {
            let edge = rng.pick(&[7, 15, 31, 32, 63, 64]);
            (near(rng, bias as i64 + edge, 1), fraction)
        }
        // Half of the smallest exponent: products that underflow.
        15 => (near(rng, bias as i64 / 2, u64::from(fraction_bits)), fraction),
        16 => (near(rng, bias as i64 + bias as i64 / 2, 3), fraction),
        // The thresholds of the narrower formats.
        17 => {
            let threshold = rng.pick(&[-149, -126, -24, -14, 15, 127]);
            (near(rng, bias as i64 + threshold, 3), fraction)
        }
        _ => (rng.u64() & all, random),
    };
    (rng.u64() & 1) << (exponent_bits + fraction_bits) | exponent << fraction_bits | fraction
}
