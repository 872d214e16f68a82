//! The virtio-mmio transport, version 2 (virtio 1.2, section 4.2).
//!
//! Limits: no shared memory regions, no queue reset (VIRTIO_F_RING_RESET is not offered), split
//! rings only.

mod registers;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use devices::{Access, Effect, IrqLine, MmioDevice, Width};
use snapshot::{Invalid, Saved};
use virtio_bindings::virtio_config::{VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK};
use virtio_bindings::virtio_mmio::*;

pub use registers::TRANSPORT_FEATURES;
pub use state::{SavedQueue, VirtioState};

use crate::config::ConfigSpace;
use crate::device::{Active, MAX_QUEUES, VirtioDevice};
use crate::interrupt::Interrupt;
use crate::once::{Once, log_once};
use crate::queue::Virtq;
use crate::worker::{Seat, Stop, Worker};
use crate::{Error, Memory};
use registers::{After, Registers};

/// Length of the registers in bytes: 0x100 of the transport and the configuration space.
pub const MMIO_LEN: u64 = 0x1000;

/// "virt", little-endian.
const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// "kiln", little-endian.
const VENDOR: u32 = 0x6e6c_696b;

/// A virtio device on the MMIO bus. The device itself runs on its worker.
///
/// Life cycle: made from a state (the reset state in a cold boot); serves vCPU threads until the
/// machine stops them; then [`quiesce`](Self::quiesce), [`save`](Self::save) and
/// [`resume`](Self::resume) in this order, as often as needed. It must be dropped before its
/// worker.
#[derive(Debug)]
pub struct MmioTransport {
    id: u32,
    memory: Memory,
    interrupt: Interrupt,
    config: ConfigSpace,
    seat: Seat,
    registers: Mutex<Registers>,
    complained: Once,
}

impl MmioTransport {
    /// Puts `device` on `worker` and its registers behind this transport. If the state says that
    /// the driver was at work, the device still waits for [`resume`](Self::resume).
    ///
    /// # Errors
    /// If the state cannot be true or is of another device, or the worker has ended.
    pub fn new(
        mut device: Box<dyn VirtioDevice>,
        worker: &Worker,
        memory: Memory,
        line: IrqLine,
        state: &VirtioState,
    ) -> Result<Self, Error> {
        state.validate()?;
        let invalid = |what: String| Error::Invalid(Invalid { kind: VirtioState::KIND, what });
        let (id, config) = (device.id(), device.config());
        let sizes = device.queue_sizes();
        assert!(sizes.len() <= MAX_QUEUES, "a device with more queues than a doorbell has bits");
        let registers = Registers::new(device.features() | TRANSPORT_FEATURES, &sizes, state);
        if *state != VirtioState::default() {
            if state.device_id != id {
                return Err(invalid(format!(
                    "state of device {} for device {id}",
                    state.device_id
                )));
            }
            if state.queues.len() != sizes.len() {
                return Err(invalid(format!(
                    "{} queues for a device with {}",
                    state.queues.len(),
                    sizes.len()
                )));
            }
            if !config.restore(&state.config, state.config_generation) {
                return Err(invalid(format!("{} configuration bytes", state.config.len())));
            }
            let agreed = state.status & VIRTIO_CONFIG_S_FEATURES_OK != 0;
            if agreed && state.driver_features & !registers.offered() != 0 {
                return Err(invalid(format!("features {:#x}", state.driver_features)));
            }
            device.restore(&state.device)?;
        }
        let seat = worker.adopt(device)?;
        Ok(Self {
            id,
            memory,
            interrupt: Interrupt::new(line, state.interrupt_status, state.needs_reset),
            config,
            seat,
            registers: Mutex::new(registers),
            complained: Once::default(),
        })
    }

    /// Stops the device at a descriptor boundary, waiting for requests in flight, at most `limit`. The
    /// vCPUs are stopped. From here until [`resume`](Self::resume) the device does not touch guest
    /// memory.
    ///
    /// # Errors
    /// [`Error::Busy`] if requests are still in flight; the device goes on with them. Or if the worker
    /// has ended.
    pub fn quiesce(&self, limit: Duration) -> Result<(), Error> {
        let mut registers = self.lock();
        let queues = self.seat.stop(Stop::Pause(limit))?;
        registers.advance(&queues);
        Ok(())
    }

    /// Guest-visible state. The device is quiesced.
    ///
    /// # Errors
    /// If the worker has ended.
    pub fn save(&self) -> Result<VirtioState, Error> {
        let device = self.seat.save()?;
        let registers = self.lock();
        let mut state = VirtioState {
            device_id: self.id,
            needs_reset: self.interrupt.is_reset_needed(),
            interrupt_status: self.interrupt.status(),
            config_generation: self.config.generation(),
            config: self.config.save(),
            device,
            ..VirtioState::default()
        };
        registers.save(&mut state);
        Ok(state)
    }

    /// Lets the device run from where it was quiesced or from its saved state, and kicks every
    /// queue. `restored` says that the state comes from another machine. Does nothing if the
    /// driver has not started the device.
    pub fn resume(&self, restored: bool) {
        let registers = self.lock();
        if registers.status() & VIRTIO_CONFIG_S_DRIVER_OK != 0 {
            self.start(&registers, restored);
        }
    }

    /// Puts device and transport into their reset state.
    pub fn reset(&self) {
        let mut registers = self.lock();
        self.stop_and_clear(&mut registers);
    }

    fn lock(&self) -> MutexGuard<'_, Registers> {
        self.registers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the queues to the device, unless it waits for its driver's reset.
    fn start(&self, registers: &Registers, restored: bool) {
        if self.interrupt.is_reset_needed() {
            return;
        }
        let features = registers.features();
        let queues: Result<Vec<_>, _> = registers
            .queue_states()
            .map(|state| match state {
                None => Ok(None),
                Some(state) => Virtq::new(state?, self.memory.clone()).map(Some),
            })
            .collect();
        let Ok(queues) = queues else {
            let device = self.id;
            log_once!(self.complained, warn, device, "the driver set up a queue that cannot be");
            self.interrupt.needs_reset();
            return;
        };
        self.seat.activate(Active {
            features,
            queues,
            memory: self.memory.clone(),
            interrupt: self.interrupt.clone(),
            doorbell: self.seat.doorbell.clone(),
            restored,
        });
    }

    fn stop_and_clear(&self, registers: &mut Registers) {
        // The driver may reuse its memory as soon as this write is done, so the write waits. A
        // worker that has ended touches nothing and has told the machine.
        let _ = self.seat.stop(Stop::Reset);
        registers.clear();
        self.interrupt.clear();
    }

    fn read_register(&self, offset: u32) -> u32 {
        match offset {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => VERSION,
            VIRTIO_MMIO_DEVICE_ID => self.id,
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_INTERRUPT_STATUS => self.interrupt.status(),
            VIRTIO_MMIO_CONFIG_GENERATION => self.config.generation(),
            VIRTIO_MMIO_STATUS => self.lock().status_with(self.interrupt.is_reset_needed()),
            _ => self.lock().read(offset),
        }
    }

    fn write_register(&self, offset: u32, value: u32) {
        match offset {
            VIRTIO_MMIO_QUEUE_NOTIFY => {
                if (value as usize) < MAX_QUEUES {
                    self.seat.doorbell.ring(value);
                }
            }
            VIRTIO_MMIO_INTERRUPT_ACK => self.interrupt.acknowledge(value),
            _ => {
                let mut registers = self.lock();
                match registers.write(offset, value) {
                    After::Nothing => {}
                    After::Reset => self.stop_and_clear(&mut registers),
                    After::Start => self.start(&registers, false),
                    After::Restart => {
                        if let Ok(queues) = self.seat.stop(Stop::Restart) {
                            registers.advance(&queues);
                            self.start(&registers, false);
                        }
                    }
                }
            }
        }
    }
}

impl MmioDevice for MmioTransport {
    fn read(&self, access: Access) -> u64 {
        if let Some(offset) = access.addr.checked_sub(VIRTIO_MMIO_CONFIG.into()) {
            let mut bytes = [0; 8];
            self.config.read(offset, &mut bytes[..access.width.bytes() as usize]);
            return u64::from_le_bytes(bytes);
        }
        if access.width != Width::Word || !access.addr.is_multiple_of(4) {
            // Drivers must not (4.2.2.2).
            tracing::debug!(device = self.id, ?access, "register read at an odd width or offset");
            return 0;
        }
        self.read_register(access.addr as u32).into()
    }

    fn write(&self, access: Access, value: u64) -> Effect {
        if let Some(offset) = access.addr.checked_sub(VIRTIO_MMIO_CONFIG.into()) {
            let bytes = value.to_le_bytes();
            self.config.write(offset, &bytes[..access.width.bytes() as usize]);
        } else if access.width != Width::Word || !access.addr.is_multiple_of(4) {
            tracing::debug!(device = self.id, ?access, "register write at an odd width or offset");
        } else {
            self.write_register(access.addr as u32, value as u32);
        }
        Effect::None
    }
}
