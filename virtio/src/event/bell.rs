//! A wake-up that any thread may ring and one loop watches.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// An eventfd on Linux, a pipe elsewhere.
#[derive(Debug)]
pub struct Bell {
    watched: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    rung: OwnedFd,
}

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    #[cfg(target_os = "linux")]
    pub fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let watched = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { watched })
    }

    /// A silent bell.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    #[cfg(not(target_os = "linux"))]
    pub fn new() -> io::Result<Self> {
        let (watched, rung) = rustix::pipe::pipe()?;
        for fd in [&watched, &rung] {
            rustix::io::ioctl_fionbio(fd, true)?;
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
        }
        Ok(Self { watched, rung })
    }

    /// Wakes the loop. A bell that is full is ringing already.
    pub fn ring(&self) {
        #[cfg(target_os = "linux")]
        let fd = &self.watched;
        #[cfg(not(target_os = "linux"))]
        let fd = &self.rung;
        while rustix::io::write(fd, &1u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }

    /// Silences the bell.
    pub fn silence(&self) {
        let mut buf = [0; 512];
        loop {
            match rustix::io::read(&self.watched, &mut buf[..]) {
                Err(Errno::INTR) => {}
                Ok(512) => {}
                _ => break,
            }
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.as_fd()
    }
}
