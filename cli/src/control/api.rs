//! Bodies of requests and replies.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Ask the process to end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StopRequest {
    /// Linux number of the signal to send first; the machine's own if absent.
    pub signal: Option<i32>,
    /// Seconds before SIGKILL; the machine's own if absent.
    pub timeout: Option<u64>,
}

/// Send a signal to the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KillRequest {
    /// Linux number of the signal.
    pub signal: i32,
}

/// How the process ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WaitReply {
    /// 0 to 255; 128 + n after signal n.
    pub exit_code: i32,
}

/// Take a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotRequest {
    /// The directory that the snapshot will be; it must not exist.
    pub path: PathBuf,
}

/// What a snapshot came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotReply {
    /// Bytes written; holes are not counted.
    pub bytes: u64,
    /// Milliseconds in which the machine's processes stood still.
    pub pause_ms: f64,
    /// Milliseconds of these in which state and memory were written.
    pub save_ms: f64,
}

/// Why a request was not done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    /// One sentence for people.
    pub error: String,
    /// The exit status that a command should have, if the failure has one: 125, 126, 127, or 137 for a guest that was
    /// switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
}
