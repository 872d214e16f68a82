//! Interrupt lines: what a device holds instead of an interrupt number.

use std::sync::{Arc, Mutex, PoisonError};

/// How the interrupt controller is told to understand a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Rising edge.
    Edge,
    /// Active high.
    Level,
}

/// The input side of an interrupt controller.
pub trait IrqSink: Send + Sync {
    /// Drives a shared line high or low. `intid` is the architecture's INTID (32 and up).
    ///
    /// Called from any thread, with the line's own lock held: it must not call back into a device.
    fn set_level(&self, intid: u32, high: bool);
}

struct Shared {
    intid: u32,
    trigger: Trigger,
    sink: Arc<dyn IrqSink>,
    /// The level last driven or imported; the lock also orders the calls into the sink.
    high: Mutex<bool>,
}

/// One interrupt line. Clones are handles to the same line.
#[derive(Clone)]
pub struct IrqLine(Arc<Shared>);

impl std::fmt::Debug for IrqLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IrqLine")
            .field("intid", &self.0.intid)
            .field("trigger", &self.0.trigger)
            .finish_non_exhaustive()
    }
}

impl IrqLine {
    /// A line into `sink`, low.
    pub fn new(intid: u32, trigger: Trigger, sink: Arc<dyn IrqSink>) -> Self {
        Self(Arc::new(Shared { intid, trigger, sink, high: Mutex::new(false) }))
    }

    /// The INTID, as the FDT wants it less 32.
    pub fn intid(&self) -> u32 {
        self.0.intid
    }

    /// Edge or level, as the FDT states it.
    pub fn trigger(&self) -> Trigger {
        self.0.trigger
    }

    /// Brings the line to what `asserted` says. A level line follows it; an edge line is pulsed if
    /// it is true.
    ///
    /// `asserted` is evaluated under the line's lock: whoever changes the condition and calls this
    /// afterwards leaves the line agreeing with it, whatever other threads do meanwhile.
    pub fn update(&self, asserted: impl FnOnce() -> bool) {
        let mut high = self.0.high.lock().unwrap_or_else(PoisonError::into_inner);
        let now = asserted();
        match self.0.trigger {
            Trigger::Level if now != *high => {
                *high = now;
                self.0.sink.set_level(self.0.intid, now);
            }
            Trigger::Edge if now => {
                self.0.sink.set_level(self.0.intid, true);
                self.0.sink.set_level(self.0.intid, false);
            }
            _ => {}
        }
    }

    /// Signals an edge line once.
    pub fn pulse(&self) {
        self.update(|| true);
    }

    /// Takes over a level from saved state without driving the controller, whose own state is
    /// restored separately and would otherwise see an edge that never happened.
    pub fn import(&self, level: bool) {
        let mut high = self.0.high.lock().unwrap_or_else(PoisonError::into_inner);
        *high = level && self.0.trigger == Trigger::Level;
    }

    /// Drives a level line again to the level it has; an edge line is left alone. Done for every
    /// line after the controller's state is in place.
    pub fn redrive(&self) {
        let high = self.0.high.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.trigger == Trigger::Level {
            self.0.sink.set_level(self.0.intid, *high);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Records every call.
    #[derive(Default)]
    pub(crate) struct Recorder(pub(crate) Mutex<Vec<(u32, bool)>>);

    impl IrqSink for Recorder {
        fn set_level(&self, intid: u32, high: bool) {
            self.0.lock().unwrap().push((intid, high));
        }
    }

    impl Recorder {
        pub(crate) fn take(&self) -> Vec<(u32, bool)> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }

        pub(crate) fn line(self: &Arc<Self>, trigger: Trigger) -> IrqLine {
            IrqLine::new(40, trigger, self.clone())
        }
    }

    #[test]
    fn a_level_line_reports_changes_only() {
        let sink = Arc::new(Recorder::default());
        let line = sink.line(Trigger::Level);
        for level in [false, true, true, false] {
            line.update(|| level);
        }
        assert_eq!(sink.take(), [(40, true), (40, false)]);
    }

    #[test]
    fn an_edge_line_pulses_every_time() {
        let sink = Arc::new(Recorder::default());
        let line = sink.line(Trigger::Edge);
        line.pulse();
        line.update(|| false);
        line.pulse();
        assert_eq!(sink.take(), [(40, true), (40, false), (40, true), (40, false)]);
    }

    #[test]
    fn an_imported_level_makes_no_edge_and_is_driven_again_on_demand() {
        let sink = Arc::new(Recorder::default());
        let line = sink.line(Trigger::Level);
        line.import(true);
        line.update(|| true);
        assert_eq!(sink.take(), []);
        line.redrive();
        assert_eq!(sink.take(), [(40, true)]);

        let edge = sink.line(Trigger::Edge);
        edge.import(true);
        edge.redrive();
        assert_eq!(sink.take(), []);
    }
}
