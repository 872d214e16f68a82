//! What can be wrong with a layer.

use std::io;

use crate::Digest;
use crate::tar::TarError;

/// Why a layer could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// One of its entries is not acceptable.
    #[error("entry {entry:?}: {problem}")]
    Entry {
        /// The entry's name, unprintable characters escaped.
        entry: String,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// The blob, the tar, or what its hard links copy from below, goes on beyond the limit.
    #[error(
        "it is larger than the limit of {limit} bytes; raise the layer limit if it is meant to be"
    )]
    Bomb {
        /// [`crate::LayerLimits::tar_bytes`].
        limit: u64,
    },
    /// The tar has too many entries for the memory it may take.
    #[error(
        "its names and inodes take more than the limit of {limit} bytes of memory; build it with \
         fewer files in a layer"
    )]
    Metadata {
        /// [`crate::LayerLimits::metadata_bytes`].
        limit: u64,
    },
    /// The tar is not the one that the image's configuration names.
    #[error("its tar's digest is {actual}, but the image's configuration says {expected}")]
    DiffId {
        /// From the configuration.
        expected: Digest,
        /// From the tar.
        actual: Digest,
    },
    /// The blob is not a well-formed gzip or zstd stream.
    #[error("it cannot be decompressed: {0}")]
    Decompress(io::Error),
    /// The layer file could not be written.
    #[error("its layer file could not be written: {0}{remedy}", remedy = crate::error::remedy(.0))]
    Output(io::Error),
    /// A file of a lower layer could not be read.
    #[error(
        "a layer below it could not be read: {0}; remove the image and pull it again if it is damaged"
    )]
    Lower(io::Error),
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryProblem {
    /// The archive itself is malformed there.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// `/a`, in a name or a hard link's target.
    #[error(
        "its name or target is absolute; pull with absolute names allowed to read it from the root"
    )]
    Absolute,
    /// `a/../b`, in a name or a hard link's target.
    #[error("its name or target has a \"..\" component")]
    DotDot,
    /// A component of over 255 bytes, or a whole name of over 4,095.
    #[error("a component of its name is over 255 bytes, or the whole is over 4,095")]
    NameTooLong,
    /// A NUL in a name or a target.
    #[error("its name or target has a NUL")]
    Nul,
    /// Something other than a directory in the root's place.
    #[error("the root can only be a directory")]
    Root,
    /// The name was there before in the same layer (image specification, `layer.md`).
    #[error("the layer has an entry of that name already")]
    Duplicate,
    /// A name below something that is not a directory.
    #[error("{0:?} in its name is not a directory")]
    NotADirectory(String),
    /// Symbolic links in the name lead round in a circle.
    #[error("its name passes through more than 40 symbolic links")]
    Loop,
    /// A hard link to nothing.
    #[error("its hard link's target {0:?} does not exist")]
    LinkTarget(String),
    /// A hard link to a directory.
    #[error("its hard link's target {0:?} is a directory")]
    LinkToDirectory(String),
    /// A symbolic link's target that Linux would not take.
    #[error("its symbolic link's target is empty or over 4,095 bytes")]
    SymlinkTarget,
    /// overlayfs would take it for a deletion.
    #[error("it is a character device 0:0, which overlayfs would take for a deleted file")]
    WhiteoutDevice,
    /// A device number that Linux cannot hold.
    #[error("its device number {0}:{1} is too large")]
    Device(u32, u32),
    /// `.wh.`, `.wh..` or `.wh...`.
    #[error("it is a whiteout of nothing")]
    EmptyWhiteout,
    /// Too long a name, value or set of attributes.
    #[error("its extended attributes are too long for any Linux file system")]
    Xattr,
    /// A sparse file beyond the format's address space.
    #[error("it is too large for an EROFS image")]
    TooLarge,
}
