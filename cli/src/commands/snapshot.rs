//! `kiln snapshot`

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use serde_json::json;
use snapshot::Snapshot;

use super::Format;
use crate::{Home, control::SnapshotReply, record::Machines, snapshots::Snapshots, text};

/// Manage snapshots of machines
#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take a snapshot of a machine that runs, which goes on afterwards
    Create {
        /// Name or id of the machine
        machine: String,
        /// Name of the snapshot
        name: String,
        /// Say on standard error how long it took
        #[arg(long)]
        timings: bool,
        /// How to show it: its name, or its size and how long it took as JSON
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// List snapshots
    Ls {
        /// How to show them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Show everything that is known about a snapshot, as JSON
    Inspect {
        /// Name of the snapshot
        name: String,
    },
    /// Compare all of a snapshot's memory with its hashes
    Verify {
        /// Name of the snapshot
        name: String,
    },
    /// Remove snapshots
    Rm {
        /// Names of snapshots
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Write a snapshot into one file, with the layers of the image that it runs
    Export {
        /// Name of the snapshot
        name: String,
        /// The file, which must not exist
        file: PathBuf,
    },
    /// Make a snapshot from an exported file
    Import {
        /// The file
        file: PathBuf,
        /// Name of the snapshot
        name: String,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let home = Home::open()?;
    let snapshots = Snapshots::open(&home)?;
    match &args.command {
        Command::Create { machine, name, timings, format } => {
            let machine = Machines::open(&home)?.find(machine)?;
            show(name, &snapshots.create(&machine, name)?, *timings, *format)?;
        }
        Command::Ls { format } => list(&snapshots, *format)?,
        Command::Inspect { name } => inspect(&snapshots, name)?,
        Command::Verify { name } => snapshots.get(name)?.snapshot.verify()?,
        Command::Rm { names } => {
            for name in names {
                snapshots.remove(name)?;
                text::say!("{name}")?;
            }
        }
        Command::Export { name, file } => snapshots.export(name, file)?,
        Command::Import { file, name } => {
            Snapshot::import(file, &snapshots.path(name)?)?;
            text::say!("{name}")?;
        }
    }
    Ok(0)
}

/// Shows what a new snapshot came to.
pub(super) fn show(
    name: &str,
    reply: &SnapshotReply,
    timings: bool,
    format: Format,
) -> anyhow::Result<()> {
    let SnapshotReply { bytes, pause_ms, save_ms } = reply;
    if timings {
        eprintln!("{pause_ms:10.2} ms  the machine's processes stood still");
        eprintln!("{save_ms:10.2} ms  of these to save state and memory");
        eprintln!("{:>10}     written", text::size(*bytes));
    }
    match format {
        Format::Table => text::say!("{name}")?,
        Format::Json => {
            let all = json!({
                "name": name, "bytes": bytes, "pause_ms": pause_ms, "save_ms": save_ms,
            });
            text::say!("{all}")?;
        }
    }
    Ok(())
}

fn list(snapshots: &Snapshots, format: Format) -> anyhow::Result<()> {
    let all = snapshots.list()?;
    if format == Format::Json {
        let all: Vec<_> = all
            .iter()
            .map(|listed| {
                json!({
                    "name": listed.name, "image": listed.workload.spec.image, "created": listed.created,
                    "memory": listed.snapshot.memory_len(), "size": listed.size,
                })
            })
            .collect();
        text::say!("{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|listed| {
            vec![
                listed.name.clone(),
                listed.workload.spec.image.clone(),
                listed.created.map(|time| format!("{} ago", text::since(time))).unwrap_or_default(),
                text::memory(listed.snapshot.memory_len()),
                text::size(listed.size),
            ]
        })
        .collect();
    Ok(text::table(&["NAME", "IMAGE", "CREATED", "MEMORY", "SIZE"], &rows)?)
}

fn inspect(snapshots: &Snapshots, name: &str) -> anyhow::Result<()> {
    let listed = snapshots.get(name)?;
    let records: Vec<_> = listed
        .snapshot
        .records()
        .map(|(name, kind, version, len)| json!({ "name": name, "kind": kind, "version": version, "bytes": len }))
        .collect();
    let id: String = listed.snapshot.id().iter().map(|byte| format!("{byte:02x}")).collect();
    let fits = vmm::fingerprint().ok().and_then(|here| listed.snapshot.fits(&here).err());
    let working_set = listed.snapshot.working_set().unwrap_or_default().bytes();
    let all = json!({
        "name": name, "id": id, "path": listed.snapshot.path(), "created": listed.created, "size": listed.size,
        "memory": listed.snapshot.memory_len(), "working_set": working_set, "records": records,
        "spec": listed.workload.spec, "fits": fits.is_none(), "difference": fits.map(|error| error.to_string()),
    });
    text::say!("{}", serde_json::to_string_pretty(&all)?)?;
    Ok(())
}
