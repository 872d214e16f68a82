//! Manifests and indexes: OCI image specification 1.1 (`manifest.md`, `image-index.md`) and
//! Docker's "Image Manifest Version 2, Schema 2".

use serde::{Deserialize, Serialize};

use crate::{Digest, Error, Platform};

/// The most layers an image may have: each is one partition of the machine's disk, whose GPT has
/// 128 entries, and one is kept.
pub const LAYERS_MAX: usize = 127;
/// The most bytes of a manifest or index: what registries accept at most (distribution
/// specification, "Pushing Manifests").
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// The most bytes of an image's configuration.
pub const CONFIG_BYTES_MAX: u64 = 8 << 20;

/// Media types asked for when fetching a manifest.
pub(crate) const MANIFEST_TYPES: [&str; 4] =
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// Whether a media type is that of a layer. How it is compressed is read from its first bytes, as
/// every engine does: registries hold layers whose type says otherwise.
fn is_layer(media_type: &str) -> bool {
    let compression = media_type
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .map(|rest| ["", "+gzip", "+zstd"].contains(&rest));
    let docker =
        media_type.strip_prefix(DOCKER_LAYER).map(|rest| ["", ".gzip", ".zstd"].contains(&rest));
    compression.or(docker) == Some(true)
}

/// A reference to a blob by its digest (`descriptor.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default)]
    pub media_type: String,
    /// The digest of the blob's bytes.
    pub digest: Digest,
    /// The number of the blob's bytes.
    pub size: u64,
}

/// An image manifest: one configuration and its layers, lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The configuration blob.
    pub config: Descriptor,
    /// The layer blobs, lowest first.
    pub layers: Vec<Descriptor>,
}

/// One entry of an index.
#[derive(Clone, Debug)]
pub(crate) struct IndexEntry {
    pub(crate) descriptor: Descriptor,
    pub(crate) platform: Option<Platform>,
    pub(crate) tag: Option<String>,
}

/// What a manifest URL or an index entry leads to.
#[derive(Clone, Debug)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Vec<IndexEntry>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<RawEntry>>,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(flatten)]
    descriptor: Descriptor,
    platform: Option<RawPlatform>,
    annotations: Option<std::collections::BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

impl Document {
    /// Reads a manifest or an index. `media_type` is what the registry or the descriptor says it
    /// is, used when the document does not say so itself; `what` names it in errors.
    pub(crate) fn parse(bytes: &[u8], media_type: Option<&str>, what: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::BadManifest { what: crate::text::clip(what), reason };
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(bad(format!("it is larger than {MANIFEST_BYTES_MAX} bytes")));
        }
        let raw: RawDocument =
            serde_json::from_slice(bytes).map_err(|e| bad(format!("it is not a manifest: {e}")))?;
        if raw.schema_version != 2 {
            return Err(bad(format!("its schema version is {}, not 2", raw.schema_version)));
        }
        let is_index = match raw.media_type.as_deref().or(media_type) {
            Some(OCI_MANIFEST | DOCKER_MANIFEST) => false,
            Some(OCI_INDEX | DOCKER_LIST) => true,
            None | Some("" | "application/json" | "application/octet-stream" | "text/plain") => {
                raw.manifests.is_some()
            }
            Some(other) => {
                return Err(Error::UnsupportedMediaType {
                    what: crate::text::clip(what),
                    media_type: crate::text::clip(other),
                });
            }
        };
        match raw {
            // A document that reads as both is an attack (CVE-2021-41190).
            RawDocument { manifests: Some(_), layers: Some(_), .. }
            | RawDocument { manifests: Some(_), config: Some(_), .. } => {
                Err(bad("it reads both as an index and as a manifest".into()))
            }
            RawDocument { manifests: Some(entries), .. } if is_index => {
                Ok(Self::Index(entries.into_iter().map(index_entry).collect()))
            }
            RawDocument { config: Some(config), layers: Some(layers), .. } if !is_index => {
                manifest(config, layers, what).map(Self::Manifest)
            }
            _ => Err(bad("it lacks its configuration, layers or manifests".into())),
        }
    }
}

fn index_entry(raw: RawEntry) -> IndexEntry {
    let platform = raw
        .platform
        .map(|p| Platform::new(&p.os, &p.architecture, p.variant.as_deref().unwrap_or_default()));
    let tag = raw
        .annotations
        .as_ref()
        .and_then(|a| a.get("org.opencontainers.image.ref.name"))
        .and_then(|v| v.as_str())
        .map(str::to_owned);
    IndexEntry { descriptor: raw.descriptor, platform, tag }
}

fn manifest(config: Descriptor, layers: Vec<Descriptor>, what: &str) -> Result<Manifest, Error> {
    if layers.len() > LAYERS_MAX {
        return Err(Error::TooManyLayers { found: layers.len() });
    }
    let unsupported = |media_type: &str| Error::UnsupportedMediaType {
        what: crate::text::clip(what),
        media_type: crate::text::clip(media_type),
    };
    if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
        return Err(unsupported(&config.media_type));
    }
    if let Some(unknown) = layers.iter().find(|layer| !is_layer(&layer.media_type)) {
        return Err(unsupported(&unknown.media_type));
    }
    Ok(Manifest { config, layers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> String {
        format!("sha256:{}", format!("{n:02x}").repeat(32))
    }

    fn manifest_json(config_type: &str, layer_types: &[&str]) -> String {
        let layers: Vec<_> = layer_types
            .iter()
            .map(|t| format!(r#"{{"mediaType":"{t}","digest":"{}","size":3}}"#, digest(2)))
            .collect();
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config_type}","digest":"{}","size":2}},"layers":[{}]}}"#,
            digest(1),
            layers.join(",")
        )
    }

    #[test]
    fn oci_and_docker_manifests() {
        for (config, layer) in [
            (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar"),
            (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip"),
            (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd"),
            (DOCKER_CONFIG, DOCKER_LAYER),
            (DOCKER_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ] {
            let json = manifest_json(config, &[layer]);
            match Document::parse(json.as_bytes(), None, "x").unwrap() {
                Document::Manifest(m) => assert_eq!(m.layers[0].media_type, layer),
                Document::Index(_) => panic!("not an index"),
            }
        }
    }

    #[test]
    fn unknown_types_are_refused_by_name() {
        for (config, layer) in [
            (OCI_CONFIG, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
            (OCI_CONFIG, "application/vnd.oci.image.layer.nondistributable.v1.tar"),
            ("application/vnd.cncf.helm.config.v1+json", "application/vnd.oci.image.layer.v1.tar"),
        ] {
            let json = manifest_json(config, &[layer]);
            let error = Document::parse(json.as_bytes(), None, "x").unwrap_err().to_string();
            assert!(
                error.contains("foreign") || error.contains("nondist") || error.contains("helm")
            );
        }
    }

    #[test]
    fn hostile_documents() {
        let many = manifest_json(OCI_CONFIG, &["application/vnd.oci.image.layer.v1.tar"; 10_000]);
        assert!(matches!(
            Document::parse(many.as_bytes(), None, "x"),
            Err(Error::TooManyLayers { found: 10_000 })
        ));
        let both =
            manifest_json(OCI_CONFIG, &[]).replace("\"layers\"", "\"manifests\":[],\"layers\"");
        let huge = vec![b' '; MANIFEST_BYTES_MAX as usize + 1];
        for bad in [both.as_bytes(), b"", b"[]", b"{\"schemaVersion\":1}", b"nul", &huge] {
            assert!(Document::parse(bad, None, "x").is_err());
        }
    }

    #[test]
    fn index_entries_have_platforms_and_tags() {
        let json = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":7,
               "platform":{{"os":"linux","architecture":"arm64"}},
               "annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}]}}"#,
            digest(3)
        );
        match Document::parse(json.as_bytes(), Some(OCI_INDEX), "x").unwrap() {
            Document::Index(entries) => {
                assert_eq!(entries[0].platform, Some(Platform::guest()));
                assert_eq!(entries[0].tag.as_deref(), Some("v1"));
            }
            Document::Manifest(_) => panic!("not a manifest"),
        }
    }
}
