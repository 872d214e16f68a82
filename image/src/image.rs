//! An image in the store, ready to be run.

use std::io;
use std::path::PathBuf;

use serde::Serialize;

use crate::Digest;
use crate::config::ImageConfig;
use crate::erofs::{Reader, decode_xattrs};
use crate::manifest::Manifest;
use crate::store::Lease;

/// An image, all of it in the store. Nothing of it is removed while this value lives; a container
/// that outlives the process pins it ([`crate::Store::pin`]) before letting go.
#[derive(Debug)]
pub struct Image {
    /// The manifest's digest, which is the image's identity.
    pub digest: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// What to run and how.
    pub config: ImageConfig,
    /// The layers' file systems, lowest first.
    pub layers: Vec<LayerFile>,
    /// What the root directory looks like.
    pub root: RootAttributes,
    #[allow(dead_code, reason = "held, not read")]
    pub(crate) lease: Lease,
}

/// One layer as an EROFS image: read-only, uncompressed, 4 KiB blocks.
///
/// Deleted names are character devices 0:0 and replaced directories carry
/// `trusted.overlay.opaque`, so the layers are made to be stacked by overlayfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerFile {
    /// The file; it never changes.
    pub path: PathBuf,
    /// The digest of the layer's tar.
    pub diff_id: Digest,
    /// Bytes of the file, a multiple of 4096.
    pub size: u64,
}

/// The attributes of the image's root directory, by the highest layer that states them. overlayfs
/// shows those of its writable layer's root, so whoever makes that one applies these to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootAttributes {
    /// Permission bits, with set-user-ID, set-group-ID and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The modification time in seconds since the epoch.
    pub mtime: i64,
    /// Nanoseconds after that second.
    pub mtime_ns: u32,
    /// Extended attributes, full names and values. An attribute that overlayfs would obey has been
    /// escaped: it begins with `trusted.overlay.overlay.`.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for RootAttributes {
    /// Of an image that does not state them: root's, 0755.
    fn default() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, mtime: 0, mtime_ns: 0, xattrs: Vec::new() }
    }
}

impl RootAttributes {
    pub(crate) fn of(layer: &Reader) -> io::Result<Self> {
        let at = layer.root()?.attributes;
        let xattrs = decode_xattrs(&at.xattrs).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            mode: at.permissions,
            uid: at.uid,
            gid: at.gid,
            mtime: at.mtime,
            mtime_ns: at.mtime_ns,
            xattrs: xattrs.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        })
    }
}

/// The chain id of each layer (OCI image specification, `config.md`, "Layer ChainID").
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let chain = match chains.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        };
        chains.push(chain);
    }
    chains
}
