//! `--timings`: how long each step took.

use std::{io, time::Instant};

use serde_json::{Value, json};

use crate::{
    launch::Launched,
    record::{Spec, State},
};

/// Takes the time of each step.
pub(super) struct Clock {
    last: Instant,
    laps: Vec<(&'static str, f64)>,
    inner: Vec<(String, f64)>,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { last: Instant::now(), laps: Vec::new(), inner: Vec::new() }
    }

    pub(super) fn lap(&mut self, name: &'static str) {
        self.lap_at(name, Some(Instant::now()));
    }

    pub(super) fn lap_at(&mut self, name: &'static str, at: Option<Instant>) {
        if let Some(at) = at {
            self.laps.push((name, (at - self.last).as_secs_f64() * 1e3));
            self.last = at;
        }
    }

    pub(super) fn watch<W: io::Write>(&self, inner: W) -> FirstWrite<W> {
        FirstWrite { inner, first: None }
    }

    /// Adds what the machine's own process says of its steps.
    pub(super) fn add_inner(&mut self, state: &State) {
        match &state.restored {
            Some(report) => {
                self.inner = report.steps().map(|(step, ms)| (step.to_owned(), ms)).into();
            }
            None => self.inner.clone_from(&state.timings),
        }
    }

    /// Lets a restored machine's processes go on, and prints all steps if that was asked for.
    pub(super) fn thaw(&mut self, launched: &Launched, print: bool) -> anyhow::Result<State> {
        let state = launched.start()?;
        self.add_inner(&state);
        self.lap("guest thawed");
        if print {
            self.print();
        }
        Ok(state)
    }

    /// All that is known of a machine that was restored, with every step in milliseconds by its name.
    pub(super) fn restored(&self, spec: &Spec, state: &State) -> Value {
        let step = |&(name, ms): &(&str, f64)| (name.to_owned(), Value::from(ms));
        let steps: Value = self.laps.iter().map(step).collect();
        json!({
            "id": spec.id, "name": spec.name, "ports": state.ports, "steps_ms": steps,
            "restored": state.restored,
        })
    }

    pub(super) fn print(&self) {
        for (name, ms) in &self.laps {
            eprintln!("{ms:10.2} ms  {name}");
        }
        for (name, ms) in &self.inner {
            eprintln!("{ms:10.2} ms    in the machine's process: {name}");
        }
    }
}

/// Remembers when the first byte was written.
pub(super) struct FirstWrite<W> {
    inner: W,
    pub(super) first: Option<Instant>,
}

impl<W: io::Write> io::Write for FirstWrite<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.first.get_or_insert_with(Instant::now);
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
