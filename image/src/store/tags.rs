//! Tags: what references mean.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::lock::FileLock;
use super::{Store, files};
use crate::error::on;
use crate::{Digest, Error, Platform, Reference};

/// What a reference meant for a platform when it was last pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The reference.
    pub reference: Reference,
    /// The platform that was asked for.
    pub platform: Platform,
    /// The manifest of the image.
    pub manifest: Digest,
    /// The digest that the registry serves under the reference: of the index if there is one, else
    /// of the manifest.
    pub served: Digest,
    /// When it was pulled, in seconds since the epoch.
    pub pulled: u64,
}

impl Store {
    /// All tags, sorted by reference and platform.
    pub fn tags(&self) -> Result<Vec<Tag>, Error> {
        let mut tags = Vec::new();
        for path in files::list(&self.path("tags"))? {
            tags.extend(read(&path)?);
        }
        tags.sort_by_key(|tag| (tag.reference.to_string(), tag.platform.to_string()));
        Ok(tags)
    }

    /// What a reference means for a platform.
    pub fn tag(&self, reference: &Reference, platform: &Platform) -> Result<Option<Tag>, Error> {
        read(&self.tag_path(&reference.absolute(), platform))
    }

    /// Sets a tag. The caller holds a lease on the image.
    pub(crate) fn set_tag(
        &self,
        reference: &Reference,
        platform: &Platform,
        manifest: &Digest,
        served: &Digest,
    ) -> Result<(), Error> {
        let reference = reference.absolute();
        let path = self.tag_path(&reference, platform);
        let tag = Tag {
            reference,
            platform: platform.clone(),
            manifest: manifest.clone(),
            served: served.clone(),
            pulled: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        };
        let json = serde_json::to_vec(&tag).map_err(|e| on("written", &path)(e.into()))?;
        let mut file = self.temp_file()?;
        file.write_all(&json)?;
        let _adding = FileLock::shared(&self.path("lock"))?;
        file.publish(&path)
    }

    /// Takes a tag away for good; the content stays until the next [`Store::prune`] or removal.
    pub(super) fn remove_tag(&self, tag: &Tag) -> Result<(), Error> {
        let path = self.tag_path(&tag.reference, &tag.platform);
        files::remove(&path)?;
        // The content goes next: were power lost then, no tag without content must come back.
        files::sync_parent(&path)
    }

    fn tag_path(&self, reference: &Reference, platform: &Platform) -> PathBuf {
        let name = Digest::of(format!("{reference}\n{platform}").as_bytes());
        self.path(&format!("tags/{}.json", name.hex()))
    }
}

fn read(path: &std::path::Path) -> Result<Option<Tag>, Error> {
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|e| on("read", path)(e.into()))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(on("read", path)(e)),
    }
}
