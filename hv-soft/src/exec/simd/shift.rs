//! Shifts, by register and by immediate; saturating and rounding ones; inserts.
//!
//! Immediate amounts are in `imm`: 0 to `BITS - 1` to the left, 1 to `BITS` to the right.

use super::lanes::{
    Lane, Narrow, Widen, accumulate, binary, binary_saturating, half_lanes, lanes, masked_lanes,
    note_saturation, set_lanes, set_v, unary, unary_saturating, v, width_mask,
};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::insn::{Flow, Insn};

/// The signed amount of a shift by register: the low byte of the lane.
#[inline(always)]
fn amount<T: Lane>(m: T) -> i32 {
    i32::from(m.bits() as i8)
}

/// `n << amount`, modulo the width; negative amounts shift right.
#[inline(always)]
fn shift<T: Lane>(n: T, amount: i32) -> T {
    if amount >= 0 { left(n, amount as u32) } else { right(n, amount.unsigned_abs()) }
}

#[inline(always)]
fn left<T: Lane>(n: T, amount: u32) -> T {
    if amount >= T::BITS { T::default() } else { n << amount }
}

#[inline(always)]
fn right<T: Lane>(n: T, amount: u32) -> T {
    // The type's own shift is arithmetic for signed lanes; one at the width needs two steps.
    if amount >= T::BITS { n >> (T::BITS - 1) >> 1 } else { n >> amount }
}

/// `n >> amount`, rounded to nearest, ties up; the amount is at least 1.
#[inline(always)]
fn right_rounded<T: Lane>(n: T, amount: u32) -> T {
    // Past the width a rounded result is zero.
    if amount > T::BITS {
        return T::default();
    }
    right(n, amount).add((n >> (amount - 1)) & T::from_bits(1))
}

#[inline(always)]
fn shift_rounded<T: Lane>(n: T, amount: i32) -> T {
    if amount >= 0 { left(n, amount as u32) } else { right_rounded(n, amount.unsigned_abs()) }
}

/// `n << amount`, saturated.
#[inline(always)]
fn left_saturated<T: Lane>(n: T, amount: u32) -> (T, bool) {
    let shifted = left(n, amount);
    if n == T::default() || (amount < T::BITS && shifted >> amount == n) {
        (shifted, false)
    } else {
        (if n < T::default() { T::MIN } else { T::MAX }, true)
    }
}

/// SSHL, USHL.
pub(super) fn shl_reg<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: T, m| shift(n, amount(m)))
}

/// SRSHL, URSHL.
pub(super) fn rshl_reg<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: T, m| shift_rounded(n, amount(m)))
}

/// SQSHL and UQSHL, register.
pub(super) fn qshl_reg<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary_saturating::<T, false>(cpu, i, |n, m| match amount(m) {
        s @ 0.. => left_saturated(n, s as u32),
        s => (right(n, s.unsigned_abs()), false),
    })
}

/// SQRSHL, UQRSHL.
pub(super) fn qrshl_reg<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary_saturating::<T, false>(cpu, i, |n, m| match amount(m) {
        s @ 0.. => left_saturated(n, s as u32),
        s => (right_rounded(n, s.unsigned_abs()), false),
    })
}

/// SHL.
pub(super) fn shl<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = i.imm as u32 % T::BITS;
    unary(cpu, i, |n: T| n << s)
}

/// SSHR, USHR.
pub(super) fn shr<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = (i.imm as u32 - 1) % T::BITS;
    unary(cpu, i, |n: T| n >> s >> 1)
}

/// SSRA, USRA.
pub(super) fn sra<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = (i.imm as u32 - 1) % T::BITS;
    accumulate_n(cpu, i, |d: T, n| d.add(n >> s >> 1))
}

/// SRSHR, URSHR.
pub(super) fn rshr<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = i.imm as u32;
    unary(cpu, i, |n: T| right_rounded(n, s))
}

/// SRSRA, URSRA.
pub(super) fn rsra<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = i.imm as u32;
    accumulate_n(cpu, i, |d: T, n| d.add(right_rounded(n, s)))
}

/// SLI.
pub(super) fn sli<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = i.imm as u32 % T::BITS;
    let inserted = T::ONES << s;
    accumulate_n(cpu, i, |d: T, n| d & !inserted | n << s)
}

/// SRI; `T` is unsigned.
pub(super) fn sri<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = (i.imm as u32 - 1) % T::BITS;
    let inserted = T::ONES >> s >> 1;
    accumulate_n(cpu, i, |d: T, n| d & !inserted | n >> s >> 1)
}

#[inline(always)]
fn accumulate_n<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T, T) -> T) -> Flow {
    accumulate(cpu, i, |d: T, n, _| f(d, n))
}

/// SQSHL and UQSHL, immediate.
pub(super) fn qshl<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = i.imm as u32;
    unary_saturating(cpu, i, |n: T| left_saturated(n, s))
}

/// SQSHLU: a signed source, an unsigned result.
pub(super) fn qshlu<S: Lane, U: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = i.imm as u32;
    unary_saturating(cpu, i, |n: U| {
        if S::from_bits(n.bits()) < S::default() {
            (U::default(), true)
        } else {
            left_saturated(n, s)
        }
    })
}

/// SSHLL, USHLL: the low or high half of Vn, each lane widened.
pub(super) fn shll<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = i.imm as u32;
    let mut r = T::Double::split(0);
    for (r, n) in r.as_mut().iter_mut().zip(half_lanes::<T>(cpu, i, i.rn)) {
        *r = n.widen() << s;
    }
    set_lanes::<T::Double>(cpu, i.rd, r);
    Flow::Next
}

/// Narrows every lane of Vn by `f` into the low half of Vd, or its high half with the rest kept.
#[inline(always)]
pub(super) fn narrow<T: Narrow>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T) -> T::Half) -> Flow {
    let n = *lanes::<T>(cpu, i.rn);
    let mut r = T::Half::split(0);
    for (r, n) in r.as_mut().iter_mut().zip(n.as_ref()) {
        *r = f(*n);
    }
    write_narrow(cpu, i, T::Half::join(r));
    Flow::Next
}

/// As [`narrow`], of pairs of lanes of Vn and Vm.
#[inline(always)]
pub(super) fn narrow2<T: Narrow>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T, T) -> T::Half) -> Flow {
    let (n, m) = (*lanes::<T>(cpu, i.rn), *lanes::<T>(cpu, i.rm));
    let mut r = T::Half::split(0);
    for ((r, n), m) in r.as_mut().iter_mut().zip(n.as_ref()).zip(m.as_ref()) {
        *r = f(*n, *m);
    }
    write_narrow(cpu, i, T::Half::join(r));
    Flow::Next
}

/// Writes a 64-bit (or scalar) narrowed result.
#[inline(always)]
pub(in crate::exec) fn write_narrow(cpu: &mut Cpu, i: &Insn, low: u128) {
    let r = if i.aux & aux::UPPER != 0 {
        v(cpu, i.rd) & u128::from(u64::MAX) | low << 64
    } else {
        low & width_mask(i.ra)
    };
    set_v(cpu, i.rd, r);
}

/// XTN, SHRN (the amount is in `imm`, 0 for XTN).
pub(super) fn shrn<T: Narrow>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = i.imm as u32 % T::BITS;
    narrow(cpu, i, |n: T| (n >> s).truncate())
}

/// RSHRN.
pub(super) fn rshrn<T: Narrow>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let s = i.imm as u32;
    narrow(cpu, i, |n: T| right_rounded(n, s).truncate())
}

/// ADDHN.
pub(super) fn addhn<T: Narrow>(cpu: &mut Cpu, i: &Insn) -> Flow {
    narrow2(cpu, i, |n: T, m| (n.add(m) >> (T::BITS / 2)).truncate())
}

/// RADDHN.
pub(super) fn raddhn<T: Narrow>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let half = T::from_bits(1 << (T::BITS / 2 - 1));
    narrow2(cpu, i, |n: T, m| (n.add(m).add(half) >> (T::BITS / 2)).truncate())
}

/// SUBHN.
pub(super) fn subhn<T: Narrow>(cpu: &mut Cpu, i: &Insn) -> Flow {
    narrow2(cpu, i, |n: T, m| (n.sub(m) >> (T::BITS / 2)).truncate())
}

/// RSUBHN.
pub(super) fn rsubhn<T: Narrow>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let half = T::from_bits(1 << (T::BITS / 2 - 1));
    narrow2(cpu, i, |n: T, m| (n.sub(m).add(half) >> (T::BITS / 2)).truncate())
}

/// Narrows lanes of `T` to lanes of `H` (half as wide, of either sign) by `f`, which tells whether it
/// saturated.
#[inline(always)]
fn narrow_saturating<T: Lane, H: Lane>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(T) -> (H, bool),
) -> Flow {
    // A scalar's source is twice as wide as its result; other lanes count as zero.
    let n = masked_lanes::<T>(cpu, i.ra + 1, i.rn);
    let mut r = H::split(0);
    let mut saturated = false;
    for (r, n) in r.as_mut().iter_mut().zip(n.as_ref()) {
        let (value, lane_saturated) = f(*n);
        *r = value;
        saturated |= lane_saturated;
    }
    write_narrow(cpu, i, H::join(r));
    note_saturation(cpu, saturated);
    Flow::Next
}

macro_rules! narrow_saturating {
    ($(#[$doc:meta])* $name:ident, $rounding:expr, $t:ty, $h:ty) => {
        $(#[$doc])*
        pub(in crate::exec) fn $name(cpu: &mut Cpu, i: &Insn) -> Flow {
            let s = i.imm as u32;
            narrow_saturating::<$t, $h>(cpu, i, |n| {
                let value = if $rounding { right_rounded(n, s) } else { n >> s };
                let clamped = value.max(<$h>::MIN as $t).min(<$h>::MAX as $t);
                (clamped as $h, clamped != value)
            })
        }
    };
}

/// Saturating narrowing right shifts, by the width of the result; the amount is 0 for the XTN forms.
macro_rules! narrow_saturating_sizes {
    ($module:ident, $rounding:expr, $doc:literal,
     [$($name:ident: $t:ty => $h:ty),*]) => {
        #[doc = $doc]
        pub(super) mod $module {
            use super::*;
            $(narrow_saturating!($name, $rounding, $t, $h);)*
        }
    };
}

narrow_saturating_sizes!(sqshrn, false, "SQXTN, SQSHRN.",
    [b: i16 => i8, h: i32 => i16, s: i64 => i32]);
narrow_saturating_sizes!(uqshrn, false, "UQXTN, UQSHRN.",
    [b: u16 => u8, h: u32 => u16, s: u64 => u32]);
narrow_saturating_sizes!(sqshrun, false, "SQXTUN, SQSHRUN.",
    [b: i16 => u8, h: i32 => u16, s: i64 => u32]);
narrow_saturating_sizes!(sqrshrn, true, "SQRSHRN.",
    [b: i16 => i8, h: i32 => i16, s: i64 => i32]);
narrow_saturating_sizes!(uqrshrn, true, "UQRSHRN.",
    [b: u16 => u8, h: u32 => u16, s: u64 => u32]);
narrow_saturating_sizes!(sqrshrun, true, "SQRSHRUN.",
    [b: i16 => u8, h: i32 => u16, s: i64 => u32]);
