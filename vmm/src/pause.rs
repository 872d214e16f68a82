//! A machine that stands still.

use std::sync::MutexGuard;

use crate::Error;
use crate::machine::{Machine, Rest};

/// A machine whose vCPUs are out of the guest, from [`Machine::pause`].
///
/// There is one at a time, and nobody else runs, resets or captures the machine meanwhile: let it go
/// before [`Machine::run`] or [`Machine::wait`] on the same thread. The guest goes on when it is dropped,
/// if it ran before.
pub struct Pause<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) rest: MutexGuard<'a, Rest>,
    pub(crate) goes_on: bool,
}

impl Pause<'_> {
    /// Lets the guest go on. The time of the pause has not passed for its counter.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn resume(mut self) -> Result<(), Error> {
        self.goes_on = false;
        self.machine.run_from(&mut self.rest)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        if self.goes_on
            && let Err(error) = self.machine.run_from(&mut self.rest)
        {
            tracing::warn!(%error, "the machine does not go on after a pause");
        }
    }
}
