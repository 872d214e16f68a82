//! A software implementation of Apple's Hypervisor.framework C ABI for arm64.
//!
//! The crate exports the framework's `hv_*` functions ([`abi`]) as C symbols and answers them with an
//! aarch64 machine of its own: processing elements at EL0 and EL1 ([`cpu`], [`decode`], [`exec`],
//! [`mmu`]) over the caller's memory ([`mem`]), a GICv3 ([`gic`]) and the generic timer ([`timer`]).
//! Rust programs reach it through `hv-sys`; C programs link the library and include
//! `include/hv_soft.h`, which says how to build both.
//!
//! It is a functional backend and *not a security boundary*: it is meant for running, testing and
//! developing virtual machines where the framework is absent, with guests one would run as ordinary
//! processes. Guest code cannot reach host memory outside of the mapped regions by design, but neither
//! the interpreter nor its caches were built to withstand a determined attacker, and nothing is done
//! against side channels.

pub mod abi;
pub mod clock;
pub mod cpu;
pub mod decode;
pub mod exec;
pub mod gic;
pub mod insn;
pub mod mem;
pub mod mmu;
pub(crate) mod softfloat;
mod sync;
pub mod timer;
