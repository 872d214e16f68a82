//! Comparisons: FCMP and its kin set NZCV, FCM* and FAC* make masks; FCSEL.

use super::{compute_soft, lane, lanes};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::exec::simd::lanes::{set_v, v, width_mask};
use crate::insn::{Flow, Insn};
use crate::softfloat as soft;
use crate::softfloat::host::HostFloat;
use crate::softfloat::{Env, FPCR_FZ, Format};

/// FCMP, FCMPE (`aux::SIGNALLING`), with a register or zero (`aux::WITH_ZERO`).
pub(in crate::exec) fn fcmp<T: HostFloat + PartialOrd, const N: usize>(
    cpu: &mut Cpu,
    i: &Insn,
) -> Flow {
    let n = lane::<T>(v(cpu, i.rn), 0);
    let m = if i.aux & aux::WITH_ZERO != 0 { 0 } else { lane::<T>(v(cpu, i.rm), 0) };
    let nzcv = compare::<T>(cpu, n, m, i.aux & aux::SIGNALLING != 0);
    cpu.set_nzcv(nzcv);
    Flow::Next
}

/// FCCMP, FCCMPE: the condition is in `ra`, the flags if it fails in `imm`.
pub(in crate::exec) fn fccmp<T: HostFloat + PartialOrd, const N: usize>(
    cpu: &mut Cpu,
    i: &Insn,
) -> Flow {
    if !cpu.cond(i.ra) {
        cpu.set_nzcv(i.imm as u8);
        return Flow::Next;
    }
    fcmp::<T, N>(cpu, i)
}

#[inline(always)]
fn compare<T: HostFloat + PartialOrd>(cpu: &mut Cpu, n: u64, m: u64, signalling: bool) -> u8 {
    if cpu.fpcr as u32 & FPCR_FZ == 0
        && let ordering @ Some(_) = T::from_bits(n).partial_cmp(&T::from_bits(m))
    {
        return soft::ordering_nzcv(ordering);
    }
    let mut env = Env::new(cpu.fpcr as u32);
    let ordering = soft::compare::<T::Soft>(n, m, signalling, &mut env);
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
    ($($(#[$doc:meta])* $name:ident = |$n:ident, $m:ident, $env:ident| $test:expr;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name<T: HostFloat, const N: usize>(
            cpu: &mut Cpu,
            i: &Insn,
        ) -> Flow {
            let m = if i.aux & aux::WITH_ZERO != 0 { 0 } else { v(cpu, i.rm) };
            let operands = [lanes::<T, N>(v(cpu, i.rn)), lanes(m)];
            compute_soft(cpu, i, operands, |[$n, $m], $env| {
                if $test { u64::MAX >> (64 - T::Soft::BITS) } else { 0 }
            })
        }
    )*};
}

masks! {
    /// FCMEQ.
    fcmeq = |n, m, env| soft::eq::<T::Soft>(n, m, env);
    /// FCMGE.
    fcmge = |n, m, env| soft::ge::<T::Soft>(n, m, env);
    /// FCMGT.
    fcmgt = |n, m, env| soft::gt::<T::Soft>(n, m, env);
    /// FCMLE with zero.
    fcmle = |n, m, env| soft::ge::<T::Soft>(m, n, env);
    /// FCMLT with zero.
    fcmlt = |n, m, env| soft::gt::<T::Soft>(m, n, env);
    /// FACGE.
    facge = |n, m, env| soft::ge::<T::Soft>(n & !T::Soft::SIGN, m & !T::Soft::SIGN, env);
    /// FACGT.
    facgt = |n, m, env| soft::gt::<T::Soft>(n & !T::Soft::SIGN, m & !T::Soft::SIGN, env);
}
