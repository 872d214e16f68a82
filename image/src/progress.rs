//! What a pull tells while it works.

use serde::Serialize;

use crate::Digest;

/// Something that happened. Serialised, each is one JSON object with its kind under `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The manifest is known.
    Resolved {
        /// The manifest's digest.
        manifest: Digest,
        /// The layers, lowest first.
        layers: Vec<LayerInfo>,
    },
    /// The layer was in the store.
    Present {
        /// Its place among the layers.
        layer: usize,
    },
    /// Bytes of the layer's blob have come.
    Fetched {
        /// Its place among the layers.
        layer: usize,
        /// All that have come, those of an earlier pull included.
        bytes: u64,
        /// All there are.
        total: u64,
    },
    /// The connection failed; another attempt follows.
    Retrying {
        /// Its place among the layers.
        layer: usize,
        /// Why.
        reason: String,
        /// After so many milliseconds.
        wait_ms: u64,
    },
    /// Bytes of the layer's blob have been converted.
    Converted {
        /// Its place among the layers.
        layer: usize,
        /// All that have been.
        bytes: u64,
        /// All there are.
        total: u64,
    },
    /// The layer is complete.
    Done {
        /// Its place among the layers.
        layer: usize,
        /// Bytes of its file.
        size: u64,
    },
    /// The image is complete.
    Complete {
        /// The manifest's digest.
        manifest: Digest,
    },
}

/// A layer, as the manifest and the configuration name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    /// The blob's digest.
    pub digest: Digest,
    /// The tar's digest.
    pub diff_id: Digest,
    /// Bytes of the blob.
    pub size: u64,
}

/// Where events go; called from several threads.
pub type Progress<'a> = &'a (dyn Fn(Event) + Sync);
