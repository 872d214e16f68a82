//! Semantics of floating-point operations, scalar and vector alike.
//!
//! A scalar operation is a vector operation of one lane. Each handler is generic over the host's type
//! of the element and over the number of lanes.

pub(super) mod arith;
pub(super) mod compare;
pub(super) mod convert;

use crate::cpu::Cpu;
use crate::exec::simd::lanes::v;
use crate::insn::{Flow, Insn};
use crate::softfloat::host::{self, HostFloat};
use crate::softfloat::{Env, Format};

/// The lanes of register `n` as host numbers.
#[inline(always)]
fn lanes<T: HostFloat, const N: usize>(cpu: &Cpu, n: u8) -> [T; N] {
    const { assert!(size_of::<[T; N]>() <= 16) };
    let register: *const u128 = &cpu.v[usize::from(n & 31)];
    // SAFETY: `N` numbers fit in the register and any pattern is a number; a `u128` is aligned for
    // them.
    unsafe { *register.cast() }
}

/// Writes the lanes of register `n`; the rest becomes zero.
#[inline(always)]
fn set_lanes<T: HostFloat, const N: usize>(cpu: &mut Cpu, n: u8, value: [T; N]) {
    const { assert!(size_of::<[T; N]>() <= 16) };
    let register = &mut cpu.v[usize::from(n & 31)];
    if const { size_of::<[T; N]>() < 16 } {
        *register = 0;
    }
    // SAFETY: `N` numbers fit in the register and any pattern is an integer; a `u128` is aligned for
    // them.
    unsafe { *core::ptr::from_mut(register).cast() = value }
}

/// The second source: Vm, or one element of it in every lane.
#[inline(always)]
fn operand_m<T: HostFloat, const N: usize, const ELEMENT: bool>(cpu: &Cpu, i: &Insn) -> [T; N] {
    if ELEMENT {
        let shift = (i.imm as u32 & 3) * T::Soft::BITS;
        [T::from_bits((v(cpu, i.rm) >> (shift & 127)) as u64); N]
    } else {
        lanes(cpu, i.rm)
    }
}

/// Vd = f(operands), lane by lane: `fast` on the host if `usable` and its results settle the matter,
/// else `soft`.
#[inline(always)]
fn compute<T: HostFloat, const N: usize, const K: usize>(
    cpu: &mut Cpu,
    i: &Insn,
    operands: [[T; N]; K],
    usable: bool,
    fast: impl Fn([[T; N]; K]) -> ([T; N], bool),
    soft: impl Fn([u64; K], &mut Env) -> u64,
) -> Flow {
    if usable {
        let (r, settled) = fast(operands);
        if settled {
            set_lanes(cpu, i.rd, r);
            return Flow::Next;
        }
    }
    compute_soft(cpu, i, operands, soft)
}

/// Whether rounded results of the host may be used now.
#[inline(always)]
fn rounded_usable(cpu: &Cpu) -> bool {
    host::usable(cpu.fpcr as u32, cpu.fpsr as u32)
}

/// Whether exact results of the host may be used now.
#[inline(always)]
fn exact_usable(cpu: &Cpu) -> bool {
    host::exact_usable(cpu.fpcr as u32)
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
    let r: [T; N] = core::array::from_fn(|k| {
        T::from_bits(soft(core::array::from_fn(|op| operands[op][k].bits()), &mut env))
    });
    set_lanes(cpu, i.rd, r);
    cpu.fpsr |= u64::from(env.flags);
    Flow::Next
}
