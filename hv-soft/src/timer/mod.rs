//! The generic timer of each vCPU (Arm ARM D11.2).
//!
//! A vCPU has the EL1 virtual and the EL1 physical timer. With an interrupt controller they drive PPI
//! 27 and PPI 30. Without one, the virtual timer asks for an exit, and the physical timer is for the
//! guest to poll. The [`Alarm`] of the machine calls back when a deadline has passed.

mod alarm;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arch_aarch64::sysreg::SysReg;

use crate::clock::counter;
use crate::gic::Gic;
use crate::gic::spec::{PPI_PHYSICAL_TIMER, PPI_VIRTUAL_TIMER};

pub use alarm::Alarm;
use alarm::Queue;

const ENABLE: u64 = 1 << 0;
const IMASK: u64 = 1 << 1;
const ISTATUS: u64 = 1 << 2;

/// One comparator.
#[derive(Clone, Copy, Debug, Default)]
struct Comparator {
    /// `ENABLE` and `IMASK`.
    control: u64,
    compare: u64,
}

impl Comparator {
    /// The condition is met; the comparison is unsigned (Arm ARM `IsTimerConditionMet`).
    fn is_met(&self, count: u64) -> bool {
        self.control & ENABLE != 0 && count >= self.compare
    }

    /// The interrupt is asserted.
    fn output(&self, count: u64) -> bool {
        self.control & IMASK == 0 && self.is_met(count)
    }

    /// Ticks until the interrupt will be asserted.
    fn remaining(&self, count: u64) -> Option<u64> {
        let armed = self.control & (ENABLE | IMASK) == ENABLE;
        armed.then(|| self.compare.checked_sub(count)).flatten().filter(|ticks| *ticks > 0)
    }

    fn read(&self, kind: Kind, count: u64) -> u64 {
        match kind {
            Kind::Control => self.control | if self.is_met(count) { ISTATUS } else { 0 },
            Kind::Compare => self.compare,
            Kind::Remaining => self.compare.wrapping_sub(count) & 0xffff_ffff,
        }
    }

    fn write(&mut self, kind: Kind, count: u64, value: u64) {
        match kind {
            Kind::Control => self.control = value & (ENABLE | IMASK),
            Kind::Compare => self.compare = value,
            Kind::Remaining => self.compare = count.wrapping_add(value as u32 as i32 as u64),
        }
    }
}

/// Which of a timer's registers.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// `CNTx_CTL_EL0`
    Control,
    /// `CNTx_CVAL_EL0`
    Compare,
    /// `CNTx_TVAL_EL0`
    Remaining,
}

/// Which of a vCPU's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Virtual,
    Physical,
}

fn locate(register: SysReg) -> Option<(Which, Kind)> {
    Some(match register {
        SysReg::CNTV_CTL_EL0 => (Which::Virtual, Kind::Control),
        SysReg::CNTV_CVAL_EL0 => (Which::Virtual, Kind::Compare),
        SysReg::CNTV_TVAL_EL0 => (Which::Virtual, Kind::Remaining),
        SysReg::CNTP_CTL_EL0 => (Which::Physical, Kind::Control),
        SysReg::CNTP_CVAL_EL0 => (Which::Physical, Kind::Compare),
        SysReg::CNTP_TVAL_EL0 => (Which::Physical, Kind::Remaining),
        _ => return None,
    })
}

/// Where a vCPU's timer interrupts go.
pub enum Output {
    /// To the PPIs of PE number `pe`.
    Ppi {
        /// The controller.
        gic: Arc<Gic>,
        /// The PE.
        pe: usize,
    },
    /// To whoever runs the vCPU: called when the virtual timer's interrupt is asserted.
    Exit(Box<dyn Fn() + Send + Sync>),
}

impl core::fmt::Debug for Output {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Output::Ppi { pe, .. } => f.debug_struct("Ppi").field("pe", pe).finish_non_exhaustive(),
            Output::Exit(_) => f.write_str("Exit"),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    virt: Comparator,
    phys: Comparator,
    /// `CNTVCT` is the counter less this.
    offset: u64,
    /// The virtual timer's interrupt is held back.
    masked: bool,
    /// Levels last driven onto the PPIs.
    driven: Option<(bool, bool)>,
}

impl State {
    fn count(&self, which: Which, now: u64) -> u64 {
        match which {
            Which::Virtual => now.wrapping_sub(self.offset),
            Which::Physical => now,
        }
    }

    fn comparator(&mut self, which: Which) -> &mut Comparator {
        match which {
            Which::Virtual => &mut self.virt,
            Which::Physical => &mut self.phys,
        }
    }

    /// The levels of the two interrupts.
    fn outputs(&self, now: u64) -> (bool, bool) {
        (!self.masked && self.virt.output(self.count(Which::Virtual, now)), self.phys.output(now))
    }

    /// The counter value at which an output will rise next.
    fn deadline(&self, now: u64) -> Option<u64> {
        let virt = self.virt.remaining(self.count(Which::Virtual, now)).filter(|_| !self.masked);
        let ticks = [virt, self.phys.remaining(now)].into_iter().flatten().min()?;
        Some(now.saturating_add(ticks))
    }
}

/// The timers of one vCPU.
#[derive(Debug)]
pub struct Timers {
    state: Mutex<State>,
    output: Output,
    alarm: Arc<Queue>,
    key: u64,
    itself: Weak<Timers>,
}

impl Timers {
    /// Timers out of reset: disabled, not masked, offset zero. `key` tells the vCPUs of a machine
    /// apart.
    pub fn new(alarm: &Alarm, key: u64, output: Output) -> Arc<Timers> {
        Arc::new_cyclic(|itself| Timers {
            state: Mutex::default(),
            output,
            alarm: alarm.queue.clone(),
            key,
            itself: itself.clone(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a timer register; `None` if it is none.
    pub fn read(&self, register: SysReg) -> Option<u64> {
        let (which, kind) = locate(register)?;
        let mut state = self.state();
        let count = state.count(which, counter());
        Some(state.comparator(which).read(kind, count))
    }

    /// Writes a timer register; `None` if it is none.
    pub fn write(&self, register: SysReg, value: u64) -> Option<()> {
        let (which, kind) = locate(register)?;
        let mut state = self.state();
        let count = state.count(which, counter());
        state.comparator(which).write(kind, count, value);
        self.settle(state);
        Some(())
    }

    /// The virtual timer's offset.
    pub fn offset(&self) -> u64 {
        self.state().offset
    }

    /// Sets the virtual timer's offset.
    pub fn set_offset(&self, offset: u64) {
        let mut state = self.state();
        state.offset = offset;
        self.settle(state);
    }

    /// Whether the virtual timer's interrupt is held back.
    pub fn is_masked(&self) -> bool {
        self.state().masked
    }

    /// Holds the virtual timer's interrupt back, or lets it through.
    pub fn set_masked(&self, masked: bool) {
        let mut state = self.state();
        state.masked = masked;
        self.settle(state);
    }

    /// Whether the virtual timer's interrupt is asserted; if so, masks it. One activation is one exit.
    pub fn take_activation(&self) -> bool {
        let mut state = self.state();
        let (asserted, _) = state.outputs(counter());
        state.masked |= asserted;
        asserted
    }

    /// Drives the PPIs again, after the controller was reset or restored.
    pub fn redrive(&self) {
        let mut state = self.state();
        state.driven = None;
        self.settle(state);
    }

    /// Forgets the deadline: the vCPU is going away.
    pub fn disarm(&self) {
        self.alarm.set(self.key, None, Weak::new());
    }

    /// Brings the outputs and the deadline in line with the state.
    fn settle(&self, mut state: MutexGuard<'_, State>) {
        let now = counter();
        let outputs = state.outputs(now);
        match &self.output {
            Output::Ppi { gic, pe } if state.driven != Some(outputs) => {
                gic.set_ppi(*pe, PPI_VIRTUAL_TIMER, outputs.0);
                gic.set_ppi(*pe, PPI_PHYSICAL_TIMER, outputs.1);
                state.driven = Some(outputs);
            }
            Output::Exit(request) if outputs.0 => request(),
            _ => {}
        }
        self.alarm.set(self.key, state.deadline(now), self.itself.clone());
    }

    /// A deadline has passed.
    fn expire(&self) {
        self.settle(self.state());
    }
}
