//! Pulling images, for every command that does.

use std::path::PathBuf;

use anyhow::{Context, bail};
use image::{Image, Platform, PullOptions, Reference, Store};

use crate::{progress, progress::Mode};

/// The flags of every command that may pull.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PullFlags {
    /// Platform of the image, when there are several
    #[arg(long, default_value_t)]
    pub platform: Platform,
    /// Talk plain HTTP to this registry; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub plain_http: Vec<String>,
    /// Trust the certificate authorities in this PEM file, too; may be repeated
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Vec<PathBuf>,
    /// Try this mirror of a registry first; may be repeated
    #[arg(long, value_name = "REGISTRY=URL")]
    pub mirror: Vec<String>,
    /// Layers to fetch and convert at the same time
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub jobs: usize,
    /// Largest tar of one layer
    #[arg(long, default_value = "64g", value_name = "SIZE", value_parser = parse_size)]
    pub layer_limit: u64,
    /// Accept layers whose tars have absolute names, and read them from the root
    #[arg(long)]
    pub absolute_names: bool,
}

fn parse_size(text: &str) -> Result<u64, String> {
    crate::text::parse_size(text).map_err(|e| e.to_string())
}

impl PullFlags {
    pub(crate) fn options(&self) -> anyhow::Result<PullOptions> {
        let mut options = PullOptions { platform: self.platform.clone(), ..PullOptions::default() };
        options.parallel = self.jobs;
        options.limits.tar_bytes = self.layer_limit;
        options.limits.absolute_names = self.absolute_names;
        options.registry.plain_http.clone_from(&self.plain_http);
        options.registry.ca_files.clone_from(&self.tls_ca);
        for mirror in &self.mirror {
            let (registry, url) = mirror
                .split_once('=')
                .with_context(|| format!("{mirror:?} is no mirror; write REGISTRY=URL"))?;
            if !url.starts_with("https://") && !url.starts_with("http://") {
                bail!("the mirror {url:?} is no URL; write one like https://mirror.example");
            }
            let mirrors = options.registry.mirrors.entry(registry.to_owned()).or_default();
            mirrors.push(url.to_owned());
        }
        Ok(options)
    }
}

/// Pulls an image and shows the progress.
///
/// # Errors
/// A wrong flag, or whatever [`Store::pull`] says.
pub(crate) fn pull(
    store: &Store,
    reference: &Reference,
    flags: &PullFlags,
    mode: Mode,
) -> anyhow::Result<Image> {
    let options = flags.options()?;
    let show = progress::Show::new(mode);
    let image = store.pull(reference, &options, &|event| show.event(&event));
    show.finish();
    Ok(image?)
}
