//! OCI image layouts of our own making.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cache::digest;

/// A layout that is being made, for arm64 Linux.
pub(crate) struct Layout {
    path: PathBuf,
    layers: Vec<Value>,
}

impl Layout {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        fs::create_dir_all(path.join("blobs/sha256"))?;
        Ok(Self { path: path.into(), layers: Vec::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a layer on top: an uncompressed tar.
    pub(crate) fn layer(&mut self, mut tar: impl io::Read) -> Result<()> {
        let layer = self.blob(&mut tar, "application/vnd.oci.image.layer.v1.tar")?;
        self.layers.push(layer);
        Ok(())
    }

    /// Completes the layout with the image `latest` of this configuration.
    pub(crate) fn finish(&self, config: &Value) -> Result<()> {
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| &layer["digest"]).collect();
        let config = json!({
            "architecture": "arm64",
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.document(&config, "application/vnd.oci.image.config.v1+json")?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": self.layers,
        });
        let mut manifest = self.document(&manifest, media_type)?;
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        fs::write(self.path.join("index.json"), serde_json::to_vec(&index)?)?;
        fs::write(self.path.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#)?;
        Ok(())
    }

    /// The layers of a finished layout at `path`, the lowest first.
    pub(crate) fn layers(path: &Path) -> Result<Vec<PathBuf>> {
        let blob = |descriptor: &Value| -> Result<PathBuf> {
            let digest =
                descriptor["digest"].as_str().and_then(|text| text.strip_prefix("sha256:"));
            Ok(path.join("blobs/sha256").join(digest.context("a descriptor has a digest")?))
        };
        let index: Value = serde_json::from_slice(&fs::read(path.join("index.json"))?)?;
        let manifest: Value = serde_json::from_slice(&fs::read(blob(&index["manifests"][0])?)?)?;
        manifest["layers"].as_array().into_iter().flatten().map(blob).collect()
    }

    fn document(&self, document: &Value, media_type: &str) -> Result<Value> {
        self.blob(&mut serde_json::to_vec(document)?.as_slice(), media_type)
    }

    /// Writes a blob and returns its descriptor.
    fn blob(&self, content: &mut dyn io::Read, media_type: &str) -> Result<Value> {
        let blobs = self.path.join("blobs/sha256");
        let unnamed = blobs.join("unnamed");
        let size = io::copy(content, &mut fs::File::create(&unnamed)?)?;
        let digest = digest(&unnamed)?;
        fs::rename(unnamed, blobs.join(&digest))?;
        Ok(json!({
            "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size,
        }))
    }
}
