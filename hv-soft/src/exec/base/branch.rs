//! Branches (Arm ARM C6.2). `imm` is the target's offset from the page of the PC.

use super::by_size;
use crate::cpu::Cpu;
use crate::decode::base::BaseOp::{self, *};
use crate::exec::thread::{Threaded, thread};
use crate::insn::{Flow, Insn};

pub(super) fn handler(op: BaseOp, insn: &Insn) -> Threaded {
    match op {
        B => thread(b),
        Bl => thread(bl),
        BCond => CONDITIONS[(insn.aux >> 1 & 15) as usize],
        Cbz => by_size!(insn, compare_branch, true),
        Cbnz => by_size!(insn, compare_branch, false),
        Tbz => thread(test_branch::<true>),
        Tbnz => thread(test_branch::<false>),
        Br | Ret => thread(br),
        _ => thread(blr),
    }
}

#[rustfmt::skip]
const CONDITIONS: [Threaded; 16] = [
    thread(b_cond::<0>), thread(b_cond::<1>), thread(b_cond::<2>), thread(b_cond::<3>), thread(b_cond::<4>), thread(b_cond::<5>), thread(b_cond::<6>), thread(b_cond::<7>),
    thread(b_cond::<8>), thread(b_cond::<9>), thread(b_cond::<10>), thread(b_cond::<11>), thread(b_cond::<12>), thread(b_cond::<13>), thread(b), thread(b),
];

fn b(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.pc = (cpu.pc & !0xfff).wrapping_add(i.imm);
    Flow::Jump
}

fn bl(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.link(i);
    b(cpu, i)
}

fn b_cond<const CONDITION: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    if cpu.cond(CONDITION) { b(cpu, i) } else { Flow::Next }
}

fn compare_branch<const SF: bool, const ZERO: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let x = cpu.x(i.rn);
    let zero = if SF { x == 0 } else { x as u32 == 0 };
    if zero == ZERO { b(cpu, i) } else { Flow::Next }
}

fn test_branch<const ZERO: bool>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let zero = cpu.x(i.rn) >> (i.ra & 63) & 1 == 0;
    if zero == ZERO { b(cpu, i) } else { Flow::Next }
}

fn br(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.jump(cpu.x(i.rn))
}

fn blr(cpu: &mut Cpu, i: &Insn) -> Flow {
    let target = cpu.x(i.rn);
    cpu.link(i);
    cpu.jump(target)
}

impl Cpu {
    /// Sets the link register; see [`super::bind`] for the return address.
    #[inline(always)]
    fn link(&mut self, i: &Insn) {
        self.set_x(30, (self.pc & !0xfff).wrapping_add(u64::from(i.aux >> 1)));
    }

    /// Jumps to an address in a register. A misaligned one faults at the target.
    #[inline(always)]
    fn jump(&mut self, target: u64) -> Flow {
        self.pc = self.branch_address(target);
        if target & 3 != 0 {
            self.careful = true;
        }
        Flow::Jump
    }

    /// `AArch64.BranchAddr`: the program counter never holds the tag of an address whose top byte is
    /// ignored.
    #[inline(always)]
    pub(crate) fn branch_address(&self, target: u64) -> u64 {
        let untagged = ((target << 8) as i64 >> 8) as u64;
        let top_byte_ignored = || self.sys.tcr >> (37 + (target >> 55 & 1)) & 1 != 0;
        if untagged != target && top_byte_ignored() { untagged } else { target }
    }
}
