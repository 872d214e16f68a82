//! `kiln fork`

use std::path::Path;

use clap::Parser;

use crate::{
    Home,
    launch::Launched,
    record::Machines,
    snapshots::{RestoreOptions, Snapshots},
};

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
    /// Name or id of a machine that runs, or name of a snapshot
    source: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let home = Home::open()?;
    let snapshots = Snapshots::open(&home)?;
    let path = snapshots.path(&args.source)?;
    if path.exists() {
        return fork(&snapshots, &path, args).map(|()| 0);
    }
    let machine = Machines::open(&home)?.find(&args.source)?;
    // What runs has mapped its memory when it goes.
    let passing = snapshots.passing(&machine)?;
    fork(&snapshots, &passing.path, args).map(|()| 0)
}

fn fork(snapshots: &Snapshots, path: &Path, args: &Args) -> anyhow::Result<()> {
    for _ in 0..args.count {
        let options =
            RestoreOptions { free_ports: true, auto_remove: args.rm, ..RestoreOptions::default() };
        let launched = Launched::new(snapshots.machine(path, &options)?)?;
        let state = launched.start()?;
        let ports: Vec<_> = state.ports.iter().map(ToString::to_string).collect();
        crate::text::say!("{} {}", launched.machine.spec.id, ports.join(" "))?;
    }
    Ok(())
}
