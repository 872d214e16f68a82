//! Self-hosted debug (Arm ARM D2): breakpoints, watchpoints, software step.

use crate::cpu::Cpu;
use crate::cpu::exception::{ec, esr};
use crate::cpu::pstate::{self, Pstate};
use crate::cpu::sysreg::{SysRegs, id};
use crate::insn::Flow;
use crate::mem::PAGE;
use crate::mmu::tlb::Regime;
use crate::mmu::walk::Want;

/// Breakpoints, and as many watchpoints.
const COUNT: usize = 2;
/// The breakpoint that can compare contexts.
const CONTEXT_AWARE: usize = 1;
const MDSCR_SS: u64 = 1;
const MDSCR_KDE: u64 = 1 << 13;
const MDSCR_MDE: u64 = 1 << 15;
/// Status code of debug exceptions.
const DEBUG_STATUS: u64 = 0b100010;

/// The debug registers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Debug {
    bvr: [u64; COUNT],
    bcr: [u64; COUNT],
    wvr: [u64; COUNT],
    wcr: [u64; COUNT],
    /// What was stepped last, for the syndrome: whether it was a load-exclusive.
    pub(crate) stepped: Option<bool>,
}

/// Whether debug exceptions other than BRK can be taken (Arm ARM D2.4).
fn enabled(pstate: &Pstate, sys: &SysRegs) -> bool {
    enabled_from(pstate.el, pstate.daif, sys)
}

fn enabled_from(el: u8, daif: u8, sys: &SysRegs) -> bool {
    !sys.os_locked
        && sys.osdlr == 0
        && (el == 0 || sys.mdscr & MDSCR_KDE != 0 && daif & pstate::D == 0)
}

impl Debug {
    fn slot(&self, reg: u16) -> Option<(u16, usize)> {
        let n = usize::from(reg >> 3 & 15);
        let kind = reg & 7;
        (reg & !0x7f == id::DBGBVR0_EL1 & !0x7f && n < COUNT && kind >= 4).then_some((kind, n))
    }

    pub(crate) fn register(&self, reg: u16) -> Option<u64> {
        let (kind, n) = self.slot(reg)?;
        Some(match kind {
            4 => self.bvr[n],
            5 => self.bcr[n],
            6 => self.wvr[n],
            _ => self.wcr[n],
        })
    }

    pub(crate) fn set_register(&mut self, reg: u16, value: u64) -> bool {
        let Some((kind, n)) = self.slot(reg) else { return false };
        match kind {
            4 => self.bvr[n] = value & !3,
            5 => self.bcr[n] = value & 0x00ff_e1e7,
            6 => self.wvr[n] = value & !3,
            _ => self.wcr[n] = value & 0x1f1f_ffff,
        }
        if kind == 4 && n == CONTEXT_AWARE {
            self.bvr[n] = value;
        }
        true
    }

    /// Whether anything asks for one instruction at a time.
    pub(crate) fn is_active(&self, pstate: &Pstate, sys: &SysRegs) -> bool {
        enabled(pstate, sys)
            && (sys.mdscr & MDSCR_SS != 0
                || sys.mdscr & MDSCR_MDE != 0 && self.bcr.iter().any(|bcr| bcr & 1 != 0))
    }

    /// Whether a watchpoint is enabled.
    pub(crate) fn watches(&self) -> bool {
        self.wcr.iter().any(|wcr| wcr & 1 != 0)
    }

    /// Whether a watchpoint covers part of this page.
    pub(crate) fn watches_page(&self, va: u64) -> bool {
        let page = va & !(PAGE - 1);
        (0..COUNT).any(|n| {
            let (base, len) = self.watched(n);
            self.wcr[n] & 1 != 0 && overlap(page, PAGE, base, len)
        })
    }

    /// The aligned range that a watchpoint looks at, before byte selection.
    fn watched(&self, n: usize) -> (u64, u64) {
        let mask = self.wcr[n] >> 24 & 31;
        let len = if mask == 0 { 8 } else { 1 << mask };
        (self.wvr[n] & !(len - 1), len)
    }

    /// Whether a return from the current state to `spsr` starts a step (`DebugExceptionReturnSS`).
    pub(crate) fn step_armed(&self, from: &Pstate, sys: &SysRegs, spsr: u64) -> bool {
        let (el, daif) = ((spsr >> 2 & 3) as u8, (spsr >> 6 & 15) as u8);
        sys.mdscr & MDSCR_SS != 0 && !enabled(from, sys) && enabled_from(el, daif, sys)
    }

    /// Whether software step is active in this state.
    pub(crate) fn stepping(&self, pstate: &Pstate, sys: &SysRegs) -> bool {
        sys.mdscr & MDSCR_SS != 0 && enabled(pstate, sys)
    }

    fn level_matches(control: u64, el: u8) -> bool {
        // Bits 2:1 choose the exception levels; HMC and SSC choose worlds that do not exist here.
        control >> (1 + u32::from(el == 0)) & 1 != 0
    }

    /// Whether the context comparison that `control` links to holds.
    fn linked_context_matches(&self, control: u64, sys: &SysRegs) -> bool {
        let linked = &self.bcr[CONTEXT_AWARE];
        (control >> 16 & 15) as usize == CONTEXT_AWARE
            && linked & 1 != 0
            && linked >> 20 & 15 == 0b0011
            && self.bvr[CONTEXT_AWARE] as u32 == sys.contextidr as u32
    }

    fn breakpoint_matches(&self, n: usize, pc: u64, el: u8, sys: &SysRegs) -> bool {
        let control = self.bcr[n];
        if control & 1 == 0 || !Self::level_matches(control, el) {
            return false;
        }
        let address = || sign48(self.bvr[n]) == pc & !3 && control >> 5 & 15 != 0;
        match control >> 20 & 15 {
            0b0000 => address(),
            0b0001 => address() && self.linked_context_matches(control, sys),
            0b0010 => n == CONTEXT_AWARE && self.bvr[n] as u32 == sys.contextidr as u32,
            _ => false,
        }
    }
}

/// Breakpoint addresses are 49 bits wide, the rest is a copy of the highest (RESS).
fn sign48(va: u64) -> u64 {
    ((va << 15) as i64 >> 15) as u64
}

fn overlap(a: u64, a_len: u64, b: u64, b_len: u64) -> bool {
    b.wrapping_sub(a) < a_len || a.wrapping_sub(b) < b_len
}

impl Cpu {
    /// Whether a software step exception is due; if so, it has been recorded.
    pub(crate) fn step_before(&mut self) -> bool {
        let class = |lower: u64, el: u8| lower + u64::from(el != 0);
        if self.debug.stepping(&self.pstate, &self.sys) && !self.pstate.ss {
            let iss = match self.debug.stepped.take() {
                Some(exclusive) => 1 << 24 | u64::from(exclusive) << 6,
                None => 0,
            };
            self.raise(esr(class(ec::STEP_LOWER, self.pstate.el), iss | DEBUG_STATUS), None);
            return true;
        }
        self.debug.stepped = None;
        false
    }

    /// Whether a breakpoint matches at the PC; if so, its exception has been recorded.
    pub(crate) fn breakpoint_before(&mut self) -> bool {
        let hit = self.sys.mdscr & MDSCR_MDE != 0
            && enabled(&self.pstate, &self.sys)
            && (0..COUNT)
                .any(|n| self.debug.breakpoint_matches(n, self.pc, self.pstate.el, &self.sys));
        if hit {
            let class = ec::BREAKPOINT_LOWER + u64::from(self.pstate.el != 0);
            self.raise(esr(class, DEBUG_STATUS), None);
        }
        hit
    }

    /// Whether an access hits a watchpoint.
    pub(crate) fn watchpoint_hit(&self, va: u64, size: u64, want: Want, regime: Regime) -> bool {
        if self.sys.mdscr & MDSCR_MDE == 0 || !enabled(&self.pstate, &self.sys) {
            return false;
        }
        let va = sign48(va);
        let el = if regime == Regime::User { 0 } else { 1 };
        let kind = if want == Want::Write { 2 } else { 1 };
        (0..COUNT).any(|n| {
            let control = self.debug.wcr[n];
            if control & 1 == 0
                || control >> 3 & kind == 0
                || !Debug::level_matches(control, el)
                || control >> 20 & 1 != 0 && !self.debug.linked_context_matches(control, &self.sys)
            {
                return false;
            }
            let (base, len) = self.debug.watched(n);
            let base = sign48(base);
            if len > 8 {
                return overlap(va, size, base, len);
            }
            (0..8).any(|b| control >> (5 + b) & 1 != 0 && overlap(va, size, base + b, 1))
        })
    }

    /// Records a watchpoint exception.
    pub(crate) fn watchpoint(&mut self, va: u64, want: Want) -> Flow {
        let class = ec::WATCHPOINT_LOWER + u64::from(self.pstate.el != 0);
        let iss = u64::from(want == Want::Write) << 6 | DEBUG_STATUS;
        self.raise(esr(class, iss), Some(va))
    }
}
