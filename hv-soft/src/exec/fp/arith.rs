//! Arithmetic: sums, products, quotients, roots, extrema, estimates; sign changes.

use super::{compute, compute_soft, lanes, operand_m};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::exec::simd::lanes::{set_v, v, width_mask};
use crate::insn::{Flow, Insn};
use crate::softfloat as soft;
use crate::softfloat::host::{HostFloat, op};
use crate::softfloat::{Double, Env, Format, Single};

/// Operations on Vn and Vm with a short cut.
macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident = $op:ident;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name<T: HostFloat, const N: usize>(
            cpu: &mut Cpu,
            i: &Insn,
        ) -> Flow {
            let operands = [lanes::<T, N>(v(cpu, i.rn)), operand_m(cpu, i)];
            compute(cpu, i, operands, |[n, m]| op::$op(n, m), |[n, m], env| {
                soft::$op::<T::Soft>(n, m, env)
            })
        }
    )*};
}

binary! {
    /// FADD.
    fadd = add;
    /// FSUB.
    fsub = sub;
    /// FMUL.
    fmul = mul;
    /// FDIV.
    fdiv = div;
    /// FABD.
    fabd = abs_diff;
}

/// FNMUL.
pub(in crate::exec) fn fnmul<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let operands = [lanes::<T, N>(v(cpu, i.rn)), lanes(v(cpu, i.rm))];
    compute(
        cpu,
        i,
        operands,
        |[n, m]| {
            let (r, settled) = op::mul(n, m);
            (negate(r), settled)
        },
        |[n, m], env| soft::mul::<T::Soft>(n, m, env) ^ T::Soft::SIGN,
    )
}

#[inline(always)]
fn negate<T: HostFloat>(x: T) -> T {
    T::from_bits(x.bits() ^ T::Soft::SIGN)
}

/// Operations on Vn and Vm without a short cut.
macro_rules! binary_soft {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name<T: HostFloat, const N: usize>(
            cpu: &mut Cpu,
            i: &Insn,
        ) -> Flow {
            let operands = [lanes::<T, N>(v(cpu, i.rn)), operand_m(cpu, i)];
            compute_soft(cpu, i, operands, |[n, m], env| soft::$name::<T::Soft>(n, m, env))
        }
    )*};
}

binary_soft! {
    /// FMULX.
    mulx;
    /// FMAX.
    max;
    /// FMIN.
    min;
    /// FMAXNM.
    max_num;
    /// FMINNM.
    min_num;
    /// FRECPS.
    recip_step;
    /// FRSQRTS.
    rsqrt_step;
}

/// FMLA, FMLS: Vd plus Vn (negated by `aux::NEGATE_N`) times Vm.
pub(in crate::exec) fn fmla<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let d = lanes::<T, N>(v(cpu, i.rd));
    let m = operand_m(cpu, i);
    fused(cpu, i, d, m)
}

/// FMADD, FMSUB, FNMADD, FNMSUB: Va (negated by `aux::NEGATE_A`) plus Vn (negated by
/// `aux::NEGATE_N`) times Vm.
pub(in crate::exec) fn fmadd<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let mut a = lanes::<T, N>(v(cpu, i.ra));
    if i.aux & aux::NEGATE_A != 0 {
        a = a.map(negate);
    }
    let m = lanes(v(cpu, i.rm));
    fused(cpu, i, a, m)
}

#[inline(always)]
fn fused<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn, addend: [T; N], m: [T; N]) -> Flow {
    let mut n = lanes::<T, N>(v(cpu, i.rn));
    if i.aux & aux::NEGATE_N != 0 {
        n = n.map(negate);
    }
    compute(
        cpu,
        i,
        [addend, n, m],
        |[a, n, m]| op::mul_add(a, n, m),
        |[a, n, m], env| soft::mul_add::<T::Soft>(a, n, m, env),
    )
}

/// FSQRT.
pub(in crate::exec) fn fsqrt<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let operands = [lanes::<T, N>(v(cpu, i.rn))];
    compute(cpu, i, operands, |[n]| op::sqrt(n), |[n], env| soft::sqrt::<T::Soft>(n, env))
}

/// Operations on Vn without a short cut.
macro_rules! unary_soft {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name<T: HostFloat, const N: usize>(
            cpu: &mut Cpu,
            i: &Insn,
        ) -> Flow {
            let operands = [lanes::<T, N>(v(cpu, i.rn))];
            compute_soft(cpu, i, operands, |[n], env| soft::$name::<T::Soft>(n, env))
        }
    )*};
}

unary_soft! {
    /// FRECPE.
    recip_estimate;
    /// FRSQRTE.
    rsqrt_estimate;
    /// FRECPX.
    recip_exponent;
}

/// URECPE.
pub(in crate::exec) fn urecpe(cpu: &mut Cpu, i: &Insn) -> Flow {
    crate::exec::simd::lanes::unary(cpu, i, soft::recip_estimate_u32)
}

/// URSQRTE.
pub(in crate::exec) fn ursqrte(cpu: &mut Cpu, i: &Insn) -> Flow {
    crate::exec::simd::lanes::unary(cpu, i, soft::rsqrt_estimate_u32)
}

/// The sign bit of every lane.
#[inline(always)]
fn signs(i: &Insn) -> u128 {
    if i.aux & aux::SIZE == 3 {
        1 << 127 | 1 << 63
    } else {
        (1 << 127 | 1 << 95) | (1 << 63 | 1 << 31)
    }
}

/// FABS.
pub(in crate::exec) fn fabs(cpu: &mut Cpu, i: &Insn) -> Flow {
    set_v(cpu, i.rd, v(cpu, i.rn) & !signs(i) & width_mask(i.ra));
    Flow::Next
}

/// FNEG.
pub(in crate::exec) fn fneg(cpu: &mut Cpu, i: &Insn) -> Flow {
    set_v(cpu, i.rd, (v(cpu, i.rn) ^ signs(i)) & width_mask(i.ra));
    Flow::Next
}

/// FMOV, register.
pub(in crate::exec) fn fmov(cpu: &mut Cpu, i: &Insn) -> Flow {
    set_v(cpu, i.rd, v(cpu, i.rn) & width_mask(i.ra));
    Flow::Next
}

/// Pairwise operations on Vn followed by Vm.
macro_rules! pairwise {
    ($($(#[$doc:meta])* $name:ident = $op:ident;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name<T: HostFloat, const N: usize>(
            cpu: &mut Cpu,
            i: &Insn,
        ) -> Flow {
            let (n, m) = (lanes::<T, N>(v(cpu, i.rn)), lanes::<T, N>(v(cpu, i.rm)));
            let pair = |k: usize| {
                if k < N / 2 { [n[2 * k], n[2 * k + 1]] } else { [m[2 * k - N], m[2 * k - N + 1]] }
            };
            let operands = [
                core::array::from_fn::<T, N, _>(|k| pair(k)[0]),
                core::array::from_fn::<T, N, _>(|k| pair(k)[1]),
            ];
            compute_soft(cpu, i, operands, |[a, b], env| soft::$op::<T::Soft>(a, b, env))
        }
    )*};
}

pairwise! {
    /// FADDP, vector.
    addp = add;
    /// FMAXP, vector.
    maxp = max;
    /// FMINP, vector.
    minp = min;
    /// FMAXNMP, vector.
    max_nump = max_num;
    /// FMINNMP, vector.
    min_nump = min_num;
}

/// Reduces the `lanes` lanes of Vn as a balanced tree (`Reduce` of the pseudocode).
#[inline(always)]
fn reduce<F: Format>(
    cpu: &mut Cpu,
    i: &Insn,
    lanes: usize,
    f: fn(u64, u64, &mut Env) -> u64,
) -> Flow {
    let n = v(cpu, i.rn);
    let mut env = Env::new(cpu.fpcr as u32);
    let at = |k: u32| (n >> (k * F::BITS)) as u64 & (u64::MAX >> (64 - F::BITS));
    let low = f(at(0), at(1), &mut env);
    let r = if lanes == 4 {
        let high = f(at(2), at(3), &mut env);
        f(low, high, &mut env)
    } else {
        low
    };
    set_v(cpu, i.rd, u128::from(r));
    cpu.fpsr |= u64::from(env.flags);
    Flow::Next
}

/// Scalar pairwise operations, and reductions of four singles if `ra` says the whole register.
macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident = $op:ident;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name(cpu: &mut Cpu, i: &Insn) -> Flow {
            if i.aux & aux::SIZE == 3 {
                reduce::<Double>(cpu, i, 2, soft::$op::<Double>)
            } else {
                let lanes = if i.ra == aux::WIDTH_128 { 4 } else { 2 };
                reduce::<Single>(cpu, i, lanes, soft::$op::<Single>)
            }
        }
    )*};
}

reductions! {
    /// FADDP, scalar.
    addv = add;
    /// FMAXP, scalar, and FMAXV.
    maxv = max;
    /// FMINP, scalar, and FMINV.
    minv = min;
    /// FMAXNMP, scalar, and FMAXNMV.
    max_numv = max_num;
    /// FMINNMP, scalar, and FMINNMV.
    min_numv = min_num;
}
