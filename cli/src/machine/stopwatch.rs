//! How long the steps of a start take.

use std::time::Instant;

/// Takes the time of one step after the other.
#[derive(Debug)]
pub(super) struct Stopwatch {
    last: Instant,
    laps: Vec<(String, f64)>,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { last: Instant::now(), laps: Vec::new() }
    }

    /// Ends a step, and begins the next one; the step's milliseconds.
    pub(super) fn lap(&mut self, step: &str) -> f64 {
        let now = Instant::now();
        let ms = (now - self.last).as_secs_f64() * 1e3;
        self.laps.push((step.into(), ms));
        self.last = now;
        ms
    }

    /// The steps so far, in milliseconds.
    pub(super) fn laps(&self) -> &[(String, f64)] {
        &self.laps
    }
}
