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

impl Pending {
    /// Whether it comes before `best`, which has the lower number.
    fn beats(&self, best: Option<Pending>) -> bool {
        best.is_none_or(|best| self.priority < best.priority)
    }
}

impl State {
    /// The lines that PE `pe` shall see, of whose pending interrupts this is the best.
    pub(super) fn lines(&self, pe: usize, best: Option<Pending>) -> u32 {
        let Some((best, target)) = best.zip(self.pe(pe)) else { return 0 };
        match (target.interface.accepts(best.group, best.priority), best.group) {
            (false, _) => 0,
            (true, Group::Zero) => FIQ,
            (true, Group::One) => IRQ,
        }
    }

    /// The pending interrupt of the highest priority, and among equals the lowest number.
    pub(super) fn best(&self, pe: usize) -> Option<Pending> {
        let target = self.pe(pe).filter(|pe| !pe.redistributor.asleep)?;
        let mut best = self.best_private(target);
        for (first, bank) in self.spi_banks() {
            for candidate in candidates(bank, first, self.groups(target)) {
                if candidate.beats(best) && self.target(candidate.intid) == Some(pe) {
                    best = Some(candidate);
                }
            }
        }
        best
    }

    /// The [`best`](State::best) of every PE, with one look at each SPI.
    pub(super) fn best_of_all(&self) -> Vec<Option<Pending>> {
        let awake = |pe: &&Pe| !pe.redistributor.asleep;
        let mut best: Vec<_> =
            self.pes.iter().map(|pe| self.best_private(pe.as_ref().filter(awake)?)).collect();
        for (first, bank) in self.spi_banks() {
            for candidate in candidates(bank, first, self.forwarded()) {
                if let Some(pe) = self.target(candidate.intid)
                    && candidate.beats(best[pe])
                    && let Some(target) = self.pe(pe).filter(awake)
                    && target.interface.enables(candidate.group)
                {
                    best[pe] = Some(candidate);
                }
            }
        }
        best
    }

    /// The best of a PE's own interrupts.
    fn best_private(&self, target: &Pe) -> Option<Pending> {
        let own = candidates(&target.redistributor.bank, 0, self.groups(target));
        own.min_by_key(|candidate| candidate.priority)
    }

    /// The banks of SPIs, each with its first number.
    fn spi_banks(&self) -> impl Iterator<Item = (u32, &Bank)> {
        (PRIVATE..).step_by(PRIVATE as usize).zip(&self.distributor.banks)
    }

    /// Groups that the distributor forwards.
    fn forwarded(&self) -> [bool; 2] {
        [CTLR_GRP0, CTLR_GRP1].map(|group| self.distributor.enables & group != 0)
    }

    /// Groups that the distributor forwards and the PE's interface takes.
    fn groups(&self, pe: &Pe) -> [bool; 2] {
        let [zero, one] = self.forwarded();
        [zero && pe.interface.enables(Group::Zero), one && pe.interface.enables(Group::One)]
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

/// The interrupts of a bank that are pending, enabled, not active, and of these groups, in ascending order.
fn candidates(bank: &Bank, first: u32, groups: [bool; 2]) -> impl Iterator<Item = Pending> {
    let admitted =
        if groups[0] { !bank.group1 } else { 0 } | if groups[1] { bank.group1 } else { 0 };
    let mut left = bank.pending() & bank.enabled & !bank.active & admitted;
    std::iter::from_fn(move || {
        let bit = left.trailing_zeros();
        left = left.checked_sub(1)? & left;
        let priority = bank.priority[bit as usize];
        Some(Pending { intid: first + bit, priority, group: group(bank, bit) })
    })
}
