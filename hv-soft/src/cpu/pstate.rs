//! Process state (Arm ARM D1.4), apart from the condition flags.

use crate::cpu::Cpu;
use crate::insn::R_SP;

/// `DAIF` bits, as in bits 9:6 of SPSR.
pub(crate) const F: u8 = 1;
pub(crate) const I: u8 = 2;
pub(crate) const D: u8 = 8;

/// PSTATE without NZCV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pstate {
    /// Exception level, 0 or 1.
    pub(crate) el: u8,
    /// SP_EL1 is selected (meaningless at EL0).
    pub(crate) spsel: bool,
    /// D, A, I and F as bits 3 to 0.
    pub(crate) daif: u8,
    /// Illegal execution state.
    pub(crate) il: bool,
    /// Software step.
    pub(crate) ss: bool,
    /// Privileged access never.
    pub(crate) pan: bool,
}

impl Pstate {
    /// EL1h with everything masked.
    pub(crate) const fn reset() -> Pstate {
        Pstate { el: 1, spsel: true, daif: 15, il: false, ss: false, pan: false }
    }

    /// Which bank the current stack pointer belongs to.
    fn bank(&self) -> usize {
        usize::from(self.el == 1 && self.spsel)
    }
}

impl Cpu {
    /// Replaces PSTATE, switching stack pointers. The caller calls [`Cpu::refresh`] once done.
    pub(crate) fn set_pstate(&mut self, new: Pstate) {
        self.sp_bank[self.pstate.bank()] = self.r[R_SP as usize];
        self.pstate = new;
        self.r[R_SP as usize] = self.sp_bank[new.bank()];
    }

    /// SP_EL0 or SP_EL1.
    pub fn sp_of(&self, el: usize) -> u64 {
        if self.pstate.bank() == el { self.sp() } else { self.sp_bank[el & 1] }
    }

    /// Sets SP_EL0 or SP_EL1.
    pub fn set_sp_of(&mut self, el: usize, value: u64) {
        if self.pstate.bank() == el {
            self.r[R_SP as usize] = value;
        } else {
            self.sp_bank[el & 1] = value;
        }
    }

    /// PSTATE in the format of SPSR_EL1 (the framework's CPSR).
    pub fn cpsr(&self) -> u64 {
        let p = &self.pstate;
        let mode = if p.el == 0 { 0 } else { 4 | u64::from(p.spsel) };
        mode | u64::from(p.daif) << 6
            | u64::from(p.il) << 20
            | u64::from(p.ss) << 21
            | u64::from(p.pan) << 22
            | u64::from(self.nzcv()) << 28
    }

    /// Sets PSTATE from the format of SPSR_EL1. A mode that does not exist sets `PSTATE.IL` and
    /// leaves the exception level (Arm ARM D1.4.2.4, illegal exception return); the caller decides
    /// when that is the case.
    pub fn set_cpsr(&mut self, spsr: u64) {
        let old = self.pstate;
        let legal = matches!(spsr & 0x1f, 0 | 4 | 5);
        self.set_pstate(Pstate {
            el: if legal { (spsr >> 2 & 3) as u8 } else { old.el },
            spsel: if legal { spsr & 1 != 0 } else { old.spsel },
            daif: (spsr >> 6 & 15) as u8,
            il: !legal || spsr >> 20 & 1 != 0,
            ss: legal && spsr >> 21 & 1 != 0,
            pan: spsr >> 22 & 1 != 0,
        });
        self.set_nzcv((spsr >> 28) as u8);
        self.refresh();
    }
}
