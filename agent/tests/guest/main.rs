//! The agent in a machine: kernel, initramfs and vsock as a container has them, the root from
//! `mkfs.erofs`, and expectations from Docker's documentation and Linux's manual pages.

#[path = "../../../vmm/tests/common/mod.rs"]
mod common;
mod host;

mod copies;
mod kernel;
mod processes;
mod streams;
