//! What can go wrong on the host's side. What a driver does wrong is data, never an error here.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A device that cannot be built, or a worker that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A saved state that cannot be true, or is of another device.
    #[error(transparent)]
    Invalid(#[from] snapshot::Invalid),
    /// A worker thread could not be started.
    #[error("the worker thread \"{name}\" could not be started; free threads or descriptors")]
    Spawn {
        /// The thread's name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A worker thread has ended before its time.
    #[error("the worker thread \"{name}\" has ended; stop the machine")]
    WorkerGone {
        /// The thread's name.
        name: String,
    },
    /// A device's requests in flight were not done in time.
    #[error(
        "the host has not done the requests of the {device} within {} s; try again when its storage answers",
        limit.as_secs()
    )]
    Busy {
        /// What the device is.
        device: String,
        /// How long they were waited for.
        limit: Duration,
    },
    /// A file of a disk cannot be used.
    #[error("the disk file {} {what}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What failed and what to do.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A disk whose make-up is impossible.
    #[error("the disk \"{id}\" cannot be made: {what}")]
    DiskLayout {
        /// The disk's id.
        id: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// A host socket or stream cannot be used.
    #[error("{what}")]
    Socket {
        /// What failed, on what, what to do.
        what: String,
        /// Why.
        source: io::Error,
    },
}
