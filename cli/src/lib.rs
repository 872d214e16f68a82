//! Runs any OCI image as a hardware-isolated microVM.

mod agent_link;
mod bake;
pub mod commands;
mod control;
mod descriptors;
mod exit;
mod guest_files;
mod home;
mod launch;
mod log;
mod machine;
mod options;
mod pins;
mod prepare;
mod program;
mod progress;
mod pull;
mod record;
mod rotated;
mod sandbox;
mod session;
mod signal;
mod snapshots;
mod terminal;
mod text;
mod unpack;

pub use bake::{Moment, Ready};
pub use control::SnapshotReply;
pub use exit::{Exit, KILN_FAILED, NOT_EXECUTABLE, NOT_FOUND};
pub use home::Home;
pub use options::{Options, Pull};
pub use record::{PortMapping, Protocol};
pub use sandbox::{Output, Sandbox};
pub use snapshots::RestoreOptions;
