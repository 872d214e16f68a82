//! `kiln kill`

use clap::Parser;
use hyper::Method;

use crate::{control::KillRequest, launch, signal};

/// Send a signal to the processes of machines
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The signal, by name or Linux number
    #[arg(short, long, default_value = "KILL", value_parser = signal::parse)]
    signal: i32,
    /// Names or ids of machines
    #[arg(required = true)]
    machines: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    super::for_each(&args.machines, |machines, name| {
        let machine = machines.find(name)?;
        let request = KillRequest { signal: args.signal };
        Ok(launch::running(&machine)?.call(Method::POST, "/v1/kill", &request)?)
    })
}
