//! `kiln prune`

use clap::Parser;
use image::Store;

use super::Format;
use crate::{Home, pins, text};

/// Remove what no image, machine or snapshot needs
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Remove images, too, that no machine or snapshot needs
    #[arg(short, long)]
    all: bool,
    /// How to show what was removed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let home = Home::open()?;
    pins::renew(&home)?;
    let pruned = Store::open(home.root())?.prune(args.all)?;
    if args.format == Format::Json {
        text::say!("{}", serde_json::to_string_pretty(&pruned)?)?;
        return Ok(0);
    }
    pruned.untagged.iter().try_for_each(|name| text::say!("Untagged: {name}"))?;
    pruned.removed.iter().try_for_each(|name| text::say!("Deleted: {name}"))?;
    text::say!("Total reclaimed space: {}", text::size(pruned.freed))?;
    Ok(0)
}
