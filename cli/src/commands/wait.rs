//! `kiln wait`

use clap::Parser;

use crate::{Home, record::Machines, sandbox};

/// Wait until machines end, and print their exit statuses
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Names or ids of machines
    #[arg(required = true)]
    machines: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let machines = Machines::open(&Home::open()?)?;
    let mut failure = None;
    for name in &args.machines {
        match machines.find(name).and_then(|machine| sandbox::wait(&machine)) {
            Ok(code) => crate::text::say!("{code}")?,
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(0), Err)
}
