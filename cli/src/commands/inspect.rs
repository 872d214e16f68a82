//! `kiln inspect`

use clap::Parser;
use serde_json::json;

use crate::{Home, record::Machines};

/// Show everything that is known about machines, as JSON
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Names or ids of machines
    #[arg(required = true)]
    machines: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let machines = Machines::open(&Home::open()?)?;
    let mut found = Vec::new();
    let mut missing = None;
    for name in &args.machines {
        match machines.find(name) {
            Ok(machine) => found.push(json!({
                "id": machine.spec.id, "name": machine.spec.name, "directory": machine.directory,
                "spec": machine.spec, "state": machine.state,
            })),
            Err(error) => missing = Some(error),
        }
    }
    println!("{}", serde_json::to_string_pretty(&found)?);
    missing.map_or(Ok(0), Err)
}
