//! Exception generation, hints, barriers and system-register access (Arm ARM C5).

use std::sync::atomic::{Ordering, fence};

use crate::cpu::exception::{ec, esr};
use crate::cpu::lines::{FIQ, IRQ};
use crate::cpu::pstate::Pstate;
use crate::cpu::sysreg::{changes_context, id};
use crate::cpu::{CoreExit, Cpu};
use crate::decode::base::BaseOp::{self, *};
use crate::exec::thread::{Threaded, thread};
use crate::insn::{Flow, Insn};

use super::sysop;

/// SCTLR_EL1 bits that open things to EL0.
const SCTLR_UMA: u32 = 9;
const SCTLR_UCT: u32 = 15;
const SCTLR_NTWI: u32 = 16;
const SCTLR_NTWE: u32 = 18;

pub(super) fn handler(op: BaseOp, insn: &Insn) -> Threaded {
    match op {
        Eret => thread(eret),
        Svc => thread(svc),
        Hvc => thread(hvc),
        Smc => thread(smc),
        Brk => thread(brk),
        Yield => thread(yield_now),
        Wfe => thread(wfe),
        Wfi => thread(wfi),
        Sev => thread(sev),
        Sevl => thread(sevl),
        Clrex => thread(clrex),
        Dsb => thread(dsb),
        Dmb => match insn.imm & 3 {
            1 => thread(dmb_loads),
            2 => thread(dmb_stores),
            _ => thread(dmb),
        },
        Isb => thread(isb),
        MsrImm => thread(msr_imm),
        Mrs => thread(mrs),
        MsrReg => thread(msr_reg),
        Sys => thread(sysop::sys),
        Sysl => thread(crate::exec::undefined),
        _ => thread(nop),
    }
}

fn nop(_: &mut Cpu, _: &Insn) -> Flow {
    Flow::Next
}

fn eret(cpu: &mut Cpu, _: &Insn) -> Flow {
    if cpu.pstate.el == 0 {
        return cpu.raise_undefined();
    }
    cpu.exception_return();
    // Not a jump: the regime has changed, so the page must be looked up again even if it is this one.
    Flow::Exception
}

fn svc(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.raise_after(esr(ec::SVC, i.imm))
}

fn hvc(cpu: &mut Cpu, i: &Insn) -> Flow {
    if cpu.pstate.el == 0 {
        return cpu.raise_undefined();
    }
    cpu.exit = Some(CoreExit::Hvc { esr: esr(ec::HVC, i.imm) });
    Flow::Exit
}

fn smc(cpu: &mut Cpu, i: &Insn) -> Flow {
    if cpu.pstate.el == 0 {
        return cpu.raise_undefined();
    }
    cpu.exit = Some(CoreExit::Smc { esr: esr(ec::SMC, i.imm) });
    Flow::Exit
}

fn brk(cpu: &mut Cpu, i: &Insn) -> Flow {
    cpu.raise(esr(ec::BRK, i.imm), None)
}

/// The trap of WFI (`TI` 0) or WFE (1) at EL0.
fn wait_trap(cpu: &mut Cpu, kind: u64) -> Flow {
    cpu.raise(esr(ec::WFX, 1 << 24 | 0xe << 20 | kind), None)
}

fn wfi(cpu: &mut Cpu, _: &Insn) -> Flow {
    // A pending interrupt ends the wait even if it is masked (Arm ARM D1.6.2).
    if cpu.lines.attention() & (IRQ | FIQ) != 0 {
        return Flow::Sync;
    }
    if cpu.pstate.el == 0 && cpu.sys.sctlr >> SCTLR_NTWI & 1 == 0 {
        return wait_trap(cpu, 0);
    }
    cpu.exit = Some(CoreExit::Wfi);
    Flow::Exit
}

/// WFE may complete at any time; giving the host CPU away is all the waiting it does.
fn wfe(cpu: &mut Cpu, _: &Insn) -> Flow {
    if !cpu.lines.take_event() {
        if cpu.pstate.el == 0 && cpu.sys.sctlr >> SCTLR_NTWE & 1 == 0 {
            return wait_trap(cpu, 1);
        }
        std::thread::yield_now();
    }
    Flow::Sync
}

fn yield_now(_: &mut Cpu, _: &Insn) -> Flow {
    std::thread::yield_now();
    Flow::Next
}

fn sev(cpu: &mut Cpu, _: &Insn) -> Flow {
    cpu.domain.send_event();
    Flow::Next
}

fn sevl(cpu: &mut Cpu, _: &Insn) -> Flow {
    cpu.lines.send_event();
    Flow::Next
}

fn clrex(cpu: &mut Cpu, _: &Insn) -> Flow {
    cpu.monitor = None;
    Flow::Next
}

fn dsb(cpu: &mut Cpu, _: &Insn) -> Flow {
    fence(Ordering::SeqCst);
    // What was served may have dropped the rest of this block.
    if cpu.await_maintenance() { Flow::Sync } else { Flow::Next }
}

fn dmb(_: &mut Cpu, _: &Insn) -> Flow {
    fence(Ordering::SeqCst);
    Flow::Next
}

fn dmb_loads(_: &mut Cpu, _: &Insn) -> Flow {
    fence(Ordering::Acquire);
    Flow::Next
}

fn dmb_stores(_: &mut Cpu, _: &Insn) -> Flow {
    fence(Ordering::Release);
    Flow::Next
}

fn isb(_: &mut Cpu, _: &Insn) -> Flow {
    Flow::Sync
}

/// Records the trap of a system instruction (EC 0x18), in the form that both EL1 and the embedder see.
fn access_syndrome(reg: u16, rt: u32, is_read: bool) -> u64 {
    let reg = u64::from(reg);
    let (op0, op1) = (reg >> 14 & 3, reg >> 11 & 7);
    let (crn, crm, op2) = (reg >> 7 & 15, reg >> 3 & 15, reg & 7);
    let rt = u64::from(rt & 31);
    let iss =
        op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | rt << 5 | crm << 1 | u64::from(is_read);
    esr(ec::SYSREG, iss)
}

/// Records the trap of a system instruction to EL1.
pub(super) fn access_trap(cpu: &mut Cpu, i: &Insn, is_read: bool) -> Flow {
    cpu.raise(access_syndrome(i.imm as u16, i.word, is_read), None)
}

fn msr_imm(cpu: &mut Cpu, i: &Insn) -> Flow {
    const SPSEL: u8 = 0o05;
    const PAN: u8 = 0o04;
    const DAIFSET: u8 = 0o36;
    let is_daif = i.ra & 0o70 == 0o30;
    if cpu.pstate.el == 0 {
        if !is_daif {
            return cpu.raise_undefined();
        }
        if cpu.sys.sctlr >> SCTLR_UMA & 1 == 0 {
            let encoding = crate::cpu::sysreg::encode(0, 3, 4, i.imm as u16, u16::from(i.ra & 7));
            return cpu.raise(access_syndrome(encoding, 31, false), None);
        }
    }
    let value = i.imm as u8;
    let old = cpu.pstate;
    match i.ra {
        SPSEL => cpu.set_pstate(Pstate { spsel: value & 1 != 0, ..old }),
        PAN => cpu.pstate.pan = value & 1 != 0,
        DAIFSET => cpu.pstate.daif |= value,
        _ => cpu.pstate.daif &= !value,
    }
    cpu.refresh();
    Flow::Sync
}

/// What EL0 may do with a system register.
enum Access {
    Allowed,
    Undefined,
    /// Undefined unless EL1 opened it; then the trap of EC 0x18.
    Trapped,
}

fn access_from_el0(cpu: &Cpu, reg: u16, is_read: bool) -> Access {
    let sctlr = cpu.sys.sctlr;
    let timer = cpu.sys.cntkctl;
    let open = match reg {
        id::NZCV | id::FPCR | id::FPSR | id::TPIDR_EL0 => true,
        id::TPIDRRO_EL0 | id::DCZID_EL0 if is_read => true,
        id::CTR_EL0 if is_read => sctlr >> SCTLR_UCT & 1 != 0,
        id::DAIF => sctlr >> SCTLR_UMA & 1 != 0,
        id::CNTFRQ_EL0 if is_read => timer & 3 != 0,
        id::CNTPCT_EL0 if is_read => timer & 1 != 0,
        id::CNTVCT_EL0 if is_read => timer >> 1 & 1 != 0,
        id::CNTV_TVAL_EL0 | id::CNTV_CTL_EL0 | id::CNTV_CVAL_EL0 => timer >> 8 & 1 != 0,
        id::CNTP_TVAL_EL0 | id::CNTP_CTL_EL0 | id::CNTP_CVAL_EL0 => timer >> 9 & 1 != 0,
        id::MDCCSR_EL0 | id::DBGDTR_EL0 | id::DBGDTRRX_EL0 => cpu.sys.mdscr >> 12 & 1 == 0,
        _ => return Access::Undefined,
    };
    if open { Access::Allowed } else { Access::Trapped }
}

/// The checks that precede an access; the flow to return if one of them objects.
fn check_access(cpu: &mut Cpu, i: &Insn, is_read: bool) -> Option<Flow> {
    let reg = i.imm as u16;
    if cpu.pstate.el == 0 {
        match access_from_el0(cpu, reg, is_read) {
            Access::Allowed => {}
            Access::Undefined => return Some(cpu.raise_undefined()),
            Access::Trapped => return Some(access_trap(cpu, i, is_read)),
        }
    }
    const DEBUG_OP0: u16 = 2;
    if cpu.traps.debug_registers && reg >> 14 == DEBUG_OP0 {
        return Some(leave(cpu, i, is_read));
    }
    if cpu.fp_off && matches!(reg, id::FPCR | id::FPSR) {
        return Some(cpu.raise_fp_trap());
    }
    // SP_EL0 is the current stack pointer, or SP_EL1 belongs to EL2.
    if reg == id::SP_EL1 || reg == id::SP_EL0 && !cpu.pstate.spsel {
        return Some(cpu.raise_undefined());
    }
    None
}

/// Leaves an access to the embedder.
fn leave(cpu: &mut Cpu, i: &Insn, is_read: bool) -> Flow {
    cpu.exit = Some(CoreExit::SysReg { esr: access_syndrome(i.imm as u16, i.word, is_read) });
    Flow::Exit
}

fn mrs(cpu: &mut Cpu, i: &Insn) -> Flow {
    if let Some(flow) = check_access(cpu, i, true) {
        return flow;
    }
    match cpu.sysreg(i.imm as u16) {
        Some(value) => {
            cpu.set_x(i.rd, value);
            Flow::Next
        }
        None if i.imm as u16 == id::OSLAR_EL1 => cpu.raise_undefined(),
        None => leave(cpu, i, true),
    }
}

fn msr_reg(cpu: &mut Cpu, i: &Insn) -> Flow {
    let reg = i.imm as u16;
    if let Some(flow) = check_access(cpu, i, false) {
        return flow;
    }
    if reg != id::MPIDR_EL1 && cpu.set_sysreg(reg, cpu.x(i.rd)) {
        return if changes_context(reg) { Flow::Sync } else { Flow::Next };
    }
    // Read-only registers of the core are UNDEFINED for writes.
    if cpu.sysreg(reg).is_some() { cpu.raise_undefined() } else { leave(cpu, i, false) }
}
