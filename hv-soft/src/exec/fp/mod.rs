//! Semantics of floating-point operations, scalar and vector alike.
//!
//! A scalar operation is a vector operation of one lane. Each handler is generic over the host's type
//! of the element and over the number of lanes.

pub(super) mod arith;
pub(super) mod compare;
pub(super) mod convert;

use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::exec::simd::lanes::{set_v, v};
use crate::insn::{Flow, Insn};
use crate::softfloat::host::{self, HostFloat};
use crate::softfloat::{Env, Format};

/// Lane `index` of a register, of `T`'s width.
#[inline(always)]
fn lane<T: HostFloat>(v: u128, index: usize) -> u64 {
    let bits = T::Soft::BITS;
    (v >> (index as u32 * bits)) as u64 & (u64::MAX >> (64 - bits))
}

/// The lanes of a register as host numbers.
#[inline(always)]
fn lanes<T: HostFloat, const N: usize>(v: u128) -> [T; N] {
    core::array::from_fn(|k| T::from_bits(lane::<T>(v, k)))
}

/// A register from the patterns of its lanes; the rest is zero.
#[inline(always)]
fn join<T: HostFloat, const N: usize>(lanes: [u64; N]) -> u128 {
    let mut r = 0;
    for (k, lane) in lanes.into_iter().enumerate() {
        r |= u128::from(lane) << (k as u32 * T::Soft::BITS);
    }
    r
}

/// The second source: Vm, or one element of it in every lane.
#[inline(always)]
fn operand_m<T: HostFloat, const N: usize>(cpu: &Cpu, i: &Insn) -> [T; N] {
    let m = v(cpu, i.rm);
    if i.aux & aux::BY_ELEMENT != 0 {
        [T::from_bits(lane::<T>(m, i.imm as usize & 3)); N]
    } else {
        lanes(m)
    }
}

/// Vd = f(operands), lane by lane: `fast` on the host if its results settle the matter, else `soft`.
#[inline(always)]
fn compute<T: HostFloat, const N: usize, const K: usize>(
    cpu: &mut Cpu,
    i: &Insn,
    operands: [[T; N]; K],
    fast: impl Fn([T; K]) -> (T, bool),
    soft: impl Fn([u64; K], &mut Env) -> u64,
) -> Flow {
    if host::usable(cpu.fpcr as u32, cpu.fpsr as u32) {
        let mut settled = true;
        let r: [u64; N] = core::array::from_fn(|k| {
            let (r, lane_settled) = fast(operands.map(|op| op[k]));
            settled &= lane_settled;
            r.bits()
        });
        if settled {
            set_v(cpu, i.rd, join::<T, N>(r));
            return Flow::Next;
        }
    }
    compute_soft::<T, N, K>(cpu, i, operands, soft)
}

/// Vd = f(operands), lane by lane, exactly as the architecture has it.
#[inline(never)]
fn compute_soft<T: HostFloat, const N: usize, const K: usize>(
    cpu: &mut Cpu,
    i: &Insn,
    operands: [[T; N]; K],
    soft: impl Fn([u64; K], &mut Env) -> u64,
) -> Flow {
    let mut env = Env::new(cpu.fpcr as u32);
    let r: [u64; N] = core::array::from_fn(|k| soft(operands.map(|op| op[k].bits()), &mut env));
    set_v(cpu, i.rd, join::<T, N>(r));
    cpu.fpsr |= u64::from(env.flags);
    Flow::Next
}
