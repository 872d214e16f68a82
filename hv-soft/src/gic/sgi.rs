//! Software-generated interrupts (IHI 0069 4.2.1, 12.2.13).

use super::interface::Group;
use super::state::State;

/// `ICC_SGI<n>R_EL1.IRM`: all PEs but the sender.
const ALL_BUT_SELF: u64 = 1 << 40;

impl State {
    /// Makes an SGI pending on its targets, where it is configured to be of that group.
    pub(super) fn send_sgi(&mut self, sender: usize, group: Group, value: u64) {
        let bit = 1 << (value >> 24 & 0xf);
        for pe in 0..self.pes.len() {
            let Some(target) = self.pe_mut(pe) else { continue };
            let addressed = if value & ALL_BUT_SELF != 0 {
                pe != sender
            } else {
                in_target_list(value, target.redistributor.affinity)
            };
            let bank = &mut target.redistributor.bank;
            if addressed && (bank.group1 & bit != 0) == (group == Group::One) {
                bank.latched |= bit;
                self.update(pe);
            }
        }
    }
}

/// Aff3.Aff2.Aff1 match, and the target list names Aff0. Without a range selector the list reaches
/// Aff0 0–15 only.
fn in_target_list(value: u64, affinity: u32) -> bool {
    let range = value >> 44 & 0xf;
    let aff3 = (value >> 48 & 0xff) as u32;
    let aff2 = (value >> 32 & 0xff) as u32;
    let aff1 = (value >> 16 & 0xff) as u32;
    let aff0 = affinity & 0xff;
    range == 0
        && affinity >> 8 == aff3 << 16 | aff2 << 8 | aff1
        && aff0 < 16
        && value & 1 << aff0 != 0
}
