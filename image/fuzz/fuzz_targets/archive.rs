//! Any bytes as a layer's blob. Checksums of headers are not looked at while fuzzing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = image::fuzzing::convert(&[bytes]);
});
