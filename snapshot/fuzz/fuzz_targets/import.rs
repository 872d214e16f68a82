//! Arbitrary exported files: nothing but errors, and nothing left behind.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use snapshot::Snapshot;

fuzz_target!(|data: &[u8]| {
    let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let file = home.path().join("export");
    fs::write(&file, data).unwrap();
    let target = home.path().join("s");
    if Snapshot::import(&file, &target).is_err() {
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "a failed import leaves nothing");
    }
});
