//! Exit statuses, as Docker's users know them.

use std::fmt;

use crate::session;

/// kiln itself failed before the command ran.
pub const KILN_FAILED: u8 = 125;
/// The command exists and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The command does not exist.
pub const NOT_FOUND: u8 = 127;

/// A failure whose exit status says more than 1.
#[derive(Debug)]
pub struct Exit {
    /// The exit status.
    pub status: u8,
    message: String,
}

impl Exit {
    /// A failure with this exit status and sentence.
    pub fn new(status: u8, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// Whatever goes wrong before a command runs is kiln's own failure, unless it says more itself, or is about output: then
/// the command runs.
pub(crate) fn before_the_command(error: anyhow::Error) -> anyhow::Error {
    if error.is::<Exit>() || error.is::<session::Broken>() {
        return error;
    }
    Exit::new(KILN_FAILED, format!("{error:#}")).into()
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}
