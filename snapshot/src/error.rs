//! What can go wrong with a snapshot, each in one sentence.

use std::{io, path::PathBuf};

/// Why a snapshot could not be written, read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name is taken.
    #[error("a snapshot already exists at {0}; remove it or choose another name")]
    Exists(PathBuf),
    /// There is no such snapshot.
    #[error("there is no snapshot at {0}; list the snapshots to see which exist")]
    Missing(PathBuf),
    /// An operating-system error on one file.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was being done, e.g. `"write"`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The disk is full.
    #[error(
        "cannot {action} {path}: the disk is full; free some space, for instance with `kiln snapshot rm` and `kiln prune`, and try again"
    )]
    NoSpace {
        /// What was being done, e.g. `"write"`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file that is not what its place promises.
    #[error("{path} is damaged: {what}; make the snapshot again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Written in a layout that this build does not read.
    #[error(
        "{path} has snapshot format {found} and this build reads {supported}; make the snapshot again with this build, or use the one that wrote it"
    )]
    Format {
        /// The state file.
        path: PathBuf,
        /// The file's format.
        found: u32,
        /// [`FORMAT`](crate::FORMAT).
        supported: u32,
    },
    /// A record that should be there is not.
    #[error(
        "the snapshot has no record {0:?}; it was made of a different kind of machine, make it again"
    )]
    NoRecord(String),
    /// A record of another kind or version.
    #[error(
        "record {name:?} is {found_kind} version {found}, and this build reads {kind} version {supported}; make the snapshot again"
    )]
    Version {
        /// The record.
        name: String,
        /// Kind in the file.
        found_kind: String,
        /// Version in the file.
        found: u32,
        /// Kind that was asked for.
        kind: &'static str,
        /// Version that this build reads.
        supported: u32,
    },
    /// A payload that does not decode.
    #[error("record {name:?} cannot be read: {what}; the snapshot is damaged, make it again")]
    Record {
        /// The record.
        name: String,
        /// The decoder's words.
        what: String,
    },
    /// A value that cannot be true.
    #[error(transparent)]
    Invalid(#[from] crate::Invalid),
    /// Made on a host that differs.
    #[error(
        "the snapshot was made on a different host: {name} is {found} there and {here} here; make it again on this host"
    )]
    Host {
        /// What differs, e.g. a register's name.
        name: String,
        /// Its value in the snapshot.
        found: String,
        /// Its value here.
        here: String,
    },
    /// Something too large to write or read.
    #[error("{what} is {len} bytes and at most {limit} are allowed")]
    TooLarge {
        /// The thing.
        what: String,
        /// Its size in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The same name was given twice, or it is no usable name.
    #[error(
        "{0:?} cannot name a part of a snapshot: names are unique and made of 1 to 64 of a-z, 0-9, '.', '_' and '-'"
    )]
    Name(String),
    /// An exported file that does not hold a snapshot.
    #[error("{path} is not an exported snapshot: {what}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { action, path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }

    /// For a part of a snapshot, which the snapshot's state says is there.
    pub(crate) fn part(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::damaged(path, "it is missing"),
            _ => Self::io(action, path)(source),
        }
    }

    pub(crate) fn damaged(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), what: what.into() }
    }
}
