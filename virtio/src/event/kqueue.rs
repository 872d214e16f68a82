//! The loop over kqueue, through `mio`, whose calls are safe.
//!
//! `mio` registers with EV_CLEAR; registering again after each event asks the kernel to look again
//! and so gives the level-triggered behaviour of the epoll loop.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use mio::unix::SourceFd;
use mio::{Interest, Poll, Registry, Token};

use super::{Readiness, Task, Watch};

/// Runs a [`Task`] on the calling thread until the task says stop.
///
/// # Errors
/// If the loop cannot be made, the task cannot start, or waiting fails.
pub fn run(mut task: impl Task) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut watched = Watched::default();
    task.start(&mut Kqueue { registry: poll.registry(), watched: &mut watched })?;
    let mut events = mio::Events::with_capacity(256);
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            let fd = event.token().0 as RawFd;
            // A descriptor removed by an earlier event of this batch is no longer there.
            let Some(&(token, interest)) = watched.0.get(&fd) else { continue };
            let ready = Readiness {
                readable: interest.readable && (event.is_readable() || event.is_read_closed()),
                writable: interest.writable && (event.is_writable() || event.is_write_closed()),
            };
            let mut kqueue = Kqueue { registry: poll.registry(), watched: &mut watched };
            if !task.ready(token, ready, &mut kqueue) {
                return Ok(());
            }
            if let Some(&(_, interest)) = watched.0.get(&fd)
                && let Some(interest) = to_mio(interest)
            {
                poll.registry().reregister(&mut SourceFd(&fd), event.token(), interest)?;
            }
        }
    }
}

#[derive(Default)]
struct Watched(HashMap<RawFd, (u32, Readiness)>);

struct Kqueue<'a> {
    registry: &'a Registry,
    watched: &'a mut Watched,
}

fn to_mio(interest: Readiness) -> Option<Interest> {
    match (interest.readable, interest.writable) {
        (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
        (true, false) => Some(Interest::READABLE),
        (false, true) => Some(Interest::WRITABLE),
        (false, false) => None,
    }
}

impl Watch for Kqueue<'_> {
    fn add(&mut self, fd: BorrowedFd<'_>, token: u32, interest: Readiness) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        if self.watched.0.contains_key(&fd) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Some(interest) = to_mio(interest) {
            self.registry.register(&mut SourceFd(&fd), Token(fd as usize), interest)?;
        }
        self.watched.0.insert(fd, (token, interest));
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: u32, interest: Readiness) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        let Some(entry) = self.watched.0.get_mut(&fd) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let before = to_mio(entry.1);
        *entry = (token, interest);
        let mut source = SourceFd(&fd);
        match (before, to_mio(interest)) {
            (None, None) => Ok(()),
            (None, Some(new)) => self.registry.register(&mut source, Token(fd as usize), new),
            (Some(_), Some(new)) => self.registry.reregister(&mut source, Token(fd as usize), new),
            (Some(_), None) => self.registry.deregister(&mut source),
        }
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) {
        let fd = fd.as_raw_fd();
        let Some((_, interest)) = self.watched.0.remove(&fd) else { return };
        if to_mio(interest).is_some()
            && let Err(e) = self.registry.deregister(&mut SourceFd(&fd))
        {
            tracing::warn!(error = %e, "a descriptor could not be taken out of the event loop");
        }
    }
}
