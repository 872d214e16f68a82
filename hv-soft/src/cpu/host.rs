//! What the host may do to a PE between runs, beyond its registers.

use crate::cpu::{Cpu, id};

/// What exits to the host instead of being done inside (the framework's `hv_vcpu_set_trap_debug_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traps {
    /// Breakpoints, watchpoints, software steps and BRK.
    pub debug_exceptions: bool,
    /// MSR and MRS of debug registers (op0 = 2).
    pub debug_registers: bool,
}

impl Cpu {
    /// Goes past the instruction at the PC: the host has completed it.
    pub fn skip(&mut self) {
        self.set_pc(self.pc.wrapping_add(4));
    }

    /// Chooses what the guest reads from an identification register.
    pub fn override_identification(&mut self, reg: u16, value: u64) {
        self.identification.retain(|(known, _)| *known != reg);
        self.identification.push((reg, value));
    }

    /// The value of an identification register, if `reg` is one.
    pub(crate) fn identification(&self, reg: u16) -> Option<u64> {
        let overridden = self.identification.iter().find(|(known, _)| *known == reg);
        overridden.map(|(_, value)| *value).or_else(|| id::constant(reg))
    }
}
