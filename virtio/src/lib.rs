//! virtio-mmio v2 transport and the virtio devices of a microVM
