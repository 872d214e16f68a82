//! `kiln man`

use std::path::PathBuf;

use anyhow::Context;
use clap::{CommandFactory, Parser};

/// Write the manual pages into a directory
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The directory, e.g. ~/.local/share/man/man1
    directory: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let directory = &args.directory;
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(super::Cli::command(), directory))
        .with_context(|| format!("cannot write manual pages to {}", directory.display()))?;
    Ok(0)
}
