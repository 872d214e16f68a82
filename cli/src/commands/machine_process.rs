//! A machine's own process; started by kiln itself.

use std::path::PathBuf;

use clap::Parser;

use crate::rotated::RotatedLog;

/// Be the machine of this directory
#[derive(Debug, Parser)]
pub(super) struct Args {
    directory: PathBuf,
    /// End when whoever started it is gone
    #[arg(long)]
    bound: bool,
}

impl Args {
    /// What it logs goes there.
    pub(super) fn log(&self) -> anyhow::Result<RotatedLog> {
        RotatedLog::create(&self.directory.join("process.log"))
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    crate::descriptors::raise_limit();
    crate::machine::main(&args.directory, args.bound).map(|()| 0)
}
