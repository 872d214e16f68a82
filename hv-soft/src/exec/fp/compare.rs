//! Comparisons: FCMP and its kin set NZCV, FCM* and FAC* make masks; FCSEL.

use super::{compute, exact_usable, lanes};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::exec::simd::lanes::{set_v, v, width_mask};
use crate::insn::{Flow, Insn};
use crate::softfloat as soft;
use crate::softfloat::host::{HostFloat, op};
use crate::softfloat::{Env, Format};

/// FCMP, FCMPE (`aux::SIGNALLING`), with a register or zero (`aux::WITH_ZERO`).
pub(in crate::exec) fn fcmp<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let [n] = lanes::<T, 1>(cpu, i.rn);
    let [m] = if i.aux & aux::WITH_ZERO != 0 { [T::ZERO] } else { lanes(cpu, i.rm) };
    let nzcv = compare(cpu, n, m, i.aux & aux::SIGNALLING != 0);
    cpu.set_nzcv(nzcv);
    Flow::Next
}

/// FCCMP, FCCMPE: the condition is in `ra`, the flags if it fails in `imm`.
pub(in crate::exec) fn fccmp<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    if !cpu.cond(i.ra) {
        cpu.set_nzcv(i.imm as u8);
        return Flow::Next;
    }
    fcmp::<T, N>(cpu, i)
}

#[inline(always)]
fn compare<T: HostFloat>(cpu: &mut Cpu, n: T, m: T, signalling: bool) -> u8 {
    if exact_usable(cpu)
        && let ordering @ Some(_) = n.partial_cmp(&m)
    {
        return soft::ordering_nzcv(ordering);
    }
    let mut env = Env::new(cpu.fpcr as u32);
    let ordering = soft::compare::<T::Soft>(n.bits(), m.bits(), signalling, &mut env);
    cpu.fpsr |= u64::from(env.flags);
    soft::ordering_nzcv(ordering)
}

/// FCSEL: the condition is in `imm`.
pub(in crate::exec) fn fcsel(cpu: &mut Cpu, i: &Insn) -> Flow {
    let source = if cpu.cond(i.imm as u8) { i.rn } else { i.rm };
    set_v(cpu, i.rd, v(cpu, source) & width_mask(i.ra));
    Flow::Next
}

/// Comparisons that give all ones or zero in every lane; the second source may be zero.
macro_rules! masks {
    ($($(#[$doc:meta])* $name:ident =
        |$a:ident, $b:ident| $fast:expr, |$n:ident, $m:ident, $env:ident| $soft:expr;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name<T: HostFloat, const N: usize>(
            cpu: &mut Cpu,
            i: &Insn,
        ) -> Flow {
            let with_zero = i.aux & aux::WITH_ZERO != 0;
            let m = if with_zero { [T::ZERO; N] } else { lanes(cpu, i.rm) };
            let operands = [lanes(cpu, i.rn), m];
            let usable = exact_usable(cpu);
            let fast = |operands| op::mask(operands, |$a: T, $b: T| $fast);
            compute(cpu, i, operands, usable, fast, |[$n, $m], $env| {
                if $soft { u64::MAX >> (64 - T::Soft::BITS) } else { 0 }
            })
        }
    )*};
}

masks! {
    /// FCMEQ.
    fcmeq = |a, b| a == b, |n, m, env| soft::eq::<T::Soft>(n, m, env);
    /// FCMGE.
    fcmge = |a, b| a >= b, |n, m, env| soft::ge::<T::Soft>(n, m, env);
    /// FCMGT.
    fcmgt = |a, b| a > b, |n, m, env| soft::gt::<T::Soft>(n, m, env);
    /// FCMLE with zero.
    fcmle = |a, b| a <= b, |n, m, env| soft::ge::<T::Soft>(m, n, env);
    /// FCMLT with zero.
    fcmlt = |a, b| a < b, |n, m, env| soft::gt::<T::Soft>(m, n, env);
    /// FACGE.
    facge = |a, b| a.abs() >= b.abs(),
        |n, m, env| soft::ge::<T::Soft>(n & !T::Soft::SIGN, m & !T::Soft::SIGN, env);
    /// FACGT.
    facgt = |a, b| a.abs() > b.abs(),
        |n, m, env| soft::gt::<T::Soft>(n & !T::Soft::SIGN, m & !T::Soft::SIGN, env);
}
