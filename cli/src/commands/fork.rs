//! `kiln fork`

use std::path::Path;

use clap::Parser;
use serde_json::Value;

use super::{Format, clock::Clock};
use crate::{Home, record::Machines, snapshots::Snapshots, text};

/// Make several machines that go on where one is, or where a snapshot was taken
///
/// Each published port becomes a free one of the host for each machine; it is printed behind the id.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// How many
    #[arg(short = 'n', long, default_value_t = 1)]
    count: u32,
    /// Remove each once it has ended
    #[arg(long)]
    rm: bool,
    /// Say on standard error how long each step took
    #[arg(long)]
    timings: bool,
    /// How to show the machines: id and ports, or all that is known of their restores as JSON
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Name or id of a machine that runs, or name of a snapshot
    source: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let home = Home::open()?;
    let snapshots = Snapshots::open(&home)?;
    let path = snapshots.path(&args.source)?;
    let mut shown = Vec::new();
    let forked = if path.exists() {
        fork(&snapshots, &path, args, &mut shown)
    } else {
        let machine = Machines::open(&home)?.find(&args.source)?;
        // What runs has mapped its memory when it goes.
        fork(&snapshots, &snapshots.passing(&machine)?.path, args, &mut shown)
    };
    if args.format == Format::Json {
        text::say!("{}", serde_json::to_string_pretty(&shown)?)?;
    }
    forked.map(|()| 0)
}

/// Makes the machines, and tells of each as soon as it runs: a person at once, a script in the end.
fn fork(
    snapshots: &Snapshots,
    path: &Path,
    args: &Args,
    shown: &mut Vec<Value>,
) -> anyhow::Result<()> {
    for _ in 0..args.count {
        let mut clock = Clock::start();
        let launched = snapshots.fork(path, args.rm)?;
        clock.lap("machine's process and virtual machine");
        let state = clock.thaw(&launched, args.timings)?;
        let spec = &launched.machine.spec;
        match args.format {
            Format::Table => {
                let ports: Vec<_> = state.ports.iter().map(ToString::to_string).collect();
                text::say!("{} {}", spec.id, ports.join(" "))?;
            }
            Format::Json => shown.push(clock.restored(spec, &state)),
        }
    }
    Ok(())
}
