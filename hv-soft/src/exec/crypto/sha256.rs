//! SHA256H, SHA256H2, SHA256SU0, SHA256SU1 (FIPS 180-4).

use crate::cpu::Cpu;
use crate::exec::simd::lanes::{Lane, set_v, v};
use crate::insn::{Flow, Insn};

/// Four rounds (`SHA256hash`): both halves of the state after them.
#[inline(always)]
fn rounds(abcd: u128, efgh: u128, schedule: u128) -> (u128, u128) {
    let [mut a, mut b, mut c, mut d] = u32::split(abcd);
    let [mut e, mut f, mut g, mut h] = u32::split(efgh);
    for w in u32::split(schedule) {
        let choose = (f ^ g) & e ^ g;
        let majority = a & b | (a | b) & c;
        let sigma0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let sigma1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let t1 = h.wrapping_add(sigma1).wrapping_add(choose).wrapping_add(w);
        let t2 = sigma0.wrapping_add(majority);
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
    }
    (u32::join([a, b, c, d]), u32::join([e, f, g, h]))
}

/// SHA256H: first half of the state.
pub(crate) fn sha256h(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (abcd, _) = rounds(v(cpu, i.rd), v(cpu, i.rn), v(cpu, i.rm));
    set_v(cpu, i.rd, abcd);
    Flow::Next
}

/// SHA256H2: second half of the state.
pub(crate) fn sha256h2(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (_, efgh) = rounds(v(cpu, i.rn), v(cpu, i.rd), v(cpu, i.rm));
    set_v(cpu, i.rd, efgh);
    Flow::Next
}

/// SHA256SU0: schedule update, first part.
pub(crate) fn sha256su0(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (d, n) = (v(cpu, i.rd), v(cpu, i.rn));
    let next = u32::split(d >> 32 | n << 96);
    let mut r = u32::split(d);
    for (r, x) in r.iter_mut().zip(next) {
        *r = r.wrapping_add(x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3);
    }
    set_v(cpu, i.rd, u32::join(r));
    Flow::Next
}

/// SHA256SU1: schedule update, second part.
pub(crate) fn sha256su1(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (n, m) = (v(cpu, i.rn), v(cpu, i.rm));
    let t0 = u32::split(n >> 32 | m << 96);
    let m = u32::split(m);
    let mut r = u32::split(v(cpu, i.rd));
    for k in 0..4 {
        let x = if k < 2 { m[k + 2] } else { r[k - 2] };
        let sigma1 = x.rotate_right(17) ^ x.rotate_right(19) ^ x >> 10;
        r[k] = r[k].wrapping_add(sigma1).wrapping_add(t0[k]);
    }
    set_v(cpu, i.rd, u32::join(r));
    Flow::Next
}
