//! The event loop: one small trait over epoll (the `event-manager` crate) on Linux and kqueue on
//! Apple systems.
//!
//! Readiness is level-triggered on both: a descriptor that stays readable is reported again.

use std::io;
use std::os::fd::BorrowedFd;

mod bell;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(not(target_os = "linux"))]
#[path = "kqueue.rs"]
mod sys;

pub use bell::Bell;
pub use sys::run;

/// What a descriptor is watched for, or ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// Reading does not block (data, end of file or an error).
    pub readable: bool,
    /// Writing does not block.
    pub writable: bool,
}

impl Readiness {
    /// Reading only.
    pub const READ: Self = Self { readable: true, writable: false };
    /// Writing only.
    pub const WRITE: Self = Self { readable: false, writable: true };
    /// Both.
    pub const BOTH: Self = Self { readable: true, writable: true };
}

/// Registers descriptors with the loop that calls.
pub trait Watch {
    /// Watches `fd`; events carry `token`.
    ///
    /// # Errors
    /// The operating system's, or that `fd` is watched already.
    fn add(&mut self, fd: BorrowedFd<'_>, token: u32, interest: Readiness) -> io::Result<()>;

    /// Changes what a watched descriptor is watched for; both false pauses it.
    ///
    /// # Errors
    /// The operating system's.
    fn modify(&mut self, fd: BorrowedFd<'_>, token: u32, interest: Readiness) -> io::Result<()>;

    /// Stops watching. Must come before the descriptor is closed.
    fn remove(&mut self, fd: BorrowedFd<'_>);
}

/// What [`run`] runs.
pub trait Task {
    /// Called once, before the first event.
    ///
    /// # Errors
    /// Whatever keeps the task from running.
    fn start(&mut self, watch: &mut dyn Watch) -> io::Result<()>;

    /// A watched descriptor is ready. Returns whether the loop goes on.
    fn ready(&mut self, token: u32, ready: Readiness, watch: &mut dyn Watch) -> bool;
}
