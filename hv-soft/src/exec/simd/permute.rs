//! Moving lanes about: copies between lanes and general registers, EXT, TBL, ZIP, UZP, TRN, REV; and
//! across lanes: pairwise operations and reductions.

use super::lanes::{Lane, lane, set_v, splat, v, width_mask};
use crate::cpu::Cpu;
use crate::decode::simd::aux;
use crate::insn::{Flow, Insn};

/// Lanes in the part of the register that an instruction operates on.
#[inline(always)]
fn active<T: Lane>(i: &Insn) -> usize {
    T::LANES >> u32::from(i.ra == aux::WIDTH_64)
}

/// DUP, element (vector and scalar): the index is in `imm`.
pub(super) fn dup_element<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = splat(lane::<T>(v(cpu, i.rn), i.imm as usize));
    set_v(cpu, i.rd, r & width_mask(i.ra));
    Flow::Next
}

/// DUP, general.
pub(super) fn dup_general<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = splat(T::from_bits(cpu.r[usize::from(i.rn)]));
    set_v(cpu, i.rd, r & width_mask(i.ra));
    Flow::Next
}

#[inline(always)]
fn insert<T: Lane>(cpu: &mut Cpu, i: &Insn, value: T) -> Flow {
    let mut d = T::split(v(cpu, i.rd));
    d.as_mut()[i.imm as usize % T::LANES] = value;
    set_v(cpu, i.rd, T::join(d));
    Flow::Next
}

/// INS, general: the destination index is in `imm`.
pub(super) fn ins_general<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    insert(cpu, i, T::from_bits(cpu.r[usize::from(i.rn)]))
}

/// INS, element: the source index is in `rm`.
pub(super) fn ins_element<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let value = lane::<T>(v(cpu, i.rn), usize::from(i.rm));
    insert(cpu, i, value)
}

/// UMOV; also FMOV from the high doubleword.
pub(super) fn umov<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.r[usize::from(i.rd)] = lane::<T>(v(cpu, i.rn), i.imm as usize).bits();
    Flow::Next
}

/// SMOV to a 64-bit register, or to a 32-bit one with `aux::WORD`; `T` is signed.
pub(super) fn smov<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let shift = 64 - T::BITS;
    let bits = lane::<T>(v(cpu, i.rn), i.imm as usize).bits();
    let value = ((bits << shift) as i64 >> shift) as u64;
    let mask = if i.aux & aux::WORD != 0 { u64::from(u32::MAX) } else { u64::MAX };
    cpu.r[usize::from(i.rd)] = value & mask;
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
        bytes.copy_from_slice(&v(cpu, (i.rn + k as u8) % 32).to_le_bytes());
    }
    let mut r = u8::split(v(cpu, i.rm));
    let d = u8::split(v(cpu, i.rd));
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
    set_v(cpu, i.rd, u8::join(r) & width_mask(i.ra));
    Flow::Next
}

/// Vd's lane `k` is lane `index(k, lanes)` of Vn followed by Vm.
#[inline(always)]
fn permute<T: Lane>(cpu: &mut Cpu, i: &Insn, index: impl Fn(usize, usize) -> usize) -> Flow {
    #[inline(always)]
    fn go<T: Lane>(n: u128, m: u128, lanes: usize, index: impl Fn(usize, usize) -> usize) -> u128 {
        let (n, m) = (T::split(n), T::split(m));
        let mut r = T::split(0);
        for k in 0..lanes {
            let from = index(k, lanes);
            r.as_mut()[k] = if from < lanes { n.as_ref()[from] } else { m.as_ref()[from - lanes] };
        }
        T::join(r)
    }
    let (n, m) = (v(cpu, i.rn), v(cpu, i.rm));
    // Two loops of constant length, which become host shuffles.
    let r = if i.ra == aux::WIDTH_64 {
        go::<T>(n, m, const { T::LANES / 2 }, index)
    } else {
        go::<T>(n, m, T::LANES, index)
    };
    set_v(cpu, i.rd, r);
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

/// REV64, REV32, REV16: lanes in reverse order within each container of `imm` bits.
pub(super) fn rev<T: Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let n = T::split(v(cpu, i.rn));
    let flip = i.imm as usize / T::BITS as usize - 1;
    let mut r = n;
    for (k, lane) in r.as_mut().iter_mut().enumerate() {
        *lane = n.as_ref()[(k ^ flip) % T::LANES];
    }
    set_v(cpu, i.rd, T::join(r) & width_mask(i.ra));
    Flow::Next
}

/// Vd's lanes are `f` of adjacent pairs of Vn, then of Vm.
#[inline(always)]
fn pairwise<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T, T) -> T) -> Flow {
    let (n, m) = (T::split(v(cpu, i.rn)), T::split(v(cpu, i.rm)));
    let half = active::<T>(i) / 2;
    let mut r = T::split(0);
    for k in 0..half {
        r.as_mut()[k] = f(n.as_ref()[2 * k], n.as_ref()[2 * k + 1]);
        r.as_mut()[half + k] = f(m.as_ref()[2 * k], m.as_ref()[2 * k + 1]);
    }
    set_v(cpu, i.rd, T::join(r));
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
    let [low, high] = u64::split(v(cpu, i.rn));
    set_v(cpu, i.rd, u128::from(low.wrapping_add(high)));
    Flow::Next
}

#[inline(always)]
fn reduce<T: Lane>(cpu: &mut Cpu, i: &Insn, f: impl Fn(T, T) -> T) -> Flow {
    let n = T::split(v(cpu, i.rn));
    let lanes = &n.as_ref()[..active::<T>(i)];
    let r = lanes[1..].iter().fold(lanes[0], |r, lane| f(r, *lane));
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
