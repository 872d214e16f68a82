//! Operations whose result lanes are twice as wide as a source's, and polynomial products.

use super::lanes::{
    Lane, Narrow, Widen, map3_saturating, operand_m, saturating, set_v, v, width_mask,
};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::exec::crypto::clmul;
use crate::insn::{Flow, Insn};

/// The half of a narrow source that an instruction or its second form (…2) reads.
#[inline(always)]
fn half(i: &Insn, value: u128) -> u128 {
    if i.aux & aux::UPPER != 0 { value >> 64 } else { value }
}

/// Vm's half, or one element of Vm in every lane.
#[inline(always)]
fn half_m<T: Lane>(cpu: &Cpu, i: &Insn) -> u128 {
    if i.aux & aux::BY_ELEMENT != 0 { operand_m::<T>(cpu, i) } else { half(i, v(cpu, i.rm)) }
}

/// The low half of a register, widened lane by lane.
#[inline(always)]
fn widen<T: Widen>(value: u128) -> <T::Double as Lane>::Array {
    let n = T::split(value);
    let mut r = T::Double::split(0);
    for (r, n) in r.as_mut().iter_mut().zip(n.as_ref()) {
        *r = n.widen();
    }
    r
}

/// Vd = f(Vd, widened Vn, widened Vm).
#[inline(always)]
fn long<T: Widen>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(T::Double, T::Double, T::Double) -> T::Double,
) -> Flow {
    let n = widen::<T>(half(i, v(cpu, i.rn)));
    let m = widen::<T>(half_m::<T>(cpu, i));
    let mut d = T::Double::split(v(cpu, i.rd));
    for ((d, n), m) in d.as_mut().iter_mut().zip(n.as_ref()).zip(m.as_ref()) {
        *d = f(*d, *n, *m);
    }
    set_v(cpu, i.rd, T::Double::join(d));
    Flow::Next
}

/// SADDL, UADDL.
pub(super) fn addl<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T>(cpu, i, |_, n, m| n.add(m))
}

/// SSUBL, USUBL.
pub(super) fn subl<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T>(cpu, i, |_, n, m| n.sub(m))
}

/// SMULL, UMULL.
pub(super) fn mull<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T>(cpu, i, |_, n, m| n.mul(m))
}

/// SMLAL, UMLAL.
pub(super) fn mlal<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T>(cpu, i, |d, n, m| d.add(n.mul(m)))
}

/// SMLSL, UMLSL.
pub(super) fn mlsl<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T>(cpu, i, |d, n, m| d.sub(n.mul(m)))
}

/// SABDL, UABDL.
pub(super) fn abdl<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T>(cpu, i, |_, n, m| n.distance(m))
}

/// SABAL, UABAL.
pub(super) fn abal<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<T>(cpu, i, |d, n, m| d.add(n.distance(m)))
}

/// Vd = f(Vn, widened Vm).
#[inline(always)]
fn wide_by<T: Widen>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(T::Double, T::Double) -> T::Double,
) -> Flow {
    let m = widen::<T>(half(i, v(cpu, i.rm)));
    let mut n = T::Double::split(v(cpu, i.rn));
    for (n, m) in n.as_mut().iter_mut().zip(m.as_ref()) {
        *n = f(*n, *m);
    }
    set_v(cpu, i.rd, T::Double::join(n));
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
fn long_doubling<T: Widen>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(<T::Double as Lane>::Wide, <T::Double as Lane>::Wide) -> <T::Double as Lane>::Wide,
) -> Flow {
    let n = T::Double::join(widen::<T>(half(i, v(cpu, i.rn))));
    let m = T::Double::join(widen::<T>(half_m::<T>(cpu, i)));
    saturating(cpu, i, [v(cpu, i.rd), n, m], |ops, q| {
        map3_saturating::<T::Double>(ops, q, |d, n, m| {
            let (product, first) = T::Double::saturate((n.wide() * m.wide()) << 1);
            let (value, second) = T::Double::saturate(f(d.wide(), product.wide()));
            (value, first | second)
        })
    })
}

/// SQDMULL.
pub(super) fn qdmull<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long_doubling::<T>(cpu, i, |_, product| product)
}

/// SQDMLAL.
pub(super) fn qdmlal<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long_doubling::<T>(cpu, i, |d, product| d + product)
}

/// SQDMLSL.
pub(super) fn qdmlsl<T: Widen>(cpu: &mut Cpu, i: &Insn) -> Flow {
    long_doubling::<T>(cpu, i, |d, product| d - product)
}

/// SADDLP, UADDLP and, if `ACCUMULATE`, SADALP, UADALP; `T` is the wide type.
pub(super) fn addlp<T: Narrow, const ACCUMULATE: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let n = T::Half::split(v(cpu, i.rn));
    let mut d = T::split(v(cpu, i.rd));
    for (d, pair) in d.as_mut().iter_mut().zip(n.as_ref().chunks_exact(2)) {
        let sum = pair[0].widen().add(pair[1].widen());
        *d = if ACCUMULATE { d.add(sum) } else { sum };
    }
    set_v(cpu, i.rd, T::join(d) & width_mask(i.ra));
    Flow::Next
}

/// PMULL from bytes.
pub(super) fn pmull8(cpu: &mut Cpu, i: &Insn) -> Flow {
    long::<u8>(cpu, i, |_, n, m| {
        (0..8).fold(0, |r, bit| r ^ (n << bit) & 0u16.wrapping_sub(m >> bit & 1))
    })
}

/// PMULL from doublewords.
pub(super) fn pmull64(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = clmul(half(i, v(cpu, i.rn)) as u64, half(i, v(cpu, i.rm)) as u64);
    set_v(cpu, i.rd, r);
    Flow::Next
}

macro_rules! dot {
    ($(#[$doc:meta])* $name:ident, $t:ty, $wide:ty) => {
        $(#[$doc])*
        pub(super) fn $name(cpu: &mut Cpu, i: &Insn) -> Flow {
            let m = if i.aux & aux::BY_ELEMENT != 0 {
                operand_m::<u32>(cpu, i)
            } else {
                v(cpu, i.rm)
            };
            let (n, m) = (<$t>::split(v(cpu, i.rn)), <$t>::split(m));
            let mut d = <$wide>::split(v(cpu, i.rd));
            for (lane, d) in d.iter_mut().enumerate() {
                for byte in lane * 4..lane * 4 + 4 {
                    let product = <$wide>::from(n[byte]) * <$wide>::from(m[byte]);
                    *d = d.wrapping_add(product);
                }
            }
            set_v(cpu, i.rd, <$wide>::join(d) & width_mask(i.ra));
            Flow::Next
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
    let n = T::split(v(cpu, i.rn));
    let lanes = T::LANES >> u32::from(i.ra == aux::WIDTH_64);
    let sum = n.as_ref()[..lanes].iter().fold(T::Double::default(), |sum, n| sum.add(n.widen()));
    set_v(cpu, i.rd, u128::from(sum.bits()));
    Flow::Next
}
