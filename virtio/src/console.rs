//! Console device (virtio 1.2, section 5.3).

use serde::{Deserialize, Serialize};

/// Guest-visible state of a console's ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleState {
    /// The driver has said that it knows the ports (VIRTIO_CONSOLE_DEVICE_READY).
    pub ready: bool,
    /// By port: a guest process has it open.
    pub guest_open: Vec<bool>,
}
