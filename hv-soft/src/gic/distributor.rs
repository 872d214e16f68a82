//! The distributor: SPIs and where they go (IHI 0069 12.9).

use super::Access;
use super::bank::{Array, Bank, Shape};
use super::spec::{self, SPI_RANGE};

/// Banks of SPIs: INTID 32–1019.
pub(super) const SPI_BANKS: usize = 31;
const SPIS: usize = (SPI_RANGE.end - SPI_RANGE.start) as usize;

/// State of the distributor.
#[derive(Clone, Debug)]
pub(super) struct Distributor {
    /// `EnableGrp0` and `EnableGrp1`.
    pub(super) enables: u32,
    /// Bank `n` holds INTID 32·(n + 1) and up.
    pub(super) banks: Vec<Bank>,
    /// `GICD_IROUTER<32…1019>`.
    pub(super) routes: Vec<u64>,
}

/// The last bank ends at INTID 1019.
pub(super) fn shape(bank: usize) -> Shape {
    let implemented = if bank == SPI_BANKS - 1 { 0x0fff_ffff } else { u32::MAX };
    Shape { implemented, configurable: implemented }
}

impl Distributor {
    pub(super) fn new() -> Distributor {
        Distributor { enables: 0, banks: vec![Bank::default(); SPI_BANKS], routes: vec![0; SPIS] }
    }

    /// Resets everything but the wires.
    pub(super) fn reset(&mut self) {
        self.enables = 0;
        self.banks.iter_mut().for_each(|bank| bank.reset(Bank::default()));
        self.routes.fill(0);
    }

    /// The bank of an SPI and its bit there.
    pub(super) fn locate(&mut self, intid: u32) -> (&mut Bank, u32) {
        let index = (intid - SPI_RANGE.start) as usize;
        (&mut self.banks[index / 32], index as u32 % 32)
    }

    /// The route of an SPI.
    pub(super) fn route(&self, intid: u32) -> u64 {
        self.routes[(intid - SPI_RANGE.start) as usize]
    }

    /// Whether any SPI may go to any PE.
    pub(super) fn has_one_of_n(&self) -> bool {
        self.routes.iter().any(|route| route & spec::IROUTER_ONE_OF_N != 0)
    }

    /// An access to the frame. Reserved registers and widths read as zero and ignore writes.
    pub(super) fn access(&mut self, offset: u32, bytes: u8, access: Access) -> u64 {
        if let Some((array, bank, within)) = Array::locate(offset, bytes) {
            return self.access_array(array, bank, within, bytes, access);
        }
        if spec::is_route(offset) {
            return self.access_route(offset - spec::GICD_IROUTER, bytes, access);
        }
        if bytes != 4 {
            return 0;
        }
        match (offset, access) {
            (spec::GICD_CTLR, Access::Read) => {
                u64::from(self.enables | spec::CTLR_ARE | spec::CTLR_DS)
            }
            (spec::GICD_CTLR, Access::Write(value)) => {
                self.enables = value as u32 & (spec::CTLR_GRP0 | spec::CTLR_GRP1);
                0
            }
            (spec::GICD_TYPER, Access::Read) => u64::from(spec::TYPER),
            (spec::GICD_IIDR, Access::Read) => u64::from(spec::IIDR),
            (spec::PIDR4.., Access::Read) => u64::from(spec::identification(offset)),
            _ => 0,
        }
    }

    /// Bank 0 belongs to the redistributors while affinity routing is on.
    fn access_array(
        &mut self,
        array: Array,
        bank: usize,
        within: u32,
        bytes: u8,
        access: Access,
    ) -> u64 {
        let Some(index) = bank.checked_sub(1) else { return 0 };
        let (bank, shape) = (&mut self.banks[index], shape(index));
        match access {
            Access::Read => u64::from(bank.read(shape, array, within, bytes)),
            Access::Write(value) => {
                bank.write(shape, array, within, bytes, value as u32);
                0
            }
        }
    }

    /// `GICD_IROUTER<n>` takes doublewords, and words of either half.
    fn access_route(&mut self, byte: u32, bytes: u8, access: Access) -> u64 {
        let Some(index) = (byte / 8).checked_sub(SPI_RANGE.start) else { return 0 };
        let route = &mut self.routes[index as usize];
        let (shift, mask) = match (bytes, byte % 8) {
            (8, 0) => (0, u64::MAX),
            (4, 0) => (0, 0xffff_ffff),
            (4, 4) => (32, 0xffff_ffff),
            _ => return 0,
        };
        match access {
            Access::Read => *route >> shift & mask,
            Access::Write(value) => {
                let merged = *route & !(mask << shift) | (value & mask) << shift;
                *route = merged & spec::IROUTER_MASK;
                0
            }
        }
    }
}
