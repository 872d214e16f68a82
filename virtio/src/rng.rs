//! Entropy device (virtio 1.2, section 5.4).

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;

use crate::config::ConfigSpace;
use crate::device::{Active, Handled, VirtioDevice};
use crate::event::Watch;
use crate::queue::Broken;

/// Most bytes given for one request; a device may give less than was asked for (5.4.6.1).
const MOST: usize = 64 * 1024;

/// Gives the guest bytes of the host's own generator.
#[derive(Debug, Default)]
pub struct Rng;

impl VirtioDevice for Rng {
    fn id(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![256]
    }

    fn config(&self) -> ConfigSpace {
        ConfigSpace::fixed(Vec::new())
    }

    fn notify(
        &mut self,
        queue: usize,
        active: &mut Active,
        _watch: &mut dyn Watch,
    ) -> Result<(), Broken> {
        active.drain(queue, |chain, memory| {
            if chain.malformed {
                return Handled::Done(0);
            }
            let mut bytes = vec![0; MOST.min(chain.writable.len() as usize)];
            if let Err(error) = getrandom::fill(&mut bytes) {
                tracing::error!(%error, "the host's random number generator failed");
                return Handled::Done(0);
            }
            let written = chain.writable.write(memory, 0, &bytes).unwrap_or(0);
            Handled::Done(written as u32)
        })
    }
}
