//! Everything the lock protects, and the operations that change it.

use arch_aarch64::sysreg::SysReg;

use super::Access;
use super::distributor::Distributor;
use super::interface::{Group, Interface};
use super::port::{InterruptPort, Source};
use super::redistributor::Redistributor;
use super::select::Pending;
use super::spec::{self, PRIVATE, SPI_RANGE, SPURIOUS};

/// One PE as the controller sees it.
#[derive(Debug)]
pub(super) struct Pe {
    pub(super) redistributor: Redistributor,
    pub(super) interface: Interface,
    pub(super) port: InterruptPort,
}

/// Distributor, redistributors and CPU interfaces.
#[derive(Debug)]
pub(super) struct State {
    pub(super) distributor: Distributor,
    /// Indexed by redistributor frame.
    pub(super) pes: Vec<Option<Pe>>,
    /// Whether some route is 1-of-N, so that what one PE does may move an interrupt to another.
    one_of_n: bool,
}

impl State {
    pub(super) fn new() -> State {
        State { distributor: Distributor::new(), pes: Vec::new(), one_of_n: false }
    }

    pub(super) fn pe(&self, pe: usize) -> Option<&Pe> {
        self.pes.get(pe)?.as_ref()
    }

    pub(super) fn pe_mut(&mut self, pe: usize) -> Option<&mut Pe> {
        self.pes.get_mut(pe)?.as_mut()
    }

    pub(super) fn attach(&mut self, pe: usize, affinity: u64, port: InterruptPort) {
        if self.pes.len() <= pe {
            self.pes.resize_with(pe + 1, || None);
        }
        self.pes[pe] = Some(Pe {
            redistributor: Redistributor::new(spec::packed_affinity(affinity)),
            interface: Interface::new(),
            port,
        });
        self.update_all();
    }

    pub(super) fn detach(&mut self, pe: usize) {
        if let Some(slot) = self.pes.get_mut(pe) {
            *slot = None;
        }
        while self.pes.last().is_some_and(Option::is_none) {
            self.pes.pop();
        }
        self.update_all();
    }

    pub(super) fn reset(&mut self) {
        self.distributor.reset();
        for pe in self.pes.iter_mut().flatten() {
            pe.redistributor.reset();
            pe.interface = Interface::new();
        }
        self.routes_changed();
    }

    /// To be called after routes were replaced.
    pub(super) fn routes_changed(&mut self) {
        self.one_of_n = self.distributor.has_one_of_n();
        self.update_all();
    }

    pub(super) fn access_distributor(&mut self, offset: u32, bytes: u8, access: Access) -> u64 {
        let value = self.distributor.access(offset, bytes, access);
        match access {
            Access::Read => {}
            Access::Write(_) if spec::is_route(offset) => self.routes_changed(),
            Access::Write(_) => self.update_all(),
        }
        value
    }

    pub(super) fn access_redistributor(
        &mut self,
        pe: usize,
        offset: u32,
        bytes: u8,
        access: Access,
    ) -> u64 {
        let last = pe + 1 == self.pes.len();
        let Some(target) = self.pe_mut(pe) else { return 0 };
        let typer = target.redistributor.typer(pe, last);
        let value = target.redistributor.access(offset, bytes, access, typer);
        if access != Access::Read {
            self.update_from(pe);
        }
        value
    }

    pub(super) fn set_spi(&mut self, intid: u32, level: bool) {
        let (bank, bit) = self.distributor.locate(intid);
        bank.set_level(bit, level);
        self.update_target(intid);
    }

    /// An edge: a message, or a wire that rises and falls.
    pub(super) fn pulse(&mut self, intid: u32) {
        let (bank, bit) = self.distributor.locate(intid);
        bank.latched |= 1 << bit;
        self.update_target(intid);
    }

    pub(super) fn set_ppi(&mut self, pe: usize, intid: u32, level: bool) {
        if let Some(target) = self.pe_mut(pe) {
            target.redistributor.bank.set_level(intid, level);
            self.update(pe);
        }
    }

    pub(super) fn read_icc(&mut self, pe: usize, register: SysReg) -> Option<u64> {
        match register {
            SysReg::ICC_IAR0_EL1 => Some(self.acknowledge(pe, Group::Zero)),
            SysReg::ICC_IAR1_EL1 => Some(self.acknowledge(pe, Group::One)),
            SysReg::ICC_HPPIR0_EL1 => Some(self.highest_pending(pe, Group::Zero)),
            SysReg::ICC_HPPIR1_EL1 => Some(self.highest_pending(pe, Group::One)),
            _ => self.pe(pe)?.interface.read(register),
        }
    }

    pub(super) fn write_icc(&mut self, pe: usize, register: SysReg, value: u64) -> Option<()> {
        // INTID is 24 bits wide (IHI 0069 12.2.5).
        let intid = value as u32 & 0xff_ffff;
        match register {
            SysReg::ICC_EOIR0_EL1 => self.end_of_interrupt(pe, Group::Zero, intid),
            SysReg::ICC_EOIR1_EL1 => self.end_of_interrupt(pe, Group::One, intid),
            SysReg::ICC_DIR_EL1 => self.deactivate_separately(pe, intid),
            SysReg::ICC_SGI0R_EL1 => self.send_sgi(pe, Group::Zero, value),
            SysReg::ICC_SGI1R_EL1 => self.send_sgi(pe, Group::One, value),
            // Group 1 of the other Security state: there is none.
            SysReg::ICC_ASGI1R_EL1 => {}
            _ => {
                self.pe_mut(pe)?.interface.write(register, value)?;
                self.update_from(pe);
            }
        }
        Some(())
    }

    /// IHI 0069 4.4: the highest priority pending interrupt becomes active, if it may be signalled.
    fn acknowledge(&mut self, pe: usize, group: Group) -> u64 {
        let Some(pending) = self.best(pe).filter(|best| best.group == group) else {
            return u64::from(SPURIOUS);
        };
        let Some(target) = self.pe_mut(pe) else { return u64::from(SPURIOUS) };
        if !target.interface.accepts(group, pending.priority) {
            return u64::from(SPURIOUS);
        }
        target.interface.raise(group, pending.priority);
        if pending.intid < PRIVATE {
            target.redistributor.bank.activate(pending.intid);
        } else {
            let (bank, bit) = self.distributor.locate(pending.intid);
            bank.activate(bit);
        }
        self.update_from(pe);
        u64::from(pending.intid)
    }

    fn highest_pending(&self, pe: usize, group: Group) -> u64 {
        let best = self.best(pe).filter(|best| best.group == group);
        u64::from(best.map_or(SPURIOUS, |best| best.intid))
    }

    fn end_of_interrupt(&mut self, pe: usize, group: Group, intid: u32) {
        if intid >= SPI_RANGE.end {
            return;
        }
        let Some(target) = self.pe_mut(pe) else { return };
        target.interface.drop_priority(group);
        if target.interface.eoi_deactivates() {
            self.deactivate(pe, intid);
        } else {
            self.update_from(pe);
        }
    }

    /// `ICC_DIR_EL1` does something only while `EOImode` is 1 (IHI 0069 12.2.9).
    fn deactivate_separately(&mut self, pe: usize, intid: u32) {
        if self.pe(pe).is_some_and(|pe| !pe.interface.eoi_deactivates()) {
            self.deactivate(pe, intid);
        }
    }

    fn deactivate(&mut self, pe: usize, intid: u32) {
        if intid < PRIVATE {
            if let Some(target) = self.pe_mut(pe) {
                target.redistributor.bank.active &= !(1 << intid);
            }
        } else if SPI_RANGE.contains(&intid) {
            let (bank, bit) = self.distributor.locate(intid);
            bank.active &= !(1 << bit);
            self.update_target(intid);
        }
        self.update_from(pe);
    }

    /// Recomputes the lines after a change that PE `pe` made to itself.
    fn update_from(&self, pe: usize) {
        if self.one_of_n { self.update_all() } else { self.update(pe) }
    }

    /// Recomputes the lines of the PE that an SPI goes to.
    fn update_target(&self, intid: u32) {
        if self.one_of_n {
            self.update_all();
        } else if let Some(pe) = self.pe_with_affinity(self.distributor.route(intid)) {
            self.update(pe);
        }
    }

    pub(super) fn update_all(&self) {
        for (pe, best) in self.best_of_all().into_iter().enumerate() {
            self.drive(pe, best);
        }
    }

    /// Drives the lines of one PE to what the state says.
    pub(super) fn update(&self, pe: usize) {
        self.drive(pe, self.best(pe));
    }

    fn drive(&self, pe: usize, best: Option<Pending>) {
        if let Some(target) = self.pe(pe) {
            target.port.drive(Source::Gic, self.lines(pe, best));
        }
    }
}
