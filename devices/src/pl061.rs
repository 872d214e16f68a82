//! PL061 general-purpose I/O (Arm DDI 0190B), eight pins, with the pins of a virtual machine.
//!
//! [`POWER_BUTTON_PIN`] is an input that the host presses. [`RESET_PIN`] and [`POWER_OFF_PIN`] are
//! outputs: a guest without PSCI that drives one from low to high resets the machine or switches
//! it off. The other pins are not connected and read low.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use snapshot::{Invalid, Saved};

use crate::{Access, Effect, IrqLine, MmioDevice, primecell};

/// Input: high while the power button is pressed.
pub const POWER_BUTTON_PIN: u8 = 3;
/// Output: a rising edge resets the machine.
pub const RESET_PIN: u8 = 6;
/// Output: a rising edge switches the machine off.
pub const POWER_OFF_PIN: u8 = 7;

/// Register offsets (DDI 0190B, table 3-1).
mod reg {
    /// 0x000 to 0x3fc: address bits 9 to 2 select the pins.
    pub(super) const DATA_LAST: u64 = 0x3ff;
    pub(super) const DIR: u64 = 0x400;
    pub(super) const IS: u64 = 0x404;
    pub(super) const IBE: u64 = 0x408;
    pub(super) const IEV: u64 = 0x40c;
    pub(super) const IE: u64 = 0x410;
    pub(super) const RIS: u64 = 0x414;
    pub(super) const MIS: u64 = 0x418;
    pub(super) const IC: u64 = 0x41c;
    pub(super) const AFSEL: u64 = 0x420;
}

const PERIPH_ID: [u8; 4] = [0x61, 0x10, 0x04, 0x00];

/// Guest-visible state of a [`Pl061`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pl061State {
    /// Levels driven by the guest on output pins.
    output: u8,
    /// Levels driven by the host on input pins.
    input: u8,
    direction: u8,
    level_sense: u8,
    both_edges: u8,
    event: u8,
    enabled: u8,
    /// Latched edges.
    edges: u8,
    alternate: u8,
}

impl Saved for Pl061State {
    const KIND: &'static str = "pl061";
    const VERSION: u32 = 1;

    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl Pl061State {
    fn data(&self) -> u8 {
        self.output & self.direction | self.input & !self.direction
    }

    /// Raw interrupt status: latched edges, and pins whose level matches GPIOIEV.
    fn raw(&self) -> u8 {
        let levels = !(self.data() ^ self.event) & self.level_sense;
        self.edges & !self.level_sense | levels
    }

    /// Latches what became of the pins since `before`.
    fn latch(&mut self, before: u8) {
        let now = self.data();
        let (rising, falling) = (now & !before, before & !now);
        let single = self.event & rising | !self.event & falling;
        self.edges |= self.both_edges & (rising | falling) | !self.both_edges & single;
        self.edges &= !self.level_sense;
    }

    fn read(&self, offset: u64) -> u32 {
        let value = match offset {
            ..=reg::DATA_LAST => self.data() & (offset >> 2) as u8,
            reg::DIR => self.direction,
            reg::IS => self.level_sense,
            reg::IBE => self.both_edges,
            reg::IEV => self.event,
            reg::IE => self.enabled,
            reg::RIS => self.raw(),
            reg::MIS => self.raw() & self.enabled,
            reg::AFSEL => self.alternate,
            _ => return primecell::id_register(offset, PERIPH_ID).unwrap_or(0),
        };
        value.into()
    }

    fn write(&mut self, offset: u64, value: u8) {
        match offset {
            ..=reg::DATA_LAST => {
                let pins = (offset >> 2) as u8 & self.direction;
                self.output = self.output & !pins | value & pins;
            }
            reg::DIR => self.direction = value,
            reg::IS => self.level_sense = value,
            reg::IBE => self.both_edges = value,
            reg::IEV => self.event = value,
            reg::IE => self.enabled = value,
            reg::IC => self.edges &= !value,
            reg::AFSEL => self.alternate = value,
            _ => {}
        }
    }
}

/// The GPIO controller.
pub struct Pl061 {
    line: IrqLine,
    state: Mutex<Pl061State>,
}

impl Pl061 {
    /// Builds the controller from its state; a cold boot passes the default.
    ///
    /// # Errors
    /// If the state cannot be true.
    pub fn new(line: IrqLine, state: &Pl061State) -> Result<Self, Invalid> {
        state.validate()?;
        line.import(state.raw() & state.enabled != 0);
        Ok(Self { line, state: Mutex::new(state.clone()) })
    }

    /// Guest-visible state.
    pub fn save(&self) -> Pl061State {
        self.lock().clone()
    }

    /// Puts the controller back to its reset state.
    pub fn reset(&self) {
        let mut state = self.lock();
        *state = Pl061State::default();
        self.line.update(|| false);
    }

    /// Presses or releases the power button. A guest debounces: hold it for 100 ms.
    pub fn set_power_button(&self, pressed: bool) {
        let mut state = self.lock();
        let before = state.data();
        let pin = 1 << POWER_BUTTON_PIN;
        state.input = if pressed { state.input | pin } else { state.input & !pin };
        state.latch(before);
        self.update_line(&state);
    }

    fn lock(&self) -> MutexGuard<'_, Pl061State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update_line(&self, state: &Pl061State) {
        self.line.update(|| state.raw() & state.enabled != 0);
    }
}

impl MmioDevice for Pl061 {
    fn read(&self, access: Access) -> u64 {
        let state = self.lock();
        primecell::read(access, |offset| state.read(offset))
    }

    fn write(&self, access: Access, value: u64) -> Effect {
        let Some((offset, value)) = primecell::write(access, value) else {
            return Effect::None;
        };
        let mut state = self.lock();
        let (before, driven) = (state.data(), state.output & state.direction);
        state.write(offset, value as u8);
        state.latch(before);
        self.update_line(&state);
        let risen = state.output & state.direction & !driven;
        if risen & 1 << POWER_OFF_PIN != 0 {
            Effect::PowerOff
        } else if risen & 1 << RESET_PIN != 0 {
            Effect::Reset
        } else {
            Effect::None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::irq::tests::Recorder;
    use crate::{Trigger, Width};

    fn gpio() -> (Pl061, Arc<Recorder>) {
        let sink = Arc::new(Recorder::default());
        let gpio = Pl061::new(sink.line(Trigger::Level), &Pl061State::default()).unwrap();
        (gpio, sink)
    }

    fn r(gpio: &Pl061, offset: u64) -> u64 {
        gpio.read(Access::new(offset, Width::Byte))
    }

    fn w(gpio: &Pl061, offset: u64, value: u64) -> Effect {
        gpio.write(Access::new(offset, Width::Byte), value)
    }

    #[test]
    fn the_button_interrupts_when_pressed_and_when_released() {
        let (gpio, sink) = gpio();
        let pin = 1 << POWER_BUTTON_PIN;
        let _ = w(&gpio, reg::IBE, pin);
        let _ = w(&gpio, reg::IE, pin);
        gpio.set_power_button(true);
        assert_eq!(sink.take(), [(40, true)]);
        assert_eq!(r(&gpio, pin << 2), pin);
        assert_eq!(r(&gpio, reg::MIS), pin);
        let _ = w(&gpio, reg::IC, pin);
        assert_eq!(sink.take(), [(40, false)]);
        gpio.set_power_button(false);
        assert_eq!(sink.take(), [(40, true)]);
        assert_eq!(r(&gpio, pin << 2), 0);
    }

    #[test]
    fn a_level_interrupt_follows_the_pin_and_cannot_be_cleared() {
        let (gpio, _) = gpio();
        let pin = 1 << POWER_BUTTON_PIN;
        let _ = w(&gpio, reg::IS, pin);
        let _ = w(&gpio, reg::IEV, pin);
        gpio.set_power_button(true);
        let _ = w(&gpio, reg::IC, pin);
        assert_eq!(r(&gpio, reg::RIS), pin);
        gpio.set_power_button(false);
        assert_eq!(r(&gpio, reg::RIS), 0);
    }

    /// DDI 0190B, 3.3.1: address bits 9:2 mask the data register.
    #[test]
    fn the_address_masks_the_data() {
        let (gpio, _) = gpio();
        let _ = w(&gpio, reg::DIR, 0x0f);
        let _ = w(&gpio, 0x0c << 2, 0xff);
        assert_eq!(r(&gpio, 0x3fc), 0x0c);
        assert_eq!(r(&gpio, 0x04 << 2), 0x04);
        let _ = w(&gpio, 0x3fc, 0xf3);
        assert_eq!(r(&gpio, 0x3fc), 0x03, "inputs cannot be written");
    }

    #[test]
    fn output_pins_ask_for_reset_and_power_off_on_a_rising_edge() {
        let (gpio, _) = gpio();
        let (reset, off) = (1 << RESET_PIN, 1 << POWER_OFF_PIN);
        assert_eq!(w(&gpio, 0x3fc, off), Effect::None, "still an input");
        let _ = w(&gpio, reg::DIR, reset | off);
        assert_eq!(w(&gpio, reset << 2, reset), Effect::Reset);
        assert_eq!(w(&gpio, reset << 2, reset), Effect::None);
        assert_eq!(w(&gpio, off << 2, off), Effect::PowerOff);
    }
}
