//! What `docker save` writes: a tar with `manifest.json`, configurations and layers (Moby image
//! specification 1.2, "Combined Image JSON + Filesystem Changeset Format"). The layers are plain
//! tars, or compressed as the registry had them where Docker keeps its images in containerd.
//!
//! It has no manifest that could be hashed, so one is made from the configuration and the layers'
//! digests, in Docker's schema 2; the same archive always gives the same one.

use std::collections::HashMap;
use std::io::{self, Read};

use serde::Deserialize;

use super::tar_index::TarIndex;
use super::{Body, Section, Source, read_bounded};
use crate::config::ImageConfig;
use crate::digest::Hasher;
use crate::layer::Packing;
use crate::manifest::{
    CONFIG_BYTES_MAX, DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, Descriptor, MANIFEST_BYTES_MAX,
};
use crate::reference::{LocalReference, Reference};
use crate::{Digest, Error};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// One image of an archive.
pub(super) struct DockerArchive {
    tar: TarIndex,
    manifest: Vec<u8>,
    /// Position and size by digest.
    blobs: HashMap<Digest, (u64, u64)>,
}

impl DockerArchive {
    pub(super) fn open(reference: &LocalReference) -> Result<Self, Error> {
        let tar = TarIndex::open(&reference.path)?;
        let list = read_member(&tar, "manifest.json", MANIFEST_BYTES_MAX)?;
        let images: Vec<SavedImage> = serde_json::from_slice(&list)
            .map_err(|e| tar.bad(format!("its manifest.json is malformed: {e}")))?;
        let image = choose(images, reference)?;
        let config_bytes = read_member(&tar, &image.config, CONFIG_BYTES_MAX)?;
        let config = ImageConfig::parse(&config_bytes)?;
        let names = image.layers.unwrap_or_default();
        if names.len() != config.diff_ids.len() {
            return Err(tar.bad(format!(
                "it lists {} layers, but its configuration has {}",
                names.len(),
                config.diff_ids.len()
            )));
        }
        let mut blobs = HashMap::new();
        let config_digest = Digest::of(&config_bytes);
        blobs.insert(config_digest.clone(), tar.find(&image.config)?);
        let mut layers = Vec::with_capacity(names.len());
        for (name, diff_id) in names.iter().zip(&config.diff_ids) {
            let (position, size) = tar.find(name)?;
            let (digest, suffix) = digest(&tar, position, size, diff_id)
                .map_err(|e| tar.bad(format!("its layer {diff_id} cannot be read: {e}")))?;
            blobs.insert(digest.clone(), (position, size));
            layers.push(Descriptor { media_type: format!("{DOCKER_LAYER}{suffix}"), digest, size });
        }
        let config = Descriptor {
            media_type: DOCKER_CONFIG.to_owned(),
            digest: config_digest,
            size: config_bytes.len() as u64,
        };
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": config,
            "layers": layers,
        });
        Ok(Self { tar, manifest: manifest.to_string().into_bytes(), blobs })
    }
}

impl DockerArchive {
    fn section(&self, blob: &Descriptor, from: u64) -> Result<Section, Error> {
        let Some((position, size)) = self.blobs.get(&blob.digest) else {
            return Err(self.tar.bad(format!("it has no blob {}", blob.digest)));
        };
        self.tar.reader(*position, *size, from)
    }
}

/// A layer's digest, and how its media type ends. That of a plain tar is the diff id, which is
/// checked when the layer is read.
fn digest(
    tar: &TarIndex,
    position: u64,
    size: u64,
    diff_id: &Digest,
) -> io::Result<(Digest, &'static str)> {
    let section = || tar.reader(position, size, 0).map_err(io::Error::other);
    let mut start = Vec::new();
    section()?.take(4).read_to_end(&mut start)?;
    let suffix = match Packing::of(&start) {
        Packing::Plain => return Ok((diff_id.clone(), "")),
        Packing::Gzip => ".gzip",
        Packing::Zstd => ".zstd",
    };
    let mut hasher = Hasher::new(diff_id.algorithm());
    hasher.copy(&mut section()?, &mut io::sink())?;
    Ok((hasher.finish(), suffix))
}

fn read_member(tar: &TarIndex, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let (position, size) = tar.find(name)?;
    let name = crate::text::clip(name);
    read_bounded(tar.reader(position, size, 0)?, limit)
        .map_err(|e| tar.bad(format!("its file {name:?} cannot be read: {e}")))
}

fn choose(images: Vec<SavedImage>, reference: &LocalReference) -> Result<SavedImage, Error> {
    let tags: Vec<_> = images.iter().flat_map(|i| i.repo_tags.iter().flatten()).cloned().collect();
    let tags = crate::text::clip(&tags.join(", "));
    let wanted = reference.tag.as_deref();
    let means = |saved: &String| {
        wanted.is_none_or(|wanted| {
            let same = |a: &str, b: &str| match (a.parse::<Reference>(), b.parse::<Reference>()) {
                (Ok(a), Ok(b)) => a == b,
                _ => false,
            };
            saved.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted) || same(saved, wanted)
        })
    };
    let mut images: Vec<_> = images
        .into_iter()
        .filter(|image| wanted.is_none() || image.repo_tags.iter().flatten().any(means))
        .collect();
    match (images.pop(), images.is_empty()) {
        (Some(image), true) => Ok(image),
        (None, _) => Err(Error::NotFound {
            reference: reference.to_string(),
            reason: format!("the archive has these images: {tags}"),
        }),
        (Some(_), false) => Err(Error::NotFound {
            reference: reference.to_string(),
            reason: format!(
                "the archive has several images; add a colon and one of their tags: {tags}"
            ),
        }),
    }
}

impl Source for DockerArchive {
    fn top(&self) -> Result<(Vec<u8>, Option<String>), Error> {
        Ok((self.manifest.clone(), Some(DOCKER_MANIFEST.to_owned())))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        Err(self.tar.bad(format!("it has no manifest {}", descriptor.digest)))
    }

    fn blob(&self, blob: &Descriptor, from: u64) -> Result<Body, Error> {
        Ok(Body::local(self.section(blob, from)?, from))
    }

    fn local(&self, blob: &Descriptor) -> Result<Option<Section>, Error> {
        self.section(blob, 0).map(Some)
    }
}
