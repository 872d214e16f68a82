//! A streaming reader of tar archives as container layers use them: POSIX.1-2017 `pax`
//! interchange format, ustar, GNU tar's long names and sparse files (GNU tar manual, "Basic Tar
//! Format" and "Storing Sparse Files"), and v7.
//!
//! Written for hostile input: nothing is allocated by a size that the archive merely claims.

mod header;
mod pax;
mod reader;
mod sparse;

/// The name and the value of an extended attribute.
pub(crate) type Xattr = (Box<[u8]>, Box<[u8]>);

pub(crate) use reader::{Entry, EntryKind, TarReader};

/// What is wrong with an archive, without the entry's name.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream ended within a header or within an entry's data.
    #[error("the archive ends in the middle of it")]
    Truncated,
    /// A header's checksum does not match.
    #[error("its header's checksum is wrong")]
    Checksum,
    /// A field of a header or a pax record cannot be read.
    #[error("its {field} is malformed")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// A name, a link's target, a set of pax records or a sparse map is longer than any sane one.
    #[error("its {field} is longer than the limit of {limit}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// The limit: bytes, or items of a list.
        limit: u64,
    },
    /// An entry of a type that is none of a file's.
    #[error("it is of the unsupported type {0:?}")]
    Type(char),
    /// The stream below could not be read.
    #[error(transparent)]
    Read(std::io::Error),
}

impl From<std::io::Error> for TarError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Read(error),
        }
    }
}
