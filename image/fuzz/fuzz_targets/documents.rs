//! Any bytes as a manifest, an index and a configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    image::fuzzing::document(bytes);
    let _ = image::ImageConfig::parse(bytes);
});
