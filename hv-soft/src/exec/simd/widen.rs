//! Operations whose result lanes are twice as wide as a source's, and polynomial products.

use super::lanes::{
    Lane, Narrow, Widen, accumulate_saturating, half_lanes, lane, lanes, lanes_m, set_lanes, set_v,
    v, write,
};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::exec::crypto::clmul;
use crate::insn::{Flow, Insn};

/// The doubleword of register `n` that an instruction or its second form (…2) reads.
#[inline(always)]
fn half(cpu: &Cpu, i: &Insn, n: u8) -> u64 {
    half_lanes::<u64>(cpu, i, n)[0]
}

/// Vn's half, widened lane by lane.
#[inline(always)]
fn widened<T: Widen>(cpu: &Cpu, i: &Insn, n: u8) -> <T::Double as Lane>::Array {
    let mut r = T::Double::split(0);
    for (r, n) in r.as_mut().iter_mut().zip(half_lanes::<T>(cpu, i, n)) {
        *r = n.widen();
    }
    r
}

/// Vm's half, or one element of Vm in every lane, widened.
#[inline(always)]
fn widened_m<T: Widen, const ELEMENT: bool>(cpu: &Cpu, i: &Insn) -> <T::Double as Lane>::Array {
    if ELEMENT {
        let mut r = T::Double::split(0);
        r.as_mut().fill(lane::<T>(v(cpu, i.rm), i.imm as usize).widen());
        r
    } else {
        widened::<T>(cpu, i, i.rm)
    }
}

/// Vd = f(Vd, widened Vn, widened Vm or its element).
#[inline(always)]
fn long<T: Widen, const ELEMENT: bool>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(T::Double, T::Double, T::Double) -> T::Double,
) -> Flow {
    let n = widened::<T>(cpu, i, i.rn);
    let m = widened_m::<T, ELEMENT>(cpu, i);
    let mut d = *lanes::<T::Double>(cpu, i.rd);
    for ((d, n), m) in d.as_mut().iter_mut().zip(n.as_ref()).zip(m.as_ref()) {
        *d = f(*d, *n, *m);
    }
    set_lanes::<T::Double>(cpu, i.rd, d);
    Flow::Next
}

/// SADDL, UADDL.
pub(super) fn addl<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T, false>(cpu, i, |_, n, m| n.add(m))
}

/// SSUBL, USUBL.
pub(super) fn subl<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T, false>(cpu, i, |_, n, m| n.sub(m))
}

/// SMULL, UMULL.
pub(super) fn mull<T: Widen, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T, ELEMENT>(cpu, i, |_, n, m| n.mul(m))
}

/// SMLAL, UMLAL.
pub(super) fn mlal<T: Widen, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T, ELEMENT>(cpu, i, |d, n, m| d.add(n.mul(m)))
}

/// SMLSL, UMLSL.
pub(super) fn mlsl<T: Widen, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T, ELEMENT>(cpu, i, |d, n, m| d.sub(n.mul(m)))
}

/// SABDL, UABDL.
pub(super) fn abdl<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T, false>(cpu, i, |_, n, m| n.distance(m))
}

/// SABAL, UABAL.
pub(super) fn abal<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T, false>(cpu, i, |d, n, m| d.add(n.distance(m)))
}

/// Vd = f(Vn, widened Vm).
#[inline(always)]
fn wide_by<T: Widen>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(T::Double, T::Double) -> T::Double,
) -> Flow {
    let m = widened::<T>(cpu, i, i.rm);
    let mut n = *lanes::<T::Double>(cpu, i.rn);
    for (n, m) in n.as_mut().iter_mut().zip(m.as_ref()) {
        *n = f(*n, *m);
    }
    set_lanes::<T::Double>(cpu, i.rd, n);
    Flow::Next
}

/// SADDW, UADDW.
pub(super) fn addw<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    wide_by::<T>(cpu, i, |n, m| n.add(m))
}

/// SSUBW, USUBW.
pub(super) fn subw<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    wide_by::<T>(cpu, i, |n, m| n.sub(m))
}

/// Saturated twice the product of widened lanes, then `f(Vd, it)`, saturated.
#[inline(always)]
fn long_doubling<T: Widen, const ELEMENT: bool>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(<T::Double as Lane>::Wide, <T::Double as Lane>::Wide) -> <T::Double as Lane>::Wide,
) -> Flow {
    let n = widened::<T>(cpu, i, i.rn);
    let m = widened_m::<T, ELEMENT>(cpu, i);
    accumulate_saturating::<T::Double>(cpu, i, n, m, |d, n, m| {
        let (product, first) = T::Double::saturate((n.wide() * m.wide()) << 1);
        let (value, second) = T::Double::saturate(f(d.wide(), product.wide()));
        (value, first | second)
    })
}

/// SQDMULL.
pub(super) fn qdmull<T: Widen, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long_doubling::<T, ELEMENT>(cpu, i, |_, product| product)
}

/// SQDMLAL.
pub(super) fn qdmlal<T: Widen, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long_doubling::<T, ELEMENT>(cpu, i, |d, product| d + product)
}

/// SQDMLSL.
pub(super) fn qdmlsl<T: Widen, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long_doubling::<T, ELEMENT>(cpu, i, |d, product| d - product)
}

/// SADDLP, UADDLP and, if `ACCUMULATE`, SADALP, UADALP; `T` is the wide type.
pub(super) fn addlp<T: Narrow, const ACCUMULATE: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let n = *lanes::<T::Half>(cpu, i.rn);
    let mut d = *lanes::<T>(cpu, i.rd);
    for (d, pair) in d.as_mut().iter_mut().zip(n.as_ref().chunks_exact(2)) {
        let sum = pair[0].widen().add(pair[1].widen());
        *d = if ACCUMULATE { d.add(sum) } else { sum };
    }
    write::<T>(cpu, i, d)
}

/// PMULL from bytes.
pub(super) fn pmull8(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<u8, false>(cpu, i, |_, n, m| {
        (0..8).fold(0, |r, bit| r ^ (n << bit) & 0u16.wrapping_sub(m >> bit & 1))
    })
}

/// PMULL from doublewords.
pub(super) fn pmull64(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = clmul(half(cpu, i, i.rn), half(cpu, i, i.rm));
    set_v(cpu, i.rd, r);
    Flow::Next
}

macro_rules! dot {
    ($(#[$doc:meta])* $name:ident, $t:ty, $wide:ty) => {
        $(#[$doc])*
        pub(super) fn $name<const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
            let m = <$t>::split(u32::join(lanes_m::<u32, ELEMENT>(cpu, i)));
            let n = *lanes::<$t>(cpu, i.rn);
            let mut d = *lanes::<$wide>(cpu, i.rd);
            for (lane, d) in d.iter_mut().enumerate() {
                for byte in lane * 4..lane * 4 + 4 {
                    let product = <$wide>::from(n[byte]) * <$wide>::from(m[byte]);
                    *d = d.wrapping_add(product);
                }
            }
            write::<$wide>(cpu, i, d)
        }
    };
}

dot!(
    /// SDOT.
    sdot, i8, i32
);
dot!(
    /// UDOT.
    udot, u8, u32
);

/// Widened sum of all lanes: SADDLV, UADDLV.
pub(super) fn addlv<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let active = T::LANES >> u32::from(i.ra == aux::WIDTH_64);
    let sum = lanes::<T>(cpu, i.rn).as_ref()[..active]
        .iter()
        .fold(T::Double::default(), |sum, n| sum.add(n.widen()));
    set_v(cpu, i.rd, u128::from(sum.bits()));
    Flow::Next
}
