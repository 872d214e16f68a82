//! The thread that watches the deadlines of a machine: asleep until the earliest, nothing polls.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{FREQUENCY, counter};

use super::Timers;

#[derive(Debug, Default)]
struct Deadlines {
    /// Counter values by vCPU.
    pending: BTreeMap<u64, (u64, Weak<Timers>)>,
    /// What the thread sleeps for; it must be woken for anything earlier.
    sleeping_until: u64,
    stopped: bool,
}

impl Deadlines {
    /// Removes and returns what is due.
    fn take_due(&mut self, now: u64) -> Vec<Weak<Timers>> {
        let mut due = Vec::new();
        self.pending.retain(|_, (at, timers)| {
            let later = *at > now;
            if !later {
                due.push(timers.clone());
            }
            later
        });
        due
    }
}

/// Deadlines of all vCPUs of a machine.
#[derive(Debug, Default)]
pub(super) struct Queue {
    deadlines: Mutex<Deadlines>,
    changed: Condvar,
}

impl Queue {
    fn deadlines(&self) -> MutexGuard<'_, Deadlines> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets or clears what the timers with that key wait for.
    pub(super) fn set(&self, key: u64, deadline: Option<u64>, timers: Weak<Timers>) {
        let mut deadlines = self.deadlines();
        match deadline {
            None => drop(deadlines.pending.remove(&key)),
            Some(at) => {
                deadlines.pending.insert(key, (at, timers));
                if at < deadlines.sleeping_until {
                    self.changed.notify_one();
                }
            }
        }
    }

    fn watch(&self) {
        let mut deadlines = self.deadlines();
        while !deadlines.stopped {
            let now = counter();
            let due = deadlines.take_due(now);
            if !due.is_empty() {
                drop(deadlines);
                due.iter().filter_map(Weak::upgrade).for_each(|timers| timers.expire());
                deadlines = self.deadlines();
                continue;
            }
            let next = deadlines.pending.values().map(|(at, _)| *at).min();
            deadlines.sleeping_until = next.unwrap_or(u64::MAX);
            deadlines = match next {
                None => self.changed.wait(deadlines).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let timeout = duration(at - now);
                    let waited = self.changed.wait_timeout(deadlines, timeout);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            // Awake: whoever sets a deadline now need not notify.
            deadlines.sleeping_until = 0;
        }
    }
}

/// Counter ticks as time, rounded up so that a deadline has passed when its sleep ends.
fn duration(ticks: u64) -> Duration {
    let nanoseconds = (u128::from(ticks) * 1_000_000_000).div_ceil(u128::from(FREQUENCY));
    Duration::from_nanos(nanoseconds.min(u128::from(u64::MAX)) as u64)
}

/// The thread that watches the deadlines of one machine.
#[derive(Debug)]
pub struct Alarm {
    pub(super) queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Alarm {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the host cannot start another thread.
    pub fn start() -> std::io::Result<Alarm> {
        let queue = Arc::<Queue>::default();
        let watched = queue.clone();
        let thread = std::thread::Builder::new()
            .name("hv-soft timer".into())
            .spawn(move || watched.watch())?;
        Ok(Alarm { queue, thread: Some(thread) })
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.queue.deadlines().stopped = true;
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // The thread does not panic; there is nothing to report.
            let _ = thread.join();
        }
    }
}
