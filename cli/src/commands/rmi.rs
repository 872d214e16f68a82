//! `kiln rmi`

use clap::Parser;
use image::{Platform, Store};

use crate::{Home, pins, text};

/// Remove images
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// References, or the beginnings of identifiers
    #[arg(required = true)]
    images: Vec<String>,
    /// Only the image for this platform
    #[arg(long)]
    platform: Option<Platform>,
    /// Take the name away even if a machine or a snapshot still needs the image
    #[arg(short, long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let home = Home::open()?;
    pins::renew(&home)?;
    let store = Store::open(home.root())?;
    let mut failure: Option<image::Error> = None;
    let mut freed = 0;
    for name in &args.images {
        match store.remove(name, args.platform.as_ref(), args.force) {
            Ok(removed) => {
                freed += removed.freed;
                removed.untagged.iter().try_for_each(|name| text::say!("Untagged: {name}"))?;
                removed.removed.iter().try_for_each(|name| text::say!("Deleted: {name}"))?;
            }
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    eprintln!("kiln: {earlier}");
                }
            }
        }
    }
    eprintln!("Total reclaimed space: {}", text::size(freed));
    failure.map_or(Ok(0), |error| Err(error.into()))
}
