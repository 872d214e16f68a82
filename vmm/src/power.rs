//! Which vCPUs are on: the part of PSCI that is shared by all of them.

use std::ops::Range;

use arch_aarch64::mpidr::Mpidr;
use arch_aarch64::psci::{Return, affinity_info};
use serde::{Deserialize, Serialize};

/// Where a vCPU begins, from boot or CPU_ON (DEN 0022F 6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Program counter.
    pub pc: u64,
    /// X0: the address of the FDT for the first vCPU, the context identifier for others.
    pub x0: u64,
}

/// Power state of one vCPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    /// Off: its thread waits for CPU_ON.
    Off,
    /// CPU_ON was called; its thread has not taken notice yet.
    OnPending(Entry),
    /// On.
    On,
}

/// Power states of all vCPUs, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PowerTable {
    affinities: Vec<Mpidr>,
    states: Vec<Power>,
    ram: Range<u64>,
}

impl PowerTable {
    pub(crate) fn new(affinities: Vec<Mpidr>, states: Vec<Power>, ram: Range<u64>) -> Self {
        assert_eq!(affinities.len(), states.len(), "one power state a vCPU");
        Self { affinities, states, ram }
    }

    /// First vCPU pending at `entry`, the others off.
    pub(crate) fn cold(vcpus: usize, entry: Entry) -> Vec<Power> {
        let mut states = vec![Power::Off; vcpus];
        states[0] = Power::OnPending(entry);
        states
    }

    pub(crate) fn states(&self) -> &[Power] {
        &self.states
    }

    pub(crate) fn set_states(&mut self, states: Vec<Power>) {
        assert_eq!(self.states.len(), states.len(), "one power state a vCPU");
        self.states = states;
    }

    pub(crate) fn get(&self, index: usize) -> Power {
        self.states[index]
    }

    /// The vCPU's own thread has taken notice of its CPU_ON.
    pub(crate) fn set_on(&mut self, index: usize) {
        self.states[index] = Power::On;
    }

    /// `CPU_ON` (5.1.4). On success the caller wakes the target's thread.
    pub(crate) fn cpu_on(&mut self, target: u64, pc: u64, x0: u64) -> Return {
        let Some(index) = Mpidr::from_psci_target(target).and_then(|mpidr| self.index(mpidr))
        else {
            return Return::InvalidParameters;
        };
        match self.states[index] {
            Power::On => Return::AlreadyOn,
            Power::OnPending(_) => Return::OnPending,
            Power::Off if !self.ram.contains(&pc) || !pc.is_multiple_of(4) => {
                Return::InvalidAddress
            }
            Power::Off => {
                self.states[index] = Power::OnPending(Entry { pc, x0 });
                Return::Success
            }
        }
    }

    /// `CPU_OFF` (5.1.3). Returns whether any vCPU is left that could turn another one on.
    pub(crate) fn cpu_off(&mut self, index: usize) -> bool {
        self.states[index] = Power::Off;
        self.states.iter().any(|state| *state != Power::Off)
    }

    /// `AFFINITY_INFO` (5.1.5): the affinity levels below `lowest_level` of the target are ignored.
    pub(crate) fn affinity_info(&self, target: u64, lowest_level: u64) -> u64 {
        let mask = match lowest_level {
            0 => 0xff_00ff_ffff,
            1 => 0xff_00ff_ff00,
            2 => 0xff_00ff_0000,
            3 => 0xff_0000_0000,
            _ => return Return::InvalidParameters.register(),
        };
        let Some(target) = Mpidr::from_psci_target(target) else {
            return Return::InvalidParameters.register();
        };
        let states: Vec<_> = self
            .affinities
            .iter()
            .zip(&self.states)
            .filter(|(mpidr, _)| mpidr.affinity() & mask == target.affinity() & mask)
            .map(|(_, state)| state)
            .collect();
        if states.is_empty() {
            Return::InvalidParameters.register()
        } else if states.iter().any(|state| **state == Power::On) {
            affinity_info::ON
        } else if states.iter().any(|state| **state != Power::Off) {
            affinity_info::ON_PENDING
        } else {
            affinity_info::OFF
        }
    }

    fn index(&self, mpidr: Mpidr) -> Option<usize> {
        self.affinities.iter().position(|known| *known == mpidr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAM: Range<u64> = 0x4000_0000..0x5000_0000;
    const ENTRY: Entry = Entry { pc: 0x4000_0000, x0: 1 };

    fn table(vcpus: u32) -> PowerTable {
        let affinities: Vec<_> = (0..vcpus).map(Mpidr::of_index).collect();
        let states = PowerTable::cold(affinities.len(), ENTRY);
        let mut table = PowerTable::new(affinities, states, RAM);
        table.set_on(0);
        table
    }

    #[test]
    fn the_second_of_two_calls_sees_the_first() {
        let mut table = table(2);
        assert_eq!(table.cpu_on(1, 0x4000_1000, 7), Return::Success);
        assert_eq!(table.cpu_on(1, 0x4000_2000, 8), Return::OnPending);
        assert_eq!(table.get(1), Power::OnPending(Entry { pc: 0x4000_1000, x0: 7 }));
        assert_eq!(table.affinity_info(1, 0), affinity_info::ON_PENDING);
        table.set_on(1);
        assert_eq!(table.cpu_on(1, 0x4000_2000, 8), Return::AlreadyOn);
        assert_eq!(table.affinity_info(1, 0), affinity_info::ON);
    }

    #[test]
    fn targets_are_affinities_and_entries_are_memory() {
        let mut table = table(20);
        assert_eq!(table.cpu_on(0x101, 0x4000_0000, 0), Return::Success);
        assert_eq!(table.get(17), Power::OnPending(Entry { pc: 0x4000_0000, x0: 0 }));
        assert_eq!(table.cpu_on(17, 0x4000_0000, 0), Return::InvalidParameters);
        assert_eq!(table.cpu_on(1 << 31, 0x4000_0000, 0), Return::InvalidParameters);
        assert_eq!(table.cpu_on(1, 0x1000, 0), Return::InvalidAddress);
        assert_eq!(table.cpu_on(1, 0x4000_0002, 0), Return::InvalidAddress);
    }

    #[test]
    fn off_and_on_again() {
        let mut table = table(2);
        table.cpu_on(1, 0x4000_0000, 0);
        table.set_on(1);
        assert!(table.cpu_off(1));
        assert_eq!(table.affinity_info(1, 0), affinity_info::OFF);
        assert_eq!(table.cpu_on(1, 0x4000_0000, 0), Return::Success);
        table.set_on(1);
        assert!(table.cpu_off(0));
        assert!(!table.cpu_off(1), "nobody is left");
    }

    #[test]
    fn higher_levels_ask_for_groups() {
        let table = table(20);
        assert_eq!(table.affinity_info(0, 1), affinity_info::ON);
        assert_eq!(table.affinity_info(0x100, 1), affinity_info::OFF);
        assert_eq!(table.affinity_info(0x1_0000, 2) as i64, -2);
        assert_eq!(table.affinity_info(0, 4) as i64, -2);
    }
}
