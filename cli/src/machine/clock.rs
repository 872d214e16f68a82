//! The guest's clock follows the host's: a guest counts only the time that the host is awake, and does not hear when the
//! host's clock is set.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::supervisor::Supervisor;

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(5);

/// What the host's wall clock may move against its monotonic one before the guest is told: more than a clock is slewed
/// within an interval (500 ppm, adjtimex(2)).
const TOLERANCE: Duration = Duration::from_millis(10);

/// Two clocks of the host at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: SystemTime,
    /// Stands still while the host sleeps, as the guest's counter does.
    awake: Instant,
}

impl Reading {
    fn now() -> Self {
        Self { wall: SystemTime::now(), awake: Instant::now() }
    }

    /// Whether the wall clock has been set since, or the host has slept.
    fn has_jumped_since(self, before: Self) -> bool {
        let expected = before.wall + self.awake.duration_since(before.awake);
        let apart = match self.wall.duration_since(expected) {
            Ok(ahead) => ahead,
            Err(behind) => behind.duration(),
        };
        apart > TOLERANCE
    }
}

/// Keeps the guest's clock right until the machine ends.
pub(super) fn follow(supervisor: &Arc<Supervisor>) -> anyhow::Result<()> {
    let supervisor = supervisor.clone();
    thread::Builder::new().name("clock".into()).spawn(move || {
        let mut told = Reading::now();
        while !supervisor.wait_limited(Some(INTERVAL)) {
            let now = Reading::now();
            if now.has_jumped_since(told) {
                match supervisor.set_clock() {
                    Ok(()) => told = now,
                    // It is tried again.
                    Err(error) => tracing::warn!("the guest's clock cannot be set: {error:#}"),
                }
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_and_a_host_that_slept_are_seen() {
        let before = Reading::now();
        let later = |wall: u64, awake: u64| Reading {
            wall: before.wall + Duration::from_millis(wall),
            awake: before.awake + Duration::from_millis(awake),
        };
        assert!(!later(5000, 5000).has_jumped_since(before));
        // Slewed by no more than a clock can be.
        assert!(!later(5002, 5000).has_jumped_since(before));
        assert!(later(3_605_000, 5000).has_jumped_since(before), "an hour of sleep");
        assert!(later(4000, 5000).has_jumped_since(before), "set back by a second");
    }
}
