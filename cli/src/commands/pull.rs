//! `kiln pull`

use clap::Parser;

use crate::{Home, progress::Mode, pull::PullFlags};

/// Pull an image from a registry, a directory or an archive
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// NAME[:TAG][@DIGEST], oci-layout:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]
    image: image::Reference,
    #[command(flatten)]
    flags: PullFlags,
    /// How to show progress on standard error
    #[arg(long, value_enum, default_value = "auto")]
    progress: Mode,
    /// Show no progress
    #[arg(short, long, conflicts_with = "progress")]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let store = image::Store::open(Home::open()?.root())?;
    let mode = if args.quiet { Mode::None } else { args.progress };
    let pulled = crate::pull::pull(&store, &args.image, &args.flags, mode)?;
    crate::text::say!("{} {}", args.image, pulled.digest)?;
    Ok(0)
}
