//! Integer arithmetic, logic and comparison, lane by lane.

use super::lanes::{
    Lane, accumulate, accumulate_by, accumulate_saturating, binary, binary_by, binary_saturating,
    lanes, lanes_m, set_v, unary, unary_saturating, v, width_mask,
};
use crate::cpu::Cpu;
use crate::insn::{Flow, Insn};

/// ADD.
pub(super) fn add<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, T::add)
}

/// SUB.
pub(super) fn sub<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, T::sub)
}

/// MUL.
pub(super) fn mul<T: Lane, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary_by::<T, ELEMENT>(cpu, i, T::mul)
}

/// MLA.
pub(super) fn mla<T: Lane, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    accumulate_by::<T, ELEMENT>(cpu, i, |d: T, n, m| d.add(n.mul(m)))
}

/// MLS.
pub(super) fn mls<T: Lane, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    accumulate_by::<T, ELEMENT>(cpu, i, |d: T, n, m| d.sub(n.mul(m)))
}

/// SMAX, UMAX.
pub(super) fn max<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, T::max)
}

/// SMIN, UMIN.
pub(super) fn min<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, T::min)
}

/// SABD, UABD.
pub(super) fn abd<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, T::distance)
}

/// SABA, UABA.
pub(super) fn aba<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    accumulate(cpu, i, |d: T, n, m| d.add(n.distance(m)))
}

/// SHADD, UHADD.
pub(super) fn hadd<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: T, m| T::wrap((n.wide() + m.wide()) >> 1))
}

/// SRHADD, URHADD.
pub(super) fn rhadd<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: T, m| T::wrap((n.wide() + m.wide() + T::Wide::from(1)) >> 1))
}

/// SHSUB, UHSUB.
pub(super) fn hsub<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: T, m| T::wrap((n.wide() - m.wide()) >> 1))
}

/// CMGT and CMHI, register.
pub(super) fn cmgt<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: T, m| T::mask(n > m))
}

/// CMGE and CMHS, register.
pub(super) fn cmge<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: T, m| T::mask(n >= m))
}

/// CMEQ, register.
pub(super) fn cmeq<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: T, m| T::mask(n == m))
}

/// CMTST.
pub(super) fn cmtst<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: T, m| T::mask(n & m != T::default()))
}

/// CMGT, zero.
pub(super) fn cmgt0<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: T| T::mask(n > T::default()))
}

/// CMGE, zero.
pub(super) fn cmge0<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: T| T::mask(n >= T::default()))
}

/// CMEQ, zero.
pub(super) fn cmeq0<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: T| T::mask(n == T::default()))
}

/// CMLE, zero.
pub(super) fn cmle0<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: T| T::mask(n <= T::default()))
}

/// CMLT, zero.
pub(super) fn cmlt0<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: T| T::mask(n < T::default()))
}

/// ABS; `T` is signed.
pub(super) fn abs<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: T| if n < T::default() { T::default().sub(n) } else { n })
}

/// NEG.
pub(super) fn neg<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: T| T::default().sub(n))
}

/// CLZ.
pub(super) fn clz<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: T| T::from_bits(n.leading_zeros().into()))
}

/// CLS; `T` is signed.
pub(super) fn cls<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: T| T::from_bits(((n ^ n >> 1).leading_zeros() - 1).into()))
}

/// CNT.
pub(super) fn cnt(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: u8| n.count_ones() as u8)
}

/// RBIT.
pub(super) fn rbit(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, <u8 as Lane>::reverse_bits)
}

/// NOT.
pub(super) fn not(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary(cpu, i, |n: u64| !n)
}

/// AND.
pub(super) fn and(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: u64, m| n & m)
}

/// BIC, register.
pub(super) fn bic(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: u64, m| n & !m)
}

/// ORR, register.
pub(super) fn orr(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: u64, m| n | m)
}

/// ORN.
pub(super) fn orn(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: u64, m| n | !m)
}

/// EOR.
pub(super) fn eor(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: u64, m| n ^ m)
}

/// BSL: Vd selects Vn or Vm.
pub(super) fn bsl(cpu: &mut Cpu, i: &Insn) -> Flow {
    accumulate(cpu, i, |d: u64, n, m| m ^ (m ^ n) & d)
}

/// BIT: Vn goes where Vm is set.
pub(super) fn bit(cpu: &mut Cpu, i: &Insn) -> Flow {
    accumulate(cpu, i, |d: u64, n, m| d ^ (d ^ n) & m)
}

/// BIF: Vn goes where Vm is clear.
pub(super) fn bif(cpu: &mut Cpu, i: &Insn) -> Flow {
    accumulate(cpu, i, |d: u64, n, m| d ^ (d ^ n) & !m)
}

/// PMUL: carry-less product, low byte.
pub(super) fn pmul(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary(cpu, i, |n: u8, m| {
        (0..8).fold(0, |r, bit| r ^ (n << bit) & 0u8.wrapping_sub(m >> bit & 1))
    })
}

/// A doubleword in both halves of a register.
#[inline(always)]
fn both_halves(value: u64) -> u128 {
    u64::join([value; 2])
}

/// MOVI, MVNI and FMOV, vector immediate: the expanded constant is in `imm`.
pub(super) fn movi(cpu: &mut Cpu, i: &Insn) -> Flow {
    set_v(cpu, i.rd, both_halves(i.imm) & width_mask(i.ra));
    Flow::Next
}

/// ORR, vector immediate.
pub(super) fn orr_imm(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = v(cpu, i.rd) | both_halves(i.imm);
    set_v(cpu, i.rd, r & width_mask(i.ra));
    Flow::Next
}

/// BIC, vector immediate.
pub(super) fn bic_imm(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = v(cpu, i.rd) & !both_halves(i.imm);
    set_v(cpu, i.rd, r & width_mask(i.ra));
    Flow::Next
}

/// SQADD, UQADD.
pub(super) fn qadd<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary_saturating::<T, false>(cpu, i, T::saturating_add)
}

/// SQSUB, UQSUB.
pub(super) fn qsub<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary_saturating::<T, false>(cpu, i, T::saturating_sub)
}

/// SQDMULH: high half of twice the product.
pub(super) fn qdmulh<T: Lane, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    binary_saturating::<T, ELEMENT>(cpu, i, |n, m| {
        T::saturate((n.wide() * m.wide()) >> (T::BITS - 1))
    })
}

/// SQRDMULH.
pub(super) fn qrdmulh<T: Lane, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let half = T::Wide::from(1) << (T::BITS - 2);
    binary_saturating::<T, ELEMENT>(cpu, i, |n, m| {
        T::saturate((n.wide() * m.wide() + half) >> (T::BITS - 1))
    })
}

#[inline(always)]
fn qrdml<T: Lane, const ELEMENT: bool>(
    cpu: &mut Cpu,
    i: &Insn,
    f: impl Fn(T::Wide, T::Wide) -> T::Wide,
) -> Flow {
    let half = T::Wide::from(1) << (T::BITS - 2);
    let (n, m) = (*lanes::<T>(cpu, i.rn), lanes_m::<T, ELEMENT>(cpu, i));
    accumulate_saturating::<T>(cpu, i, n, m, |d, n, m| {
        let sum = f(d.wide() << (T::BITS - 1), n.wide() * m.wide());
        T::saturate((sum + half) >> (T::BITS - 1))
    })
}

/// SQRDMLAH.
pub(super) fn qrdmlah<T: Lane, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    qrdml::<T, ELEMENT>(cpu, i, |d, product| d + product)
}

/// SQRDMLSH.
pub(super) fn qrdmlsh<T: Lane, const ELEMENT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    qrdml::<T, ELEMENT>(cpu, i, |d, product| d - product)
}

/// SQABS.
pub(super) fn qabs<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary_saturating(cpu, i, |n: T| T::saturate(n.wide().max(-n.wide())))
}

/// SQNEG.
pub(super) fn qneg<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    unary_saturating(cpu, i, |n: T| T::saturate(-n.wide()))
}

/// SUQADD and USQADD: Vd plus Vn of the other sign `O`, saturated as `T`.
pub(super) fn qadd_other<T: Lane, O: Lane<Wide = T::Wide>>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let n = *lanes::<T>(cpu, i.rn);
    accumulate_saturating::<T>(cpu, i, n, n, |d, n, _| {
        T::saturate(d.wide() + O::from_bits(n.bits()).wide())
    })
}
