//! A device's interrupt: status, line and the needs-reset flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use devices::IrqLine;
use virtio_bindings::virtio_mmio::{VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING};

#[derive(Debug)]
struct Shared {
    /// InterruptStatus (virtio 1.2, 4.2.2).
    status: AtomicU32,
    needs_reset: AtomicBool,
    line: IrqLine,
}

/// A handle to the interrupt of one device, shared by its transport and its worker.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<Shared>);

impl Interrupt {
    /// Takes over a saved status without an edge on the line.
    pub(crate) fn new(line: IrqLine, status: u32, needs_reset: bool) -> Self {
        line.import(status != 0);
        Self(Arc::new(Shared {
            status: AtomicU32::new(status),
            needs_reset: AtomicBool::new(needs_reset),
            line,
        }))
    }

    /// The device has used a buffer.
    pub fn used_buffer(&self) {
        self.raise(VIRTIO_MMIO_INT_VRING);
    }

    /// The device's configuration has changed.
    pub fn config_changed(&self) {
        self.raise(VIRTIO_MMIO_INT_CONFIG);
    }

    /// The device cannot go on until the driver resets it (virtio 1.2, 2.1.2).
    pub fn needs_reset(&self) {
        if !self.0.needs_reset.swap(true, Ordering::AcqRel) {
            self.config_changed();
        }
    }

    pub(crate) fn is_reset_needed(&self) -> bool {
        self.0.needs_reset.load(Ordering::Acquire)
    }

    pub(crate) fn status(&self) -> u32 {
        self.0.status.load(Ordering::Acquire)
    }

    pub(crate) fn acknowledge(&self, bits: u32) {
        self.0.status.fetch_and(!bits, Ordering::AcqRel);
        self.settle();
    }

    pub(crate) fn clear(&self) {
        self.0.needs_reset.store(false, Ordering::Release);
        self.acknowledge(u32::MAX);
    }

    fn raise(&self, bit: u32) {
        self.0.status.fetch_or(bit, Ordering::AcqRel);
        self.settle();
    }

    fn settle(&self) {
        self.0.line.update(|| self.status() != 0);
    }
}
