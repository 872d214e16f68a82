//! EROFS images: an in-memory tree of inodes, a writer that streams file data straight to the
//! output and puts the metadata behind them, and a reader of what the writer writes.

mod data;
mod emit;
mod format;
mod reader;
mod tree;
mod xattr;

pub(crate) use data::{DataWriter, SparseMap};
pub(crate) use emit::{Label, emit};
pub(crate) use format::{BLOCK, encode_device};
pub(crate) use reader::{Found, FoundKind, Reader, damaged};
pub(crate) use tree::{Attributes, Kind, NodeId, ROOT, Tree};
pub(crate) use xattr::{Xattr, XattrError, decode as decode_xattrs, encode as encode_xattrs};
