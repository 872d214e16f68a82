//! Runs any OCI image as a hardware-isolated microVM.

pub mod commands;
mod exit;
mod home;
pub mod log;
pub mod progress;
pub mod pull;
pub mod record;
pub mod session;
pub mod signal;
mod terminal;
mod text;

pub use exit::{Exit, KILN_FAILED, NOT_EXECUTABLE, NOT_FOUND};
pub use home::Home;
