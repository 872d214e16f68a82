//! From a reference to an image in the store.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::config::ImageConfig;
use crate::error::on;
use crate::fetch::{self, Watch};
use crate::image::{Image, chain_ids};
use crate::layer::{self, LayerLimits, Lower};
use crate::manifest::{CONFIG_BYTES_MAX, Descriptor, Document, IndexEntry, Manifest};
use crate::progress::{Event, LayerInfo, Progress};
use crate::registry::RegistryOptions;
use crate::source::{self, Section, Source};
use crate::store::{Store, blob_key, layer_keys};
use crate::{Digest, Error, LayerError, Platform, Reference};

/// Indexes within indexes.
const DEPTH_MAX: usize = 4;

/// How to pull.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// Which of an index's images.
    pub platform: Platform,
    /// How registries are talked to.
    pub registry: RegistryOptions,
    /// Layers that are fetched and converted at the same time.
    pub parallel: usize,
    /// What each layer may cost.
    pub limits: LayerLimits,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            platform: Platform::guest(),
            registry: RegistryOptions::default(),
            parallel: 4,
            limits: LayerLimits::default(),
        }
    }
}

impl Store {
    /// Pulls an image: fetches what the store does not have, converts each layer that is new, and
    /// lets the reference mean the image from now on. Where it fails, the reference keeps its old
    /// meaning.
    pub fn pull(
        &self,
        reference: &Reference,
        options: &PullOptions,
        progress: Progress<'_>,
    ) -> Result<Image, Error> {
        let source = source::open(reference, &options.registry)?;
        let mut lease = self.lease()?;
        let resolved = resolve(&*source, reference, &options.platform)?;
        let mut keys = vec![blob_key(&resolved.digest), blob_key(&resolved.manifest.config.digest)];
        keys.extend(resolved.manifest.layers.iter().map(|layer| blob_key(&layer.digest)));
        lease.add(&keys)?;

        let config_blob = &resolved.manifest.config;
        let config_bytes = match self.blob(&config_blob.digest)? {
            Some(bytes) => bytes,
            None => fetch::small(&*source, config_blob, CONFIG_BYTES_MAX)?,
        };
        let config = ImageConfig::parse(&config_bytes)?;
        check_config(&config, &resolved.manifest, reference, &options.platform)?;
        lease.add(&layer_keys(&config.diff_ids))?;

        let infos = resolved.manifest.layers.iter().zip(&config.diff_ids);
        let infos = infos.map(|(layer, diff_id)| LayerInfo {
            digest: layer.digest.clone(),
            diff_id: diff_id.clone(),
            size: layer.size,
        });
        progress(Event::Resolved { manifest: resolved.digest.clone(), layers: infos.collect() });
        let chains = chain_ids(&config.diff_ids);
        let work = Work {
            store: self,
            source: &*source,
            layers: &resolved.manifest.layers,
            diff_ids: &config.diff_ids,
            chain_ids: &chains,
            limits: &options.limits,
            progress,
            next: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            state: Mutex::new(State { done: vec![false; chains.len()], error: None }),
            changed: Condvar::new(),
        };
        work.run(options.parallel.clamp(1, 16))?;

        self.put_blob(&config_blob.digest, &config_bytes)?;
        self.put_blob(&resolved.digest, &resolved.bytes)?;
        self.set_tag(reference, &options.platform, &resolved.digest, &resolved.served)?;
        let digest = resolved.digest;
        progress(Event::Complete { manifest: digest.clone() });
        let missing = Error::NoSuchImage { name: digest.to_string() };
        self.assemble(digest, resolved.manifest, config, lease)?.ok_or(missing)
    }
}

struct Resolved {
    bytes: Vec<u8>,
    digest: Digest,
    manifest: Manifest,
    /// The digest of the document that the reference itself leads to.
    served: Digest,
}

/// Follows indexes down to the manifest for the platform.
fn resolve(
    source: &dyn Source,
    reference: &Reference,
    platform: &Platform,
) -> Result<Resolved, Error> {
    let what = reference.to_string();
    let (mut bytes, media_type) = source.top()?;
    let mut media_type = media_type;
    let served = match source.demanded() {
        Some(expected) => {
            source::check_digest(&bytes, expected)?;
            expected.clone()
        }
        None => Digest::of(&bytes),
    };
    let mut digest = served.clone();
    for _ in 0..DEPTH_MAX {
        match Document::parse(&bytes, media_type.as_deref(), &what)? {
            Document::Manifest(manifest) => {
                return Ok(Resolved { bytes, digest, manifest, served });
            }
            Document::Index(entries) => {
                let entry = choose(entries, &what, platform)?;
                bytes = source.manifest(&entry.descriptor)?;
                source::check(&bytes, &entry.descriptor)?;
                digest = entry.descriptor.digest;
                media_type = Some(entry.descriptor.media_type);
            }
        }
    }
    let reason = format!("it is an index within an index more than {DEPTH_MAX} deep");
    Err(Error::BadManifest { what, reason })
}

/// The first entry for the platform; one without a platform will do when it is the only one.
fn choose(
    mut entries: Vec<IndexEntry>,
    what: &str,
    platform: &Platform,
) -> Result<IndexEntry, Error> {
    let fits = |entry: &IndexEntry| entry.platform.as_ref() == Some(platform);
    if let Some(index) = entries.iter().position(fits) {
        return Ok(entries.swap_remove(index));
    }
    if entries.len() == 1 && entries[0].platform.is_none() {
        return Ok(entries.swap_remove(0));
    }
    // Attestations are listed as unknown/unknown.
    let named = entries.iter().filter_map(|e| e.platform.as_ref()).filter(|p| p.os != "unknown");
    let mut named: Vec<String> = named.map(ToString::to_string).collect();
    named.dedup();
    let available = match named.is_empty() {
        true => "none".to_owned(),
        false => crate::text::clip(&named.join(", ")),
    };
    let reference = what.to_owned();
    Err(Error::NoSuchPlatform { reference, wanted: platform.clone().into(), available })
}

fn check_config(
    config: &ImageConfig,
    manifest: &Manifest,
    reference: &Reference,
    wanted: &Platform,
) -> Result<(), Error> {
    if config.diff_ids.len() != manifest.layers.len() {
        let reason = format!(
            "it names {} layers, but the manifest {}",
            config.diff_ids.len(),
            manifest.layers.len()
        );
        return Err(Error::BadConfig { reason });
    }
    if config.platform != *wanted {
        return Err(Error::WrongPlatform {
            reference: reference.to_string(),
            wanted: wanted.clone().into(),
            found: config.platform.clone().into(),
        });
    }
    Ok(())
}

/// The layers of one image, fetched and converted by several threads. They take layers lowest
/// first, and a layer only ever waits for lower ones, so one of them can always go on.
struct Work<'a> {
    store: &'a Store,
    source: &'a dyn Source,
    layers: &'a [Descriptor],
    diff_ids: &'a [Digest],
    chain_ids: &'a [Digest],
    limits: &'a LayerLimits,
    progress: Progress<'a>,
    next: AtomicUsize,
    stopped: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    done: Vec<bool>,
    error: Option<Error>,
}

impl Work<'_> {
    fn run(&self, threads: usize) -> Result<(), Error> {
        std::thread::scope(|scope| {
            for _ in 0..threads.min(self.layers.len()) {
                scope.spawn(|| self.take_layers());
            }
        });
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn take_layers(&self) {
        while !self.stopped.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.layers.len() {
                return;
            }
            let outcome = self.layer(index);
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(()) => state.done[index] = true,
                Err(error) => {
                    self.stopped.store(true, Ordering::Relaxed);
                    state.error.get_or_insert(error);
                }
            }
            self.changed.notify_all();
        }
    }

    fn layer(&self, index: usize) -> Result<(), Error> {
        if self.present(index)? {
            return Ok(());
        }
        let blob = &self.layers[index];
        let limit = self.limits.tar_bytes;
        if blob.size > limit {
            let source = LayerError::Bomb { limit };
            return Err(Error::Layer { layer: self.diff_ids[index].clone(), source });
        }
        let _converting = self.store.work_lock("layer", &self.chain_ids[index])?;
        if self.present(index)? {
            return Ok(());
        }
        let section = {
            let _fetching = self.store.work_lock("blob", &blob.digest)?;
            // The same layer may have been converted in another place, and its blob removed.
            if self.present(index)? {
                return Ok(());
            }
            fetch::layer(self.store, self.source, blob, &LayerWatch(self, index))?
        };
        let converted = self.convert(index, section);
        // A pull that goes on from here later has use for the blob, but none for one that is bad.
        let useful = |e: &Error| e.is_of_storage() || self.stopped.load(Ordering::Relaxed);
        if !converted.as_ref().is_err_and(useful) {
            self.store.remove_blob(&blob.digest)?;
        }
        (self.progress)(Event::Done { layer: index, size: converted? });
        Ok(())
    }

    fn present(&self, index: usize) -> Result<bool, Error> {
        let found = self.store.layer_file(&self.diff_ids[index], &self.chain_ids[index])?.is_some();
        if found {
            (self.progress)(Event::Present { layer: index });
        }
        Ok(found)
    }

    /// Returns the size of the layer's file.
    fn convert(&self, index: usize, blob: Section) -> Result<u64, Error> {
        let total = self.layers[index].size;
        let done = std::sync::atomic::AtomicU64::new(0);
        let read = |bytes: u64| {
            let bytes = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            (self.progress)(Event::Converted { layer: index, bytes, total });
            match self.stopped.load(Ordering::Relaxed) {
                true => Err(io::ErrorKind::Other.into()),
                false => Ok(()),
            }
        };
        let output = self.store.temp_file()?;
        let file = output.file().try_clone().map_err(on("written", output.path()))?;
        let diff_id = &self.diff_ids[index];
        let mut lower = || self.lower(index);
        let converted =
            layer::convert(Box::new(blob), diff_id, file, self.limits, &mut lower, &read);
        let converted =
            converted.map_err(|source| Error::Layer { layer: diff_id.clone(), source })?;
        let size = converted.file.metadata().map_err(on("written", output.path()))?.len();
        let chain_id = &self.chain_ids[index];
        output.publish(&self.store.layer_path(diff_id, chain_id, converted.stands_alone))?;
        Ok(size)
    }

    /// Waits for the layers below and opens them, highest first. So a layer gets here when all
    /// below it are done: their files are open once at a time.
    fn lower(&self, index: usize) -> io::Result<Lower> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.done[..index].iter().all(|done| *done) {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(io::Error::other(Error::Stopped));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let mut readers = Vec::with_capacity(index);
        for below in (0..index).rev() {
            let found = self.store.layer_file(&self.diff_ids[below], &self.chain_ids[below]);
            let (_, reader) = found.map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound)?;
            readers.push(reader);
        }
        Ok(Lower::new(readers))
    }
}

struct LayerWatch<'a>(&'a Work<'a>, usize);

impl Watch for LayerWatch<'_> {
    fn fetched(&self, bytes: u64) -> Result<(), Error> {
        let Self(work, layer) = *self;
        (work.progress)(Event::Fetched { layer, bytes, total: work.layers[layer].size });
        match work.stopped.load(Ordering::Relaxed) {
            true => Err(Error::Stopped),
            false => Ok(()),
        }
    }

    fn retrying(&self, error: &Error, wait: Duration) -> Result<(), Error> {
        let Self(work, layer) = *self;
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        (work.progress)(Event::Retrying { layer, reason: error.to_string(), wait_ms });
        match work.stopped.load(Ordering::Relaxed) {
            true => Err(Error::Stopped),
            false => Ok(()),
        }
    }
}
