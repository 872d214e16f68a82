//! GICv3: distributor, redistributors, message frame and CPU interfaces (Arm IHI 0069H).
//!
//! One security state: `GICD_CTLR.DS` reads as one, Group 0 interrupts arrive as FIQ and Group 1 as
//! IRQ (IHI 0069 4.6.2). Affinity routing and the system-register interface are always on. Five
//! priority bits, so one active-priorities register a group. No LPIs, no ITS, no extended ranges, no
//! virtualization of its own.
//!
//! All state is under one lock: an interrupt costs a few short critical sections, and guest code runs
//! outside of it. What a PE shall see is computed from the state after every change
//! ([`State::update`]) and driven onto its [`InterruptPort`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use arch_aarch64::sysreg::SysReg;

mod bank;
mod blob;
mod config;
mod distributor;
mod interface;
mod port;
mod redistributor;
mod select;
mod sgi;
pub mod spec;
mod state;
#[cfg(test)]
mod tests;

pub use blob::BlobError;
pub use config::{Config, Msi};
pub use port::{InterruptPort, Source};
use state::State;

/// One interrupt controller.
#[derive(Debug)]
pub struct Gic {
    config: Config,
    state: Mutex<State>,
}

/// A load or store by the guest to one of the controller's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store of that value.
    Write(u64),
}

impl Gic {
    /// A controller in its reset state, without PEs.
    pub fn new(config: Config) -> Gic {
        Gic { config, state: Mutex::new(State::new()) }
    }

    /// Where the frames are.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attaches PE number `pe`, whose redistributor is the `pe`-th frame of the region.
    pub fn attach(&self, pe: usize, affinity: u64, port: InterruptPort) {
        self.state().attach(pe, affinity, port);
    }

    /// Detaches PE number `pe`.
    pub fn detach(&self, pe: usize) {
        self.state().detach(pe);
    }

    /// Follows a change of the PE's `MPIDR_EL1`.
    pub fn set_affinity(&self, pe: usize, affinity: u64) {
        let mut state = self.state();
        if let Some(pe) = state.pe_mut(pe) {
            pe.redistributor.affinity = spec::packed_affinity(affinity);
        }
        state.update_all();
    }

    /// Resets distributor, redistributors and CPU interfaces; wires keep their level.
    pub fn reset(&self) {
        self.state().reset();
    }

    /// Serves an access of `bytes` bytes at guest-physical address `ipa`, if the address belongs to
    /// one of the frames. `Some(0)` answers a write.
    pub fn access(&self, ipa: u64, bytes: u8, access: Access) -> Option<u64> {
        match self.config.frame(ipa)? {
            config::Frame::Distributor(offset) => {
                Some(self.state().access_distributor(offset, bytes, access))
            }
            config::Frame::Redistributor { pe, offset } => {
                Some(self.state().access_redistributor(pe, offset, bytes, access))
            }
            config::Frame::Msi(offset) => Some(self.access_msi(offset, bytes, access)),
        }
    }

    fn access_msi(&self, offset: u32, bytes: u8, access: Access) -> u64 {
        let Some(msi) = &self.config.msi else { return 0 };
        match (offset, bytes, access) {
            (spec::MSI_TYPER, 4, Access::Read) => msi.typer(),
            (spec::MSI_IIDR, 4, Access::Read) => u64::from(spec::IIDR),
            (spec::MSI_SETSPI_NS, 2 | 4, Access::Write(intid)) => {
                self.message(intid as u32);
                0
            }
            _ => 0,
        }
    }

    /// A write of `intid` to the message frame: an edge, if the number belongs to the frame.
    pub fn message(&self, intid: u32) -> bool {
        let known = self.config.msi.as_ref().is_some_and(|msi| msi.contains(intid));
        if known {
            self.state().pulse(intid);
        }
        known
    }

    /// Whether an SPI number is a wire, rather than a message or no SPI at all.
    pub fn is_wired_spi(&self, intid: u32) -> bool {
        spec::SPI_RANGE.contains(&intid)
            && !self.config.msi.as_ref().is_some_and(|msi| msi.contains(intid))
    }

    /// Drives the wire of an SPI. A high level is also an edge for an edge-triggered interrupt.
    pub fn set_spi(&self, intid: u32, level: bool) {
        debug_assert!(self.is_wired_spi(intid));
        self.state().set_spi(intid, level);
    }

    /// Drives the wire of a PPI (16–31) of one PE.
    pub fn set_ppi(&self, pe: usize, intid: u32, level: bool) {
        debug_assert!((16..32).contains(&intid));
        self.state().set_ppi(pe, intid, level);
    }

    /// MRS of an `ICC_*` register by PE number `pe`, with its side effects; `None` if there is no such
    /// register, or it is write-only.
    pub fn read_icc(&self, pe: usize, register: SysReg) -> Option<u64> {
        self.state().read_icc(pe, register)
    }

    /// MSR of an `ICC_*` register; `None` if there is no such register, or it is read-only.
    pub fn write_icc(&self, pe: usize, register: SysReg, value: u64) -> Option<()> {
        self.state().write_icc(pe, register, value)
    }

    /// Everything but the CPU interfaces, as versioned bytes.
    pub fn save(&self) -> Vec<u8> {
        blob::save(&self.state())
    }

    /// Takes over what [`save`](Gic::save) returned, for the same PEs.
    ///
    /// # Errors
    /// If the bytes are malformed, of another version, or describe other PEs. Nothing has changed then.
    pub fn load(&self, bytes: &[u8]) -> Result<(), BlobError> {
        blob::load(&mut self.state(), bytes)
    }
}
