//! Moving lanes about: copies between lanes and general registers, EXT, TBL, ZIP, UZP, TRN, REV; and
//! across lanes: pairwise operations and reductions.

use super::lanes::{Lane, insert, lane, lanes, set_lanes, set_v, unary, v, write};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::insn::{Flow, Insn};

/// DUP, element (vector and scalar): the index is in `imm`.
pub(super) fn dup_element<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let value = lane::<T>(v(cpu, i.rn), i.imm as usize);
    unary(cpu, i, |_| value)
}

/// DUP, general.
pub(super) fn dup_general<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let value = T::from_bits(cpu.x(i.rn));
    unary(cpu, i, |_| value)
}

/// INS, general: the destination index is in `imm`.
pub(super) fn ins_general<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = insert(v(cpu, i.rd), i.imm as usize, T::from_bits(cpu.x(i.rn)));
    set_v(cpu, i.rd, r);
    Flow::Next
}

/// INS, element: the source index is in `rm`.
pub(super) fn ins_element<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let value = lane::<T>(v(cpu, i.rn), usize::from(i.rm));
    set_v(cpu, i.rd, insert(v(cpu, i.rd), i.imm as usize, value));
    Flow::Next
}

/// UMOV; also FMOV from the high doubleword.
pub(super) fn umov<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.set_x(i.rd, lane::<T>(v(cpu, i.rn), i.imm as usize).bits());
    Flow::Next
}

/// SMOV to a 64-bit register, or to a 32-bit one with `aux::WORD`; `T` is signed.
pub(super) fn smov<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let shift = 64 - T::BITS;
    let bits = lane::<T>(v(cpu, i.rn), i.imm as usize).bits();
    let value = ((bits << shift) as i64 >> shift) as u64;
    let mask = if i.aux & aux::WORD != 0 { u64::from(u32::MAX) } else { u64::MAX };
    cpu.set_x(i.rd, value & mask);
    Flow::Next
}

/// EXT: the byte position is in `imm`.
pub(super) fn ext(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (n, m, position) = (v(cpu, i.rn), v(cpu, i.rm), i.imm as u32 * 8);
    let r = if i.ra == aux::WIDTH_64 {
        let pair = n & u128::from(u64::MAX) | m << 64;
        pair >> position & u128::from(u64::MAX)
    } else if position == 0 {
        n
    } else {
        n >> position | m << (128 - position)
    };
    set_v(cpu, i.rd, r);
    Flow::Next
}

/// TBL and, with `aux::KEEP`, TBX: `imm` registers of table from Vn.
pub(super) fn tbl(cpu: &mut Cpu, i: &Insn) -> Flow {
    let registers = i.imm as usize;
    let mut table = [0u8; 64];
    for (k, bytes) in table.chunks_exact_mut(16).take(registers).enumerate() {
        bytes.copy_from_slice(lanes::<u8>(cpu, i.rn + k as u8));
    }
    let mut r = *lanes::<u8>(cpu, i.rm);
    let d = *lanes::<u8>(cpu, i.rd);
    for (r, d) in r.iter_mut().zip(d) {
        let index = usize::from(*r);
        *r = if index < registers * 16 {
            table[index % 64]
        } else if i.aux & aux::KEEP != 0 {
            d
        } else {
            0
        };
    }
    write::<u8>(cpu, i, r)
}

/// Vd's lane `k` is lane `index(k, lanes)` of Vn followed by Vm.
#[inline(always)]
fn permute<T: Lane>(cpu: &mut Cpu, i: &Insn, index: impl Fn(usize, usize) -> usize) -> Flow {
    #[inline(always)]
    fn go<T: Lane>(
        n: &[T],
        m: &[T],
        lanes: usize,
        index: impl Fn(usize, usize) -> usize,
    ) -> T::Array {
        let mut r = T::split(0);
        for k in 0..lanes {
            let from = index(k, lanes);
            r.as_mut()[k] = if from < lanes { n[from] } else { m[from - lanes] };
        }
        r
    }
    let (n, m) = (*lanes::<T>(cpu, i.rn), *lanes::<T>(cpu, i.rm));
    // Two loops of constant length, which become host shuffles.
    let r = if i.ra == aux::WIDTH_64 {
        go::<T>(n.as_ref(), m.as_ref(), const { T::LANES / 2 }, index)
    } else {
        go::<T>(n.as_ref(), m.as_ref(), T::LANES, index)
    };
    set_lanes::<T>(cpu, i.rd, r);
    Flow::Next
}

/// ZIP1, or ZIP2 if `HIGH`.
pub(super) fn zip<T: Lane, const HIGH: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    permute::<T>(cpu, i, |k, lanes| {
        let pair = k / 2 + if HIGH { lanes / 2 } else { 0 };
        pair + k % 2 * lanes
    })
}

/// UZP1, or UZP2 if `ODD`.
pub(super) fn uzp<T: Lane, const ODD: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    permute::<T>(cpu, i, |k, _| 2 * k + usize::from(ODD))
}

/// TRN1, or TRN2 if `ODD`.
pub(super) fn trn<T: Lane, const ODD: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    permute::<T>(cpu, i, |k, lanes| (k & !1) + usize::from(ODD) + k % 2 * lanes)
}

/// REV64, REV32, REV16: lanes in reverse order within each container of `BITS` bits.
pub(super) fn rev<T: Lane, const BITS: u32>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let n = *lanes::<T>(cpu, i.rn);
    let flip = const { (BITS / T::BITS).saturating_sub(1) as usize };
    let mut r = n;
    for (k, lane) in r.as_mut().iter_mut().enumerate() {
        *lane = n.as_ref()[k ^ flip];
    }
    write::<T>(cpu, i, r)
}

/// Vd's lanes are `f` of adjacent pairs of Vn, then of Vm.
#[inline(always)]
fn pairwise<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T, T) -> T) -> Flow {
    #[inline(always)]
    fn go<T: Lane>(n: &[T], m: &[T], half: usize, f: impl Fn(T, T) -> T) -> T::Array {
        let mut r = T::split(0);
        for k in 0..half {
            r.as_mut()[k] = f(n[2 * k], n[2 * k + 1]);
            r.as_mut()[half + k] = f(m[2 * k], m[2 * k + 1]);
        }
        r
    }
    let (n, m) = (*lanes::<T>(cpu, i.rn), *lanes::<T>(cpu, i.rm));
    let r = if i.ra == aux::WIDTH_64 {
        go(n.as_ref(), m.as_ref(), const { T::LANES / 4 }, f)
    } else {
        go(n.as_ref(), m.as_ref(), const { T::LANES / 2 }, f)
    };
    set_lanes::<T>(cpu, i.rd, r);
    Flow::Next
}

/// ADDP, vector.
pub(super) fn addp<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    pairwise(cpu, i, T::add)
}

/// SMAXP, UMAXP.
pub(super) fn maxp<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    pairwise(cpu, i, T::max)
}

/// SMINP, UMINP.
pub(super) fn minp<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    pairwise(cpu, i, T::min)
}

/// ADDP, scalar.
pub(super) fn addp_scalar(cpu: &mut Cpu, i: &Insn) -> Flow {
    let [low, high] = *lanes::<u64>(cpu, i.rn);
    set_v(cpu, i.rd, u128::from(low.wrapping_add(high)));
    Flow::Next
}

#[inline(always)]
fn fold<T: Lane>(lanes: &[T], f: impl Fn(T, T) -> T) -> T {
    lanes[1..].iter().fold(lanes[0], |r, lane| f(r, *lane))
}

#[inline(always)]
fn reduce<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T, T) -> T) -> Flow {
    let lanes = lanes::<T>(cpu, i.rn).as_ref();
    let r = if i.ra == aux::WIDTH_64 {
        fold::<T>(&lanes[..const { T::LANES / 2 }], f)
    } else {
        fold::<T>(lanes, f)
    };
    set_v(cpu, i.rd, u128::from(r.bits()));
    Flow::Next
}

/// ADDV.
pub(super) fn addv<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    reduce(cpu, i, T::add)
}

/// SMAXV, UMAXV.
pub(super) fn maxv<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    reduce(cpu, i, T::max)
}

/// SMINV, UMINV.
pub(super) fn minv<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    reduce(cpu, i, T::min)
}
