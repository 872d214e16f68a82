//! Requests of a block driver.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use virtio::{Blk, Disk, Durability, VirtioDevice};

static FILE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|ops: Vec<virtio_fuzz::Op>| {
    let (_, path) = FILE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, vec![7; 64 * 512]).unwrap();
        (dir, path)
    });
    let make = || -> Box<dyn VirtioDevice> {
        let disk = Disk::raw("fuzz", path, false, Durability::HostCache).unwrap();
        Box::new(Blk::new(disk, 2).unwrap())
    };
    virtio_fuzz::drive(make, 2, ops);
    assert_eq!(std::fs::metadata(path).unwrap().len(), 64 * 512, "no write past the end");
});
