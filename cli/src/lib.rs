//! Runs any OCI image as a hardware-isolated microVM.

mod agent_link;
pub mod commands;
pub mod control;
mod descriptors;
mod exit;
mod guest_files;
mod home;
mod launch;
pub mod log;
mod machine;
mod options;
mod pins;
mod prepare;
pub mod progress;
pub mod pull;
pub mod record;
mod sandbox;
pub mod session;
pub mod signal;
mod snapshots;
mod terminal;
mod text;
mod unpack;

pub use exit::{Exit, KILN_FAILED, NOT_EXECUTABLE, NOT_FOUND};
pub use home::Home;
pub use options::{Options, Pull};
pub use sandbox::{Output, Sandbox};
