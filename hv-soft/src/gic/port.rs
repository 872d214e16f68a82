//! The way from the controller to a vCPU: interrupt lines that also wake it.

use std::sync::PoisonError;

use crate::cpu::lines::{EXIT_REQUEST, FIQ, IRQ, Lines};
use crate::sync::{Arc, Mutex, Thread, park};

/// Who drives an interrupt line. The line is high while any of them drives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The interrupt controller.
    Gic,
    /// `hv_vcpu_set_pending_interrupt`.
    Host,
}

/// The interrupt lines of one vCPU, and the thread to wake when they rise.
#[derive(Clone, Debug)]
pub struct InterruptPort {
    lines: Arc<Lines>,
    thread: Thread,
    /// Lines that each source drives.
    driven: Arc<Mutex<[u32; 2]>>,
}

impl InterruptPort {
    /// A port with both lines low. `thread` is the one that runs the vCPU.
    pub fn new(lines: Arc<Lines>, thread: Thread) -> InterruptPort {
        InterruptPort { lines, thread, driven: Arc::default() }
    }

    /// Lets `source` drive exactly `bits` (of `IRQ` and `FIQ`).
    pub fn drive(&self, source: Source, bits: u32) {
        let mut driven = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        let before = driven[0] | driven[1];
        driven[source as usize] = bits & (IRQ | FIQ);
        let after = driven[0] | driven[1];
        if before & !after != 0 {
            self.lines.deassert(before & !after);
        }
        if after & !before != 0 {
            self.lines.assert(after & !before);
            self.thread.unpark();
        }
    }

    /// WFI, on the vCPU's thread: sleeps until an interrupt is pending, masked or not, or the vCPU is
    /// nudged. No wake-up is lost: whoever asserts a line unparks the thread afterwards.
    pub fn wait(&self) {
        while self.lines.attention() & (IRQ | FIQ | EXIT_REQUEST) == 0 {
            park();
        }
    }

    /// Lines that `source` drives.
    pub fn driven_by(&self, source: Source) -> u32 {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)[source as usize]
    }
}
