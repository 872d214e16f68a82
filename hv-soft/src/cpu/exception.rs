//! Taking exceptions to EL1, and returning from them (Arm ARM D1.3).

use crate::cpu::pstate::Pstate;
use crate::cpu::{CoreExit, Cpu};
use crate::insn::Flow;

/// Exception classes (`ESR_ELx.EC`, Arm ARM D17.2.37).
pub(crate) mod ec {
    pub(crate) const UNKNOWN: u64 = 0x00;
    pub(crate) const WFX: u64 = 0x01;
    pub(crate) const FP_TRAP: u64 = 0x07;
    pub(crate) const ILLEGAL_STATE: u64 = 0x0e;
    pub(crate) const SVC: u64 = 0x15;
    pub(crate) const HVC: u64 = 0x16;
    pub(crate) const SMC: u64 = 0x17;
    pub(crate) const SYSREG: u64 = 0x18;
    pub(crate) const INSN_ABORT_LOWER: u64 = 0x20;
    pub(crate) const INSN_ABORT: u64 = 0x21;
    pub(crate) const PC_ALIGNMENT: u64 = 0x22;
    pub(crate) const DATA_ABORT_LOWER: u64 = 0x24;
    pub(crate) const DATA_ABORT: u64 = 0x25;
    pub(crate) const SP_ALIGNMENT: u64 = 0x26;
    pub(crate) const BREAKPOINT_LOWER: u64 = 0x30;
    pub(crate) const STEP_LOWER: u64 = 0x32;
    pub(crate) const WATCHPOINT_LOWER: u64 = 0x34;
    pub(crate) const BRK: u64 = 0x3c;

    /// Whether a syndrome is that of a breakpoint, software step, watchpoint or BRK.
    pub(crate) fn is_debug(esr: u64) -> bool {
        let class = esr >> 26;
        (BREAKPOINT_LOWER..=WATCHPOINT_LOWER + 1).contains(&class) || class == BRK
    }

    /// The syndrome of a debug exception as EL2 sees it, whichever level it came from: classes of the
    /// same level are odd.
    pub(crate) fn from_lower(esr: u64) -> u64 {
        esr & !(1 << 26)
    }
}

/// A syndrome with `IL` set (a 32-bit instruction).
pub(crate) const fn esr(class: u64, iss: u64) -> u64 {
    class << 26 | 1 << 25 | iss
}

/// A synchronous exception that an instruction asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// ESR_EL1.
    pub(crate) esr: u64,
    /// FAR_EL1, if the exception defines it.
    pub(crate) far: Option<u64>,
    /// The preferred return address is the next instruction (SVC).
    pub(crate) after: bool,
}

/// Offset in the vector table by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vector {
    Synchronous = 0x000,
    Irq = 0x080,
    Fiq = 0x100,
}

impl Cpu {
    /// Records a synchronous exception of the current instruction; return the result.
    #[cold]
    pub(crate) fn raise(&mut self, esr: u64, far: Option<u64>) -> Flow {
        self.pending = Some(Pending { esr, far, after: false });
        Flow::Exception
    }

    /// Records an exception whose return address is the next instruction.
    pub(crate) fn raise_after(&mut self, esr: u64) -> Flow {
        self.pending = Some(Pending { esr, far: None, after: true });
        Flow::Exception
    }

    /// Records an Undefined Instruction exception.
    pub fn raise_undefined(&mut self) -> Flow {
        self.raise(esr(ec::UNKNOWN, 0), None)
    }

    /// Records the trap of a SIMD&FP instruction by `CPACR_EL1.FPEN`.
    pub(crate) fn raise_fp_trap(&mut self) -> Flow {
        // COND is 0xE and CV is 1 for AArch64 (ISS of EC 0x07).
        self.raise(esr(ec::FP_TRAP, 1 << 24 | 0xe << 20), None)
    }

    /// Takes the recorded exception; `pc` is the instruction that recorded it.
    pub(crate) fn take_pending(&mut self, pc: u64) {
        let Some(Pending { esr, far, after }) = self.pending.take() else { return };
        if self.traps.debug_exceptions && ec::is_debug(esr) {
            self.pc = pc;
            self.exit = Some(CoreExit::Debug { esr: ec::from_lower(esr), va: far.unwrap_or(0) });
            return;
        }
        self.sys.esr = esr;
        if let Some(far) = far {
            self.sys.far = far;
        }
        self.take(Vector::Synchronous, if after { pc.wrapping_add(4) } else { pc });
    }

    /// Enters an exception handler (Arm ARM `AArch64.TakeException`).
    pub(crate) fn take(&mut self, vector: Vector, return_to: u64) {
        let old = self.pstate;
        let base = match (old.el, old.spsel) {
            (0, _) => 0x400,
            (_, true) => 0x200,
            (_, false) => 0x000,
        };
        self.sys.spsr = self.cpsr();
        self.sys.elr = return_to;
        // SCTLR_EL1.SPAN clear: PAN is set on every exception to EL1.
        let span = self.sys.sctlr >> 23 & 1 != 0;
        self.set_pstate(Pstate {
            el: 1,
            spsel: true,
            daif: 15,
            il: false,
            ss: false,
            pan: old.pan || !span,
        });
        self.pc = (self.sys.vbar & !0x7ff) + base + vector as u64;
        self.refresh();
    }

    /// ERET.
    pub(crate) fn exception_return(&mut self) {
        let spsr = self.sys.spsr;
        let stepping = self.debug.step_armed(&self.pstate, &self.sys, spsr);
        self.pc = self.branch_address(self.sys.elr);
        self.set_cpsr(if stepping { spsr } else { spsr & !(1 << 21) });
        // An exception return sets the event register and clears the local monitor.
        self.lines.send_event();
        self.monitor = None;
    }
}
