//! Prioritisation and routing: which interrupt a PE sees (IHI 0069 4.7, 4.8).

use crate::cpu::lines::{FIQ, IRQ};

use super::bank::Bank;
use super::interface::Group;
use super::spec::{self, CTLR_GRP0, CTLR_GRP1, IROUTER_ONE_OF_N, PRIVATE};
use super::state::{Pe, State};

/// The highest priority pending interrupt of a PE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) intid: u32,
    pub(super) priority: u8,
    pub(super) group: Group,
}

impl State {
    /// The lines that PE `pe` shall see.
    pub(super) fn lines(&self, pe: usize) -> u32 {
        let Some((best, target)) = self.best(pe).zip(self.pe(pe)) else { return 0 };
        match (target.interface.accepts(best.group, best.priority), best.group) {
            (false, _) => 0,
            (true, Group::Zero) => FIQ,
            (true, Group::One) => IRQ,
        }
    }

    /// The pending interrupt of the highest priority, and among equals the lowest number.
    pub(super) fn best(&self, pe: usize) -> Option<Pending> {
        let target = self.pe(pe)?;
        if target.redistributor.asleep {
            return None;
        }
        let mut best = None;
        consider(&mut best, &target.redistributor.bank, 0, self.groups(target), |_| true);
        for (index, bank) in self.distributor.banks.iter().enumerate() {
            let first = PRIVATE * (index as u32 + 1);
            let here = |intid| self.target(intid) == Some(pe);
            consider(&mut best, bank, first, self.groups(target), here);
        }
        best
    }

    /// Groups that the distributor forwards and the PE's interface takes.
    fn groups(&self, pe: &Pe) -> [bool; 2] {
        [
            self.distributor.enables & CTLR_GRP0 != 0 && pe.interface.enables(Group::Zero),
            self.distributor.enables & CTLR_GRP1 != 0 && pe.interface.enables(Group::One),
        ]
    }

    /// The PE an SPI goes to now.
    fn target(&self, intid: u32) -> Option<usize> {
        let route = self.distributor.route(intid);
        if route & IROUTER_ONE_OF_N == 0 {
            self.pe_with_affinity(route)
        } else {
            self.one_of_n(intid)
        }
    }

    /// 1-of-N (IHI 0069 4.7.1): a PE that would take the interrupt at once, else the first of those
    /// that are awake and have its group enabled.
    fn one_of_n(&self, intid: u32) -> Option<usize> {
        let index = (intid - PRIVATE) as usize;
        let bank = &self.distributor.banks[index / 32];
        let group = group(bank, index as u32 % 32);
        let priority = bank.priority[index % 32];
        let participates = |pe: &Pe| !pe.redistributor.asleep && pe.interface.enables(group);
        let find = |wanted: &dyn Fn(&Pe) -> bool| {
            self.pes.iter().position(|pe| pe.as_ref().is_some_and(wanted))
        };
        find(&|pe| participates(pe) && pe.interface.accepts(group, priority))
            .or_else(|| find(&participates))
    }

    /// The PE with the affinity of a route or of an `MPIDR_EL1`.
    pub(super) fn pe_with_affinity(&self, mpidr: u64) -> Option<usize> {
        let affinity = spec::packed_affinity(mpidr);
        let is_it = |pe: &Pe| pe.redistributor.affinity == affinity;
        self.pes.iter().position(|pe| pe.as_ref().is_some_and(is_it))
    }
}

fn group(bank: &Bank, bit: u32) -> Group {
    if bank.group1 & 1 << bit != 0 { Group::One } else { Group::Zero }
}

/// Improves `best` by the interrupts of one bank.
fn consider(
    best: &mut Option<Pending>,
    bank: &Bank,
    first: u32,
    groups: [bool; 2],
    here: impl Fn(u32) -> bool,
) {
    let admitted =
        if groups[0] { !bank.group1 } else { 0 } | if groups[1] { bank.group1 } else { 0 };
    let mut candidates = bank.pending() & bank.enabled & !bank.active & admitted;
    while candidates != 0 {
        let bit = candidates.trailing_zeros();
        candidates &= candidates - 1;
        let priority = bank.priority[bit as usize];
        if best.is_none_or(|best| priority < best.priority) && here(first + bit) {
            *best = Some(Pending { intid: first + bit, priority, group: group(bank, bit) });
        }
    }
}
