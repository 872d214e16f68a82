//! A vector register as an array of lanes, and the loops over them.
//!
//! Loops are generic over the lane type, so that each becomes a few host vector instructions. An
//! operation on part of a register (64-bit vectors, scalars) computes all of it and masks the result;
//! where lanes can raise a flag the operands are masked, too.

use core::ops::{Add, BitAnd, BitOr, BitXor, Mul, Neg, Not, Shl, Shr, Sub};

use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::insn::{Flow, Insn};
use crate::softfloat::QC;

/// An integer at least twice as wide as a lane, signed: it holds sums and differences of lanes exactly.
pub(crate) trait Wide:
    Copy
    + Ord
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
    + From<i8>
{
}

impl Wide for i16 {}
impl Wide for i32 {}
impl Wide for i64 {}
impl Wide for i128 {}

/// An element type: `u8`–`u64` and `i8`–`i64`.
pub(crate) trait Lane:
    Copy
    + Ord
    + Default
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
    + 'static
{
    /// The register as lanes of this type, lane 0 first.
    type Array: Copy + AsRef<[Self]> + AsMut<[Self]>;
    /// Holds intermediate results exactly.
    type Wide: Wide;
    /// Width in bits.
    const BITS: u32;
    /// Lanes of a 128-bit register.
    const LANES: usize = (128 / Self::BITS) as usize;
    /// Least value.
    const MIN: Self;
    /// Greatest value.
    const MAX: Self;
    /// All bits set.
    const ONES: Self;

    /// Takes a register apart.
    fn split(v: u128) -> Self::Array;
    /// Puts a register together.
    fn join(lanes: Self::Array) -> u128;
    /// The value, in the wide type.
    fn wide(self) -> Self::Wide;
    /// The low bits of a wide value.
    fn wrap(wide: Self::Wide) -> Self;
    /// The low bits of a pattern.
    fn from_bits(bits: u64) -> Self;
    /// The pattern, zero-extended.
    fn bits(self) -> u64;
    /// Modular sum.
    fn add(self, other: Self) -> Self;
    /// Modular difference.
    fn sub(self, other: Self) -> Self;
    /// Modular product.
    fn mul(self, other: Self) -> Self;
    /// Distance between two values.
    fn distance(self, other: Self) -> Self;
    /// Leading zero bits.
    fn leading_zeros(self) -> u32;
    /// Bits in reverse order.
    fn reverse_bits(self) -> Self;

    /// All ones if `condition`, else zero.
    #[inline(always)]
    fn mask(condition: bool) -> Self {
        if condition { Self::ONES } else { Self::default() }
    }
    /// The nearest value to a wide one, and whether it differs.
    #[inline(always)]
    fn saturate(wide: Self::Wide) -> (Self, bool) {
        let clamped = wide.max(Self::MIN.wide()).min(Self::MAX.wide());
        (Self::wrap(clamped), clamped != wide)
    }
}

/// A lane type with a lane type twice its width and of the same sign.
pub(crate) trait Widen: Lane {
    /// The double-width type.
    type Double: Narrow<Half = Self>;
    /// The same value.
    fn widen(self) -> Self::Double;
}

/// A lane type with a lane type half its width and of the same sign.
pub(crate) trait Narrow: Lane {
    /// The half-width type.
    type Half: Widen<Double = Self>;
    /// The low half.
    fn truncate(self) -> Self::Half;
}

macro_rules! lane {
    ($t:ty, $wide:ty, $lanes:literal, $unsigned:ty) => {
        impl Lane for $t {
            type Array = [$t; $lanes];
            type Wide = $wide;
            const BITS: u32 = <$t>::BITS;
            const MIN: Self = <$t>::MIN;
            const MAX: Self = <$t>::MAX;
            const ONES: Self = !0;

            #[inline(always)]
            #[allow(unnecessary_transmutes, reason = "bytes have a function for it, words do not")]
            fn split(v: u128) -> Self::Array {
                // SAFETY: both are 16 bytes of plain integers, any pattern is valid.
                unsafe { core::mem::transmute::<u128, Self::Array>(v) }
            }
            #[inline(always)]
            #[allow(unnecessary_transmutes, reason = "bytes have a function for it, words do not")]
            fn join(lanes: Self::Array) -> u128 {
                // SAFETY: both are 16 bytes of plain integers, any pattern is valid.
                unsafe { core::mem::transmute::<Self::Array, u128>(lanes) }
            }
            #[inline(always)]
            fn wide(self) -> $wide {
                <$wide>::from(self)
            }
            #[inline(always)]
            fn wrap(wide: $wide) -> Self {
                wide as Self
            }
            #[inline(always)]
            fn from_bits(bits: u64) -> Self {
                bits as Self
            }
            #[inline(always)]
            fn bits(self) -> u64 {
                u64::from(self as $unsigned)
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            #[inline(always)]
            fn distance(self, other: Self) -> Self {
                self.max(other).wrapping_sub(self.min(other))
            }
            #[inline(always)]
            fn leading_zeros(self) -> u32 {
                self.leading_zeros()
            }
            #[inline(always)]
            fn reverse_bits(self) -> Self {
                self.reverse_bits()
            }
        }
    };
}

// Lane 0 is the least significant: `split` relies on a host that stores it first.
const _: () = assert!(cfg!(target_endian = "little"), "big-endian hosts are not supported");

lane!(u8, i16, 16, u8);
lane!(u16, i32, 8, u16);
lane!(u32, i64, 4, u32);
lane!(u64, i128, 2, u64);
lane!(i8, i16, 16, u8);
lane!(i16, i32, 8, u16);
lane!(i32, i64, 4, u32);
lane!(i64, i128, 2, u64);

macro_rules! widen {
    ($half:ty, $double:ty) => {
        impl Widen for $half {
            type Double = $double;
            #[inline(always)]
            fn widen(self) -> $double {
                <$double>::from(self)
            }
        }
        impl Narrow for $double {
            type Half = $half;
            #[inline(always)]
            fn truncate(self) -> $half {
                self as $half
            }
        }
    };
}

widen!(u8, u16);
widen!(u16, u32);
widen!(u32, u64);
widen!(i8, i16);
widen!(i16, i32);
widen!(i32, i64);

/// Applies `f` to every lane.
#[inline(always)]
pub(crate) fn map1<T: Lane>(a: u128, f: impl Fn(T) -> T) -> u128 {
    let mut a = T::split(a);
    for lane in a.as_mut() {
        *lane = f(*lane);
    }
    T::join(a)
}

/// Applies `f` to every pair of lanes.
#[inline(always)]
pub(crate) fn map2<T: Lane>(a: u128, b: u128, f: impl Fn(T, T) -> T) -> u128 {
    let (mut a, b) = (T::split(a), T::split(b));
    for (a, b) in a.as_mut().iter_mut().zip(b.as_ref()) {
        *a = f(*a, *b);
    }
    T::join(a)
}

/// Applies `f` to every triple of lanes.
#[inline(always)]
pub(crate) fn map3<T: Lane>(a: u128, b: u128, c: u128, f: impl Fn(T, T, T) -> T) -> u128 {
    let (mut a, b, c) = (T::split(a), T::split(b), T::split(c));
    for ((a, b), c) in a.as_mut().iter_mut().zip(b.as_ref()).zip(c.as_ref()) {
        *a = f(*a, *b, *c);
    }
    T::join(a)
}

/// A register with every lane equal to `value`.
#[inline(always)]
pub(crate) fn splat<T: Lane>(value: T) -> u128 {
    map1::<T>(0, |_| value)
}

/// Lane `index` of a register; the index wraps.
#[inline(always)]
pub(crate) fn lane<T: Lane>(v: u128, index: usize) -> T {
    T::split(v).as_ref()[index % T::LANES]
}

/// The bits that an instruction of width code `code` (see [`aux`]) operates on.
#[inline(always)]
pub(crate) fn width_mask(code: u8) -> u128 {
    const MASKS: [u128; 8] =
        [u8::MAX as u128, u16::MAX as u128, u32::MAX as u128, u64::MAX as u128, u128::MAX, 0, 0, 0];
    MASKS[usize::from(code & 7)]
}

/// Register `n`.
#[inline(always)]
pub(crate) fn v(cpu: &Cpu, n: u8) -> u128 {
    cpu.v[usize::from(n & 31)]
}

/// Writes register `n`.
#[inline(always)]
pub(crate) fn set_v(cpu: &mut Cpu, n: u8, value: u128) {
    cpu.v[usize::from(n & 31)] = value;
}

/// The second source: Vm, or one element of it in every lane.
#[inline(always)]
pub(crate) fn operand_m<T: Lane>(cpu: &Cpu, i: &Insn) -> u128 {
    let m = v(cpu, i.rm);
    if i.aux & aux::BY_ELEMENT != 0 { splat(lane::<T>(m, i.imm as usize)) } else { m }
}

/// Vd = f(Vn).
#[inline(always)]
pub(crate) fn unary<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T) -> T) -> Flow {
    let r = map1(v(cpu, i.rn), f);
    set_v(cpu, i.rd, r & width_mask(i.ra));
    Flow::Next
}

/// Vd = f(Vn, Vm).
#[inline(always)]
pub(crate) fn binary<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T, T) -> T) -> Flow {
    let r = map2(v(cpu, i.rn), operand_m::<T>(cpu, i), f);
    set_v(cpu, i.rd, r & width_mask(i.ra));
    Flow::Next
}

/// Vd = f(Vd, Vn, Vm).
#[inline(always)]
pub(crate) fn accumulate<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T, T, T) -> T) -> Flow {
    let r = map3(v(cpu, i.rd), v(cpu, i.rn), operand_m::<T>(cpu, i), f);
    set_v(cpu, i.rd, r & width_mask(i.ra));
    Flow::Next
}

/// Runs `f`, which may report saturation through its argument, on operands masked to the
/// instruction's width; writes its result to Vd and the report to FPSR.QC.
#[inline(always)]
pub(crate) fn saturating(
    cpu: &mut Cpu,
    i: &Insn,
    operands: [u128; 3],
    f: impl Fn([u128; 3], &mut bool) -> u128,
) -> Flow {
    let mask = width_mask(i.ra);
    let mut saturated = false;
    let r = f(operands.map(|op| op & mask), &mut saturated);
    set_v(cpu, i.rd, r & mask);
    if saturated {
        cpu.fpsr |= QC;
    }
    Flow::Next
}

/// Applies `f` to every triple of lanes; each result is saturated or not.
#[inline(always)]
pub(crate) fn map3_saturating<T: Lane>(
    [a, b, c]: [u128; 3],
    saturated: &mut bool,
    f: impl Fn(T, T, T) -> (T, bool),
) -> u128 {
    let (mut a, b, c) = (T::split(a), T::split(b), T::split(c));
    for ((a, b), c) in a.as_mut().iter_mut().zip(b.as_ref()).zip(c.as_ref()) {
        let (value, lane_saturated) = f(*a, *b, *c);
        *a = value;
        *saturated |= lane_saturated;
    }
    T::join(a)
}
