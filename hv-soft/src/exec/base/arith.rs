//! Addition, subtraction, multiplication, division, comparison and selection (Arm ARM C6.2).

use super::by_size;
use crate::cpu::Cpu;
use crate::cpu::flags::Flags;
use crate::decode::base::BaseOp::{self, *};
use crate::exec::thread::{Threaded, thread};
use crate::insn::{Flow, Insn};

#[rustfmt::skip]
pub(super) fn handler(op: BaseOp, insn: &Insn) -> Threaded {
    let plain = insn.imm == 0 && insn.aux >> 1 == 0;
    match op {
        AddImm => by_size!(insn, add_imm),
        SubImm => by_size!(insn, sub_imm),
        AddsImm => by_size!(insn, adds_imm),
        SubsImm => by_size!(insn, subs_imm),
        Add if plain => by_size!(insn, add),
        Sub if plain => by_size!(insn, sub),
        Adds if plain => by_size!(insn, adds),
        Subs if plain => by_size!(insn, subs),
        Add => by_size!(insn, add_shifted, false, false),
        Sub => by_size!(insn, add_shifted, true, false),
        Adds => by_size!(insn, add_shifted, false, true),
        Subs => by_size!(insn, add_shifted, true, true),
        AddExt => by_size!(insn, add_extended, false, false),
        SubExt => by_size!(insn, add_extended, true, false),
        AddsExt => by_size!(insn, add_extended, false, true),
        SubsExt => by_size!(insn, add_extended, true, true),
        Adc => by_size!(insn, adc, false, false),
        Adcs => by_size!(insn, adc, false, true),
        Sbc => by_size!(insn, adc, true, false),
        Sbcs => by_size!(insn, adc, true, true),
        CcmnReg => by_size!(insn, ccmp, false, false),
        CcmpReg => by_size!(insn, ccmp, true, false),
        CcmnImm => by_size!(insn, ccmp, false, true),
        CcmpImm => by_size!(insn, ccmp, true, true),
        Csel => by_size!(insn, csel, false, false),
        Csinc => by_size!(insn, csel, false, true),
        Csinv => by_size!(insn, csel, true, false),
        Csneg => by_size!(insn, csel, true, true),
        Udiv => by_size!(insn, udiv),
        Sdiv => by_size!(insn, sdiv),
        Madd => by_size!(insn, madd),
        Msub => by_size!(insn, msub),
        Smaddl => thread(multiply_long::<true, false>),
        Smsubl => thread(multiply_long::<true, true>),
        Umaddl => thread(multiply_long::<false, false>),
        Umsubl => thread(multiply_long::<false, true>),
        Smulh => thread(smulh),
        _ => thread(umulh),
    }
}

/// Truncates a result to the operand size.
#[inline(always)]
pub(super) fn sized<const SF: bool>(value: u64) -> u64 {
    if SF { value } else { value & 0xffff_ffff }
}

/// rn + rm, setting the flags.
#[inline(always)]
fn add_flags<const SF: bool>(cpu: &mut Cpu, a: u64, b: u64) -> u64 {
    if SF {
        let (sum, c) = a.overflowing_add(b);
        let v = (a as i64).overflowing_add(b as i64).1;
        cpu.flags = Flags { n: sum, z: sum, c, v };
        sum
    } else {
        let (sum, c) = (a as u32).overflowing_add(b as u32);
        let v = (a as i32).overflowing_add(b as i32).1;
        cpu.flags = Flags { n: u64::from(sum) << 32, z: sum.into(), c, v };
        sum.into()
    }
}

/// rn - rm, setting the flags (C is "no borrow").
#[inline(always)]
fn sub_flags<const SF: bool>(cpu: &mut Cpu, a: u64, b: u64) -> u64 {
    if SF {
        let (difference, borrow) = a.overflowing_sub(b);
        let v = (a as i64).overflowing_sub(b as i64).1;
        cpu.flags = Flags { n: difference, z: difference, c: !borrow, v };
        difference
    } else {
        let (difference, borrow) = (a as u32).overflowing_sub(b as u32);
        let v = (a as i32).overflowing_sub(b as i32).1;
        cpu.flags = Flags { n: u64::from(difference) << 32, z: difference.into(), c: !borrow, v };
        difference.into()
    }
}

fn add_imm<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.set_x(i.rd, sized::<SF>(cpu.x(i.rn).wrapping_add(i.imm)));
    Flow::Next
}

fn sub_imm<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.set_x(i.rd, sized::<SF>(cpu.x(i.rn).wrapping_sub(i.imm)));
    Flow::Next
}

fn adds_imm<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let sum = add_flags::<SF>(cpu, cpu.x(i.rn), i.imm);
    cpu.set_x(i.rd, sum);
    Flow::Next
}

fn subs_imm<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let difference = sub_flags::<SF>(cpu, cpu.x(i.rn), i.imm);
    cpu.set_x(i.rd, difference);
    Flow::Next
}

fn add<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.set_x(i.rd, sized::<SF>(cpu.x(i.rn).wrapping_add(cpu.x(i.rm))));
    Flow::Next
}

fn sub<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.set_x(i.rd, sized::<SF>(cpu.x(i.rn).wrapping_sub(cpu.x(i.rm))));
    Flow::Next
}

fn adds<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let sum = add_flags::<SF>(cpu, cpu.x(i.rn), cpu.x(i.rm));
    cpu.set_x(i.rd, sum);
    Flow::Next
}

fn subs<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let difference = sub_flags::<SF>(cpu, cpu.x(i.rn), cpu.x(i.rm));
    cpu.set_x(i.rd, difference);
    Flow::Next
}

/// `ShiftReg`: LSL, LSR, ASR, ROR by a constant amount.
#[inline(always)]
pub(super) fn shift<const SF: bool>(value: u64, kind: u32, amount: u32) -> u64 {
    if SF {
        match kind {
            0 => value << amount,
            1 => value >> amount,
            2 => (value as i64 >> amount) as u64,
            _ => value.rotate_right(amount),
        }
    } else {
        let value = value as u32;
        u64::from(match kind {
            0 => value << amount,
            1 => value >> amount,
            2 => (value as i32 >> amount) as u32,
            _ => value.rotate_right(amount),
        })
    }
}

/// `ExtendReg`: UXTB to SXTX, then a left shift.
#[inline(always)]
pub(super) fn extend(value: u64, option: u32, amount: u32) -> u64 {
    let value = match option {
        0 => value as u8 as u64,
        1 => value as u16 as u64,
        2 => value as u32 as u64,
        4 => value as i8 as u64,
        5 => value as i16 as u64,
        6 => value as i32 as u64,
        _ => value,
    };
    value << amount
}

#[inline(always)]
fn add_or_sub<const SF: bool, const SUB: bool, const S: bool>(
    cpu: &mut Cpu,
    i: &Insn,
    b: u64,
) -> Flow {
    let a = cpu.x(i.rn);
    let result = match (SUB, S) {
        (false, false) => sized::<SF>(a.wrapping_add(b)),
        (true, false) => sized::<SF>(a.wrapping_sub(b)),
        (false, true) => add_flags::<SF>(cpu, a, b),
        (true, true) => sub_flags::<SF>(cpu, a, b),
    };
    cpu.set_x(i.rd, result);
    Flow::Next
}

fn add_shifted<const SF: bool, const SUB: bool, const S: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let b = shift::<SF>(cpu.x(i.rm), i.aux >> 1 & 3, i.imm as u32);
    add_or_sub::<SF, SUB, S>(cpu, i, b)
}

fn add_extended<const SF: bool, const SUB: bool, const S: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let b = extend(cpu.x(i.rm), i.aux >> 1 & 7, i.imm as u32);
    add_or_sub::<SF, SUB, S>(cpu, i, b)
}

/// `AddWithCarry`; SBC adds the complement.
fn adc<const SF: bool, const SUB: bool, const S: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (a, b) = (cpu.x(i.rn), cpu.x(i.rm));
    let b = if SUB { !b } else { b };
    let carry = u64::from(cpu.flags.c);
    let (a, b) = (sized::<SF>(a), sized::<SF>(b));
    let wide = u128::from(a) + u128::from(b) + u128::from(carry);
    let sum = sized::<SF>(wide as u64);
    if S {
        let bits = if SF { 64 } else { 32 };
        let overflow = (a ^ sum) & (b ^ sum);
        cpu.flags = Flags {
            n: sum << (64 - bits),
            z: sum,
            c: wide >> bits != 0,
            v: overflow >> (bits - 1) & 1 != 0,
        };
    }
    cpu.set_x(i.rd, sum);
    Flow::Next
}

fn ccmp<const SF: bool, const SUB: bool, const IMM: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    if cpu.cond((i.aux >> 1) as u8) {
        let b = if IMM { i.imm } else { cpu.x(i.rm) };
        let a = cpu.x(i.rn);
        if SUB {
            sub_flags::<SF>(cpu, a, b)
        } else {
            add_flags::<SF>(cpu, a, b)
        };
    } else {
        cpu.set_nzcv(i.ra);
    }
    Flow::Next
}

fn csel<const SF: bool, const INV: bool, const INC: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let value = if cpu.cond((i.aux >> 1) as u8) {
        cpu.x(i.rn)
    } else {
        let b = cpu.x(i.rm);
        (if INV { !b } else { b }).wrapping_add(INC.into())
    };
    cpu.set_x(i.rd, sized::<SF>(value));
    Flow::Next
}

/// Division by zero gives zero.
fn udiv<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (a, b) = (sized::<SF>(cpu.x(i.rn)), sized::<SF>(cpu.x(i.rm)));
    cpu.set_x(i.rd, a.checked_div(b).unwrap_or(0));
    Flow::Next
}

/// Division by zero gives zero; the most negative number divided by -1 gives itself.
fn sdiv<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (a, b) = (cpu.x(i.rn), cpu.x(i.rm));
    let quotient = match (SF, b as i64, b as i32) {
        (true, 0, _) | (false, _, 0) => 0,
        (true, b, _) => (a as i64).wrapping_div(b) as u64,
        (false, _, b) => (a as i32).wrapping_div(b) as u32 as u64,
    };
    cpu.set_x(i.rd, quotient);
    Flow::Next
}

fn madd<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let product = cpu.x(i.rn).wrapping_mul(cpu.x(i.rm));
    cpu.set_x(i.rd, sized::<SF>(cpu.x(i.ra).wrapping_add(product)));
    Flow::Next
}

fn msub<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let product = cpu.x(i.rn).wrapping_mul(cpu.x(i.rm));
    cpu.set_x(i.rd, sized::<SF>(cpu.x(i.ra).wrapping_sub(product)));
    Flow::Next
}

fn multiply_long<const SIGNED: bool, const SUB: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (a, b) = (cpu.x(i.rn), cpu.x(i.rm));
    let product = if SIGNED {
        (i64::from(a as i32) * i64::from(b as i32)) as u64
    } else {
        u64::from(a as u32) * u64::from(b as u32)
    };
    let sum = cpu.x(i.ra);
    cpu.set_x(i.rd, if SUB { sum.wrapping_sub(product) } else { sum.wrapping_add(product) });
    Flow::Next
}

fn smulh(cpu: &mut Cpu, i: &Insn) -> Flow {
    let product = i128::from(cpu.x(i.rn) as i64) * i128::from(cpu.x(i.rm) as i64);
    cpu.set_x(i.rd, (product >> 64) as u64);
    Flow::Next
}

fn umulh(cpu: &mut Cpu, i: &Insn) -> Flow {
    let product = u128::from(cpu.x(i.rn)) * u128::from(cpu.x(i.rm));
    cpu.set_x(i.rd, (product >> 64) as u64);
    Flow::Next
}
