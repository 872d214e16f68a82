//! One layer's tar turned into one EROFS image.
//!
//! The tar is read once, front to back. File data go straight to the output; names and inodes are
//! kept in memory until the archive ends, then written behind the data. Deletions become
//! overlayfs's own marks (Linux `Documentation/filesystems/overlayfs.rst`): a whiteout is a
//! character device 0:0, an opaque directory carries `trusted.overlay.opaque`.
//!
//! Extended attributes of namespaces that Linux does not have (`com.apple.…`, in tars made on a Mac)
//! are left out, with a warning: no Linux file system could hold them.
//!
//! What a layer leaves to the layers below it is taken from them: the attributes of directories
//! that it only implies, the files that its hard links name, the symbolic links that its names
//! pass through, and whether there is anything to hide. A layer that needs none of that "stands
//! alone" and is the same in every image.

mod below;
mod builder;
mod convert;
mod copy;
mod decompress;
mod error;
mod lower;
mod marks;
mod path;

pub use error::{EntryProblem, LayerError};

pub(crate) use convert::{convert, root_is_stated};
pub(crate) use decompress::Packing;
pub(crate) use lower::Lower;

/// What a layer may cost, and what is let through.
#[derive(Clone, Copy, Debug)]
pub struct LayerLimits {
    /// The most bytes of a layer's blob, of its tar, and of what its hard links copy from layers
    /// below; a stream that goes on is a decompression bomb.
    pub tar_bytes: u64,
    /// The most memory for names and inodes of one layer, in bytes; about 300 for a file. Each
    /// conversion that runs at the same time may take as much.
    pub metadata_bytes: u64,
    /// Read `/a/b` as `a/b`, as Docker does, instead of refusing the layer.
    pub absolute_names: bool,
}

impl Default for LayerLimits {
    fn default() -> Self {
        Self { tar_bytes: 64 << 30, metadata_bytes: 512 << 20, absolute_names: false }
    }
}
