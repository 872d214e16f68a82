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
    /// Sum, and whether it had to be saturated.
    fn saturating_add(self, other: Self) -> (Self, bool);
    /// Difference, and whether it had to be saturated.
    fn saturating_sub(self, other: Self) -> (Self, bool);
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
            fn saturating_add(self, other: Self) -> (Self, bool) {
                let sum = <$t>::saturating_add(self, other);
                (sum, sum != self.wrapping_add(other))
            }
            #[inline(always)]
            fn saturating_sub(self, other: Self) -> (Self, bool) {
                let difference = <$t>::saturating_sub(self, other);
                (difference, difference != self.wrapping_sub(other))
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

/// A register with every lane equal to `value`.
#[inline(always)]
pub(crate) fn splat<T: Lane>(value: T) -> u128 {
    let mut r = T::split(0);
    r.as_mut().fill(value);
    T::join(r)
}

/// Lane `index` of a register; the index wraps.
#[inline(always)]
pub(crate) fn lane<T: Lane>(v: u128, index: usize) -> T {
    T::from_bits((v >> ((index % T::LANES) as u32 * T::BITS)) as u64)
}

/// A register with lane `index` replaced; the index wraps.
#[inline(always)]
pub(crate) fn insert<T: Lane>(v: u128, index: usize, value: T) -> u128 {
    let shift = (index % T::LANES) as u32 * T::BITS;
    v & !(u128::from(T::ONES.bits()) << shift) | u128::from(value.bits()) << shift
}

/// The bits that an instruction of width code `code` (see [`aux`]) operates on.
static MASKS: [u128; 8] =
    [u8::MAX as u128, u16::MAX as u128, u32::MAX as u128, u64::MAX as u128, u128::MAX, 0, 0, 0];

/// The bits that an instruction of width code `code` (see [`aux`]) operates on.
#[inline(always)]
pub(crate) fn width_mask(code: u8) -> u128 {
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

/// A register's storage as lanes. Loops over lanes in memory become host vector instructions;
/// over lanes cut out of a `u128` they do not.
#[inline(always)]
fn view<T: Lane>(register: &u128) -> &T::Array {
    // SAFETY: both are 16 bytes of plain integers, any pattern is valid, and a `u128` is aligned
    // for smaller integers.
    unsafe { &*core::ptr::from_ref(register).cast() }
}

/// Register `n` as lanes.
#[inline(always)]
pub(super) fn lanes<T: Lane>(cpu: &Cpu, n: u8) -> &T::Array {
    view::<T>(&cpu.v[usize::from(n & 31)])
}

/// The lower or, with `aux::UPPER`, the upper half of register `n` as lanes.
#[inline(always)]
pub(super) fn half_lanes<'a, T: Lane>(cpu: &'a Cpu, i: &Insn, n: u8) -> &'a [T] {
    let half = T::LANES / 2;
    let first = if i.aux & aux::UPPER != 0 { half } else { 0 };
    &lanes::<T>(cpu, n).as_ref()[first..first + half]
}

/// Writes register `n` as lanes.
#[inline(always)]
pub(super) fn set_lanes<T: Lane>(cpu: &mut Cpu, n: u8, value: T::Array) {
    // SAFETY: as in `view`.
    unsafe { *core::ptr::from_mut(&mut cpu.v[usize::from(n & 31)]).cast() = value }
}

/// Writes the part of Vd that the instruction operates on, and zero to the rest.
#[inline(always)]
pub(super) fn write<T: Lane>(cpu: &mut Cpu, i: &Insn, mut value: T::Array) -> Flow {
    let mask = view::<T>(&MASKS[usize::from(i.ra & 7)]);
    for (lane, mask) in value.as_mut().iter_mut().zip(mask.as_ref()) {
        *lane = *lane & *mask;
    }
    set_lanes::<T>(cpu, i.rd, value);
    Flow::Next
}

/// Register `n` as lanes, those outside the width of code `code` zero.
#[inline(always)]
pub(super) fn masked_lanes<T: Lane>(cpu: &Cpu, code: u8, n: u8) -> T::Array {
    let mask = view::<T>(&MASKS[usize::from(code & 7)]);
    let mut value = *lanes::<T>(cpu, n);
    for (lane, mask) in value.as_mut().iter_mut().zip(mask.as_ref()) {
        *lane = *lane & *mask;
    }
    value
}

/// The second source: Vm, or one element of it in every lane.
#[inline(always)]
pub(super) fn lanes_m<T: Lane, const ELEMENT: bool>(cpu: &Cpu, i: &Insn) -> T::Array {
    let mut m = *lanes::<T>(cpu, i.rm);
    if ELEMENT {
        m.as_mut().fill(lane::<T>(v(cpu, i.rm), i.imm as usize));
    }
    m
}

/// Vd = f(Vn).
#[inline(always)]
pub(crate) fn unary<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T) -> T) -> Flow {
    let mut r = *lanes::<T>(cpu, i.rn);
    for lane in r.as_mut() {
        *lane = f(*lane);
    }
    write::<T>(cpu, i, r)
}

/// Vd = f(Vn, Vm).
#[inline(always)]
pub(super) fn binary<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T, T) -> T) -> Flow {
    binary_by::<T, false>(cpu, i, f)
}

/// Vd = f(Vn, Vm or its element).
#[inline(always)]
pub(super) fn binary_by<T: Lane, const ELEMENT: bool>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(T, T) -> T,
) -> Flow {
    let m = lanes_m::<T, ELEMENT>(cpu, i);
    let mut r = *lanes::<T>(cpu, i.rn);
    for (n, m) in r.as_mut().iter_mut().zip(m.as_ref()) {
        *n = f(*n, *m);
    }
    write::<T>(cpu, i, r)
}

/// Vd = f(Vd, Vn, Vm).
#[inline(always)]
pub(super) fn accumulate<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T, T, T) -> T) -> Flow {
    accumulate_by::<T, false>(cpu, i, f)
}

/// Vd = f(Vd, Vn, Vm or its element).
#[inline(always)]
pub(super) fn accumulate_by<T: Lane, const ELEMENT: bool>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(T, T, T) -> T,
) -> Flow {
    let (n, m) = (*lanes::<T>(cpu, i.rn), lanes_m::<T, ELEMENT>(cpu, i));
    let mut r = *lanes::<T>(cpu, i.rd);
    for ((d, n), m) in r.as_mut().iter_mut().zip(n.as_ref()).zip(m.as_ref()) {
        *d = f(*d, *n, *m);
    }
    write::<T>(cpu, i, r)
}

/// Records the saturation of some lane in FPSR.QC.
#[inline(always)]
pub(super) fn note_saturation(cpu: &mut Cpu, saturated: bool) {
    if saturated {
        cpu.fpsr |= QC;
    }
}

/// Vd = f(Vn), where lanes may saturate.
#[inline(always)]
pub(super) fn unary_saturating<T: Lane>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(T) -> (T, bool),
) -> Flow {
    let mut r = masked_lanes::<T>(cpu, i.ra, i.rn);
    let mut saturated = false;
    for n in r.as_mut() {
        let (value, lane_saturated) = f(*n);
        *n = value;
        saturated |= lane_saturated;
    }
    note_saturation(cpu, saturated);
    write::<T>(cpu, i, r)
}

/// Vd = f(Vn, Vm or its element), where lanes may saturate. A lane of Vn outside the instruction's
/// width is zero, which saturates nothing.
#[inline(always)]
pub(super) fn binary_saturating<T: Lane, const ELEMENT: bool>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(T, T) -> (T, bool),
) -> Flow {
    let mut m = masked_lanes::<T>(cpu, i.ra, i.rm);
    if ELEMENT {
        m = lanes_m::<T, true>(cpu, i);
    }
    let mut r = masked_lanes::<T>(cpu, i.ra, i.rn);
    let mut saturated = false;
    for (n, m) in r.as_mut().iter_mut().zip(m.as_ref()) {
        let (value, lane_saturated) = f(*n, *m);
        *n = value;
        saturated |= lane_saturated;
    }
    note_saturation(cpu, saturated);
    write::<T>(cpu, i, r)
}

/// Vd = f(Vd, n, m), where lanes may saturate; lanes of Vd and `n` outside the instruction's width
/// count as zero.
#[inline(always)]
pub(super) fn accumulate_saturating<T: Lane>(
    cpu: &mut Cpu,
    i: &Insn,
    n: T::Array,
    m: T::Array,
    f: impl Fn(T, T, T) -> (T, bool),
) -> Flow {
    let mask = view::<T>(&MASKS[usize::from(i.ra & 7)]);
    let mut r = *lanes::<T>(cpu, i.rd);
    let mut saturated = false;
    let operands = n.as_ref().iter().zip(m.as_ref()).zip(mask.as_ref());
    for (d, ((n, m), mask)) in r.as_mut().iter_mut().zip(operands) {
        let (value, lane_saturated) = f(*d & *mask, *n & *mask, *m);
        *d = value;
        saturated |= lane_saturated;
    }
    note_saturation(cpu, saturated);
    write::<T>(cpu, i, r)
}
