//! virtio-mmio v2 transport and the virtio devices of a microVM.
//!
//! A device is a [`VirtioDevice`]: it owns its host resources and, while the driver is at work, is
//! lent its queues. It runs on a [`Worker`]'s thread. vCPU threads only reach its
//! [`MmioTransport`], whose registers never do I/O: a doorbell sets a bit and wakes the worker.
//!
//! What a driver does wrong is data. A request that makes no sense is answered or dropped as the
//! specification has it; a queue that makes no sense sets DEVICE_NEEDS_RESET and stays idle until
//! the driver resets the device.

mod balloon;
mod blk;
mod config;
mod console;
mod device;
mod error;
pub mod event;
mod interrupt;
mod mmio;
mod once;
mod queue;
mod rng;
mod span;
mod vsock;
mod worker;

#[cfg(any(test, feature = "mock"))]
pub mod mock;

pub use balloon::{Balloon, BalloonHost, ReturnMemory, Stat};
pub use blk::{Blk, Disk, Durability, Part};
pub use config::ConfigSpace;
pub use console::{Console, ConsoleHost, ConsolePort, ConsoleState};
pub use device::{Active, DeviceState, Doorbell, Handled, MAX_QUEUES, VirtioDevice};
pub use error::Error;
pub use interrupt::Interrupt;
pub use mmio::{MMIO_LEN, MmioTransport, SavedQueue, TRANSPORT_FEATURES, VirtioState};
pub use queue::{Broken, Virtq};
pub use rng::Rng;
pub use span::{BadAddress, Chain, MAX_SEGMENTS, Span};
pub use vsock::{HOST_CID, Incoming, Vsock, VsockHost, VsockListener, VsockSocket};
pub use worker::Worker;

/// Guest memory as every device sees it.
pub type Memory = std::sync::Arc<vm_memory::GuestMemoryMmap>;
