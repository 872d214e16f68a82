//! Moves, logic, shifts, bit fields and bit counting (Arm ARM C6.2).

use super::arith::{shift, sized};
use super::by_size;
use crate::cpu::Cpu;
use crate::cpu::flags::Flags;
use crate::decode::base::BaseOp::{self, *};
use crate::exec::thread::{Threaded, thread};
use crate::insn::{Flow, Insn, R_ZERO};

const AND: u8 = 0;
const ORR: u8 = 1;
const EOR: u8 = 2;
const ANDS: u8 = 3;

#[rustfmt::skip]
pub(super) fn handler(op: BaseOp, insn: &Insn) -> Threaded {
    let plain = insn.imm == 0 && insn.aux >> 1 == 0;
    match op {
        Adr | Adrp => thread(adr),
        MovImm => thread(mov_imm),
        Movk => thread(movk),
        Ubfm => by_size!(insn, ubfm),
        Sbfm => by_size!(insn, sbfm),
        Bfm => by_size!(insn, bfm),
        Extr => by_size!(insn, extr),
        AndImm => thread(logic_imm::<true, AND>),
        OrrImm => by_size!(insn, logic_imm, ORR),
        EorImm => by_size!(insn, logic_imm, EOR),
        AndsImm => by_size!(insn, logic_imm, ANDS),
        Orr if plain && insn.rn == R_ZERO => by_size!(insn, mov),
        And if plain => by_size!(insn, logic, AND),
        Orr if plain => by_size!(insn, logic, ORR),
        Eor if plain => by_size!(insn, logic, EOR),
        Ands if plain => by_size!(insn, logic, ANDS),
        And => by_size!(insn, logic_shifted, AND, false),
        Orr => by_size!(insn, logic_shifted, ORR, false),
        Eor => by_size!(insn, logic_shifted, EOR, false),
        Ands => by_size!(insn, logic_shifted, ANDS, false),
        Bic => by_size!(insn, logic_shifted, AND, true),
        Orn => by_size!(insn, logic_shifted, ORR, true),
        Eon => by_size!(insn, logic_shifted, EOR, true),
        Bics => by_size!(insn, logic_shifted, ANDS, true),
        Lslv => by_size!(insn, shift_var, 0),
        Lsrv => by_size!(insn, shift_var, 1),
        Asrv => by_size!(insn, shift_var, 2),
        Rorv => by_size!(insn, shift_var, 3),
        Rbit => by_size!(insn, rbit),
        Rev16 => by_size!(insn, rev16),
        Rev32 => thread(rev32),
        Rev => by_size!(insn, rev),
        Clz => by_size!(insn, clz),
        Cls => by_size!(insn, cls),
        Crc32 => thread(crc::<0xedb8_8320>),
        _ => thread(crc::<0x82f6_3b78>),
    }
}

/// For ADR, imm already holds the offset from the page of the PC.
fn adr(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.set_x(i.rd, (cpu.pc & !0xfff).wrapping_add(i.imm));
    Flow::Next
}

fn mov_imm(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.set_x(i.rd, i.imm);
    Flow::Next
}

fn mov<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.set_x(i.rd, sized::<SF>(cpu.x(i.rm)));
    Flow::Next
}

fn movk(cpu: &mut Cpu, i: &Insn) -> Flow {
    let kept = cpu.x(i.rd) & !(0xffff << (i.ra & 63));
    let value = kept | i.imm;
    cpu.set_x(i.rd, if i.aux & 1 != 0 { value } else { value & 0xffff_ffff });
    Flow::Next
}

fn ubfm<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let value = (cpu.x(i.rn) >> (i.ra & 63) & i.imm) << (i.rm & 63);
    cpu.set_x(i.rd, sized::<SF>(value));
    Flow::Next
}

fn sbfm<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let field = ((cpu.x(i.rn) << (i.rm & 63)) as i64 >> (i.ra & 63)) as u64;
    cpu.set_x(i.rd, sized::<SF>(field << (i.imm & 63)));
    Flow::Next
}

fn bfm<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let field = (cpu.x(i.rn) >> (i.ra & 63) & i.imm) << (i.rm & 63);
    let kept = cpu.x(i.rd) & !(i.imm << (i.rm & 63));
    cpu.set_x(i.rd, sized::<SF>(kept | field));
    Flow::Next
}

fn extr<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (high, low, amount) = (cpu.x(i.rn), cpu.x(i.rm), i.imm as u32);
    let value = if SF {
        ((u128::from(high) << 64 | u128::from(low)) >> (amount & 63)) as u64
    } else {
        ((high << 32 | low & 0xffff_ffff) >> (amount & 31)) & 0xffff_ffff
    };
    cpu.set_x(i.rd, value);
    Flow::Next
}

#[inline(always)]
fn logic_result<const SF: bool, const OP: u8>(cpu: &mut Cpu, i: &Insn, b: u64) -> Flow {
    let a = cpu.x(i.rn);
    let value = sized::<SF>(match OP {
        ORR => a | b,
        EOR => a ^ b,
        _ => a & b,
    });
    if OP == ANDS {
        let n = if SF { value } else { value << 32 };
        cpu.flags = Flags { n, z: value, c: false, v: false };
    }
    cpu.set_x(i.rd, value);
    Flow::Next
}

/// The immediate of a 32-bit AND truncates by itself, so AND has only the 64-bit variant.
fn logic_imm<const SF: bool, const OP: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    logic_result::<SF, OP>(cpu, i, i.imm)
}

fn logic<const SF: bool, const OP: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    logic_result::<SF, OP>(cpu, i, cpu.x(i.rm))
}

fn logic_shifted<const SF: bool, const OP: u8, const NOT: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let b = shift::<SF>(cpu.x(i.rm), i.aux >> 1 & 3, i.imm as u32 & 63);
    logic_result::<SF, OP>(cpu, i, if NOT { !b } else { b })
}

fn shift_var<const SF: bool, const KIND: u32>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let amount = cpu.x(i.rm) as u32 & if SF { 63 } else { 31 };
    cpu.set_x(i.rd, shift::<SF>(cpu.x(i.rn), KIND, amount));
    Flow::Next
}

fn rbit<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let x = cpu.x(i.rn);
    cpu.set_x(i.rd, if SF { x.reverse_bits() } else { (x as u32).reverse_bits().into() });
    Flow::Next
}

fn rev16<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let x = cpu.x(i.rn);
    let swapped = (x & 0x00ff_00ff_00ff_00ff) << 8 | x >> 8 & 0x00ff_00ff_00ff_00ff;
    cpu.set_x(i.rd, sized::<SF>(swapped));
    Flow::Next
}

fn rev32(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.set_x(i.rd, cpu.x(i.rn).swap_bytes().rotate_left(32));
    Flow::Next
}

fn rev<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let x = cpu.x(i.rn);
    cpu.set_x(i.rd, if SF { x.swap_bytes() } else { (x as u32).swap_bytes().into() });
    Flow::Next
}

fn clz<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let x = cpu.x(i.rn);
    let zeros = if SF { x.leading_zeros() } else { (x as u32).leading_zeros() };
    cpu.set_x(i.rd, zeros.into());
    Flow::Next
}

/// Bits after the sign bit that equal it.
fn cls<const SF: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let x = cpu.x(i.rn);
    let count = if SF {
        (x ^ (x as i64 >> 1) as u64).leading_zeros()
    } else {
        let x = x as u32;
        (x ^ (x as i32 >> 1) as u32).leading_zeros()
    };
    cpu.set_x(i.rd, u64::from(count) - 1);
    Flow::Next
}

/// One byte at a time through a table of the reflected polynomial.
const fn crc_table(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ polynomial } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

struct CrcTable<const POLYNOMIAL: u32>;

impl<const POLYNOMIAL: u32> CrcTable<POLYNOMIAL> {
    const TABLE: &'static [u32; 256] = &crc_table(POLYNOMIAL);
}

fn crc<const POLYNOMIAL: u32>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let mut crc = cpu.x(i.rn) as u32;
    let data = cpu.x(i.rm).to_le_bytes();
    for byte in &data[..1 << (i.ra & 3)] {
        crc = crc >> 8 ^ CrcTable::<POLYNOMIAL>::TABLE[usize::from(crc as u8 ^ byte)];
    }
    cpu.set_x(i.rd, crc.into());
    Flow::Next
}
