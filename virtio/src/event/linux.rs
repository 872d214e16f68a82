//! The loop over epoll.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};

use super::{Readiness, Task, Watch};

/// Runs a [`Task`] on the calling thread until the task says stop.
///
/// # Errors
/// If the loop cannot be made, the task cannot start, or waiting fails.
pub fn run(task: impl Task) -> io::Result<()> {
    let mut manager = EventManager::new().map_err(io::Error::other)?;
    let id = manager.add_subscriber(Subscriber { task, running: Ok(true) });
    loop {
        let subscriber = manager.subscriber_mut(id).map_err(io::Error::other)?;
        match std::mem::replace(&mut subscriber.running, Ok(true)) {
            Ok(true) => manager.run().map_err(io::Error::other)?,
            Ok(false) => return Ok(()),
            Err(e) => return Err(e),
        };
    }
}

struct Subscriber<T> {
    task: T,
    running: io::Result<bool>,
}

impl<T: Task> MutEventSubscriber for Subscriber<T> {
    fn init(&mut self, ops: &mut EventOps) {
        if let Err(e) = self.task.start(&mut Epoll(ops)) {
            self.running = Err(e);
        }
    }

    fn process(&mut self, events: Events, ops: &mut EventOps) {
        let set = events.event_set();
        // An error or hang-up is found out by reading or writing, whichever the task does.
        let broken = set.intersects(EventSet::ERROR | EventSet::HANG_UP);
        let ready = Readiness {
            readable: broken || set.intersects(EventSet::IN | EventSet::READ_HANG_UP),
            writable: broken || set.contains(EventSet::OUT),
        };
        if matches!(self.running, Ok(true)) {
            self.running = Ok(self.task.ready(events.data(), ready, &mut Epoll(ops)));
        }
    }
}

struct Epoll<'a, 'b>(&'a mut EventOps<'b>);

fn events(fd: BorrowedFd<'_>, token: u32, interest: Readiness) -> Events {
    let mut set = EventSet::empty();
    set.set(EventSet::IN, interest.readable);
    set.set(EventSet::OUT, interest.writable);
    Events::with_data(&fd.as_raw_fd(), token, set)
}

impl Watch for Epoll<'_, '_> {
    fn add(&mut self, fd: BorrowedFd<'_>, token: u32, interest: Readiness) -> io::Result<()> {
        self.0.add(events(fd, token, interest)).map_err(io::Error::other)
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: u32, interest: Readiness) -> io::Result<()> {
        self.0.modify(events(fd, token, interest)).map_err(io::Error::other)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) {
        if let Err(e) = self.0.remove(Events::empty(&fd.as_raw_fd())) {
            tracing::warn!(error = %e, "a descriptor could not be taken out of the event loop");
        }
    }
}
