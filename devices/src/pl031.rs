//! PL031 real-time clock (Arm DDI 0224C).
//!
//! The counter is the host's wall clock plus an offset that the guest may set. Only the offset is
//! saved, so a restored machine sees the present time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use snapshot::{Invalid, Saved};

use crate::{Access, Effect, IrqLine, MmioDevice, primecell};

/// Register offsets (DDI 0224C, table 3-1).
mod reg {
    pub(super) const DR: u64 = 0x000;
    pub(super) const MR: u64 = 0x004;
    pub(super) const LR: u64 = 0x008;
    pub(super) const CR: u64 = 0x00c;
    pub(super) const IMSC: u64 = 0x010;
    pub(super) const RIS: u64 = 0x014;
    pub(super) const MIS: u64 = 0x018;
    pub(super) const ICR: u64 = 0x01c;
}

const PERIPH_ID: [u8; 4] = [0x31, 0x10, 0x04, 0x00];

/// A wall clock.
pub trait Clock: Send + Sync {
    /// Time since 1970-01-01 00:00 UTC.
    fn now(&self) -> Duration;
}

/// The host's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostClock;

impl Clock for HostClock {
    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// Guest-visible state of a [`Pl031`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pl031State {
    /// Guest time less host time, in seconds modulo 2^32.
    offset: u32,
    load: u32,
    alarm: u32,
    /// An alarm was set and has not gone off.
    armed: bool,
    masked_in: bool,
    raised: bool,
}

impl Saved for Pl031State {
    const KIND: &'static str = "pl031";
    const VERSION: u32 = 1;

    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// The clock. Its alarm goes off when [`Pl031::check_alarm`] is called at or after
/// [`Pl031::alarm_in`].
pub struct Pl031 {
    line: IrqLine,
    clock: Box<dyn Clock>,
    state: Mutex<Pl031State>,
}

impl Pl031 {
    /// Builds the clock on the host's wall clock.
    ///
    /// # Errors
    /// If the state cannot be true.
    pub fn new(line: IrqLine, state: &Pl031State) -> Result<Self, Invalid> {
        Self::with_clock(line, HostClock, state)
    }

    /// Builds the clock on another one.
    ///
    /// # Errors
    /// If the state cannot be true.
    pub fn with_clock(
        line: IrqLine,
        clock: impl Clock + 'static,
        state: &Pl031State,
    ) -> Result<Self, Invalid> {
        state.validate()?;
        line.import(state.raised && state.masked_in);
        Ok(Self { line, clock: Box::new(clock), state: Mutex::new(state.clone()) })
    }

    /// Guest-visible state.
    pub fn save(&self) -> Pl031State {
        self.lock().clone()
    }

    /// Puts the clock back to its reset state, which is the host's time.
    pub fn reset(&self) {
        let mut state = self.lock();
        *state = Pl031State::default();
        self.line.update(|| false);
    }

    /// Time until the alarm, if one is set and its interrupt is not masked; zero if it has passed.
    pub fn alarm_in(&self) -> Option<Duration> {
        let state = self.lock();
        if !state.armed || !state.masked_in {
            return None;
        }
        let now = self.clock.now();
        let count = self.count(&state, now);
        let left = if has_passed(count, state.alarm) { 0 } else { state.alarm.wrapping_sub(count) };
        let whole = Duration::from_secs(left.into());
        Some(whole.saturating_sub(Duration::from_nanos(now.subsec_nanos().into())))
    }

    /// Raises the alarm if its time has come.
    pub fn check_alarm(&self) {
        let mut state = self.lock();
        self.match_alarm(&mut state);
        self.update_line(&state);
    }

    fn lock(&self) -> MutexGuard<'_, Pl031State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, state: &Pl031State, now: Duration) -> u32 {
        (now.as_secs() as u32).wrapping_add(state.offset)
    }

    fn match_alarm(&self, state: &mut Pl031State) {
        if state.armed && has_passed(self.count(state, self.clock.now()), state.alarm) {
            state.armed = false;
            state.raised = true;
        }
    }

    fn update_line(&self, state: &Pl031State) {
        self.line.update(|| state.raised && state.masked_in);
    }

    fn read_register(&self, state: &mut Pl031State, offset: u64) -> u32 {
        match offset {
            reg::DR => self.count(state, self.clock.now()),
            reg::MR => state.alarm,
            reg::LR => state.load,
            reg::CR => 1,
            reg::IMSC => state.masked_in.into(),
            reg::RIS => state.raised.into(),
            reg::MIS => (state.raised && state.masked_in).into(),
            _ => primecell::id_register(offset, PERIPH_ID).unwrap_or(0),
        }
    }
}

/// The counter passes the match value while nobody looks: "passed" is a distance of less than half the
/// counter's range.
fn has_passed(count: u32, alarm: u32) -> bool {
    count.wrapping_sub(alarm) < 1 << 31
}

impl MmioDevice for Pl031 {
    fn read(&self, access: Access) -> u64 {
        let mut state = self.lock();
        self.match_alarm(&mut state);
        self.update_line(&state);
        primecell::read(access, |offset| self.read_register(&mut state, offset))
    }

    fn write(&self, access: Access, value: u64) -> Effect {
        let Some((offset, value)) = primecell::write(access, value) else {
            return Effect::None;
        };
        let mut state = self.lock();
        match offset {
            reg::MR => {
                state.alarm = value;
                let ahead = value.wrapping_sub(self.count(&state, self.clock.now()));
                state.armed = ahead != 0 && ahead < 1 << 31;
                state.raised |= ahead == 0;
            }
            reg::LR => {
                state.load = value;
                state.offset = value.wrapping_sub(self.clock.now().as_secs() as u32);
            }
            reg::IMSC => state.masked_in = value & 1 != 0,
            reg::ICR if value & 1 != 0 => state.raised = false,
            _ => {}
        }
        self.update_line(&state);
        Effect::None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::irq::tests::Recorder;
    use crate::{Trigger, Width};

    #[derive(Clone, Default)]
    struct Fake(Arc<AtomicU64>);

    impl Clock for Fake {
        fn now(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn rtc(clock: &Fake, sink: &Arc<Recorder>, state: &Pl031State) -> Pl031 {
        Pl031::with_clock(sink.line(Trigger::Level), clock.clone(), state).unwrap()
    }

    fn r(rtc: &Pl031, offset: u64) -> u64 {
        rtc.read(Access::new(offset, Width::Word))
    }

    fn w(rtc: &Pl031, offset: u64, value: u64) {
        assert_eq!(rtc.write(Access::new(offset, Width::Word), value), Effect::None);
    }

    #[test]
    fn tells_the_hosts_time() {
        let sink = Arc::new(Recorder::default());
        let rtc = Pl031::new(sink.line(Trigger::Level), &Pl031State::default()).unwrap();
        let before = HostClock.now().as_secs();
        let told = r(&rtc, reg::DR);
        assert!((before..=HostClock.now().as_secs()).contains(&told));
    }

    #[test]
    fn a_restored_clock_shows_the_present_and_keeps_the_guests_offset() {
        let (clock, sink) = (Fake::default(), Arc::new(Recorder::default()));
        clock.0.store(1_000_000, Ordering::Relaxed);
        let first = rtc(&clock, &sink, &Pl031State::default());
        w(&first, reg::LR, 5_000);
        clock.0.store(9_000_000, Ordering::Relaxed);
        let second = rtc(&clock, &sink, &first.save());
        assert_eq!(r(&second, reg::DR), 13_000);
        assert_eq!(r(&second, reg::LR), 5_000);
    }

    #[test]
    fn the_alarm_goes_off_even_if_checked_late() {
        let (clock, sink) = (Fake::default(), Arc::new(Recorder::default()));
        clock.0.store(100_250, Ordering::Relaxed);
        let rtc = rtc(&clock, &sink, &Pl031State::default());
        w(&rtc, reg::IMSC, 1);
        w(&rtc, reg::MR, 103);
        assert_eq!(rtc.alarm_in(), Some(Duration::from_millis(2_750)));
        rtc.check_alarm();
        assert_eq!(sink.take(), []);
        clock.0.store(110_000, Ordering::Relaxed);
        assert_eq!(rtc.alarm_in(), Some(Duration::ZERO), "it is due");
        rtc.check_alarm();
        assert_eq!(sink.take(), [(40, true)]);
        assert_eq!(rtc.alarm_in(), None);
        w(&rtc, reg::ICR, 1);
        assert_eq!(sink.take(), [(40, false)]);
    }

    #[test]
    fn an_alarm_in_the_past_stays_silent() {
        let (clock, sink) = (Fake::default(), Arc::new(Recorder::default()));
        clock.0.store(100_000, Ordering::Relaxed);
        let rtc = rtc(&clock, &sink, &Pl031State::default());
        w(&rtc, reg::IMSC, 1);
        w(&rtc, reg::MR, 50);
        rtc.check_alarm();
        assert_eq!(sink.take(), []);
    }
}
