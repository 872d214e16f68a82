//! A machine's own process; started by kiln itself.

use std::path::PathBuf;

use clap::Parser;

/// Be the machine of this directory
#[derive(Debug, Parser)]
pub(super) struct Args {
    directory: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    crate::machine::main(&args.directory).map(|()| 0)
}
