//! `kiln stop`

use clap::Parser;

use crate::{control::StopRequest, sandbox, signal};

/// Stop machines: ask the process to end, then insist
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Seconds before the process is killed, -1 for never; default: the machine's own
    #[arg(
        short = 't',
        long = "timeout",
        alias = "time",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    timeout: Option<i64>,
    /// Signal to send first; default: the machine's own
    #[arg(short, long, value_parser = signal::parse)]
    signal: Option<i32>,
    /// Names or ids of machines
    #[arg(required = true)]
    machines: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    // A time that never comes is more than any machine lives.
    let timeout = args.timeout.map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX));
    let request = StopRequest { signal: args.signal, timeout };
    super::for_each(&args.machines, |machines, name| {
        let machine = machines.find(name)?;
        sandbox::stop(&machine, &request)
    })
}
