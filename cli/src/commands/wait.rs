//! `kiln wait`

use clap::Parser;
use serde_json::json;

use super::Format;
use crate::{Home, record::Machines, sandbox, text};

/// Wait until machines end, and print their exit statuses
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// How to show them; JSON is one array of names and exit codes, once all have ended
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Names or ids of machines
    #[arg(required = true)]
    machines: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let machines = Machines::open(&Home::open()?)?;
    let (mut ended, mut failure) = (Vec::new(), None);
    for name in &args.machines {
        let waited = machines
            .find(name)
            .and_then(|machine| Ok((sandbox::wait(&machine)?, machine.spec.name)));
        match waited {
            Ok((code, _)) if args.format == Format::Table => text::say!("{code}")?,
            Ok((exit_code, name)) => ended.push(json!({ "name": name, "exit_code": exit_code })),
            Err(error) => failure = Some(error),
        }
    }
    if args.format == Format::Json {
        text::say!("{}", serde_json::to_string_pretty(&ended)?)?;
    }
    failure.map_or(Ok(0), Err)
}
