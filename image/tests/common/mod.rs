//! What the tests share: other people's tools, and trees as plain data.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

pub(crate) mod http;
pub(crate) mod layers;
pub(crate) mod registry;
pub(crate) mod samples;
pub(crate) mod tars;
pub(crate) mod tools;
pub(crate) mod tree;

pub(crate) use tools::{layout, need_root, run, text};

/// Pulls into a store, with nothing to watch.
pub(crate) fn pull(store: &image::Store, reference: &str) -> Result<image::Image, image::Error> {
    store.pull(&reference.parse()?, &image::PullOptions::default(), &|_| {})
}
