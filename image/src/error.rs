//! What can go wrong, each in one sentence.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Digest, LayerError, Platform};

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not `sha256:…` or `sha512:…` in lower-case hexadecimal.
    #[error("{text:?} is not a sha256 or sha512 digest")]
    BadDigest {
        /// What was read.
        text: String,
    },
    /// Not `os/architecture[/variant]`.
    #[error("{text:?} is not a platform; write one like \"linux/arm64\"")]
    BadPlatform {
        /// What was read.
        text: String,
    },
    /// Not an image reference.
    #[error("{text:?} is not an image reference: {reason}")]
    BadReference {
        /// What was read.
        text: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A manifest or an index that does not follow its specification.
    #[error("the manifest of {what} is not acceptable: {reason}")]
    BadManifest {
        /// The image or the digest.
        what: String,
        /// Which rule it breaks.
        reason: String,
    },
    /// A configuration that does not follow its specification.
    #[error("the image's configuration is not acceptable: {reason}")]
    BadConfig {
        /// Which rule it breaks.
        reason: String,
    },
    /// Something that is not an image, or has layers of a kind that is not known.
    #[error(
        "{what} has content of the media type {media_type:?}, which is not supported; choose an \
         image whose layers are tars, plain or compressed with gzip or zstd"
    )]
    UnsupportedMediaType {
        /// The image or the digest.
        what: String,
        /// The type.
        media_type: String,
    },
    /// More layers than a machine's disk has partitions.
    #[error("the image has {found} layers, but at most 127 are supported; build it with fewer")]
    TooManyLayers {
        /// How many there are.
        found: usize,
    },
    /// An index without the platform.
    #[error(
        "{reference} has no image for {wanted}; it has {available}: ask for another platform, or \
         another image"
    )]
    NoSuchPlatform {
        /// The image.
        reference: String,
        /// What was asked for.
        wanted: Box<Platform>,
        /// What there is.
        available: String,
    },
    /// An image of another platform.
    #[error(
        "{reference} is an image for {found}, not for {wanted}; ask for that platform, or for \
         another image"
    )]
    WrongPlatform {
        /// The image.
        reference: String,
        /// What was asked for.
        wanted: Box<Platform>,
        /// What it is.
        found: Box<Platform>,
    },
    /// Content that is not what its name says.
    #[error(
        "{what} should have the digest {expected}, but what came has {actual}; try again, or get \
         the image from elsewhere"
    )]
    WrongDigest {
        /// The blob or manifest.
        what: String,
        /// By its name.
        expected: Digest,
        /// By its bytes.
        actual: Digest,
    },
    /// Content of another length than its descriptor says.
    #[error(
        "blob {digest} should have {expected} bytes, but {actual} came; try again, or get the \
         image from elsewhere"
    )]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// By its descriptor.
        expected: u64,
        /// By its bytes, at least.
        actual: u64,
    },
    /// A layer that cannot be converted.
    #[error("layer {layer}: {source}")]
    Layer {
        /// Its diff id.
        layer: Digest,
        /// Why.
        source: LayerError,
    },
    /// No image of that name in its registry, directory or archive.
    #[error("{reference} was not found: {reason}")]
    NotFound {
        /// The image.
        reference: String,
        /// What was looked at.
        reason: String,
    },
    /// No image of that name in the store.
    #[error("there is no image {name:?} in the store; pull it first, or see the list of images")]
    NoSuchImage {
        /// What was asked for.
        name: String,
    },
    /// A short identifier that several images begin with.
    #[error("{name:?} is the beginning of several images' identifiers; write more of it")]
    Ambiguous {
        /// What was asked for.
        name: String,
    },
    /// Removal of an image that something still needs.
    #[error("{name} is used by {owners}; remove that first")]
    InUse {
        /// The image.
        name: String,
        /// Who pinned it.
        owners: String,
    },
    /// A local archive or layout that is not one.
    #[error("{path:?} is not acceptable as an image: {reason}")]
    BadArchive {
        /// The file or directory.
        path: PathBuf,
        /// Which rule it breaks.
        reason: String,
    },
    /// The registry wants other credentials, or some.
    #[error(
        "{registry} refuses access to {what}: {reason}; log in to it, or check the image's name"
    )]
    Unauthorized {
        /// The registry.
        registry: String,
        /// The repository.
        what: String,
        /// What it says.
        reason: String,
    },
    /// Docker's configuration or a credential helper is broken.
    #[error("the credentials for {registry} could not be read: {reason}")]
    Credentials {
        /// The registry.
        registry: String,
        /// What failed.
        reason: String,
    },
    /// The registry answered with an error.
    #[error("{url} answered with status {status}{message}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status code.
        status: u16,
        /// What the registry says, with a colon before it; may be empty.
        message: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The registry cannot be reached, or the connection broke.
    #[error("{url} cannot be read: {reason}")]
    Connection {
        /// What was asked for.
        url: String,
        /// What failed.
        reason: String,
        /// Another attempt may succeed.
        transient: bool,
    },
    /// A certificate file that holds none.
    #[error("{path:?} cannot be used as a certificate authority: {reason}")]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The store was made by another version.
    #[error(
        "{path:?} is an image store of version {found:?}, which this program does not know; use \
         the version that made it, or another home directory"
    )]
    StoreVersion {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// A file of the store could not be read or written.
    #[error("{path:?} could not be {action}: {source}{}", remedy(source))]
    Store {
        /// Read, written, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another part of the same pull failed first.
    #[error("the pull was stopped")]
    Stopped,
}

/// What to do about it, after a semicolon, if that is known.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "; free some space, for example by pruning images",
        io::ErrorKind::QuotaExceeded => "; the disk quota is used up",
        _ => "",
    }
}

impl Error {
    /// Whether the same request may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connection { transient, .. } => *transient,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Whether this machine's storage failed, not the image.
    pub(crate) fn is_of_storage(&self) -> bool {
        match self {
            Self::Store { .. } => true,
            // Said of a layer that is beyond the format, too.
            Self::Layer { source: LayerError::Output(e), .. } => {
                e.kind() != io::ErrorKind::FileTooLarge
            }
            _ => false,
        }
    }

    /// Whether what a source sent is at fault, so that another source may do better.
    pub(crate) fn is_of_source(&self) -> bool {
        let broken = matches!(self, Self::Connection { .. } | Self::Status { .. });
        broken || matches!(self, Self::WrongDigest { .. } | Self::WrongSize { .. })
    }

    /// How long the registry wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// For `map_err`: a failure on a file of the store.
pub(crate) fn on<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Store { action, path: path.to_owned(), source }
}
