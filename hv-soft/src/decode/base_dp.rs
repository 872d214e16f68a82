//! Data processing with immediates and registers (Arm ARM C4.1.86, C4.1.89).

use super::base::BaseOp::{self, *};
use super::base::base;
use super::{Pattern, field, sfield};
use crate::insn::{Insn, dst, sp_or, src};

fn sf(w: u32) -> bool {
    w >> 31 != 0
}

/// One of four operations by bits 30:29.
fn by_opc(w: u32, ops: [BaseOp; 4]) -> BaseOp {
    ops[field(w, 30, 29) as usize]
}

fn adr(w: u32) -> Option<Insn> {
    let imm = sfield(w, 23, 5) << 2 | i64::from(field(w, 30, 29));
    Some(Insn { rd: dst(w), imm: imm as u64, ..base(Adr, w, true) })
}

fn adrp(w: u32) -> Option<Insn> {
    let imm = (sfield(w, 23, 5) << 2 | i64::from(field(w, 30, 29))) << 12;
    Some(Insn { rd: dst(w), imm: imm as u64, ..base(Adrp, w, true) })
}

fn add_sub_imm(w: u32) -> Option<Insn> {
    let op = by_opc(w, [AddImm, AddsImm, SubImm, SubsImm]);
    let imm = u64::from(field(w, 21, 10)) << (12 * field(w, 22, 22));
    let rd = if field(w, 29, 29) == 0 { sp_or(w) } else { dst(w) };
    Some(Insn { rd, rn: sp_or(w >> 5), imm, ..base(op, w, sf(w)) })
}

/// `DecodeBitMasks` for logical immediates (Arm ARM, shared pseudocode).
fn bit_mask(n: u32, imms: u32, immr: u32, sf: bool) -> Option<u64> {
    if n == 1 && !sf {
        return None;
    }
    let len = 31 - (n << 6 | !imms & 0x3f).leading_zeros().min(31);
    if len < 1 || (n << 6 | !imms & 0x3f) == 0 {
        return None;
    }
    let size = 1u32 << len;
    let levels = size - 1;
    let (s, r) = (imms & levels, immr & levels);
    if s == levels {
        return None;
    }
    let ones = (1u64 << (s + 1)) - 1;
    let element = if r == 0 {
        ones
    } else {
        let all = if size == 64 { u64::MAX } else { (1 << size) - 1 };
        (ones >> r | ones << (size - r)) & all
    };
    let mut mask = element;
    let mut width = size;
    while width < 64 {
        mask |= mask << width;
        width *= 2;
    }
    Some(if sf { mask } else { mask & 0xffff_ffff })
}

fn logical_imm(w: u32) -> Option<Insn> {
    let op = by_opc(w, [AndImm, OrrImm, EorImm, AndsImm]);
    let imm = bit_mask(field(w, 22, 22), field(w, 15, 10), field(w, 21, 16), sf(w))?;
    let rd = if op == AndsImm { dst(w) } else { sp_or(w) };
    Some(Insn { rd, rn: src(w >> 5), imm, ..base(op, w, sf(w)) })
}

fn move_wide(w: u32) -> Option<Insn> {
    let shift = field(w, 22, 21) * 16;
    if !sf(w) && shift >= 32 {
        return None;
    }
    let value = u64::from(field(w, 20, 5)) << shift;
    let (op, imm) = match field(w, 30, 29) {
        0b00 => (MovImm, !value),
        0b10 => (MovImm, value),
        0b11 => (Movk, value),
        _ => return None,
    };
    let imm = if sf(w) { imm } else { imm & 0xffff_ffff };
    Some(Insn { rd: dst(w), rn: src(w), ra: shift as u8, imm, ..base(op, w, sf(w)) })
}

fn bitfield(w: u32) -> Option<Insn> {
    let (r, s) = (field(w, 21, 16), field(w, 15, 10));
    let size = if sf(w) { 64 } else { 32 };
    if (field(w, 22, 22) != 0) != sf(w) || r >= size || s >= size {
        return None;
    }
    let ones = |n: u32| if n == 64 { u64::MAX } else { (1 << n) - 1 };
    let (rd, rn) = (dst(w), src(w >> 5));
    // `right` and `left` shift the field of `width` bits to where it goes.
    let (right, width, left) = if s >= r { (r, s - r + 1, 0) } else { (0, s + 1, size - r) };
    let mut insn = match field(w, 30, 29) {
        0b00 => {
            let up = 64 - width - right;
            return Some(Insn {
                rd,
                rn,
                rm: up as u8,
                ra: (64 - width) as u8,
                imm: left.into(),
                ..base(Sbfm, w, sf(w))
            });
        }
        // The current value of rd is a source of BFM: rd 31 reads as zero and is not written.
        0b01 => base(Bfm, w, sf(w)),
        0b10 => base(Ubfm, w, sf(w)),
        _ => return None,
    };
    insn = Insn { rd, rn, ra: right as u8, rm: left as u8, imm: ones(width), ..insn };
    Some(insn)
}

fn extr(w: u32) -> Option<Insn> {
    let imm = field(w, 15, 10);
    if (field(w, 22, 22) != 0) != sf(w) || !sf(w) && imm >= 32 {
        return None;
    }
    Some(Insn {
        rd: dst(w),
        rn: src(w >> 5),
        rm: src(w >> 16),
        imm: imm.into(),
        ..base(Extr, w, sf(w))
    })
}

fn shifted(w: u32, op: BaseOp) -> Option<Insn> {
    let amount = field(w, 15, 10);
    if !sf(w) && amount >= 32 {
        return None;
    }
    let insn = base(op, w, sf(w));
    let aux = insn.aux | field(w, 23, 22) << 1;
    Some(Insn { rd: dst(w), rn: src(w >> 5), rm: src(w >> 16), aux, imm: amount.into(), ..insn })
}

fn logical_reg(w: u32) -> Option<Insn> {
    let ops = if field(w, 21, 21) == 0 { [And, Orr, Eor, Ands] } else { [Bic, Orn, Eon, Bics] };
    shifted(w, by_opc(w, ops))
}

fn add_sub_shifted(w: u32) -> Option<Insn> {
    if field(w, 23, 22) == 3 {
        return None;
    }
    shifted(w, by_opc(w, [Add, Adds, Sub, Subs]))
}

fn add_sub_extended(w: u32) -> Option<Insn> {
    let amount = field(w, 12, 10);
    if amount > 4 {
        return None;
    }
    let insn = base(by_opc(w, [AddExt, AddsExt, SubExt, SubsExt]), w, sf(w));
    let rd = if field(w, 29, 29) == 0 { sp_or(w) } else { dst(w) };
    Some(Insn {
        rd,
        rn: sp_or(w >> 5),
        rm: src(w >> 16),
        aux: insn.aux | field(w, 15, 13) << 1,
        imm: amount.into(),
        ..insn
    })
}

fn three_regs(w: u32, op: BaseOp) -> Insn {
    Insn { rd: dst(w), rn: src(w >> 5), rm: src(w >> 16), ..base(op, w, sf(w)) }
}

fn add_sub_carry(w: u32) -> Option<Insn> {
    Some(three_regs(w, by_opc(w, [Adc, Adcs, Sbc, Sbcs])))
}

fn with_condition(w: u32, insn: Insn) -> Insn {
    Insn { aux: insn.aux | field(w, 15, 12) << 1, ..insn }
}

fn ccmp_reg(w: u32) -> Option<Insn> {
    let op = if field(w, 30, 30) == 0 { CcmnReg } else { CcmpReg };
    Some(with_condition(w, Insn { ra: field(w, 3, 0) as u8, ..three_regs(w, op) }))
}

fn ccmp_imm(w: u32) -> Option<Insn> {
    let op = if field(w, 30, 30) == 0 { CcmnImm } else { CcmpImm };
    let imm = field(w, 20, 16).into();
    Some(with_condition(w, Insn { ra: field(w, 3, 0) as u8, imm, ..three_regs(w, op) }))
}

fn csel(w: u32) -> Option<Insn> {
    let op = match (field(w, 30, 30), field(w, 10, 10)) {
        (0, 0) => Csel,
        (0, _) => Csinc,
        (_, 0) => Csinv,
        _ => Csneg,
    };
    Some(with_condition(w, three_regs(w, op)))
}

fn two_source(w: u32) -> Option<Insn> {
    let op = match field(w, 15, 10) {
        0b000010 => Udiv,
        0b000011 => Sdiv,
        0b001000 => Lslv,
        0b001001 => Lsrv,
        0b001010 => Asrv,
        0b001011 => Rorv,
        _ => return None,
    };
    Some(three_regs(w, op))
}

fn crc32(w: u32) -> Option<Insn> {
    let size = field(w, 11, 10);
    if sf(w) != (size == 3) {
        return None;
    }
    let op = if field(w, 12, 12) == 0 { Crc32 } else { Crc32c };
    Some(Insn { ra: size as u8, ..three_regs(w, op) })
}

fn one_source(w: u32) -> Option<Insn> {
    let op = match (field(w, 15, 10), sf(w)) {
        (0, _) => Rbit,
        (1, _) => Rev16,
        (2, false) | (3, true) => Rev,
        (2, true) => Rev32,
        (4, _) => Clz,
        (5, _) => Cls,
        _ => return None,
    };
    Some(Insn { rd: dst(w), rn: src(w >> 5), ..base(op, w, sf(w)) })
}

fn four_regs(w: u32, op: BaseOp) -> Option<Insn> {
    Some(Insn { ra: src(w >> 10), ..three_regs(w, op) })
}

fn multiply(w: u32) -> Option<Insn> {
    four_regs(w, if field(w, 15, 15) == 0 { Madd } else { Msub })
}

fn multiply_long(w: u32) -> Option<Insn> {
    let op = match (field(w, 23, 23), field(w, 15, 15)) {
        (0, 0) => Smaddl,
        (0, _) => Smsubl,
        (_, 0) => Umaddl,
        _ => Umsubl,
    };
    four_regs(w, op)
}

fn multiply_high(w: u32) -> Option<Insn> {
    four_regs(w, if field(w, 23, 23) == 0 { Smulh } else { Umulh })
}

#[rustfmt::skip]
pub(super) static PATTERNS: &[Pattern] = &[
    Pattern::new("adr",                    "0ii10000 iiiiiiiiiiiiiiiiiii ddddd", adr),
    Pattern::new("adrp",                   "1ii10000 iiiiiiiiiiiiiiiiiii ddddd", adrp),
    Pattern::new("add/sub (immediate)",    "sop100010h iiiiiiiiiiii nnnnn ddddd", add_sub_imm),
    Pattern::new("logical (immediate)",    "sop100100N rrrrrr ssssss nnnnn ddddd", logical_imm),
    Pattern::new("move wide",              "sop100101 hh iiiiiiiiiiiiiiii ddddd", move_wide),
    Pattern::new("bitfield",               "sop100110N rrrrrr ssssss nnnnn ddddd", bitfield),
    Pattern::new("extr",                   "s00100111N 0mmmmm ssssss nnnnn ddddd", extr),
    Pattern::new("logical (shifted register)", "sop01010 ttNmmmmm aaaaaa nnnnn ddddd", logical_reg),
    Pattern::new("add/sub (shifted register)", "sop01011 tt0mmmmm aaaaaa nnnnn ddddd", add_sub_shifted),
    Pattern::new("add/sub (extended register)", "sop01011 001mmmmm tttaaa nnnnn ddddd", add_sub_extended),
    Pattern::new("add/sub (with carry)",   "sop11010 000mmmmm 000000 nnnnn ddddd", add_sub_carry),
    Pattern::new("ccmn/ccmp (register)",   "so111010 010mmmmm cccc00 nnnnn 0ffff", ccmp_reg),
    Pattern::new("ccmn/ccmp (immediate)",  "so111010 010iiiii cccc10 nnnnn 0ffff", ccmp_imm),
    Pattern::new("conditional select",     "so011010 100mmmmm cccc0o nnnnn ddddd", csel),
    Pattern::new("data processing (2 source)", "s0011010 110mmmmm 00oooo nnnnn ddddd", two_source),
    Pattern::new("crc32",                  "s0011010 110mmmmm 010czz nnnnn ddddd", crc32),
    Pattern::new("data processing (1 source)", "s1011010 11000000 000ooo nnnnn ddddd", one_source),
    Pattern::new("madd/msub",              "s0011011 000mmmmm oaaaaa nnnnn ddddd", multiply),
    Pattern::new("multiply long",          "10011011 u01mmmmm oaaaaa nnnnn ddddd", multiply_long),
    Pattern::new("multiply high",          "10011011 u10mmmmm 0aaaaa nnnnn ddddd", multiply_high),
];

#[cfg(test)]
mod tests {
    use super::bit_mask;

    #[test]
    fn logical_immediates() {
        // AND X0, X1, #0x5555555555555555: N=0 imms=111100 immr=000000 (Arm ARM C3.4.2).
        assert_eq!(bit_mask(0, 0b111100, 0, true), Some(0x5555_5555_5555_5555));
        // The smallest and the largest 64-bit runs.
        assert_eq!(bit_mask(1, 0, 0, true), Some(1));
        assert_eq!(bit_mask(1, 0b111110, 0, true), Some(0x7fff_ffff_ffff_ffff));
        // All ones, a one-bit element, and N with a 32-bit operand are reserved.
        assert_eq!(bit_mask(1, 0b111111, 0, true), None);
        assert_eq!(bit_mask(0, 0b111110, 0, true), None);
        assert_eq!(bit_mask(0, 0b111111, 0, true), None);
        assert_eq!(bit_mask(1, 0, 0, false), None);
    }
}
