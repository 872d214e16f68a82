//! Asking a vCPU to leave guest code: once, from any thread, without being lost.

use crate::cpu::lines::{EXIT_REQUEST, Lines};
use crate::sync::{Arc, AtomicBool, Ordering, Thread};

/// A sticky request: it holds until it is taken, whether or not the vCPU runs.
#[derive(Debug)]
pub struct ExitRequest {
    lines: Arc<Lines>,
    thread: Thread,
    requested: AtomicBool,
}

impl ExitRequest {
    /// No request yet. `thread` is the one that runs the vCPU.
    pub fn new(lines: Arc<Lines>, thread: Thread) -> ExitRequest {
        ExitRequest { lines, thread, requested: AtomicBool::new(false) }
    }

    /// Requests an exit.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.nudge();
    }

    /// Makes the vCPU look around, whether or not there is a request: it leaves the core and wakes
    /// from WFI.
    pub fn nudge(&self) {
        self.lines.assert(EXIT_REQUEST);
        self.thread.unpark();
    }

    /// The vCPU looks around: call this before looking at what it was nudged for.
    pub fn acknowledge(&self) {
        self.lines.deassert(EXIT_REQUEST);
    }

    /// Whether an exit was requested; says so once.
    pub fn take(&self) -> bool {
        self.requested.load(Ordering::Acquire) && self.requested.swap(false, Ordering::AcqRel)
    }
}
