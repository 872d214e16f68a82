//! A device's configuration space, shared by its transport and its worker.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Shared {
    bytes: Mutex<Vec<u8>>,
    generation: AtomicU32,
    writable: Range<usize>,
    state: Range<usize>,
}

/// Configuration bytes with their generation. Clones share them.
#[derive(Debug, Clone)]
pub struct ConfigSpace(Arc<Shared>);

impl ConfigSpace {
    /// A space that never changes.
    pub fn fixed(bytes: Vec<u8>) -> Self {
        Self::new(bytes, 0..0, 0..0)
    }

    /// A space whose `writable` range the driver may write, and whose `state` range changes at run
    /// time and so belongs into a snapshot; the rest follows from the device's configuration.
    pub fn new(bytes: Vec<u8>, writable: Range<usize>, state: Range<usize>) -> Self {
        Self(Arc::new(Shared {
            bytes: Mutex::new(bytes),
            generation: AtomicU32::new(0),
            writable,
            state,
        }))
    }

    /// A little-endian field.
    pub fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut value = [0; N];
        self.read(offset as u64, &mut value);
        value
    }

    /// Changes the bytes; the driver sees another generation afterwards.
    pub fn update(&self, change: impl FnOnce(&mut [u8])) {
        let mut bytes = self.lock();
        change(&mut bytes);
        self.0.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Copies from `offset`; bytes past the end read as zero.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) {
        let bytes = self.lock();
        into.fill(0);
        let from = usize::try_from(offset).ok().and_then(|o| bytes.get(o..));
        for (to, from) in into.iter_mut().zip(from.unwrap_or_default()) {
            *to = *from;
        }
    }

    /// The driver's write; bytes that are not the driver's stay.
    pub(crate) fn write(&self, offset: u64, from: &[u8]) {
        let mut bytes = self.lock();
        for (at, value) in (offset..).zip(from) {
            let Ok(at) = usize::try_from(at) else { return };
            if self.0.writable.contains(&at)
                && let Some(byte) = bytes.get_mut(at)
            {
                *byte = *value;
            }
        }
    }

    pub(crate) fn generation(&self) -> u32 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// The bytes that are state.
    pub(crate) fn save(&self) -> Vec<u8> {
        let bytes = self.lock();
        bytes[self.0.state.clone()].to_vec()
    }

    /// Takes saved bytes back; whether they have the right length.
    #[must_use]
    pub(crate) fn restore(&self, saved: &[u8], generation: u32) -> bool {
        let mut bytes = self.lock();
        let state = &mut bytes[self.0.state.clone()];
        if saved.len() != state.len() {
            return false;
        }
        state.copy_from_slice(saved);
        self.0.generation.store(generation, Ordering::Release);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
