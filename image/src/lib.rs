//! OCI images: references, registries, a content store and conversion of layers to EROFS.
//!
//! An image is pulled once and is then a list of read-only files, one EROFS file system a layer,
//! made to be stacked by overlayfs. The tars never pass through the host's file system: no
//! privilege is needed, and owners, modes, device nodes and names come out as they went in.
//!
//! A conversion takes memory for the names and inodes of its layer (some 300 bytes a file, at most
//! [`LayerLimits::metadata_bytes`]), for the window of a zstd stream (at most 128 MiB), and a few
//! MiB besides, however large the files are: a tar of 2 GiB with 22,528 files takes 12 MiB. A pull
//! runs [`PullOptions::parallel`] of them at a time, each with that bound: with the defaults, four
//! hostile layers may take 2.5 GiB together.
//!
//! ```no_run
//! use image::{PullOptions, Store};
//!
//! # fn main() -> Result<(), image::Error> {
//! let store = Store::open("/var/lib/example".as_ref())?;
//! let image = store.pull(&"nginx:1.27".parse()?, &PullOptions::default(), &|event| {
//!     eprintln!("{event:?}");
//! })?;
//! println!("{:?} {:?}", image.config.entrypoint, image.config.cmd);
//! for layer in &image.layers {
//!     println!("{} ({} bytes)", layer.path.display(), layer.size);
//! }
//! store.pin("container-4f1c", &[&image])?;
//! # Ok(())
//! # }
//! ```

mod config;
mod digest;
mod erofs;
mod error;
mod fetch;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod image;
mod layer;
mod manifest;
mod platform;
mod progress;
mod pull;
mod reference;
mod registry;
mod source;
mod store;
mod tar;
mod text;

pub use config::{ExposedPort, HealthCheck, ImageConfig};
pub use digest::{Algorithm, Digest};
pub use error::Error;
pub use image::{Image, LayerFile, RootAttributes};
pub use layer::{EntryProblem, LayerError, LayerLimits};
pub use manifest::{CONFIG_BYTES_MAX, Descriptor, LAYERS_MAX, MANIFEST_BYTES_MAX, Manifest};
pub use platform::Platform;
pub use progress::{Event, LayerInfo, Progress};
pub use pull::PullOptions;
pub use reference::{LocalKind, LocalReference, Reference, RegistryReference};
pub use registry::RegistryOptions;
pub use store::{Damage, Lease, Pin, Pruned, Store, Tag, Verified};
pub use tar::TarError;
