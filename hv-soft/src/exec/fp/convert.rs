//! Conversions: between formats, to and from integers and fixed point, to integral values; FMOV
//! between the register files.

use super::{compute, exact_usable, lanes, rounded_usable, set_lanes};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::exec::simd::lanes::{set_v, v, width_mask};
use crate::exec::simd::shift::write_narrow;
use crate::insn::{Flow, Insn};
use crate::softfloat as soft;
use crate::softfloat::host::HostFloat;
use crate::softfloat::{Double, Env, Format, Half, IXC, Integer, Rounding, Single};

/// The rounding mode that an instruction names, or FPCR's.
#[inline(always)]
fn rounding(i: &Insn, env: &Env) -> Rounding {
    match i.aux & aux::ROUNDING {
        aux::ROUND_CURRENT => env.rounding,
        aux::ROUND_AWAY => Rounding::TieAway,
        mode => Rounding::from_rmode(mode >> aux::ROUNDING_SHIFT),
    }
}

/// FRINT*: `aux::SIGNALLING` raises Inexact (FRINTX).
pub(in crate::exec) fn frint<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let operands = [lanes::<T, N>(cpu, i.rn)];
    let exact = i.aux & aux::SIGNALLING != 0;
    let usable = exact_usable(cpu) && (!exact || cpu.fpsr as u32 & IXC != 0);
    let mode = rounding(i, &Env::new(cpu.fpcr as u32));
    let fast = |[n]: [[T; N]; 1]| {
        (n.map(|n| n.round(mode)), n.iter().fold(true, |all, n| all & n.is_finite()))
    };
    compute(cpu, i, operands, usable, fast, |[n], env| {
        soft::round_to_int::<T::Soft>(n, mode, exact, env)
    })
}

#[inline(always)]
fn integer(i: &Insn, bits: u32) -> Integer {
    Integer { bits, signed: i.aux & aux::UNSIGNED == 0 }
}

/// The host's truncation to an integer of type `into`, where it raises nothing new: numbers in range,
/// exact if FPSR.IXC is not set yet.
#[inline(always)]
fn truncated<T: HostFloat>(n: T, into: Integer, inexact_known: bool) -> Option<u64> {
    let value = n.truncate()?;
    let fits = match (into.bits, into.signed) {
        (32, true) => i64::from(value as i32) == value,
        (32, false) => i64::from(value as u32) == value,
        (_, signed) => signed || value >= 0,
    };
    let settled = fits && (inexact_known || T::from_int(value).bits() == n.bits());
    settled.then_some(value as u64 & (u64::MAX >> (64 - into.bits)))
}

/// Whether [`truncated`] is what the instruction asks for.
#[inline(always)]
fn truncates(cpu: &Cpu, i: &Insn) -> bool {
    const TOWARDS_ZERO: u32 = 3 << aux::ROUNDING_SHIFT;
    exact_usable(cpu) && i.imm == 0 && i.aux & aux::ROUNDING == TOWARDS_ZERO
}

/// FCVT{N,P,M,Z,A}{S,U}, vector and scalar: lanes keep their width; `imm` fraction bits.
pub(in crate::exec) fn fcvt_int<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let operands = [lanes::<T, N>(cpu, i.rn)];
    let into = integer(i, T::Soft::BITS);
    let inexact_known = cpu.fpsr as u32 & IXC != 0;
    let fast = |[n]: [[T; N]; 1]| {
        let mut settled = true;
        let r = n.map(|n| {
            let value = truncated(n, into, inexact_known);
            settled &= value.is_some();
            T::from_bits(value.unwrap_or(0))
        });
        (r, settled)
    };
    let usable = truncates(cpu, i);
    compute(cpu, i, operands, usable, fast, |[n], env| {
        soft::to_fixed::<T::Soft>(n, i.imm as u32, into, rounding(i, env), env)
    })
}

/// The host's conversion of an integer of type `from`, if that is in an `i64`; and whether it is
/// certain to be exact.
#[inline(always)]
fn converted<T: HostFloat>(value: u64, from: Integer) -> Option<(T, bool)> {
    let signed = match (from.bits, from.signed) {
        (32, true) => i64::from(value as i32),
        (32, false) => i64::from(value as u32),
        (_, true) => value as i64,
        (_, false) => i64::try_from(value).ok()?,
    };
    let exact = signed.unsigned_abs() >> (T::Soft::FRAC + 1) == 0;
    Some((T::from_int(signed), exact))
}

/// SCVTF, UCVTF, vector and scalar: lanes keep their width; `imm` fraction bits.
pub(in crate::exec) fn cvtf<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let operands = [lanes::<T, N>(cpu, i.rn)];
    let from = integer(i, T::Soft::BITS);
    let rounded = rounded_usable(cpu);
    let fast = |[n]: [[T; N]; 1]| {
        let mut settled = true;
        let r = n.map(|n| match converted::<T>(n.bits(), from) {
            Some((r, exact)) if exact | rounded => r,
            _ => {
                settled = false;
                T::ZERO
            }
        });
        (r, settled)
    };
    compute(cpu, i, operands, i.imm == 0, fast, |[n], env| {
        soft::from_fixed::<T::Soft>(n, i.imm as u32, from, env.rounding, env)
    })
}

#[inline(always)]
fn general_bits(i: &Insn) -> u32 {
    if i.aux & aux::WORD != 0 { 32 } else { 64 }
}

/// FCVT* to a general register (32 bits with `aux::WORD`); `imm` fraction bits.
pub(in crate::exec) fn fcvt_general<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let [n] = lanes::<T, 1>(cpu, i.rn);
    let into = integer(i, general_bits(i));
    if truncates(cpu, i)
        && let Some(value) = truncated(n, into, cpu.fpsr as u32 & IXC != 0)
    {
        cpu.set_x(i.rd, value);
        return Flow::Next;
    }
    let mut env = Env::new(cpu.fpcr as u32);
    let mode = rounding(i, &env);
    let value = soft::to_fixed::<T::Soft>(n.bits(), i.imm as u32, into, mode, &mut env);
    cpu.fpsr |= u64::from(env.flags);
    cpu.set_x(i.rd, value);
    Flow::Next
}

/// SCVTF and UCVTF from a general register (32 bits with `aux::WORD`); `imm` fraction bits.
pub(in crate::exec) fn cvtf_general<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let x = cpu.x(i.rn);
    let from = integer(i, general_bits(i));
    if i.imm == 0
        && let Some((r, exact)) = converted::<T>(x, from)
        && (exact || rounded_usable(cpu))
    {
        set_lanes(cpu, i.rd, [r]);
        return Flow::Next;
    }
    let mut env = Env::new(cpu.fpcr as u32);
    let r = soft::from_fixed::<T::Soft>(x, i.imm as u32, from, env.rounding, &mut env);
    set_v(cpu, i.rd, u128::from(r));
    cpu.fpsr |= u64::from(env.flags);
    Flow::Next
}

/// FMOV from a general register to the low part of a vector register, the rest zero.
pub(in crate::exec) fn fmov_from_general(cpu: &mut Cpu, i: &Insn) -> Flow {
    set_v(cpu, i.rd, u128::from(cpu.x(i.rn)) & width_mask(i.ra));
    Flow::Next
}

/// FCVT, single to double: exact for numbers.
pub(in crate::exec) fn fcvt_sd(cpu: &mut Cpu, i: &Insn) -> Flow {
    let [n] = lanes::<f32, 1>(cpu, i.rn);
    if exact_usable(cpu) && HostFloat::is_finite(n) {
        set_lanes(cpu, i.rd, [f64::from(n)]);
        return Flow::Next;
    }
    fcvt_sd_soft(cpu, i)
}

/// FCVT, double to single.
pub(in crate::exec) fn fcvt_ds(cpu: &mut Cpu, i: &Insn) -> Flow {
    let [n] = lanes::<f64, 1>(cpu, i.rn);
    let r = n as f32;
    if rounded_usable(cpu) && (r.is_safely_normal() || n == 0.0) {
        set_lanes(cpu, i.rd, [r]);
        return Flow::Next;
    }
    fcvt_ds_soft(cpu, i)
}

/// Scalar FCVT between formats.
macro_rules! fcvt {
    ($($(#[$doc:meta])* $name:ident: $from:ty => $to:ty;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name(cpu: &mut Cpu, i: &Insn) -> Flow {
            let n = v(cpu, i.rn) as u64 & (u64::MAX >> (64 - <$from>::BITS));
            let mut env = Env::new(cpu.fpcr as u32);
            let r = soft::convert::<$from, $to>(n, env.rounding, &mut env);
            set_v(cpu, i.rd, u128::from(r));
            cpu.fpsr |= u64::from(env.flags);
            Flow::Next
        }
    )*};
}

fcvt! {
    /// FCVT, single to double.
    fcvt_sd_soft: Single => Double;
    /// FCVT, single to half.
    fcvt_sh: Single => Half;
    /// FCVT, double to single.
    fcvt_ds_soft: Double => Single;
    /// FCVT, double to half.
    fcvt_dh: Double => Half;
    /// FCVT, half to single.
    fcvt_hs: Half => Single;
    /// FCVT, half to double.
    fcvt_hd: Half => Double;
}

/// FCVTL, FCVTL2.
#[inline(always)]
fn lengthen<S: Format, D: Format>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let n = (v(cpu, i.rn) >> if i.aux & aux::UPPER != 0 { 64 } else { 0 }) as u64;
    let mut env = Env::new(cpu.fpcr as u32);
    let mut r = 0;
    for k in 0..128 / D::BITS {
        let lane = n >> (k * S::BITS) & (u64::MAX >> (64 - S::BITS));
        let value = soft::convert::<S, D>(lane, env.rounding, &mut env);
        r |= u128::from(value) << (k * D::BITS);
    }
    set_v(cpu, i.rd, r);
    cpu.fpsr |= u64::from(env.flags);
    Flow::Next
}

/// FCVTL from half precision.
pub(in crate::exec) fn fcvtl_hs(cpu: &mut Cpu, i: &Insn) -> Flow {
    lengthen::<Half, Single>(cpu, i)
}

/// FCVTL from single precision.
pub(in crate::exec) fn fcvtl_sd(cpu: &mut Cpu, i: &Insn) -> Flow {
    lengthen::<Single, Double>(cpu, i)
}

/// FCVTN, FCVTN2, FCVTXN, FCVTXN2: `lanes` lanes of Vn.
#[inline(always)]
fn shorten<S: Format, D: Format>(
    cpu: &mut Cpu,
    i: &Insn,
    lanes: u32,
    rounding: Option<Rounding>,
) -> Flow {
    let n = v(cpu, i.rn);
    let mut env = Env::new(cpu.fpcr as u32);
    let rounding = rounding.unwrap_or(env.rounding);
    let mut r = 0;
    for k in 0..lanes {
        let lane = (n >> (k * S::BITS)) as u64 & (u64::MAX >> (64 - S::BITS));
        let value = soft::convert::<S, D>(lane, rounding, &mut env);
        r |= u128::from(value) << (k * D::BITS);
    }
    write_narrow(cpu, i, r);
    cpu.fpsr |= u64::from(env.flags);
    Flow::Next
}

/// FCVTN to half precision.
pub(in crate::exec) fn fcvtn_sh(cpu: &mut Cpu, i: &Insn) -> Flow {
    shorten::<Single, Half>(cpu, i, 4, None)
}

/// FCVTN to single precision.
pub(in crate::exec) fn fcvtn_ds(cpu: &mut Cpu, i: &Insn) -> Flow {
    shorten::<Double, Single>(cpu, i, 2, None)
}

/// FCVTXN, scalar and vector: rounded to odd.
pub(in crate::exec) fn fcvtxn(cpu: &mut Cpu, i: &Insn) -> Flow {
    let lanes = if i.ra == aux::WIDTH_32 { 1 } else { 2 };
    shorten::<Double, Single>(cpu, i, lanes, Some(Rounding::Odd))
}
