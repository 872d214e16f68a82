//! How long the steps from a description to a running guest take.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long each step took, of those that have been taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Files and sockets of the host opened.
    pub resources: Duration,
    /// The virtual machine made.
    pub vm: Duration,
    /// The interrupt controller made, and its state loaded.
    pub gic: Duration,
    /// Memory mapped.
    pub memory: Duration,
    /// Devices built from their states.
    pub devices: Duration,
    /// vCPUs made on their threads, and their registers loaded.
    pub vcpus: Duration,
    /// The timers of all vCPUs set.
    pub timer: Duration,
    /// From the order to run until the first vCPU enters the guest.
    pub first_instruction: Option<Duration>,
}

/// Takes the times.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    timings: Mutex<Timings>,
    /// When the machine was told to run.
    ordered: OnceLock<Instant>,
    first_instruction: OnceLock<Duration>,
}

impl Stopwatch {
    fn lock(&self) -> MutexGuard<'_, Timings> {
        self.timings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a step, whose time is added to what `part` chooses.
    pub(crate) fn step<T>(
        &self,
        part: impl FnOnce(&mut Timings) -> &mut Duration,
        work: impl FnOnce() -> T,
    ) -> T {
        let began = Instant::now();
        let result = work();
        *part(&mut self.lock()) += began.elapsed();
        result
    }

    /// The machine is told to run.
    pub(crate) fn ordered(&self) {
        self.ordered.get_or_init(Instant::now);
    }

    /// A vCPU is about to enter the guest.
    pub(crate) fn entered(&self) {
        if let Some(ordered) = self.ordered.get() {
            self.first_instruction.get_or_init(|| ordered.elapsed());
        }
    }

    pub(crate) fn timings(&self) -> Timings {
        Timings { first_instruction: self.first_instruction.get().copied(), ..*self.lock() }
    }
}
