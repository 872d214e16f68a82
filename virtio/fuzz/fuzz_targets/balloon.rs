//! Page numbers, statistics and reports of a balloon driver.
#![no_main]

use virtio::mock::RAM_BASE;
use virtio::{Balloon, ReturnMemory, VirtioDevice};
use vm_memory::GuestAddress;

struct Check;

impl ReturnMemory for Check {
    fn granule(&self) -> u64 {
        16 * 1024
    }
    fn give_back(&mut self, addr: GuestAddress, len: u64) {
        assert!(addr.0 >= RAM_BASE && addr.0 + len <= RAM_BASE + virtio_fuzz::RAM as u64);
        assert!(len != 0 && (addr.0 | len) % self.granule() == 0);
    }
}

libfuzzer_sys::fuzz_target!(|ops: Vec<virtio_fuzz::Op>| {
    let make = || -> Box<dyn VirtioDevice> {
        let balloon = Balloon::new(Box::new(Check), true);
        let host = balloon.host();
        host.set_target(1 << 20);
        host.request_stats();
        Box::new(balloon)
    };
    virtio_fuzz::drive(make, 4, ops);
});
