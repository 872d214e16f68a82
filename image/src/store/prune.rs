//! Removal of what nobody needs.

use std::collections::HashSet;

use serde::Serialize;

use super::{BLOBS, FileLock, LAYERS, Store, Tag, blob_key, files, layer_keys};
use crate::config::ImageConfig;
use crate::manifest::Document;
use crate::{Digest, Error, Platform, Reference};

/// What a removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Tags that were taken away.
    pub untagged: Vec<String>,
    /// Files that were removed, by their names in the store.
    pub removed: Vec<String>,
    /// Bytes of the disk that are free now.
    pub freed: u64,
}

impl Store {
    /// Removes everything that no tag, no pin and no living process needs; with `all`, also the
    /// tags of images that no pin and no living process needs.
    pub fn prune(&self, all: bool) -> Result<Pruned, Error> {
        let _removing = FileLock::exclusive(&self.path("lock"))?;
        let mut untagged = Vec::new();
        if all {
            let leased = self.leased()?;
            let pinned: HashSet<_> = self.pins()?.into_iter().flat_map(|p| p.manifests).collect();
            for tag in self.tags()? {
                if !pinned.contains(&tag.manifest) && !leased.contains(&blob_key(&tag.manifest)) {
                    self.remove_tag(&tag)?;
                    untagged.push(tag.reference.to_string());
                }
            }
        }
        self.sweep(untagged)
    }

    /// Takes tags away and removes what only they needed. `name` is a reference, or the beginning
    /// (at least four digits) of a manifest's digest, which stands for all its tags. Without
    /// `force`, an image that is pinned is left alone.
    pub fn remove(
        &self,
        name: &str,
        platform: Option<&Platform>,
        force: bool,
    ) -> Result<Pruned, Error> {
        let _removing = FileLock::exclusive(&self.path("lock"))?;
        let tags = self.find(name, platform)?;
        if !force {
            let pins = self.pins()?;
            let all_tags = self.tags()?;
            for tag in &tags {
                let elsewhere =
                    all_tags.iter().any(|t| t.manifest == tag.manifest && !tags.contains(t));
                let owners: Vec<_> = pins
                    .iter()
                    .filter(|pin| !elsewhere && pin.manifests.contains(&tag.manifest))
                    .map(|pin| pin.owner.clone())
                    .collect();
                if !owners.is_empty() {
                    let name = tag.reference.to_string();
                    return Err(Error::InUse { name, owners: owners.join(", ") });
                }
            }
        }
        for tag in &tags {
            self.remove_tag(tag)?;
        }
        self.sweep(tags.into_iter().map(|tag| tag.reference.to_string()).collect())
    }

    /// The tags that a name means: see [`Store::remove`]. At least one.
    pub fn find(&self, name: &str, platform: Option<&Platform>) -> Result<Vec<Tag>, Error> {
        let mut tags = self.tags()?;
        tags.retain(|tag| platform.is_none_or(|wanted| tag.platform == *wanted));
        if let Ok(reference) = name.parse::<Reference>().map(|parsed| parsed.absolute()) {
            let named: Vec<_> =
                tags.iter().filter(|tag| tag.reference == reference).cloned().collect();
            if !named.is_empty() {
                return Ok(named);
            }
        }
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        if hex.len() >= 4 {
            tags.retain(|tag| tag.manifest.hex().starts_with(hex));
            let manifests: HashSet<&Digest> = tags.iter().map(|tag| &tag.manifest).collect();
            match manifests.len() {
                0 => {}
                1 => return Ok(tags),
                _ => return Err(Error::Ambiguous { name: crate::text::clip(name) }),
            }
        }
        Err(Error::NoSuchImage { name: crate::text::clip(name) })
    }

    /// Removes the temporary files and leases of processes that were killed, unless somebody adds to the store right now:
    /// then the next call does it. Costs little.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn remove_leftovers(&self) -> Result<(), Error> {
        if let Some(_alone) = FileLock::try_exclusive(&self.path("lock"))? {
            self.remove_orphans("tmp")?;
            self.remove_orphans("leases")?;
        }
        Ok(())
    }

    /// Removes content without a use. The caller holds the store's exclusive lock.
    fn sweep(&self, untagged: Vec<String>) -> Result<Pruned, Error> {
        let used = self.used()?;
        let mut pruned = Pruned { untagged, ..Pruned::default() };
        for dir in BLOBS.into_iter().chain(LAYERS) {
            for path in files::list(&self.path(dir))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let key = format!("{dir}/{name}");
                if !used.contains(&key) {
                    pruned.freed += files::remove(&path)?;
                    pruned.removed.push(key);
                }
            }
        }
        for dir in ["partial/sha256", "partial/sha512"] {
            for path in files::list(&self.path(dir))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let blob = format!("{}/{name}", dir.replace("partial", "blobs"));
                if !used.contains(&blob) {
                    pruned.freed += files::remove(&path)?;
                }
            }
        }
        pruned.freed += self.remove_orphans("tmp")? + self.remove_orphans("leases")?;
        self.remove_orphans("locks")?;
        Ok(pruned)
    }

    /// The keys of all content that a tag, a pin or a living process needs.
    fn used(&self) -> Result<HashSet<String>, Error> {
        let mut used = self.leased()?;
        let tagged = self.tags()?.into_iter().map(|tag| tag.manifest);
        let pinned = self.pins()?.into_iter().flat_map(|pin| pin.manifests);
        for manifest in tagged.chain(pinned).collect::<HashSet<_>>() {
            self.add_content(&manifest, &mut used)?;
        }
        Ok(used)
    }

    fn add_content(&self, manifest: &Digest, used: &mut HashSet<String>) -> Result<(), Error> {
        used.insert(blob_key(manifest));
        let Some(bytes) = self.blob(manifest)? else { return Ok(()) };
        let Ok(Document::Manifest(document)) = Document::parse(&bytes, None, "") else {
            return Ok(());
        };
        used.insert(blob_key(&document.config.digest));
        let Some(bytes) = self.blob(&document.config.digest)? else { return Ok(()) };
        if let Ok(config) = ImageConfig::parse(&bytes) {
            used.extend(layer_keys(&config.diff_ids));
        }
        Ok(())
    }
}
