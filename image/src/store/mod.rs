//! The content store: a directory that several processes share.
//!
//! ```text
//! version                  "1"
//! lock                     shared by whoever adds, exclusive while something is removed
//! blobs/sha256/<hex>       manifests, configurations; layer blobs only until they are converted
//! layers/diff/sha256/…     EROFS images of layers that stand alone, by diff id
//! layers/chain/sha256/…    those of the others, by chain id
//! tags/<hex>.json          a reference and a platform, and the manifest they mean
//! pins/<owner>.json        manifests that a container or snapshot needs
//! leases/<random>          content that a living process needs; it holds a lock on the file
//! partial/sha256/<hex>     blobs that are being fetched; a later pull resumes them
//! locks/…                  one empty file a blob or layer: who fetches or converts it
//! tmp/<random>             files that are being written; their writer holds a lock on them
//! ```
//!
//! A file in `blobs`, `layers`, `tags` or `pins` is complete: it was written elsewhere, synced and
//! renamed. So a process may be killed at any point: what it leaves is a partial blob, a file in
//! `tmp` or a lease that nobody holds a lock on, and each is recognised.

mod blobs;
mod files;
mod leases;
mod lock;
mod pins;
mod prune;
mod tags;
mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::ImageConfig;
use crate::erofs::Reader;
use crate::error::on;
use crate::image::{Image, LayerFile, RootAttributes, chain_ids};
use crate::manifest::{Document, Manifest};
use crate::{Digest, Error, Platform, Reference};

pub use leases::Lease;
pub use pins::Pin;
pub use prune::Pruned;
pub use tags::Tag;
pub use verify::{Damage, Verified};

pub(crate) use lock::FileLock;
#[cfg(feature = "fuzzing")]
pub(crate) use verify::walk;

const VERSION: &str = "1";
/// The directories of content.
const BLOBS: [&str; 2] = ["blobs/sha256", "blobs/sha512"];
const LAYERS: [&str; 4] =
    ["layers/diff/sha256", "layers/diff/sha512", "layers/chain/sha256", "layers/chain/sha512"];

/// A content store.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store in the directory `images` under kiln's home, and makes it if it is not
    /// there.
    pub fn open(home: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(home.join("images")).map_err(on("found", home))?;
        let store = Self { root };
        let path = store.path("version");
        match fs::read_to_string(&path) {
            Ok(found) if found.trim_end() == VERSION => Ok(store),
            Ok(found) => Err(Error::StoreVersion {
                path: store.root,
                found: crate::text::clip(found.trim_end()),
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                store.create()?;
                Ok(store)
            }
            Err(e) => Err(on("read", &path)(e)),
        }
    }

    /// Makes what every store has. Its version comes last: a store that has one has all the rest, and a longer list needs another
    /// version.
    fn create(&self) -> Result<(), Error> {
        for dir in ["tags", "pins", "leases", "partial/sha256", "partial/sha512", "locks", "tmp"]
            .into_iter()
            .chain(BLOBS)
            .chain(LAYERS)
        {
            let dir = self.path(dir);
            fs::create_dir_all(&dir).map_err(on("created", &dir))?;
        }
        let mut file = self.temp_file()?;
        file.write_all(VERSION.as_bytes())?;
        file.publish(&self.path("version"))
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The complete image of that manifest, held until the result is dropped; `None` when a part
    /// of it is missing.
    pub fn image(&self, manifest: &Digest) -> Result<Option<Image>, Error> {
        let mut lease = self.lease()?;
        lease.add(&[blob_key(manifest)])?;
        let Some(bytes) = self.blob(manifest)? else { return Ok(None) };
        let Document::Manifest(document) = Document::parse(&bytes, None, &manifest.to_string())?
        else {
            return Ok(None);
        };
        lease.add(&[blob_key(&document.config.digest)])?;
        let Some(config) = self.blob(&document.config.digest)? else { return Ok(None) };
        let config = ImageConfig::parse(&config)?;
        lease.add(&layer_keys(&config.diff_ids))?;
        self.assemble(manifest.clone(), document, config, lease)
    }

    /// The image that a reference meant when it was last pulled for that platform, if it is
    /// complete.
    pub fn get(&self, reference: &Reference, platform: &Platform) -> Result<Option<Image>, Error> {
        match self.tag(reference, platform)? {
            Some(tag) => self.image(&tag.manifest),
            None => Ok(None),
        }
    }

    /// Puts an image together; `None` when one of its layers is missing.
    pub(crate) fn assemble(
        &self,
        digest: Digest,
        manifest: Manifest,
        config: ImageConfig,
        lease: Lease,
    ) -> Result<Option<Image>, Error> {
        let mut layers = Vec::with_capacity(config.diff_ids.len());
        let mut root = RootAttributes::default();
        for (diff_id, chain_id) in config.diff_ids.iter().zip(chain_ids(&config.diff_ids)) {
            let Some((path, reader)) = self.layer_file(diff_id, &chain_id)? else {
                return Ok(None);
            };
            if crate::layer::root_is_stated(&reader) {
                root = RootAttributes::of(&reader).map_err(on("read", &path))?;
            }
            layers.push(LayerFile { path, diff_id: diff_id.clone(), size: reader.size() });
        }
        Ok(Some(Image { digest, manifest, config, layers, root, lease }))
    }

    /// The layer's file, opened, if the layer was converted. One that was cut short since, or
    /// begins with something else, is as good as none: a pull replaces it.
    pub(crate) fn layer_file(
        &self,
        diff_id: &Digest,
        chain_id: &Digest,
    ) -> Result<Option<(PathBuf, Reader)>, Error> {
        for key in [layer_key("diff", diff_id), layer_key("chain", chain_id)] {
            let path = self.path(&key);
            match fs::File::open(&path).and_then(Reader::open) {
                Ok(reader) => return Ok(Some((path, reader))),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) if is_damage(&e) => {
                    tracing::warn!(?path, "{e}; pull the image again to repair it");
                }
                Err(e) => return Err(on("read", &path)(e)),
            }
        }
        Ok(None)
    }

    /// Where a converted layer belongs.
    pub(crate) fn layer_path(&self, diff: &Digest, chain: &Digest, stands_alone: bool) -> PathBuf {
        self.path(&if stands_alone { layer_key("diff", diff) } else { layer_key("chain", chain) })
    }
}

/// Whether a file could be read, but is not what was written.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// The store's name of a blob.
pub(crate) fn blob_key(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn layer_key(kind: &str, digest: &Digest) -> String {
    format!("layers/{kind}/{}/{}.erofs", digest.algorithm().name(), digest.hex())
}

/// Both names that each layer may have.
pub(crate) fn layer_keys(diff_ids: &[Digest]) -> Vec<String> {
    let chains = chain_ids(diff_ids);
    let both = diff_ids
        .iter()
        .zip(&chains)
        .flat_map(|(diff, chain)| [layer_key("diff", diff), layer_key("chain", chain)]);
    both.collect()
}
