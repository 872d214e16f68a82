//! Conversions: between formats, to and from integers and fixed point, to integral values; FMOV
//! between the register files.

use super::{compute_soft, lane, lanes};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::exec::simd::lanes::{set_v, v, width_mask};
use crate::exec::simd::shift::write_narrow;
use crate::insn::{Flow, Insn};
use crate::softfloat as soft;
use crate::softfloat::host::HostFloat;
use crate::softfloat::{
    Double, Env, FPCR_FZ, FPCR_RMODE, Format, Half, IXC, Integer, Rounding, Single,
};

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
    let operands = [lanes::<T, N>(v(cpu, i.rn))];
    compute_soft(cpu, i, operands, |[n], env| {
        let exact = i.aux & aux::SIGNALLING != 0;
        soft::round_to_int::<T::Soft>(n, rounding(i, env), exact, env)
    })
}

#[inline(always)]
fn integer(i: &Insn, bits: u32) -> Integer {
    Integer { bits, signed: i.aux & aux::UNSIGNED == 0 }
}

/// FCVT{N,P,M,Z,A}{S,U}, vector and scalar: lanes keep their width; `imm` fraction bits.
pub(in crate::exec) fn fcvt_int<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let operands = [lanes::<T, N>(v(cpu, i.rn))];
    compute_soft(cpu, i, operands, |[n], env| {
        let into = integer(i, T::Soft::BITS);
        soft::to_fixed::<T::Soft>(n, i.imm as u32, into, rounding(i, env), env)
    })
}

/// SCVTF, UCVTF, vector and scalar: lanes keep their width; `imm` fraction bits.
pub(in crate::exec) fn cvtf<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let operands = [lanes::<T, N>(v(cpu, i.rn))];
    compute_soft(cpu, i, operands, |[n], env| {
        let from = integer(i, T::Soft::BITS);
        soft::from_fixed::<T::Soft>(n, i.imm as u32, from, env.rounding, env)
    })
}

#[inline(always)]
fn general_bits(i: &Insn) -> u32 {
    if i.aux & aux::WORD != 0 { 32 } else { 64 }
}

/// FCVT* to a general register (32 bits with `aux::WORD`); `imm` fraction bits.
pub(in crate::exec) fn fcvt_general<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let n = lane::<T>(v(cpu, i.rn), 0);
    let bits = general_bits(i);
    let mut env = Env::new(cpu.fpcr as u32);
    let mode = rounding(i, &env);
    let value = truncated::<T>(cpu, i, n, mode).unwrap_or_else(|| {
        soft::to_fixed::<T::Soft>(n, i.imm as u32, integer(i, bits), mode, &mut env)
    });
    cpu.fpsr |= u64::from(env.flags);
    cpu.set_x(i.rd, value);
    Flow::Next
}

/// The host's truncation, where it raises nothing new: FCVTZS of a number in range.
#[inline(always)]
fn truncated<T: HostFloat>(cpu: &Cpu, i: &Insn, n: u64, mode: Rounding) -> Option<u64> {
    let plain = i.aux & aux::UNSIGNED == 0 && i.imm == 0 && mode == Rounding::Zero;
    if !plain || cpu.fpcr as u32 & FPCR_FZ != 0 {
        return None;
    }
    let value = T::from_bits(n).truncate()?;
    let exact = T::from_int(value).bits() == n;
    let (value, fits) = match general_bits(i) {
        32 => (u64::from(value as u32), i64::from(value as i32) == value),
        _ => (value as u64, true),
    };
    (fits && (exact || cpu.fpsr as u32 & IXC != 0)).then_some(value)
}

/// SCVTF and UCVTF from a general register (32 bits with `aux::WORD`); `imm` fraction bits.
pub(in crate::exec) fn cvtf_general<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let x = cpu.x(i.rn);
    let signed = match (i.aux & aux::WORD != 0, i.aux & aux::UNSIGNED != 0) {
        (true, true) => i64::from(x as u32),
        (true, false) => i64::from(x as i32),
        (false, _) => x as i64,
    };
    let plain = i.imm == 0 && (i.aux & (aux::WORD | aux::UNSIGNED) != aux::UNSIGNED);
    let exact = signed.unsigned_abs() >> (T::Soft::FRAC + 1) == 0;
    let settled = exact || cpu.fpcr as u32 & FPCR_RMODE == 0 && cpu.fpsr as u32 & IXC != 0;
    if plain && settled {
        set_v(cpu, i.rd, u128::from(T::from_int(signed).bits()));
        return Flow::Next;
    }
    let mut env = Env::new(cpu.fpcr as u32);
    let from = integer(i, general_bits(i));
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
    fcvt_sd: Single => Double;
    /// FCVT, single to half.
    fcvt_sh: Single => Half;
    /// FCVT, double to single.
    fcvt_ds: Double => Single;
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
