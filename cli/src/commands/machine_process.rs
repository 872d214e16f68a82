//! A machine's own process; started by kiln itself.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use anyhow::Context;
use clap::Parser;

use crate::{
    launch::{ERRORS, Life},
    rotated::RotatedLog,
};

/// Be the machine of this directory
#[derive(Debug, Parser)]
pub(super) struct Args {
    directory: PathBuf,
    /// End when whoever started it is gone
    #[arg(long)]
    bound: bool,
    /// Start without being asked to
    #[arg(long, conflicts_with = "bound")]
    eager: bool,
}

impl Args {
    /// Waits for the machine's record, and has errors go beside it from then on; false if there will be none, since whoever
    /// started this process is gone or could not make it.
    pub(super) fn wait_for_record(&self) -> anyhow::Result<bool> {
        // A byte says that it is there.
        match io::stdin().read_exact(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other.context("cannot read standard input")?,
        }
        let path = self.directory.join(ERRORS);
        match File::create(&path) {
            // It has been removed already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            other => {
                let errors = other.with_context(|| format!("cannot create {}", path.display()))?;
                rustix::stdio::dup2_stderr(errors)?;
                Ok(true)
            }
        }
    }

    /// What it logs goes there.
    pub(super) fn log(&self) -> anyhow::Result<RotatedLog> {
        RotatedLog::create(&self.directory.join("process.log"))
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    crate::descriptors::raise_limit();
    let life = match args {
        Args { bound: true, .. } => Life::Bound,
        Args { eager: true, .. } => Life::Eager,
        _ => Life::Own,
    };
    crate::machine::main(&args.directory, life).map(|()| 0)
}
