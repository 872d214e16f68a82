//! The CPU interface: what the `ICC_*` registers hold, priorities and preemption (IHI 0069 4.8).

use arch_aarch64::sysreg::SysReg;

use super::spec::{
    ICC_CTLR_CBPR, ICC_CTLR_EOIMODE, ICC_CTLR_FIXED, ICC_SRE, IDLE_PRIORITY, MIN_BPR0, MIN_BPR1,
    PRIORITY_MASK,
};

/// Interrupt group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Signalled as FIQ.
    Zero,
    /// Signalled as IRQ.
    One,
}

/// State of one CPU interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    priority_mask: u8,
    binary_point: [u8; 2],
    /// `CBPR` and `EOImode`.
    control: u64,
    group_enable: [bool; 2],
    /// `ICC_AP0R0_EL1`, `ICC_AP1R0_EL1`: bit n stands for an active priority of 8·n.
    active: [u32; 2],
}

impl Interface {
    /// The reset state.
    pub(super) fn new() -> Interface {
        Interface {
            priority_mask: 0,
            binary_point: [MIN_BPR0, MIN_BPR1],
            control: 0,
            group_enable: [false; 2],
            active: [0; 2],
        }
    }

    /// Whether interrupts of the group reach the PE (`ICC_IGRPEN<n>_EL1`).
    pub(super) fn enables(&self, group: Group) -> bool {
        self.group_enable[group as usize]
    }

    /// Whether writing EOIR also deactivates (`EOImode` 0).
    pub(super) fn eoi_deactivates(&self) -> bool {
        self.control & ICC_CTLR_EOIMODE == 0
    }

    /// Priority of the highest active interrupt, or [`IDLE_PRIORITY`].
    pub(super) fn running_priority(&self) -> u8 {
        match (self.active[0] | self.active[1]).trailing_zeros() {
            32 => IDLE_PRIORITY,
            level => (level << 3) as u8,
        }
    }

    /// The part of a priority that decides preemption (IHI 0069 4.8.6, table 4-8).
    fn group_priority(&self, group: Group, priority: u8) -> u8 {
        let subpriority_bits = match group {
            Group::One if self.control & ICC_CTLR_CBPR == 0 => self.binary_point[1],
            _ => self.binary_point[0] + 1,
        };
        // Eight subpriority bits leave no group priority.
        priority & 0xff_u8.checked_shl(u32::from(subpriority_bits)).unwrap_or(0)
    }

    /// Whether a pending interrupt passes the mask and preempts what runs.
    pub(super) fn accepts(&self, group: Group, priority: u8) -> bool {
        priority < self.priority_mask
            && (self.running_priority() == IDLE_PRIORITY
                || self.group_priority(group, priority) < self.running_priority())
    }

    /// Enters an interrupt's priority into the active priorities.
    pub(super) fn raise(&mut self, group: Group, priority: u8) {
        let level = self.group_priority(group, priority) >> 3;
        self.active[group as usize] |= 1 << level;
    }

    /// Priority drop: leaves the highest active priority, if it is one of that group.
    pub(super) fn drop_priority(&mut self, group: Group) {
        let [zero, one] = self.active.map(u32::trailing_zeros);
        let highest = if zero <= one { Group::Zero } else { Group::One };
        if group == highest {
            let active = &mut self.active[group as usize];
            *active &= active.wrapping_sub(1);
        }
    }

    /// Reads a register that has no side effects.
    pub(super) fn read(&self, register: SysReg) -> Option<u64> {
        Some(match register {
            SysReg::ICC_PMR_EL1 => u64::from(self.priority_mask),
            SysReg::ICC_BPR0_EL1 => u64::from(self.binary_point[0]),
            SysReg::ICC_BPR1_EL1 if self.control & ICC_CTLR_CBPR != 0 => {
                u64::from(self.binary_point[0] + 1).min(7)
            }
            SysReg::ICC_BPR1_EL1 => u64::from(self.binary_point[1]),
            SysReg::ICC_AP0R0_EL1 => u64::from(self.active[0]),
            SysReg::ICC_AP1R0_EL1 => u64::from(self.active[1]),
            SysReg::ICC_RPR_EL1 => u64::from(self.running_priority()),
            SysReg::ICC_CTLR_EL1 => self.control | ICC_CTLR_FIXED,
            SysReg::ICC_SRE_EL1 => ICC_SRE,
            SysReg::ICC_IGRPEN0_EL1 => u64::from(self.group_enable[0]),
            SysReg::ICC_IGRPEN1_EL1 => u64::from(self.group_enable[1]),
            _ => return None,
        })
    }

    /// Writes a register that has no side effects outside the interface.
    pub(super) fn write(&mut self, register: SysReg, value: u64) -> Option<()> {
        match register {
            SysReg::ICC_PMR_EL1 => self.priority_mask = value as u8 & PRIORITY_MASK,
            SysReg::ICC_BPR0_EL1 => self.binary_point[0] = (value as u8 & 7).max(MIN_BPR0),
            SysReg::ICC_BPR1_EL1 if self.control & ICC_CTLR_CBPR != 0 => {}
            SysReg::ICC_BPR1_EL1 => self.binary_point[1] = (value as u8 & 7).max(MIN_BPR1),
            SysReg::ICC_AP0R0_EL1 => self.active[0] = value as u32,
            SysReg::ICC_AP1R0_EL1 => self.active[1] = value as u32,
            SysReg::ICC_CTLR_EL1 => self.control = value & (ICC_CTLR_CBPR | ICC_CTLR_EOIMODE),
            SysReg::ICC_SRE_EL1 => {}
            SysReg::ICC_IGRPEN0_EL1 => self.group_enable[0] = value & 1 != 0,
            SysReg::ICC_IGRPEN1_EL1 => self.group_enable[1] = value & 1 != 0,
            _ => return None,
        }
        Some(())
    }
}
