//! The three IEEE 754 interchange formats, as types.

/// A binary floating-point format. Bit patterns are held in the low bits of a `u64`.
pub(crate) trait Format: Copy {
    /// Width in bits.
    const BITS: u32;
    /// Width of the fraction field.
    const FRAC: u32;
    /// Width of the exponent field.
    const EXP: u32 = Self::BITS - 1 - Self::FRAC;
    /// Exponent bias; `1 - BIAS` is the exponent of the smallest normal number.
    const BIAS: i32 = (1 << (Self::EXP - 1)) - 1;
    /// The sign bit.
    const SIGN: u64 = 1 << (Self::BITS - 1);
    /// The fraction field.
    const FRAC_MASK: u64 = (1 << Self::FRAC) - 1;
    /// The exponent field, all ones; also the pattern of plus infinity.
    const INFINITY: u64 = ((1 << Self::EXP) - 1) << Self::FRAC;
    /// The bit that tells a quiet NaN from a signalling one.
    const QUIET: u64 = 1 << (Self::FRAC - 1);
    /// `FPDefaultNaN`.
    const DEFAULT_NAN: u64 = Self::INFINITY | Self::QUIET;

    /// A zero of the given sign.
    #[inline]
    fn zero(sign: bool) -> u64 {
        if sign { Self::SIGN } else { 0 }
    }

    /// An infinity of the given sign.
    #[inline]
    fn infinity(sign: bool) -> u64 {
        Self::zero(sign) | Self::INFINITY
    }

    /// The largest finite number of the given sign.
    #[inline]
    fn max_normal(sign: bool) -> u64 {
        Self::infinity(sign) - 1
    }

    /// `2^exp`, of the given sign; `exp` is in the range of normal numbers.
    #[inline]
    fn power_of_two(sign: bool, exp: i32) -> u64 {
        Self::zero(sign) | ((exp + Self::BIAS) as u64) << Self::FRAC
    }

    /// Whether the pattern is a NaN.
    #[inline]
    fn is_nan(bits: u64) -> bool {
        bits & !Self::SIGN > Self::INFINITY
    }

    /// Whether the pattern is a signalling NaN.
    #[inline]
    fn is_signalling(bits: u64) -> bool {
        Self::is_nan(bits) && bits & Self::QUIET == 0
    }

    /// Whether the pattern is a denormal number (not zero).
    #[inline]
    fn is_denormal(bits: u64) -> bool {
        bits & Self::INFINITY == 0 && bits & Self::FRAC_MASK != 0
    }
}

/// binary16: a conversion format only, IEEE or alternative as FPCR.AHP says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Half;
/// binary32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Single;
/// binary64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Double;

impl Format for Half {
    const BITS: u32 = 16;
    const FRAC: u32 = 10;
}

impl Format for Single {
    const BITS: u32 = 32;
    const FRAC: u32 = 23;
}

impl Format for Double {
    const BITS: u32 = 64;
    const FRAC: u32 = 52;
}
