//! `kiln restore`

use std::io;

use clap::{Parser, ValueEnum};

use serde_json::json;

use super::{Format, clock::Clock, process};
use crate::{
    Home,
    control::STDIO,
    exit::before_the_command,
    launch::Launched,
    record::PortMapping,
    session::{self, Ended, Stdio},
    snapshots::{RestoreOptions, Snapshots},
};

/// Go on where a snapshot was taken, in a new machine
///
/// Memory, processors and devices are the snapshot's.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Let it run in the background, and print its id
    #[arg(short, long)]
    detach: bool,
    /// Remove it once it has ended
    #[arg(long)]
    rm: bool,
    /// Name; default: one is made up
    #[arg(long)]
    name: Option<String>,
    /// Publish these TCP ports instead of the snapshot's: [IP:]HOST:GUEST
    #[arg(short, long = "publish", value_name = "[IP:]HOST:GUEST")]
    ports: Vec<PortMapping>,
    /// One more label: KEY[=VALUE]
    #[arg(short, long = "label", value_name = "KEY[=VALUE]")]
    labels: Vec<String>,
    /// How memory gets there
    #[arg(long, value_enum, default_value = "map")]
    ram: Ram,
    /// Say on standard error how long each step took
    #[arg(long)]
    timings: bool,
    /// How to show the machine that runs in the background: its id, or all that is known of its restore as JSON
    #[arg(long, value_enum, default_value = "table", requires = "detach")]
    format: Format,
    /// Name of the snapshot
    snapshot: String,
}

/// How the memory of a restored machine gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ram {
    /// Page by page, when it is touched
    Map,
    /// All at once, so that the snapshot may go
    Copy,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    restore(args).map_err(before_the_command)
}

fn restore(args: &Args) -> anyhow::Result<u8> {
    let mut clock = Clock::start();
    let snapshots = Snapshots::open(&Home::open()?)?;
    let options = RestoreOptions {
        name: args.name.clone(),
        ports: args.ports.clone(),
        free_ports: false,
        labels: process::labels(&args.labels),
        auto_remove: args.rm,
        copy: args.ram == Ram::Copy,
    };
    let machine = snapshots.machine(&snapshots.path(&args.snapshot)?, &options)?;
    clock.lap("machine recorded");
    let launched = Launched::new(machine)?;
    clock.lap("machine's process and virtual machine");
    if args.detach {
        let state = launched.start()?;
        clock.add_inner(&state);
        clock.lap("guest thawed");
        if args.timings {
            clock.print();
        }
        let spec = &launched.machine.spec;
        match args.format {
            Format::Table => {
                crate::text::say!("{}", spec.id).map_err(session::Broken::Output)?;
            }
            Format::Json => {
                let all = json!({
                    "id": spec.id, "name": spec.name, "ports": state.ports,
                    "steps_ms": clock.json(), "restored": state.restored,
                });
                crate::text::say!("{}", serde_json::to_string_pretty(&all)?)
                    .map_err(session::Broken::Output)?;
            }
        }
        return Ok(0);
    }
    // Attached before its processes go on, so that not a byte is missed.
    let stream = launched.client.upgrade("/v1/attach", STDIO)?;
    clock.add_inner(&launched.start()?);
    clock.lap("guest thawed");
    if args.timings {
        clock.print();
    }
    let spec = &launched.machine.spec.process;
    let (stdin, tty) = (spec.stdin, spec.tty.is_some());
    let stdio = Stdio { stdin, tty, signals: !tty };
    match session::run(stream, stdio, &mut io::stdout(), &mut io::stderr()) {
        Ok(Ended::Exited(exit)) => {
            launched.wait_gone();
            Ok(process::status(exit.status.code()))
        }
        Ok(Ended::Detached) => Ok(0),
        Err(error) => Err(launched.lost(error)),
    }
}
