//! The rules of Hypervisor.framework that software can check, each in a process of its own, since a
//! process has one VM.
//!
//! Constants come from `applevisor-sys`, where they were transcribed from Apple's headers; functions are
//! called as C would, with plain integers, so that nonsense can be passed.

mod exits;
mod gic;
mod layout;
mod memory;
mod support;
mod timer;
mod vcpu;
mod vm;
