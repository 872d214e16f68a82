//! The OCI image layout (`image-layout.md`), as a directory or in a tar.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::tar_index::TarIndex;
use super::{Body, Section, Source, read_bounded};
use crate::Error;
use crate::manifest::{Descriptor, Document, IndexEntry, MANIFEST_BYTES_MAX};
use crate::reference::LocalReference;

enum Files {
    Dir(PathBuf),
    Tar(TarIndex),
}

/// A layout, and which image of it is meant.
pub(super) struct Layout {
    files: Files,
    path: PathBuf,
    tag: Option<String>,
}

impl Layout {
    pub(super) fn open_dir(reference: &LocalReference) -> Result<Self, Error> {
        Self::open(reference, Files::Dir(reference.path.clone()))
    }

    pub(super) fn open_archive(reference: &LocalReference) -> Result<Self, Error> {
        Self::open(reference, Files::Tar(TarIndex::open(&reference.path)?))
    }

    fn open(reference: &LocalReference, files: Files) -> Result<Self, Error> {
        let layout = Self { files, path: reference.path.clone(), tag: reference.tag.clone() };
        let version: serde_json::Value = serde_json::from_slice(&layout.small("oci-layout")?)
            .map_err(|e| layout.bad(format!("its oci-layout file is malformed: {e}")))?;
        match version.get("imageLayoutVersion").and_then(|v| v.as_str()) {
            Some("1.0.0") => Ok(layout),
            _ => Err(layout.bad("it is not an OCI image layout of version 1.0.0".into())),
        }
    }

    fn bad(&self, reason: String) -> Error {
        Error::BadArchive { path: self.path.clone(), reason }
    }

    fn section(&self, name: &str, from: u64) -> Result<Section, Error> {
        match &self.files {
            Files::Dir(dir) => {
                let open = |path: &Path| -> std::io::Result<Section> {
                    let file = File::open(path)?;
                    let length = file.metadata()?.len();
                    let from = from.min(length);
                    Ok(Section::new(file, from, length - from))
                };
                open(&dir.join(name)).map_err(|e| self.bad(format!("{name} cannot be read: {e}")))
            }
            Files::Tar(tar) => {
                let (position, size) = tar.find(name)?;
                tar.reader(position, size, from)
            }
        }
    }

    fn small(&self, name: &str) -> Result<Vec<u8>, Error> {
        read_bounded(self.section(name, 0)?, MANIFEST_BYTES_MAX)
            .map_err(|e| self.bad(format!("{name} cannot be read: {e}")))
    }

    /// Which entry of the top index is meant.
    fn choose(&self, entries: Vec<IndexEntry>) -> Result<IndexEntry, Error> {
        let not_found =
            |reason: String| Error::NotFound { reference: self.path.display().to_string(), reason };
        let tags: Vec<String> = entries.iter().filter_map(|e| e.tag.clone()).collect();
        let tags = crate::text::clip(&tags.join(", "));
        let mut entries = entries;
        if let Some(tag) = &self.tag {
            entries.retain(|entry| entry.tag.as_deref() == Some(tag));
        }
        let several = entries.iter().any(|e| e.descriptor.digest != entries[0].descriptor.digest);
        match (entries.pop(), several) {
            (None, _) => Err(not_found(format!("the layout has these tags: {tags}"))),
            (Some(_), true) => Err(not_found(format!(
                "the layout has several images; add a colon and one of their tags: {tags}"
            ))),
            (Some(entry), false) => Ok(entry),
        }
    }
}

impl Source for Layout {
    fn top(&self) -> Result<(Vec<u8>, Option<String>), Error> {
        let index = self.small("index.json")?;
        let index_type = "application/vnd.oci.image.index.v1+json";
        let what = self.path.display().to_string();
        let Document::Index(entries) = Document::parse(&index, Some(index_type), &what)? else {
            return Err(self.bad("its index.json is not an index".into()));
        };
        // Several entries without a tag, each with its platform, are one image of many platforms.
        let platforms = entries.len() > 1 && entries.iter().all(|entry| entry.platform.is_some());
        if self.tag.is_none() && platforms && entries.iter().all(|entry| entry.tag.is_none()) {
            return Ok((index, Some(index_type.to_owned())));
        }
        let entry = self.choose(entries)?;
        let bytes = self.manifest(&entry.descriptor)?;
        super::check(&bytes, &entry.descriptor)?;
        Ok((bytes, Some(entry.descriptor.media_type)))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        self.small(&blob_name(descriptor))
    }

    fn blob(&self, blob: &Descriptor, from: u64) -> Result<Body, Error> {
        Ok(Body::local(self.section(&blob_name(blob), from)?, from))
    }

    fn local(&self, blob: &Descriptor) -> Result<Option<Section>, Error> {
        self.section(&blob_name(blob), 0).map(Some)
    }
}

fn blob_name(descriptor: &Descriptor) -> String {
    format!("blobs/{}/{}", descriptor.digest.algorithm().name(), descriptor.digest.hex())
}
