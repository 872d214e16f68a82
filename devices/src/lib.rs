//! The MMIO bus, platform devices and the interrupt-line handle.
//!
//! A machine is put together in three steps, each one way:
//!
//! 1. A [`DeviceManager`] gives every device an address range and an interrupt line
//!    ([`Placement`]); the same placements describe the device in the FDT.
//! 2. The device is built from its configuration, its host resources (the line, an output) and its
//!    saved state. A cold boot passes the reset state, so there is no second construction path.
//! 3. The manager is frozen into a [`Bus`]: a sorted slice that vCPU threads search without a lock.
//!
//! ```
//! use std::sync::Arc;
//! use devices::{Access, DeviceKind, DeviceManager, IrqSink, Pl031, Trigger, Width};
//!
//! struct NoGic;
//! impl IrqSink for NoGic {
//!     fn set_level(&self, _intid: u32, _high: bool) {}
//! }
//!
//! let mut manager = DeviceManager::new(0x900_0000..0xa00_0000, 32..64, Arc::new(NoGic));
//! let place = manager.place(DeviceKind::Rtc, "rtc0", 0x1000, Trigger::Level)?;
//! let rtc = Pl031::new(place.line.clone(), &Default::default())?;
//! manager.attach(DeviceKind::Rtc, "rtc0", Arc::new(rtc))?;
//! let bus = manager.freeze()?;
//!
//! // UARTPeriphID0 of a PL031 (DDI 0224, 3.3.9).
//! assert_eq!(bus.read(Access::new(place.base + 0xfe0, Width::Word)), Some(0x31));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Guest accesses never fail: a read that a device does not define gives zero, a write is dropped,
//! both are logged at debug level.

mod bus;
mod error;
mod irq;
mod manager;
mod pl011;
mod pl031;
mod pl061;
mod primecell;

pub use bus::{Access, Bus, Effect, MmioDevice, Width};
pub use error::Error;
pub use irq::{IrqLine, IrqSink, Trigger};
pub use manager::{DeviceKind, DeviceManager, Placement};
pub use pl011::{Pl011, Pl011State};
pub use pl031::{Clock, HostClock, Pl031, Pl031State};
pub use pl061::{POWER_BUTTON_PIN, POWER_OFF_PIN, Pl061, Pl061State, RESET_PIN};
