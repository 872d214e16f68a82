//! Thirty-two interrupts: the unit in which the register arrays are laid out.

use super::spec::{
    ICACTIVER, ICENABLER, ICFGR, ICPENDR, IGROUPR, IPRIORITYR, ISACTIVER, ISENABLER, ISPENDR,
    PRIORITY_MASK,
};

/// State of 32 interrupts, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bank {
    /// Group 1 rather than Group 0.
    pub(super) group1: u32,
    pub(super) enabled: u32,
    /// Pending by an edge, a message or `ISPENDR`; cleared by acknowledging or `ICPENDR`.
    pub(super) latched: u32,
    /// Level of the wire.
    pub(super) level: u32,
    pub(super) active: u32,
    /// Edge-triggered rather than level-sensitive.
    pub(super) edge: u32,
    pub(super) priority: [u8; 32],
}

/// Which interrupts of a bank exist, and what about them is fixed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Interrupts that exist; the others read as zero and ignore writes.
    pub(super) implemented: u32,
    /// Interrupts whose trigger may be configured.
    pub(super) configurable: u32,
}

impl Bank {
    /// The reset state of SGIs and PPIs: SGIs are always edge-triggered (IHI 0069 12.11.8).
    pub(super) fn private() -> Bank {
        Bank { edge: 0xffff, ..Bank::default() }
    }

    /// Pending, by whatever cause.
    pub(super) fn pending(&self) -> u32 {
        self.latched | (self.level & !self.edge)
    }

    /// Drives the wire of one interrupt.
    pub(super) fn set_level(&mut self, bit: u32, level: bool) {
        if level {
            self.level |= 1 << bit;
            self.latched |= self.edge & 1 << bit;
        } else {
            self.level &= !(1 << bit);
        }
    }

    /// Pending to active: what acknowledging does (IHI 0069 4.1.2).
    pub(super) fn activate(&mut self, bit: u32) {
        self.latched &= !(1 << bit);
        self.active |= 1 << bit;
    }

    /// Forgets everything but the wires.
    pub(super) fn reset(&mut self, fresh: Bank) {
        *self = Bank { level: self.level, ..fresh };
    }

    /// Reads `bytes` bytes at `offset` of the arrays, `word` being the bank's number.
    pub(super) fn read(&self, shape: Shape, array: Array, within: u32, bytes: u8) -> u32 {
        match array {
            Array::Group => self.group1,
            Array::SetEnable | Array::ClearEnable => self.enabled,
            Array::SetPending | Array::ClearPending => self.pending() & shape.implemented,
            Array::SetActive | Array::ClearActive => self.active,
            Array::Priority => (0..u32::from(bytes))
                .map(|byte| u32::from(self.priority[(within + byte) as usize]) << (8 * byte))
                .sum(),
            Array::Configuration => spread(self.edge >> (4 * within)),
        }
    }

    /// Writes `bytes` bytes.
    pub(super) fn write(&mut self, shape: Shape, array: Array, within: u32, bytes: u8, value: u32) {
        let bits = value & shape.implemented;
        match array {
            Array::Group => self.group1 = bits,
            Array::SetEnable => self.enabled |= bits,
            Array::ClearEnable => self.enabled &= !bits,
            Array::SetPending => self.latched |= bits,
            Array::ClearPending => self.latched &= !bits,
            Array::SetActive => self.active |= bits,
            Array::ClearActive => self.active &= !bits,
            Array::Priority => {
                for byte in 0..u32::from(bytes) {
                    let bit = within + byte;
                    if shape.implemented & 1 << bit != 0 {
                        self.priority[bit as usize] = (value >> (8 * byte)) as u8 & PRIORITY_MASK;
                    }
                }
            }
            Array::Configuration => {
                let field = 0xffff << (4 * within) & shape.configurable;
                self.edge = self.edge & !field | gather(value) << (4 * within) & field;
            }
        }
    }
}

/// `ICFGR` holds the trigger in the upper bit of each pair.
fn spread(edges: u32) -> u32 {
    (0..16).map(|n| (edges >> n & 1) << (2 * n + 1)).sum()
}

fn gather(value: u32) -> u32 {
    (0..16).map(|n| (value >> (2 * n + 1) & 1) << n).sum()
}

/// The register arrays that the distributor and SGI_base have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Array {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
    Priority,
    Configuration,
}

impl Array {
    /// Finds an access of legal width (IHI 0069 12.1.3: words, and bytes of priorities): the array,
    /// the bank's number, and the place in the bank (in bytes for priorities, else in bytes / 4 of
    /// one bank's registers).
    pub(super) fn locate(offset: u32, bytes: u8) -> Option<(Array, usize, u32)> {
        const BITS: [(u32, Array); 7] = [
            (IGROUPR, Array::Group),
            (ISENABLER, Array::SetEnable),
            (ICENABLER, Array::ClearEnable),
            (ISPENDR, Array::SetPending),
            (ICPENDR, Array::ClearPending),
            (ISACTIVER, Array::SetActive),
            (ICACTIVER, Array::ClearActive),
        ];
        if !offset.is_multiple_of(u32::from(bytes)) {
            return None;
        }
        if let Some(byte) = offset.checked_sub(IPRIORITYR).filter(|byte| *byte < 0x400) {
            return matches!(bytes, 1 | 4).then_some((
                Array::Priority,
                (byte / 32) as usize,
                byte % 32,
            ));
        }
        if bytes != 4 {
            return None;
        }
        if let Some(byte) = offset.checked_sub(ICFGR).filter(|byte| *byte < 0x100) {
            return Some((Array::Configuration, (byte / 8) as usize, byte % 8));
        }
        BITS.into_iter().find_map(|(base, array)| {
            let byte = offset.checked_sub(base).filter(|byte| *byte < 0x80)?;
            Some((array, (byte / 4) as usize, 0))
        })
    }
}
