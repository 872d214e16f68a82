//! The transport and its queues, and the requests of an entropy driver: the device that does least.
#![no_main]

libfuzzer_sys::fuzz_target!(|ops: Vec<virtio_fuzz::Op>| {
    virtio_fuzz::drive(|| Box::new(virtio::Rng), 1, ops);
});
