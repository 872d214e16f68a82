//! A redistributor: one PE's SGIs and PPIs, and whether it is awake (IHI 0069 12.11).

use super::Access;
use super::bank::{Array, Bank, Shape};
use super::spec;

/// SGIs are always edge-triggered; PPIs may be either.
pub(super) const SHAPE: Shape = Shape { implemented: u32::MAX, configurable: 0xffff_0000 };

/// State of one redistributor.
#[derive(Clone, Debug)]
pub(super) struct Redistributor {
    /// Aff3.Aff2.Aff1.Aff0 of the PE.
    pub(super) affinity: u32,
    /// `GICR_WAKER.ProcessorSleep`; while set, nothing is forwarded to the PE.
    pub(super) asleep: bool,
    pub(super) bank: Bank,
}

impl Redistributor {
    pub(super) fn new(affinity: u32) -> Redistributor {
        Redistributor { affinity, asleep: true, bank: Bank::private() }
    }

    /// Resets everything but the wires and the affinity.
    pub(super) fn reset(&mut self) {
        self.asleep = true;
        self.bank.reset(Bank::private());
    }

    /// `GICR_TYPER`: affinity, processor number, and whether it is the last of the region.
    pub(super) fn typer(&self, number: usize, last: bool) -> u64 {
        u64::from(self.affinity) << 32
            | (number as u64 & 0xffff) << 8
            | if last { spec::TYPER_LAST } else { 0 }
    }

    /// An access to RD_base or SGI_base. Reserved registers and widths read as zero and ignore writes.
    pub(super) fn access(&mut self, offset: u32, bytes: u8, access: Access, typer: u64) -> u64 {
        if let Some(within_sgi_base) = offset.checked_sub(spec::SGI_BASE) {
            return self.access_bank(within_sgi_base, bytes, access);
        }
        match (offset, bytes, access) {
            (spec::GICR_TYPER, 8, Access::Read) => typer,
            (spec::GICR_TYPER, 4, Access::Read) => typer & 0xffff_ffff,
            (0x000c, 4, Access::Read) => typer >> 32,
            (spec::GICR_IIDR, 4, Access::Read) => u64::from(spec::IIDR),
            (spec::GICR_WAKER, 4, Access::Read) if self.asleep => {
                u64::from(spec::WAKER_PROCESSOR_SLEEP | spec::WAKER_CHILDREN_ASLEEP)
            }
            (spec::GICR_WAKER, 4, Access::Write(value)) => {
                self.asleep = value as u32 & spec::WAKER_PROCESSOR_SLEEP != 0;
                0
            }
            (spec::PIDR4.., 4, Access::Read) => u64::from(spec::identification(offset)),
            _ => 0,
        }
    }

    fn access_bank(&mut self, offset: u32, bytes: u8, access: Access) -> u64 {
        let Some((array, 0, within)) = Array::locate(offset, bytes) else { return 0 };
        match access {
            Access::Read => u64::from(self.bank.read(SHAPE, array, within, bytes)),
            Access::Write(value) => {
                self.bank.write(SHAPE, array, within, bytes, value as u32);
                0
            }
        }
    }
}
