//! Short cuts through the host's FPU.
//!
//! The host computes in its default environment: to nearest, ties to even, no flush to zero. Its
//! result is the architecture's, flags included, if the guest asks for the same environment, if
//! FPSR.IXC is set already (so that inexactness need not be known), and if the result itself shows
//! that nothing else happened: it is finite, hence no operand was a NaN or made the operation
//! invalid, and it is above the smallest normal number, hence nothing underflowed. FPCR.DN and
//! FPCR.AHP have no say in such a result. Everything else takes the functions of the parent module.
//!
//! Each function of [`op`] gives the host's result and whether it settles the matter.

use super::env::{FPCR_FZ, FPCR_RMODE, IXC, Rounding};
use super::format::{Double, Format, Single};

/// Whether rounded results of the host's FPU may be used under these controls and flags.
#[inline(always)]
pub(crate) fn usable(fpcr: u32, fpsr: u32) -> bool {
    fpcr & (FPCR_RMODE | FPCR_FZ) == 0 && fpsr & IXC != 0
}

/// Whether exact results of the host's FPU may be used under these controls.
#[inline(always)]
pub(crate) fn exact_usable(fpcr: u32) -> bool {
    fpcr & FPCR_FZ == 0
}

/// A format that the host computes in.
pub(crate) trait HostFloat: Copy + PartialOrd + 'static {
    /// The format of the softfloat functions.
    type Soft: Format;
    /// Plus zero.
    const ZERO: Self;

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
    /// The absolute value.
    fn abs(self) -> Self;
    /// The negation.
    fn neg(self) -> Self;
    /// To an integral value; [`Rounding::Odd`] is not asked for.
    fn round(self, rounding: Rounding) -> Self;
    /// The integer part, if it is certain to be an `i64`.
    fn truncate(self) -> Option<i64>;
    /// The number nearest to an integer.
    fn from_int(value: i64) -> Self;
    /// Neither a NaN nor an infinity.
    fn is_finite(self) -> bool;
    /// Finite and greater in magnitude than the smallest normal number.
    fn is_safely_normal(self) -> bool;
}

macro_rules! host_float {
    ($host:ty, $bits:ty, $soft:ty) => {
        impl HostFloat for $host {
            type Soft = $soft;
            const ZERO: Self = 0.0;

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
            fn abs(self) -> Self {
                <$host>::abs(self)
            }
            #[inline(always)]
            fn neg(self) -> Self {
                -self
            }
            #[inline(always)]
            fn round(self, rounding: Rounding) -> Self {
                match rounding {
                    Rounding::TieEven => self.round_ties_even(),
                    Rounding::PosInf => self.ceil(),
                    Rounding::NegInf => self.floor(),
                    Rounding::TieAway => <$host>::round(self),
                    Rounding::Zero | Rounding::Odd => self.trunc(),
                }
            }
            #[inline(always)]
            fn truncate(self) -> Option<i64> {
                (<$host>::abs(self) < (1u64 << 62) as $host).then_some(self as i64)
            }
            #[inline(always)]
            fn from_int(value: i64) -> Self {
                value as $host
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                <$host>::abs(self) < <$host>::INFINITY
            }
            #[inline(always)]
            fn is_safely_normal(self) -> bool {
                let magnitude = <$host>::abs(self);
                (magnitude > <$host>::MIN_POSITIVE) & (magnitude < <$host>::INFINITY)
            }
        }
    };
}

host_float!(f32, u32, Single);
host_float!(f64, u64, Double);

/// Runs `f` where [`HostFloat::mul_add`] is the host's instruction, if it has one; else it is the C
/// library's function.
#[inline(always)]
pub(crate) fn with_fused_multiply_add<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "fma")]
        fn with_instruction<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        if is_x86_feature_detected!("fma") {
            // SAFETY: the host has the instruction.
            return unsafe { with_instruction(f) };
        }
    }
    f()
}

/// Operations on the lanes of a vector.
pub(crate) mod op {
    use super::{Format, HostFloat};

    /// A zero of either sign.
    #[inline(always)]
    fn is_zero<T: HostFloat>(x: T) -> bool {
        x == T::ZERO
    }

    /// Applies `f` to every pair of lanes; the matter is settled if it is in each.
    #[inline(always)]
    fn lanes<T: HostFloat, const N: usize>(
        [a, b]: [[T; N]; 2],
        f: impl Fn(T, T) -> (T, bool),
    ) -> ([T; N], bool) {
        let (mut r, mut settled) = (a, true);
        for (r, b) in r.iter_mut().zip(b) {
            let (value, lane_settled) = f(*r, b);
            *r = value;
            settled &= lane_settled;
        }
        (r, settled)
    }

    /// `a + b`. A sum that is a zero or denormal is exact.
    #[inline(always)]
    pub(crate) fn add<T: HostFloat, const N: usize>(operands: [[T; N]; 2]) -> ([T; N], bool) {
        lanes(operands, |a, b| {
            let r = T::add(a, b);
            (r, r.is_finite())
        })
    }

    /// `a - b`.
    #[inline(always)]
    pub(crate) fn sub<T: HostFloat, const N: usize>(operands: [[T; N]; 2]) -> ([T; N], bool) {
        lanes(operands, |a, b| {
            let r = T::sub(a, b);
            (r, r.is_finite())
        })
    }

    /// `|a - b|`.
    #[inline(always)]
    pub(crate) fn abs_diff<T: HostFloat, const N: usize>(operands: [[T; N]; 2]) -> ([T; N], bool) {
        lanes(operands, |a, b| {
            let r = T::sub(a, b);
            (r.abs(), r.is_finite())
        })
    }

    /// `a * b`. A product of a zero is an exact zero.
    #[inline(always)]
    pub(crate) fn mul<T: HostFloat, const N: usize>(operands: [[T; N]; 2]) -> ([T; N], bool) {
        lanes(operands, |a, b| {
            let r = T::mul(a, b);
            (r, r.is_safely_normal() | (is_zero(r) & (is_zero(a) | is_zero(b))))
        })
    }

    /// `a / b`.
    #[inline(always)]
    pub(crate) fn div<T: HostFloat, const N: usize>(operands: [[T; N]; 2]) -> ([T; N], bool) {
        lanes(operands, |a, b| {
            let r = T::div(a, b);
            (r, r.is_safely_normal() | (is_zero(r) & is_zero(a)))
        })
    }

    /// The square root.
    #[inline(always)]
    pub(crate) fn sqrt<T: HostFloat, const N: usize>([a]: [[T; N]; 1]) -> ([T; N], bool) {
        let r = a.map(T::sqrt);
        (r, r.iter().fold(true, |settled, r| settled & r.is_finite()))
    }

    /// `addend + a * b`; to be called within [`with_fused_multiply_add`](super::with_fused_multiply_add).
    #[inline(always)]
    pub(crate) fn mul_add<T: HostFloat, const N: usize>(
        [addend, a, b]: [[T; N]; 3],
    ) -> ([T; N], bool) {
        let r: [T; N] = core::array::from_fn(|k| T::mul_add(addend[k], a[k], b[k]));
        let settled =
            |k: usize| r[k].is_safely_normal() | (is_zero(r[k]) & (is_zero(a[k]) | is_zero(b[k])));
        (r, (0..N).fold(true, |all, k| all & settled(k)))
    }

    /// The greater of two numbers: settled for numbers.
    #[inline(always)]
    pub(crate) fn max<T: HostFloat, const N: usize>(operands: [[T; N]; 2]) -> ([T; N], bool) {
        lanes(operands, |a, b| {
            // Equal numbers have equal patterns, but for zeros: plus zero wins.
            let equal = T::from_bits(a.bits() & b.bits());
            let r = if a > b {
                a
            } else if a < b {
                b
            } else {
                equal
            };
            (r, ordered(a, b))
        })
    }

    /// The lesser of two numbers: settled for numbers.
    #[inline(always)]
    pub(crate) fn min<T: HostFloat, const N: usize>(operands: [[T; N]; 2]) -> ([T; N], bool) {
        lanes(operands, |a, b| {
            let equal = T::from_bits(a.bits() | b.bits());
            let r = if a < b {
                a
            } else if a > b {
                b
            } else {
                equal
            };
            (r, ordered(a, b))
        })
    }

    /// Neither is a NaN.
    #[inline(always)]
    #[expect(clippy::eq_op, reason = "a NaN differs from itself")]
    fn ordered<T: HostFloat>(a: T, b: T) -> bool {
        (a == a) & (b == b)
    }

    /// All ones where `f` holds, else zero: settled for numbers.
    #[inline(always)]
    pub(crate) fn mask<T: HostFloat, const N: usize>(
        operands: [[T; N]; 2],
        f: impl Fn(T, T) -> bool,
    ) -> ([T; N], bool) {
        lanes(operands, |a, b| {
            let ones = T::from_bits(u64::MAX >> (64 - T::Soft::BITS));
            (if f(a, b) { ones } else { T::ZERO }, ordered(a, b))
        })
    }
}
