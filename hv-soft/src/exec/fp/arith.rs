//! Arithmetic: sums, products, quotients, roots, extrema, estimates; sign changes.

use super::{compute, compute_soft, exact_usable, lanes, operand_m, rounded_usable, set_lanes};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::exec::simd::lanes::{set_v, v, width_mask};
use crate::insn::{Flow, Insn};
use crate::softfloat as soft;
use crate::softfloat::host::{self, HostFloat, op};
use crate::softfloat::{Double, Env, Format, Single};

/// Operations on Vn and Vm: the host's function, when it may be used, and the soft one.
macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident = $fast:ident, $usable:ident, $soft:ident;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name<T: HostFloat, const N: usize>(
            cpu: &mut Cpu,
            i: &Insn,
        ) -> Flow {
            let operands = [lanes::<T, N>(cpu, i.rn), lanes(cpu, i.rm)];
            let usable = $usable(cpu);
            compute(cpu, i, operands, usable, op::$fast, |[n, m], env| {
                soft::$soft::<T::Soft>(n, m, env)
            })
        }
    )*};
}

binary! {
    /// FADD.
    fadd = add, rounded_usable, add;
    /// FSUB.
    fsub = sub, rounded_usable, sub;
    /// FDIV.
    fdiv = div, rounded_usable, div;
    /// FABD.
    fabd = abs_diff, rounded_usable, abs_diff;
    /// FMAX.
    fmax = max, exact_usable, max;
    /// FMIN.
    fmin = min, exact_usable, min;
    /// FMAXNM: as FMAX for numbers.
    fmaxnm = max, exact_usable, max_num;
    /// FMINNM: as FMIN for numbers.
    fminnm = min, exact_usable, min_num;
}

/// FMUL.
pub(in crate::exec) fn fmul<T: HostFloat, const N: usize, const ELEMENT: bool>(
    cpu: &mut Cpu,
    i: &Insn,
) -> Flow {
    let operands = [lanes::<T, N>(cpu, i.rn), operand_m::<T, N, ELEMENT>(cpu, i)];
    let usable = rounded_usable(cpu);
    compute(cpu, i, operands, usable, op::mul, |[n, m], env| soft::mul::<T::Soft>(n, m, env))
}

/// FMULX.
pub(in crate::exec) fn fmulx<T: HostFloat, const N: usize, const ELEMENT: bool>(
    cpu: &mut Cpu,
    i: &Insn,
) -> Flow {
    let operands = [lanes::<T, N>(cpu, i.rn), operand_m::<T, N, ELEMENT>(cpu, i)];
    let usable = rounded_usable(cpu);
    compute(cpu, i, operands, usable, op::mul, |[n, m], env| soft::mulx::<T::Soft>(n, m, env))
}

/// FNMUL.
pub(in crate::exec) fn fnmul<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let operands = [lanes::<T, N>(cpu, i.rn), lanes(cpu, i.rm)];
    let fast = |operands| {
        let (r, settled) = op::mul(operands);
        (r.map(T::neg), settled)
    };
    let usable = rounded_usable(cpu);
    compute(cpu, i, operands, usable, fast, |[n, m], env| {
        soft::mul::<T::Soft>(n, m, env) ^ T::Soft::SIGN
    })
}

/// Operations on Vn and Vm without a short cut.
macro_rules! binary_soft {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name<T: HostFloat, const N: usize>(
            cpu: &mut Cpu,
            i: &Insn,
        ) -> Flow {
            let operands = [lanes::<T, N>(cpu, i.rn), lanes(cpu, i.rm)];
            compute_soft(cpu, i, operands, |[n, m], env| soft::$name::<T::Soft>(n, m, env))
        }
    )*};
}

binary_soft! {
    /// FRECPS.
    recip_step;
    /// FRSQRTS.
    rsqrt_step;
}

/// FMLA, FMLS: Vd plus Vn (negated by `aux::NEGATE_N`) times Vm.
pub(in crate::exec) fn fmla<T: HostFloat, const N: usize, const ELEMENT: bool>(
    cpu: &mut Cpu,
    i: &Insn,
) -> Flow {
    fused(cpu, i, |cpu, i| {
        [lanes::<T, N>(cpu, i.rd), factor_n(cpu, i), operand_m::<T, N, ELEMENT>(cpu, i)]
    })
}

/// FMADD, FMSUB, FNMADD, FNMSUB: Va (negated by `aux::NEGATE_A`) plus Vn (negated by
/// `aux::NEGATE_N`) times Vm.
pub(in crate::exec) fn fmadd<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    fused(cpu, i, |cpu, i| {
        let a = lanes::<T, N>(cpu, i.ra);
        let a = if i.aux & aux::NEGATE_A != 0 { a.map(T::neg) } else { a };
        [a, factor_n(cpu, i), lanes(cpu, i.rm)]
    })
}

/// Vn, negated if `aux::NEGATE_N` says so.
#[inline(always)]
fn factor_n<T: HostFloat, const N: usize>(cpu: &Cpu, i: &Insn) -> [T; N] {
    let n = lanes(cpu, i.rn);
    if i.aux & aux::NEGATE_N != 0 { n.map(T::neg) } else { n }
}

/// Vd = addend + n * m; the operands are fetched within the host's short cut.
#[inline(always)]
fn fused<T: HostFloat, const N: usize>(
    cpu: &mut Cpu,
    i: &Insn,
    operands: impl Fn(&Cpu, &Insn) -> [[T; N]; 3],
) -> Flow {
    let settled = rounded_usable(cpu)
        && host::with_fused_multiply_add(|| {
            let (r, settled) = op::mul_add(operands(cpu, i));
            if settled {
                set_lanes(cpu, i.rd, r);
            }
            settled
        });
    if settled {
        return Flow::Next;
    }
    let operands = operands(cpu, i);
    compute_soft(cpu, i, operands, |[a, n, m], env| soft::mul_add::<T::Soft>(a, n, m, env))
}

/// FSQRT.
pub(in crate::exec) fn fsqrt<T: HostFloat, const N: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let operands = [lanes::<T, N>(cpu, i.rn)];
    let usable = rounded_usable(cpu);
    compute(cpu, i, operands, usable, op::sqrt, |[n], env| soft::sqrt::<T::Soft>(n, env))
}

/// Operations on Vn without a short cut.
macro_rules! unary_soft {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name<T: HostFloat, const N: usize>(
            cpu: &mut Cpu,
            i: &Insn,
        ) -> Flow {
            let operands = [lanes::<T, N>(cpu, i.rn)];
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
    ($($(#[$doc:meta])* $name:ident = $fast:ident, $usable:ident, $soft:ident;)*) => {$(
        $(#[$doc])*
        pub(in crate::exec) fn $name<T: HostFloat, const N: usize>(
            cpu: &mut Cpu,
            i: &Insn,
        ) -> Flow {
            let (n, m) = (lanes::<T, N>(cpu, i.rn), lanes::<T, N>(cpu, i.rm));
            let at = |k: usize| if k < N { n[k] } else { m[k - N] };
            let operands = [
                core::array::from_fn::<T, N, _>(|k| at(2 * k)),
                core::array::from_fn(|k| at(2 * k + 1)),
            ];
            let usable = $usable(cpu);
            compute(cpu, i, operands, usable, op::$fast, |[a, b], env| {
                soft::$soft::<T::Soft>(a, b, env)
            })
        }
    )*};
}

pairwise! {
    /// FADDP, vector.
    faddp = add, rounded_usable, add;
    /// FMAXP, vector.
    fmaxp = max, exact_usable, max;
    /// FMINP, vector.
    fminp = min, exact_usable, min;
    /// FMAXNMP, vector.
    fmaxnmp = max, exact_usable, max_num;
    /// FMINNMP, vector.
    fminnmp = min, exact_usable, min_num;
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
