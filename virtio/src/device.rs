//! What a virtio device is to its transport and its worker.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use snapshot::Invalid;

use crate::config::ConfigSpace;
use crate::event::{Bell, Readiness, Watch};
use crate::interrupt::Interrupt;
use crate::queue::{Broken, Virtq};
use crate::span::Chain;
use crate::{ConsoleState, Memory};

/// A virtio device, owned by value by its worker.
///
/// Life cycle, all on the worker's thread: [`restore`](Self::restore) once at most, then any
/// number of times [`activate`](Self::activate), events, [`quiesce`](Self::quiesce); after a
/// quiesce either another `activate`, with the same queues or queues rebuilt from their state, or
/// [`reset`](Self::reset).
pub trait VirtioDevice: Send {
    /// Device ID (virtio 1.2, section 5).
    fn id(&self) -> u32;

    /// What the device is, for a person.
    fn name(&self) -> String {
        format!("virtio device {}", self.id())
    }

    /// Offered features of the device's own; the transport adds those of the ring and of version 1.
    fn features(&self) -> u64;

    /// Largest size of each queue.
    fn queue_sizes(&self) -> Vec<u16>;

    /// The configuration space.
    fn config(&self) -> ConfigSpace;

    /// The driver is ready. Host descriptors are watched from here on. The worker notifies every
    /// queue once afterwards.
    ///
    /// # Errors
    /// If a host descriptor cannot be watched; the device then needs a reset.
    fn activate(&mut self, active: &mut Active, watch: &mut dyn Watch) -> io::Result<()> {
        let _ = (active, watch);
        Ok(())
    }

    /// The driver has notified a queue.
    ///
    /// # Errors
    /// If the driver has broken the queue; the device then needs a reset.
    fn notify(
        &mut self,
        queue: usize,
        active: &mut Active,
        watch: &mut dyn Watch,
    ) -> Result<(), Broken>;

    /// A watched descriptor is ready.
    ///
    /// # Errors
    /// If the driver has broken a queue.
    fn ready(
        &mut self,
        token: u32,
        ready: Readiness,
        active: &mut Active,
        watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        let _ = (token, ready, active, watch);
        Ok(())
    }

    /// The host's side of the device rang [`Doorbell::ring_host`].
    ///
    /// # Errors
    /// If the driver has broken a queue.
    fn host_event(&mut self, active: &mut Active, watch: &mut dyn Watch) -> Result<(), Broken> {
        let _ = (active, watch);
        Ok(())
    }

    /// A descriptor that the device kept watching in its [`reset`](Self::reset) is ready. The driver is
    /// not at work.
    fn ready_after_reset(&mut self, token: u32, ready: Readiness, watch: &mut dyn Watch) {
        let _ = (token, ready, watch);
    }

    /// Waits until no request is in flight, at most that long. Returns whether that is so.
    fn settles_within(&mut self, limit: Duration) -> bool {
        let _ = limit;
        true
    }

    /// Finishes what is in flight, publishes it, and stops watching descriptors: from here on the
    /// device touches neither guest memory nor its queues.
    fn quiesce(&mut self, active: &mut Active, watch: &mut dyn Watch) {
        let _ = (active, watch);
    }

    /// The driver has reset the device: guest-visible state is gone. What the host has yet to get of
    /// the guest's may be watched for.
    fn reset(&mut self, watch: &mut dyn Watch) {
        let _ = watch;
    }

    /// Guest-visible state beyond transport, queues and configuration space.
    fn save(&self) -> DeviceState {
        DeviceState::None
    }

    /// Takes saved state back, before the first activation.
    ///
    /// # Errors
    /// If the state is of another device or cannot be true.
    fn restore(&mut self, state: &DeviceState) -> Result<(), Invalid> {
        match state {
            DeviceState::None => Ok(()),
            other => Err(Invalid {
                kind: "virtio",
                what: format!("state {other:?} for a device that has none"),
            }),
        }
    }
}

/// Guest-visible state of those devices that have more than transport, queues and configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceState {
    /// No more state.
    #[default]
    None,
    /// A console's ports.
    Console(ConsoleState),
}

/// What a device has while its driver is at work.
#[derive(Debug)]
pub struct Active {
    /// Negotiated features.
    pub features: u64,
    /// The queues by index; `None` if the driver did not enable it.
    pub queues: Vec<Option<Virtq>>,
    /// Guest memory.
    pub memory: Memory,
    /// Tells the driver.
    pub interrupt: Interrupt,
    /// The device's doorbell, to come back to unfinished work.
    pub doorbell: Arc<Doorbell>,
    /// The driver last ran in another machine: connections to the host are gone.
    pub restored: bool,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It goes back to the driver, with so many bytes written.
    Done(u32),
    /// The device keeps it and completes it later.
    Kept,
    /// It stays in the queue, with those behind it, until the device drains the queue again.
    NotNow,
}

/// Requests handled before other work of the same thread gets its turn.
const BUDGET: usize = 1024;

impl Active {
    /// Whether a feature was negotiated.
    pub fn has(&self, feature: u32) -> bool {
        self.features & 1 << feature != 0
    }

    /// Takes each request of a queue in turn. Notifications are suppressed meanwhile, the used
    /// index is published once a round, and the driver told if it asked.
    ///
    /// # Errors
    /// If the driver has broken the queue.
    pub fn drain(
        &mut self,
        index: usize,
        mut handle: impl FnMut(&Chain, &Memory) -> Handled,
    ) -> Result<(), Broken> {
        let Some(Some(queue)) = self.queues.get_mut(index) else {
            return Ok(());
        };
        let mut left = BUDGET;
        loop {
            queue.suppress_notifications()?;
            let (mut completed, mut stopped) = (false, false);
            while left > 0
                && !stopped
                && let Some(chain) = queue.pop()?
            {
                left -= 1;
                match handle(&chain, &self.memory) {
                    Handled::Done(written) => {
                        queue.complete(chain.head, written)?;
                        completed = true;
                    }
                    Handled::Kept => {}
                    Handled::NotNow => {
                        queue.unpop();
                        stopped = true;
                    }
                }
            }
            if completed && queue.publish()? {
                self.interrupt.used_buffer();
            }
            if stopped {
                return Ok(());
            }
            if left == 0 {
                self.doorbell.ring(index as u32);
                return Ok(());
            }
            if !queue.allow_notifications()? {
                return Ok(());
            }
        }
    }

    /// Publishes completed requests of a queue and tells the driver if it asked.
    ///
    /// # Errors
    /// If the driver has broken the queue.
    pub fn publish(&mut self, index: usize) -> Result<(), Broken> {
        if let Some(Some(queue)) = self.queues.get_mut(index)
            && queue.publish()?
        {
            self.interrupt.used_buffer();
        }
        Ok(())
    }
}

/// Number of queues that a doorbell can tell apart.
pub const MAX_QUEUES: usize = 63;
const HOST: u32 = 63;

/// Where vCPU threads and the host's side leave word for the worker. No lock, no allocation, and
/// one system call only if the worker has nothing to do yet.
#[derive(Debug)]
pub struct Doorbell {
    pending: AtomicU64,
    bell: Arc<Bell>,
}

impl Doorbell {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self { pending: AtomicU64::new(0), bell }
    }

    /// Notifies a queue.
    pub fn ring(&self, queue: u32) {
        if self.pending.fetch_or(1 << (queue & 63), Ordering::AcqRel) == 0 {
            self.bell.ring();
        }
    }

    /// Calls for [`VirtioDevice::host_event`].
    pub fn ring_host(&self) {
        self.ring(HOST);
    }

    pub(crate) fn take(&self) -> Rung {
        Rung(self.pending.swap(0, Ordering::AcqRel))
    }
}

/// How a host-side handle reaches its device, which learns its doorbell when it is first activated
/// and then looks at everything that was left for it.
#[derive(Debug, Default)]
pub(crate) struct HostBell(OnceLock<Arc<Doorbell>>);

impl HostBell {
    pub(crate) fn attach(&self, doorbell: &Arc<Doorbell>) {
        // A device has one doorbell for life.
        let _ = self.0.set(doorbell.clone());
    }

    pub(crate) fn ring(&self) {
        if let Some(doorbell) = self.0.get() {
            doorbell.ring_host();
        }
    }
}

pub(crate) struct Rung(u64);

impl Rung {
    pub(crate) fn host(&self) -> bool {
        self.0 & 1 << HOST != 0
    }

    pub(crate) fn queues(&self) -> impl Iterator<Item = usize> + use<> {
        let bits = self.0;
        (0..MAX_QUEUES).filter(move |q| bits & 1 << q != 0)
    }
}
