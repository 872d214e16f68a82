//! SHA1C, SHA1P, SHA1M, SHA1H, SHA1SU0, SHA1SU1 (FIPS 180-4).

use crate::cpu::Cpu;
use crate::exec::simd::lanes::{Lane, set_v, v};
use crate::insn::{Flow, Insn};

/// Four rounds (`SHA1hash`): Vd is a–d, lane 0 of Vn is e, Vm the schedule with its constants added.
#[inline(always)]
fn rounds(cpu: &mut Cpu, i: &Insn, f: impl Fn(u32, u32, u32) -> u32) -> Flow {
    let [mut a, mut b, mut c, mut d] = u32::split(v(cpu, i.rd));
    let mut e = v(cpu, i.rn) as u32;
    for w in u32::split(v(cpu, i.rm)) {
        let next = a.rotate_left(5).wrapping_add(f(b, c, d)).wrapping_add(e).wrapping_add(w);
        (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
    }
    set_v(cpu, i.rd, u32::join([a, b, c, d]));
    Flow::Next
}

/// SHA1C: rounds that choose.
pub(crate) fn sha1c(cpu: &mut Cpu, i: &Insn) -> Flow {
    rounds(cpu, i, |b, c, d| (c ^ d) & b ^ d)
}

/// SHA1P: rounds of parity.
pub(crate) fn sha1p(cpu: &mut Cpu, i: &Insn) -> Flow {
    rounds(cpu, i, |b, c, d| b ^ c ^ d)
}

/// SHA1M: rounds of majority.
pub(crate) fn sha1m(cpu: &mut Cpu, i: &Insn) -> Flow {
    rounds(cpu, i, |b, c, d| b & c | (b | c) & d)
}

/// SHA1H: fixed rotate.
pub(crate) fn sha1h(cpu: &mut Cpu, i: &Insn) -> Flow {
    let r = (v(cpu, i.rn) as u32).rotate_left(30);
    set_v(cpu, i.rd, u128::from(r));
    Flow::Next
}

/// SHA1SU0: schedule update, first part.
pub(crate) fn sha1su0(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (d, n, m) = (v(cpu, i.rd), v(cpu, i.rn), v(cpu, i.rm));
    set_v(cpu, i.rd, (d >> 64 | n << 64) ^ d ^ m);
    Flow::Next
}

/// SHA1SU1: schedule update, second part.
pub(crate) fn sha1su1(cpu: &mut Cpu, i: &Insn) -> Flow {
    let t = u32::split(v(cpu, i.rd) ^ v(cpu, i.rn) >> 32);
    let r = t.map(|w| w.rotate_left(1));
    set_v(cpu, i.rd, u32::join([r[0], r[1], r[2], r[3] ^ t[0].rotate_left(2)]));
    Flow::Next
}
