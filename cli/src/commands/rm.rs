//! `kiln rm`

use clap::Parser;

use crate::{control::StopRequest, sandbox::stop, signal};

/// Remove machines that have ended
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Kill those that run first
    #[arg(short, long)]
    force: bool,
    /// Names or ids of machines
    #[arg(required = true)]
    machines: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    super::for_each(&args.machines, |machines, name| {
        let machine = machines.find(name)?;
        if args.force {
            stop(&machine, &StopRequest { signal: Some(signal::KILL), timeout: Some(0) })?;
        }
        machine.remove()
    })
}
