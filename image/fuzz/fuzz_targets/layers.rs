//! Layers of well-formed archives whose entries contradict each other in every way: markers, links
//! and types over a handful of names, up to four layers deep.
#![no_main]

#[path = "../../tests/common/tars.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod tars;

use libfuzzer_sys::fuzz_target;
use tars::Tar;

const NAMES: [&str; 16] = [
    "a",
    "b",
    "a/b",
    "a/c",
    "b/a",
    "a/b/c",
    ".wh.a",
    ".wh.b",
    "a/.wh.b",
    "a/.wh..wh..opq",
    "b/a/b",
    ".wh..wh..opq",
    "./",
    "a/b/.wh.c",
    "b/.wh..wh..opq",
    "c/d/e",
];
const TARGETS: [&str; 8] = ["a", "b", "a/b", "/a", "../b", "a/c", "c", "b/a"];

fuzz_target!(|bytes: &[u8]| {
    let mut layers = vec![Tar::default()];
    for command in bytes.chunks_exact(2).take(200) {
        let (kind, name) = (command[0] & 15, NAMES[usize::from(command[1] & 15)]);
        let target = TARGETS[usize::from(command[1] >> 5)];
        let header = match kind {
            0 if layers.len() < 4 => {
                layers.push(Tar::default());
                continue;
            }
            1..=4 => tars::dir(name),
            5..=8 => tars::file(name),
            9..=11 => tars::link(name, target),
            12..=13 => tars::symlink(name, target),
            14 => tars::file(name).pax("GNU.sparse.map", "8192,3").pax("GNU.sparse.size", "9000"),
            _ => tars::dir(name).xattr("trusted.overlay.opaque", "y"),
        };
        let data: &[u8] = if (5..=8).contains(&kind) || kind == 14 { b"abc" } else { b"" };
        let last = layers.pop().unwrap_or_default();
        layers.push(last.add(header, data));
    }
    let layers: Vec<Vec<u8>> = layers.into_iter().map(Tar::bytes).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let _ = image::fuzzing::convert(&layers);
});
