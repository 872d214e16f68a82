//! Branches, exception generation and system instructions (Arm ARM C4.1.87).

use super::base::BaseOp::*;
use super::base::base;
use super::{Pattern, field, sfield};
use crate::cpu::sysreg;
use crate::insn::{Insn, dst, src};

fn branch(w: u32) -> Option<Insn> {
    let op = if w >> 31 == 0 { B } else { Bl };
    Some(Insn { imm: (sfield(w, 25, 0) << 2) as u64, ..base(op, w, true) })
}

/// imm19, relative to the PC.
fn target19(w: u32) -> u64 {
    (sfield(w, 23, 5) << 2) as u64
}

fn branch_cond(w: u32) -> Option<Insn> {
    let insn = base(BCond, w, true);
    Some(Insn { aux: insn.aux | field(w, 3, 0) << 1, imm: target19(w), ..insn })
}

fn compare_branch(w: u32) -> Option<Insn> {
    let op = if field(w, 24, 24) == 0 { Cbz } else { Cbnz };
    Some(Insn { rn: src(w), imm: target19(w), ..base(op, w, w >> 31 != 0) })
}

fn test_branch(w: u32) -> Option<Insn> {
    let op = if field(w, 24, 24) == 0 { Tbz } else { Tbnz };
    let bit = (w >> 31 << 5 | field(w, 23, 19)) as u8;
    let imm = (sfield(w, 18, 5) << 2) as u64;
    Some(Insn { rn: src(w), ra: bit, imm, ..base(op, w, true) })
}

fn branch_reg(w: u32) -> Option<Insn> {
    let op = match field(w, 22, 21) {
        0 => Br,
        1 => Blr,
        2 => Ret,
        _ => return None,
    };
    Some(Insn { rn: src(w >> 5), ..base(op, w, true) })
}

fn eret(w: u32) -> Option<Insn> {
    Some(base(Eret, w, true))
}

fn exception(w: u32) -> Option<Insn> {
    let op = match (field(w, 23, 21), field(w, 1, 0)) {
        (0, 1) => Svc,
        (0, 2) => Hvc,
        (0, 3) => Smc,
        (1, 0) => Brk,
        // HLT and DCPS need a halting debugger.
        _ => return None,
    };
    Some(Insn { imm: field(w, 20, 5).into(), ..base(op, w, true) })
}

fn hint(w: u32) -> Option<Insn> {
    let op = match field(w, 11, 5) {
        1 => Yield,
        2 => Wfe,
        3 => Wfi,
        4 => Sev,
        5 => Sevl,
        _ => Nop,
    };
    Some(base(op, w, true))
}

fn barrier(w: u32) -> Option<Insn> {
    let op = match field(w, 7, 5) {
        2 => Clrex,
        4 => Dsb,
        5 => Dmb,
        6 => Isb,
        // SB belongs to a feature that is not advertised.
        _ => return None,
    };
    Some(Insn { imm: field(w, 11, 8).into(), ..base(op, w, true) })
}

fn msr_imm(w: u32) -> Option<Insn> {
    let target = field(w, 18, 16) << 3 | field(w, 7, 5);
    // SPSel, PAN, DAIFSet, DAIFClr.
    if !matches!(target, 0o05 | 0o04 | 0o36 | 0o37) {
        return None;
    }
    Some(Insn { ra: target as u8, imm: field(w, 11, 8).into(), ..base(MsrImm, w, true) })
}

/// Number of the register or operation that bits 20:5 name.
fn system(w: u32) -> u16 {
    sysreg::encode(
        field(w, 20, 19) as u16,
        field(w, 18, 16) as u16,
        field(w, 15, 12) as u16,
        field(w, 11, 8) as u16,
        field(w, 7, 5) as u16,
    )
}

fn sys(w: u32) -> Option<Insn> {
    let is_read = field(w, 21, 21) != 0;
    let (op, rd) = if is_read { (Sysl, dst(w)) } else { (Sys, src(w)) };
    Some(Insn { rd, imm: system(w).into(), ..base(op, w, true) })
}

fn move_sysreg(w: u32) -> Option<Insn> {
    let is_read = field(w, 21, 21) != 0;
    let (op, rd) = if is_read { (Mrs, dst(w)) } else { (MsrReg, src(w)) };
    Some(Insn { rd, imm: system(w).into(), ..base(op, w, true) })
}

#[rustfmt::skip]
pub(super) static PATTERNS: &[Pattern] = &[
    Pattern::new("b/bl",               "l00101 iiiiiiiiiiiiiiiiiiiiiiiiii", branch),
    Pattern::new("b.cond",             "01010100 iiiiiiiiiiiiiiiiiii 0cccc", branch_cond),
    Pattern::new("cbz/cbnz",           "s011010o iiiiiiiiiiiiiiiiiii ttttt", compare_branch),
    Pattern::new("tbz/tbnz",           "b011011o bbbbb iiiiiiiiiiiiii ttttt", test_branch),
    Pattern::new("br/blr/ret",         "1101011 00oo 11111 000000 nnnnn 00000", branch_reg),
    Pattern::new("eret",               "1101011 0100 11111 000000 11111 00000", eret),
    Pattern::new("svc/hvc/smc/brk",    "11010100 ooo iiiiiiiiiiiiiiii 000ll", exception),
    Pattern::new("hint",               "11010101 00000011 0010 mmmm ooo 11111", hint),
    Pattern::new("barrier",            "11010101 00000011 0011 mmmm ooo 11111", barrier),
    Pattern::new("msr (immediate)",    "11010101 00000ooo 0100 mmmm ooo 11111", msr_imm),
    Pattern::new("sys/sysl",           "11010101 00L01ooo nnnn mmmm ooo ttttt", sys),
    Pattern::new("mrs/msr (register)", "11010101 00L1pooo nnnn mmmm ooo ttttt", move_sysreg),
];
