//! The soft functions against the host's FPU, in every rounding mode, flags included.
//!
//! Where x86 differs by design the comparison says so: NaN payload selection, default NaN sign, the
//! order of signalling NaNs, and tininess (x86 detects it after rounding).

#![cfg(target_arch = "x86_64")]

use core::arch::asm;

use super::env::{DZC, IOC, OFC, UFC};
use super::host::{HostFloat, op};
use super::*;

const CASES: u32 = 100_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A pattern of format `F`, with the borders of its ranges made likely.
    fn float<F: Format>(&mut self) -> u64 {
        let raw = self.next();
        let top = (1u64 << F::EXP) - 1;
        let bias = F::BIAS as u64;
        let near = raw >> 40 & 7;
        let exp = match self.next() % 8 {
            0 => near % 3,
            1 => top - near % 3,
            2 => bias + F::FRAC as u64 - 3 + near,
            3 | 4 => bias - 3 + near,
            5 => bias / 2 - 3 + near,
            _ => raw >> 44 & top,
        };
        let frac = match self.next() % 8 {
            0 => 0,
            1 => F::FRAC_MASK,
            2 => 1 << ((raw >> 50) % u64::from(F::FRAC)),
            3 => (F::FRAC_MASK << ((raw >> 50) % u64::from(F::FRAC))) & F::FRAC_MASK,
            _ => raw & F::FRAC_MASK,
        };
        F::zero(self.next() & 1 != 0) | (exp & top) << F::FRAC | frac
    }
}

const MODES: [Rounding; 4] =
    [Rounding::TieEven, Rounding::PosInf, Rounding::NegInf, Rounding::Zero];

fn env(mode: Rounding) -> Env {
    Env { rounding: mode, ..Env::new(0) }
}

fn mxcsr(mode: Rounding) -> u32 {
    let field = match mode {
        Rounding::TieEven => 0,
        Rounding::NegInf => 1,
        Rounding::PosInf => 2,
        _ => 3,
    };
    0x1f80 | field << 13
}

/// MXCSR flags as FPSR flags; x86's denormal flag has no counterpart when FZ is clear.
fn fpsr(mxcsr: u32) -> u32 {
    let flag = |bit: u32, to: u32| if mxcsr >> bit & 1 != 0 { to } else { 0 };
    flag(0, IOC) | flag(2, DZC) | flag(3, OFC) | flag(4, UFC) | flag(5, IXC)
}

/// Runs one SSE instruction in a rounding mode: `$d` is its destination and first operand.
macro_rules! sse {
    ($insn:literal, $mode:expr, $a:expr, $b:expr) => {{
        let (mut a, control, mut after, host) = ($a, mxcsr($mode), 0u32, 0x1f80u32);
        // SAFETY: MXCSR is back at its default before Rust code runs again.
        unsafe {
            asm!("ldmxcsr [{c}]", $insn, "stmxcsr [{o}]", "ldmxcsr [{h}]",
                a = inout(xmm_reg) a, b = in(xmm_reg) $b,
                c = in(reg) &control, o = in(reg) &mut after, h = in(reg) &host,
                options(nostack));
        }
        let _ = &mut a;
        (a, fpsr(after))
    }};
}

/// Two results of format `F` agree: the same pattern, or both NaN.
fn agree<F: Format>(ours: (u64, u32), theirs: (u64, u32), context: &dyn std::fmt::Debug) {
    let same = ours.0 == theirs.0 || (F::is_nan(ours.0) && F::is_nan(theirs.0));
    assert!(same, "{context:x?}: {:#x}, the host has {:#x}", ours.0, theirs.0);
    // Tiny before rounding, not after: the result is the smallest normal number.
    let ignored = if ours.0 & !F::SIGN == 1 << F::FRAC { UFC } else { 0 };
    assert_eq!(ours.1 | ignored, theirs.1 | ignored, "flags of {context:x?} = {:#x}", ours.0);
}

fn each<F: Format>(seed: u64, mut test: impl FnMut(Rounding, u64, u64, u64)) {
    let mut random = Random(seed);
    for _ in 0..CASES {
        let [a, b, c] = [0; 3].map(|_| random.float::<F>());
        for mode in MODES {
            test(mode, a, b, c);
        }
    }
}

macro_rules! binary_test {
    ($name:ident, $soft:ident, $double:literal, $single:literal) => {
        #[test]
        fn $name() {
            each::<Double>(1, |mode, a, b, _| {
                let mut env = env(mode);
                let ours = $soft::<Double>(a, b, &mut env);
                let (r, flags) = sse!($double, mode, f64::from_bits(a), f64::from_bits(b));
                agree::<Double>((ours, env.flags), (r.to_bits(), flags), &(mode, a, b));
            });
            each::<Single>(2, |mode, a, b, _| {
                let mut env = env(mode);
                let ours = $soft::<Single>(a, b, &mut env);
                let (x, y) = (f32::from_bits(a as u32), f32::from_bits(b as u32));
                let (r, flags) = sse!($single, mode, x, y);
                agree::<Single>((ours, env.flags), (r.to_bits().into(), flags), &(mode, a, b));
            });
        }
    };
}

binary_test!(sum, add, "addsd {a}, {b}", "addss {a}, {b}");
binary_test!(difference, sub, "subsd {a}, {b}", "subss {a}, {b}");
binary_test!(product, mul, "mulsd {a}, {b}", "mulss {a}, {b}");
binary_test!(quotient, div, "divsd {a}, {b}", "divss {a}, {b}");

#[test]
fn square_root() {
    each::<Double>(3, |mode, a, _, _| {
        let mut env = env(mode);
        let ours = sqrt::<Double>(a, &mut env);
        let (r, flags) = sse!("sqrtsd {a}, {b}", mode, 0f64, f64::from_bits(a));
        agree::<Double>((ours, env.flags), (r.to_bits(), flags), &(mode, a));
    });
    each::<Single>(4, |mode, a, _, _| {
        let mut env = env(mode);
        let ours = sqrt::<Single>(a, &mut env);
        let (r, flags) = sse!("sqrtss {a}, {b}", mode, 0f32, f32::from_bits(a as u32));
        agree::<Single>((ours, env.flags), (r.to_bits().into(), flags), &(mode, a));
    });
}

macro_rules! fused {
    ($insn:literal, $mode:expr, $c:expr, $a:expr, $b:expr) => {{
        let (mut c, control, mut after, host) = ($c, mxcsr($mode), 0u32, 0x1f80u32);
        // SAFETY: MXCSR is back at its default before Rust code runs again; the caller saw FMA.
        unsafe {
            asm!("ldmxcsr [{k}]", $insn, "stmxcsr [{o}]", "ldmxcsr [{h}]",
                c = inout(xmm_reg) c, a = in(xmm_reg) $a, b = in(xmm_reg) $b,
                k = in(reg) &control, o = in(reg) &mut after, h = in(reg) &host,
                options(nostack));
        }
        let _ = &mut c;
        (c, fpsr(after))
    }};
}

#[test]
fn fused_multiply_add() {
    if !is_x86_feature_detected!("fma") {
        return;
    }
    each::<Double>(5, |mode, a, b, c| {
        let mut env = env(mode);
        let ours = mul_add::<Double>(c, a, b, &mut env);
        let [x, y, z] = [a, b, c].map(f64::from_bits);
        let (r, mut flags) = fused!("vfmadd231sd {c}, {a}, {b}", mode, z, x, y);
        // 0 * inf + quiet NaN is invalid for Arm, implementation's choice for IEEE 754.
        if z.is_nan() {
            flags = flags & !IOC | env.flags & IOC;
        }
        agree::<Double>((ours, env.flags), (r.to_bits(), flags), &(mode, a, b, c));
    });
    each::<Single>(6, |mode, a, b, c| {
        let mut env = env(mode);
        let ours = mul_add::<Single>(c, a, b, &mut env);
        let [x, y, z] = [a, b, c].map(|v| f32::from_bits(v as u32));
        let (r, mut flags) = fused!("vfmadd231ss {c}, {a}, {b}", mode, z, x, y);
        if z.is_nan() {
            flags = flags & !IOC | env.flags & IOC;
        }
        agree::<Single>((ours, env.flags), (r.to_bits().into(), flags), &(mode, a, b, c));
    });
}

#[test]
fn between_formats() {
    each::<Double>(7, |mode, a, _, _| {
        let mut env = env(mode);
        let ours = convert::<Double, Single>(a, mode, &mut env);
        let (r, flags) = sse!("cvtsd2ss {a}, {b}", mode, 0f32, f64::from_bits(a));
        agree::<Single>((ours, env.flags), (r.to_bits().into(), flags), &(mode, a));
    });
    each::<Single>(8, |mode, a, _, _| {
        let mut env = env(mode);
        let ours = convert::<Single, Double>(a, mode, &mut env);
        let (r, flags) = sse!("cvtss2sd {a}, {b}", mode, 0f64, f32::from_bits(a as u32));
        agree::<Double>((ours, env.flags), (r.to_bits(), flags), &(mode, a));
    });
}

#[test]
fn half_precision() {
    if !is_x86_feature_detected!("f16c") {
        return;
    }
    each::<Single>(9, |mode, a, _, _| {
        let mut env = env(mode);
        let ours = convert::<Single, Half>(a, mode, &mut env);
        // Operand 4: round as MXCSR says.
        let (r, flags) = sse!("vcvtps2ph {a}, {b}, 4", mode, 0f64, f32::from_bits(a as u32));
        agree::<Half>((ours, env.flags), (r.to_bits() & 0xffff, flags), &(mode, a));
    });
    each::<Half>(10, |mode, a, _, _| {
        let mut env = env(mode);
        let ours = convert::<Half, Single>(a, mode, &mut env);
        let (r, flags) = sse!("vcvtph2ps {a}, {b}", mode, 0f32, f64::from_bits(a));
        agree::<Single>((ours, env.flags), (r.to_bits().into(), flags), &(mode, a));
    });
}

macro_rules! to_general {
    ($insn:literal, $mode:expr, $x:expr) => {{
        let (control, mut after, host) = (mxcsr($mode), 0u32, 0x1f80u32);
        let result: u64;
        // SAFETY: MXCSR is back at its default before Rust code runs again.
        unsafe {
            asm!("ldmxcsr [{c}]", $insn, "stmxcsr [{o}]", "ldmxcsr [{h}]",
                r = out(reg) result, x = in(xmm_reg) $x,
                c = in(reg) &control, o = in(reg) &mut after, h = in(reg) &host,
                options(nostack));
        }
        (result, fpsr(after))
    }};
}

#[test]
fn to_integers() {
    const I64: Integer = Integer { bits: 64, signed: true };
    const I32: Integer = Integer { bits: 32, signed: true };
    each::<Double>(11, |mode, a, _, _| {
        for into in [I64, I32] {
            let mut env = env(mode);
            let ours = to_fixed::<Double>(a, 0, into, mode, &mut env);
            let x = f64::from_bits(a);
            let (r, flags) = if into == I64 {
                to_general!("cvtsd2si {r}, {x}", mode, x)
            } else {
                to_general!("cvtsd2si {r:e}, {x}", mode, x)
            };
            assert_eq!(env.flags, flags, "flags of {mode:?} {a:#x}");
            // An invalid conversion saturates for Arm and gives the most negative integer on x86.
            if flags & IOC == 0 {
                assert_eq!(ours, r, "{mode:?} {a:#x}");
            }
        }
    });
}

#[test]
fn to_integral_values() {
    if !is_x86_feature_detected!("sse4.1") {
        return;
    }
    each::<Double>(12, |mode, a, _, _| {
        let mut env = env(mode);
        let ours = round_to_int::<Double>(a, mode, true, &mut env);
        let (r, flags) = sse!("roundsd {a}, {b}, 4", mode, 0f64, f64::from_bits(a));
        agree::<Double>((ours, env.flags), (r.to_bits(), flags), &(mode, a));
    });
    each::<Single>(13, |mode, a, _, _| {
        let mut env = env(mode);
        let ours = round_to_int::<Single>(a, mode, true, &mut env);
        let (r, flags) = sse!("roundss {a}, {b}, 4", mode, 0f32, f32::from_bits(a as u32));
        agree::<Single>((ours, env.flags), (r.to_bits().into(), flags), &(mode, a));
    });
}

/// Where the host's FPU claims to settle an operation, it agrees with the soft function, which raises
/// nothing but Inexact.
fn settles<T: HostFloat, const K: usize>(
    seed: u64,
    fast: impl Fn([[T; 1]; K]) -> ([T; 1], bool),
    soft: impl Fn([u64; K], &mut Env) -> u64,
) {
    let (mut random, mut settled) = (Random(seed), 0);
    for _ in 0..CASES {
        let operands: [u64; K] = core::array::from_fn(|_| random.float::<T::Soft>());
        let ([r], certain) = fast(operands.map(|op| [T::from_bits(op)]));
        if certain {
            let mut env = env(Rounding::TieEven);
            assert_eq!(r.bits(), soft(operands, &mut env), "{operands:x?}");
            assert_eq!(env.flags & !IXC, 0, "flags of {operands:x?}");
            settled += 1;
        }
    }
    assert!(settled > CASES / 10, "only {settled} of {CASES} settled");
}

macro_rules! settles_test {
    ($name:ident, |$operands:ident: $k:literal| $fast:expr, |$args:pat_param, $env:ident| $soft:ident($($arg:expr),*)) => {
        #[test]
        fn $name() {
            settles::<f64, $k>(14, |$operands| $fast, |$args, $env| {
                $soft::<Double>($($arg,)* $env)
            });
            settles::<f32, $k>(15, |$operands| $fast, |$args, $env| {
                $soft::<Single>($($arg,)* $env)
            });
        }
    };
}

settles_test!(host_sum, |ops: 2| op::add(ops), |[a, b], env| add(a, b));
settles_test!(host_difference, |ops: 2| op::sub(ops), |[a, b], env| sub(a, b));
settles_test!(host_distance, |ops: 2| op::abs_diff(ops), |[a, b], env| abs_diff(a, b));
settles_test!(host_product, |ops: 2| op::mul(ops), |[a, b], env| mul(a, b));
settles_test!(host_quotient, |ops: 2| op::div(ops), |[a, b], env| div(a, b));
settles_test!(host_root, |ops: 1| op::sqrt(ops), |[a], env| sqrt(a));
settles_test!(host_maximum, |ops: 2| op::max(ops), |[a, b], env| max(a, b));
settles_test!(host_minimum, |ops: 2| op::min(ops), |[a, b], env| min(a, b));
settles_test!(
    host_fused,
    |ops: 3| host::with_fused_multiply_add(|| op::mul_add(ops)),
    |[c, a, b], env| mul_add(c, a, b)
);
