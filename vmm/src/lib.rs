//! One machine: builds, runs, pauses, captures and restores it.
//!
//! A [`Machine`] is made from a [`MachineConfig`] and the host [`Resources`] it is given. Each vCPU has
//! a thread; all of them obey one order (hold, run, exit), and at rest each can be asked to work on
//! its own vCPU. Firmware calls are answered in one place, MMIO goes to a bus that is frozen before the
//! first instruction, and what a device asks of the whole machine comes back as data.

mod boot;
mod build;
mod capture;
mod config;
mod crew;
mod error;
mod firmware;
mod generation;
mod machine;
mod parts;
mod pause;
mod platform;
mod power;
mod proof;
mod timings;
mod vcpu;

pub use build::MemoryFile;
pub use capture::{MachineMemory, MachineState, fingerprint};
pub use config::{
    DEFAULT_MEMORY, DiskConfig, DiskSource, Durability, MachineConfig, OnReset, PartConfig,
    VsockConfig,
};
pub use error::{Error, Outcome};
pub use hv::{GuestFault, VcpuState};
pub use machine::{Machine, Resources};
pub use parts::PartsState;
pub use pause::Pause;
pub use power::{Entry, Power};
pub use proof::{Host, proof_of_life};
pub use timings::Timings;
pub use virtio::{BalloonHost, ConsoleHost, ConsolePort, Stat, VsockHost, VsockListener};
