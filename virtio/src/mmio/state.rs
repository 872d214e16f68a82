//! Saved state of a virtio device behind the MMIO transport.

use serde::{Deserialize, Serialize};
use snapshot::{Invalid, Saved};
use virtio_bindings::virtio_config::{VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK};
use virtio_queue::QueueState;

use crate::device::DeviceState;

/// One queue as its registers and its device see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedQueue {
    /// QueueNum as the driver wrote it.
    pub size: u32,
    /// QueueReady.
    pub ready: bool,
    /// Guest-physical address of the descriptor table.
    pub desc: u64,
    /// Guest-physical address of the available ring.
    pub driver: u64,
    /// Guest-physical address of the used ring.
    pub device: u64,
    /// Next entry of the available ring.
    pub next_avail: u16,
    /// Next entry of the used ring.
    pub next_used: u16,
}

impl SavedQueue {
    /// The state as `virtio-queue` wants it. `None` if the size is no queue size.
    pub(crate) fn to_queue_state(
        self,
        max_size: u16,
        event_idx_enabled: bool,
    ) -> Option<QueueState> {
        let Self { size, ready, desc, driver, device, next_avail, next_used } = self;
        Some(QueueState {
            max_size,
            next_avail,
            next_used,
            event_idx_enabled,
            size: u16::try_from(size).ok()?,
            ready,
            desc_table: desc,
            avail_ring: driver,
            used_ring: device,
        })
    }

    /// Takes over how far the device has come.
    pub(crate) fn advance(&mut self, queue: &QueueState) {
        self.next_avail = queue.next_avail;
        self.next_used = queue.next_used;
    }
}

/// Guest-visible state of one virtio device: transport, queues, configuration and the device's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioState {
    /// Device ID that this state belongs to; zero in a reset state, which fits every device.
    pub device_id: u32,
    /// Status.
    pub status: u32,
    /// The device had asked for a reset.
    pub needs_reset: bool,
    /// DeviceFeaturesSel.
    pub device_features_sel: u32,
    /// DriverFeaturesSel.
    pub driver_features_sel: u32,
    /// Features that the driver accepted.
    pub driver_features: u64,
    /// QueueSel.
    pub queue_sel: u32,
    /// InterruptStatus.
    pub interrupt_status: u32,
    /// ConfigGeneration.
    pub config_generation: u32,
    /// Those configuration bytes that change at run time.
    pub config: Vec<u8>,
    /// The queues; none in a reset state.
    pub queues: Vec<SavedQueue>,
    /// The device's own state.
    pub device: DeviceState,
}

impl Saved for VirtioState {
    const KIND: &'static str = "virtio";
    const VERSION: u32 = 1;

    fn validate(&self) -> Result<(), Invalid> {
        let invalid = |what| Err(Invalid { kind: Self::KIND, what });
        let unagreed = self.status & VIRTIO_CONFIG_S_FEATURES_OK == 0;
        if self.status > 0xff || unagreed && self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0 {
            return invalid(format!("device status {:#x}", self.status));
        }
        if self.interrupt_status & !3 != 0 {
            return invalid(format!("interrupt status {:#x}", self.interrupt_status));
        }
        if self.queues.len() > crate::device::MAX_QUEUES {
            return invalid(format!("{} queues", self.queues.len()));
        }
        if self.device_id == 0 && *self != Self::default() {
            return invalid("state of no device".to_owned());
        }
        Ok(())
    }
}
