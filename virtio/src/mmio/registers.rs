//! The transport's registers and the initialisation protocol (virtio 1.2, 3.1 and 4.2.2).

use virtio_bindings::virtio_config::*;
use virtio_bindings::virtio_mmio::*;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::QueueState;

use super::state::{SavedQueue, VirtioState};
use crate::queue::Broken;

/// Features that every device offers through the transport.
pub const TRANSPORT_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_INDIRECT_DESC | 1 << VIRTIO_RING_F_EVENT_IDX;

/// What a register write asks of the transport.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// Stop the device and clear everything.
    Reset,
    /// The driver is ready.
    Start,
    /// A queue was taken out of a running device.
    Restart,
}

#[derive(Debug)]
struct QueueRegisters {
    max_size: u16,
    queue: SavedQueue,
}

/// Everything behind the transport's lock.
#[derive(Debug)]
pub(super) struct Registers {
    offered: u64,
    status: u32,
    device_features_sel: u32,
    driver_features_sel: u32,
    driver_features: u64,
    queue_sel: u32,
    queues: Vec<QueueRegisters>,
}

impl Registers {
    /// Registers in `state`, whose queues are as many as `sizes` or none (the reset state).
    pub(super) fn new(offered: u64, sizes: &[u16], state: &VirtioState) -> Self {
        let queues = sizes.iter().enumerate().map(|(i, &max_size)| QueueRegisters {
            max_size,
            queue: state.queues.get(i).copied().unwrap_or_else(|| reset_queue(max_size)),
        });
        Self {
            offered,
            status: state.status,
            device_features_sel: state.device_features_sel,
            driver_features_sel: state.driver_features_sel,
            driver_features: state.driver_features,
            queue_sel: state.queue_sel,
            queues: queues.collect(),
        }
    }

    pub(super) fn save(&self, into: &mut VirtioState) {
        let Self {
            offered: _,
            status,
            device_features_sel,
            driver_features_sel,
            driver_features,
            queue_sel,
            queues,
        } = self;
        into.status = *status;
        into.device_features_sel = *device_features_sel;
        into.driver_features_sel = *driver_features_sel;
        into.driver_features = *driver_features;
        into.queue_sel = *queue_sel;
        into.queues = queues.iter().map(|q| q.queue).collect();
    }

    pub(super) fn clear(&mut self) {
        self.status = 0;
        self.device_features_sel = 0;
        self.driver_features_sel = 0;
        self.driver_features = 0;
        self.queue_sel = 0;
        for q in &mut self.queues {
            q.queue = reset_queue(q.max_size);
        }
    }

    pub(super) fn offered(&self) -> u64 {
        self.offered
    }

    /// Negotiated features.
    pub(super) fn features(&self) -> u64 {
        self.driver_features
    }

    pub(super) fn status(&self) -> u32 {
        self.status
    }

    pub(super) fn status_with(&self, needs_reset: bool) -> u32 {
        self.status | if needs_reset { VIRTIO_CONFIG_S_NEEDS_RESET } else { 0 }
    }

    /// How far the device has come in each queue.
    pub(super) fn advance(&mut self, queues: &[Option<QueueState>]) {
        for (registers, queue) in self.queues.iter_mut().zip(queues) {
            if let Some(queue) = queue {
                registers.queue.advance(queue);
            }
        }
    }

    /// The queues that the driver enabled.
    pub(super) fn queue_states(
        &self,
    ) -> impl Iterator<Item = Option<Result<QueueState, Broken>>> + '_ {
        let event_idx = self.driver_features & 1 << VIRTIO_RING_F_EVENT_IDX != 0;
        self.queues.iter().map(move |q| {
            let state = || q.queue.to_queue_state(q.max_size, event_idx).ok_or(Broken);
            q.queue.ready.then(state)
        })
    }

    pub(super) fn read(&self, offset: u32) -> u32 {
        let queue = self.queues.get(self.queue_sel as usize);
        match offset {
            VIRTIO_MMIO_DEVICE_FEATURES => page(self.offered, self.device_features_sel),
            VIRTIO_MMIO_QUEUE_NUM_MAX => queue.map_or(0, |q| q.max_size.into()),
            VIRTIO_MMIO_QUEUE_READY => queue.map_or(0, |q| q.queue.ready.into()),
            // No shared memory region exists: length and base read as all ones (4.2.2.1).
            VIRTIO_MMIO_SHM_LEN_LOW
            | VIRTIO_MMIO_SHM_LEN_HIGH
            | VIRTIO_MMIO_SHM_BASE_LOW
            | VIRTIO_MMIO_SHM_BASE_HIGH => u32::MAX,
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, offset: u32, value: u32) -> After {
        match offset {
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.device_features_sel = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_features_sel = value,
            VIRTIO_MMIO_DRIVER_FEATURES => self.accept_features(value),
            VIRTIO_MMIO_QUEUE_SEL => self.queue_sel = value,
            VIRTIO_MMIO_STATUS => return self.write_status(value),
            VIRTIO_MMIO_QUEUE_READY => return self.write_ready(value),
            _ => self.write_queue(offset, value),
        }
        After::Nothing
    }

    /// After FEATURES_OK the driver must not change its mind (3.1.1), so it cannot.
    fn accept_features(&mut self, value: u32) {
        if self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0 || self.driver_features_sel > 1 {
            return;
        }
        let shift = self.driver_features_sel * 32;
        let mask = u64::from(u32::MAX) << shift;
        self.driver_features = self.driver_features & !mask | u64::from(value) << shift;
    }

    /// Status bits are set in the order of 3.1.1 and only a reset clears them; a bit whose turn
    /// has not come reads back as zero.
    fn write_status(&mut self, value: u32) -> After {
        if value == 0 {
            return After::Reset;
        }
        let (before, asked) = (self.status, value & !self.status);
        self.status |= asked & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_FAILED);
        let mut step = |bit: u32, after: u32, allowed: bool| {
            if asked & bit != 0 && self.status & after != 0 && allowed {
                self.status |= bit;
            }
        };
        let acceptable = self.driver_features & !self.offered == 0
            && self.driver_features & 1 << VIRTIO_F_VERSION_1 != 0;
        step(VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_ACKNOWLEDGE, true);
        step(VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER, acceptable);
        step(VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, true);
        if self.status & !before & VIRTIO_CONFIG_S_DRIVER_OK != 0 {
            After::Start
        } else {
            After::Nothing
        }
    }

    /// Queues are checked when the driver is done with all of them (DRIVER_OK), so the order in
    /// which it writes a queue's registers does not matter.
    fn write_ready(&mut self, value: u32) -> After {
        let live = self.is_live();
        let Some(q) = self.queues.get_mut(self.queue_sel as usize) else {
            return After::Nothing;
        };
        let (was, now) = (q.queue.ready, value & 1 != 0);
        match (live, was, now) {
            // Enabling a queue of a running device is not allowed (3.1.1, step 7).
            (true, false, true) => After::Nothing,
            (true, true, false) => {
                q.queue.ready = false;
                After::Restart
            }
            _ => {
                q.queue.ready = now;
                After::Nothing
            }
        }
    }

    fn write_queue(&mut self, offset: u32, value: u32) {
        if self.is_live() {
            return;
        }
        let Some(q) = self.queues.get_mut(self.queue_sel as usize) else { return };
        let set_low = |field: &mut u64| *field = *field & !0xffff_ffff | u64::from(value);
        let set_high = |field: &mut u64| *field = *field & 0xffff_ffff | u64::from(value) << 32;
        let q = &mut q.queue;
        match offset {
            VIRTIO_MMIO_QUEUE_NUM => q.size = value,
            VIRTIO_MMIO_QUEUE_DESC_LOW => set_low(&mut q.desc),
            VIRTIO_MMIO_QUEUE_DESC_HIGH => set_high(&mut q.desc),
            VIRTIO_MMIO_QUEUE_AVAIL_LOW => set_low(&mut q.driver),
            VIRTIO_MMIO_QUEUE_AVAIL_HIGH => set_high(&mut q.driver),
            VIRTIO_MMIO_QUEUE_USED_LOW => set_low(&mut q.device),
            VIRTIO_MMIO_QUEUE_USED_HIGH => set_high(&mut q.device),
            _ => tracing::debug!(offset, value, "write to no register"),
        }
    }

    fn is_live(&self) -> bool {
        self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0
    }
}

fn reset_queue(max_size: u16) -> SavedQueue {
    SavedQueue { size: max_size.into(), ..SavedQueue::default() }
}

/// 32 bits of a feature word.
fn page(features: u64, sel: u32) -> u32 {
    match sel {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}
