//! Short cuts through the host's FPU.
//!
//! The host computes in its default environment: to nearest, ties to even, no flush to zero. Its
//! result is the architecture's, flags included, if the guest asks for the same environment, if
//! FPSR.IXC is set already (so that inexactness need not be known), and if the result itself shows
//! that nothing else happened: it is finite, hence no operand was a NaN or made the operation
//! invalid, and it is above the smallest normal number, hence nothing underflowed. FPCR.DN and
//! FPCR.AHP have no say in such a result. Everything else takes the functions of the parent module.

use super::env::{FPCR_FZ, FPCR_RMODE, IXC};
use super::format::{Double, Format, Single};

/// Whether results of the host's FPU may be used at all under these controls and flags.
#[inline(always)]
pub(crate) fn usable(fpcr: u32, fpsr: u32) -> bool {
    fpcr & (FPCR_RMODE | FPCR_FZ) == 0 && fpsr & IXC != 0
}

/// A format that the host computes in.
pub(crate) trait HostFloat: Copy + 'static {
    /// The format of the softfloat functions.
    type Soft: Format;

    /// From a bit pattern.
    fn from_bits(bits: u64) -> Self;
    /// To a bit pattern.
    fn bits(self) -> u64;
    /// `a + b`.
    fn add(a: Self, b: Self) -> Self;
    /// `a - b`.
    fn sub(a: Self, b: Self) -> Self;
    /// `a * b`.
    fn mul(a: Self, b: Self) -> Self;
    /// `a / b`.
    fn div(a: Self, b: Self) -> Self;
    /// `addend + a * b`, rounded once.
    fn mul_add(addend: Self, a: Self, b: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;

    /// The integer part, if it is certain to be an `i64`.
    fn truncate(self) -> Option<i64>;
    /// The number nearest to an integer.
    fn from_int(value: i64) -> Self;

    /// Neither a NaN nor an infinity.
    #[inline(always)]
    fn is_finite(self) -> bool {
        self.bits() & !Self::Soft::SIGN < Self::Soft::INFINITY
    }

    /// Finite and greater in magnitude than the smallest normal number.
    #[inline(always)]
    fn is_safely_normal(self) -> bool {
        let least = (1 << Self::Soft::FRAC) + 1;
        (self.bits() & !Self::Soft::SIGN).wrapping_sub(least) < Self::Soft::INFINITY - least
    }

    /// A zero of either sign.
    #[inline(always)]
    fn is_zero(self) -> bool {
        self.bits() & !Self::Soft::SIGN == 0
    }
}

macro_rules! host_float {
    ($host:ty, $bits:ty, $soft:ty) => {
        impl HostFloat for $host {
            type Soft = $soft;

            #[inline(always)]
            fn from_bits(bits: u64) -> Self {
                <$host>::from_bits(bits as $bits)
            }
            #[inline(always)]
            fn bits(self) -> u64 {
                u64::from(self.to_bits())
            }
            #[inline(always)]
            fn add(a: Self, b: Self) -> Self {
                a + b
            }
            #[inline(always)]
            fn sub(a: Self, b: Self) -> Self {
                a - b
            }
            #[inline(always)]
            fn mul(a: Self, b: Self) -> Self {
                a * b
            }
            #[inline(always)]
            fn div(a: Self, b: Self) -> Self {
                a / b
            }
            #[inline(always)]
            fn mul_add(addend: Self, a: Self, b: Self) -> Self {
                <$host>::mul_add(a, b, addend)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$host>::sqrt(self)
            }
            #[inline(always)]
            fn truncate(self) -> Option<i64> {
                (self.abs() < (1u64 << 62) as $host).then_some(self as i64)
            }
            #[inline(always)]
            fn from_int(value: i64) -> Self {
                value as $host
            }
        }
    };
}

host_float!(f32, u32, Single);
host_float!(f64, u64, Double);

/// An operation with a short cut: the host's result, and whether it settles the matter.
///
/// A sum that is a zero or denormal is exact. A product, quotient or root of a zero is a zero.
pub(crate) mod op {
    use super::HostFloat;

    /// `a + b`.
    #[inline(always)]
    pub(crate) fn add<T: HostFloat>(a: T, b: T) -> (T, bool) {
        let r = T::add(a, b);
        (r, r.is_finite())
    }

    /// `a - b`.
    #[inline(always)]
    pub(crate) fn sub<T: HostFloat>(a: T, b: T) -> (T, bool) {
        let r = T::sub(a, b);
        (r, r.is_finite())
    }

    /// `|a - b|`.
    #[inline(always)]
    pub(crate) fn abs_diff<T: HostFloat>(a: T, b: T) -> (T, bool) {
        let (r, settled) = sub(a, b);
        (T::from_bits(r.bits() & !<T::Soft as super::Format>::SIGN), settled)
    }

    /// `a * b`.
    #[inline(always)]
    pub(crate) fn mul<T: HostFloat>(a: T, b: T) -> (T, bool) {
        let r = T::mul(a, b);
        (r, r.is_safely_normal() | (r.is_zero() & (a.is_zero() | b.is_zero())))
    }

    /// `a / b`.
    #[inline(always)]
    pub(crate) fn div<T: HostFloat>(a: T, b: T) -> (T, bool) {
        let r = T::div(a, b);
        (r, r.is_safely_normal() | (r.is_zero() & a.is_zero()))
    }

    /// `addend + a * b`.
    #[inline(always)]
    pub(crate) fn mul_add<T: HostFloat>(addend: T, a: T, b: T) -> (T, bool) {
        let r = T::mul_add(addend, a, b);
        (r, r.is_safely_normal() | (r.is_zero() & (a.is_zero() | b.is_zero())))
    }

    /// The square root.
    #[inline(always)]
    pub(crate) fn sqrt<T: HostFloat>(a: T) -> (T, bool) {
        let r = a.sqrt();
        (r, r.is_finite())
    }
}
