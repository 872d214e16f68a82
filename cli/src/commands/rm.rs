//! `kiln rm`

use clap::Parser;

use crate::{Home, record::Machines};

/// Remove machines that have ended
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
        match machines.find(name).and_then(|machine| machine.remove()) {
            Ok(()) => println!("{name}"),
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(0), Err)
}
