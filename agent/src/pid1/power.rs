//! The power button, and switching the machine off.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use rustix::system::{RebootCommand, reboot};

use super::boot::log;
use super::control::Control;

/// `EV_KEY` of linux/input-event-codes.h.
const EV_KEY: u16 = 1;
/// `KEY_POWER` of linux/input-event-codes.h.
const KEY_POWER: u16 = 116;
/// `struct input_event` on a 64-bit machine: a time, then type, code and value.
const EVENT: usize = 24;

/// Starts the thread that stops the guest when the button is pressed, if the machine has one.
pub(crate) fn watch_button(control: Arc<Control>) -> std::io::Result<()> {
    let Ok(mut button) = File::open("/dev/input/event0") else { return Ok(()) };
    std::thread::Builder::new().name("power button".to_owned()).stack_size(64 * 1024).spawn(
        move || {
            let mut event = [0; EVENT];
            while button.read_exact(&mut event).is_ok() {
                if is_press(&event) {
                    if let Err(failure) = control.stop_as_configured() {
                        log(&failure.message);
                    }
                    off();
                }
            }
        },
    )?;
    Ok(())
}

/// Switches the machine off. What must be on disk is there already.
pub(crate) fn off() -> ! {
    loop {
        if let Err(error) = reboot(RebootCommand::PowerOff) {
            log(&format!("the kernel does not switch off: {error}"));
        }
        super::kernel::pause(1000);
    }
}

fn is_press(event: &[u8; EVENT]) -> bool {
    let field = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
    field(16) == EV_KEY && field(18) == KEY_POWER && value == 1
}
