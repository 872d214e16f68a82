//! `kiln stats`

use std::{
    io::IsTerminal,
    thread,
    time::{Duration, Instant},
};

use agent::{Reply, Request, Stats};
use anyhow::bail;
use clap::Parser;
use serde_json::json;

use super::Format;
use crate::{
    Home, agent_link,
    control::Client,
    record::{Machine, Machines},
    text,
};

/// How far apart two looks are, from which a load is computed.
const INTERVAL: Duration = Duration::from_secs(1);

/// Show what machines use
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Show it once instead of again and again
    #[arg(long)]
    no_stream: bool,
    /// How to show it; JSON is one line a look
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Names or ids of machines; default: all that run
    machines: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let machines = Machines::open(&Home::open()?)?;
    let mut before = look(&machines, &args.machines)?;
    loop {
        thread::sleep(INTERVAL);
        let now = look(&machines, &args.machines)?;
        let rows: Vec<Row> = now
            .iter()
            .map(|(machine, at, stats)| {
                let earlier = before.iter().find(|(other, _, _)| other.spec.id == machine.spec.id);
                let load = earlier.map_or(0.0, |(_, then, earlier)| {
                    let used = stats.cpu_usec.saturating_sub(earlier.cpu_usec) as f64;
                    100.0 * used / (*at - *then).as_micros() as f64
                });
                Row { machine, stats, load }
            })
            .collect();
        show(&rows, args)?;
        if args.no_stream {
            return Ok(0);
        }
        before = now;
    }
}

type Look = (Machine, Instant, Stats);

fn look(machines: &Machines, names: &[String]) -> anyhow::Result<Vec<Look>> {
    let chosen = if names.is_empty() {
        machines.list()?.into_iter().filter(Machine::is_running).collect()
    } else {
        names.iter().map(|name| machines.find(name)).collect::<anyhow::Result<Vec<_>>>()?
    };
    let mut found = Vec::new();
    for machine in chosen {
        if !machine.is_alive() {
            bail!("machine {} is not running", machine.spec.name);
        }
        match agent_link::call(&Client::new(&machine.directory), &Request::Stats) {
            Ok(Reply::Stats(stats)) => found.push((machine, Instant::now(), stats)),
            Ok(other) => bail!("the agent of {} answered {other:?}", machine.spec.name),
            // Ended while we looked.
            Err(_) if names.is_empty() && !machine.is_alive() => {}
            // Its guest hangs; the others are asked all the same.
            Err(error) if names.is_empty() => {
                tracing::warn!("nothing is known of {}: {error:#}", machine.spec.name);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

struct Row<'a> {
    machine: &'a Machine,
    stats: &'a Stats,
    /// Percent of one processor.
    load: f64,
}

fn show(rows: &[Row<'_>], args: &Args) -> anyhow::Result<()> {
    let percent = |s: &Stats| 100.0 * s.memory as f64 / s.memory_limit.max(1) as f64;
    if args.format == Format::Json {
        let all: Vec<_> = rows
            .iter()
            .map(|Row { machine, stats, load }| {
                json!({ "id": machine.spec.id, "name": machine.spec.name, "cpu_percent": load, "stats": stats })
            })
            .collect();
        text::say!("{}", serde_json::to_string(&all)?)?;
        return Ok(());
    }
    if !args.no_stream && std::io::stdout().is_terminal() {
        // Clear the screen and go to its top, ECMA-48.
        print!("\x1b[2J\x1b[H");
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|Row { machine, stats, load }| {
            vec![
                machine.short_id().into(),
                machine.spec.name.clone(),
                format!("{load:.2}%"),
                format!("{} / {}", text::memory(stats.memory), text::memory(stats.memory_limit)),
                format!("{:.2}%", percent(stats)),
                format!(
                    "{} / {}",
                    text::size(stats.network_received),
                    text::size(stats.network_sent)
                ),
                format!("{} / {}", text::size(stats.block_read), text::size(stats.block_written)),
                stats.pids.to_string(),
            ]
        })
        .collect();
    text::table(
        &[
            "CONTAINER ID",
            "NAME",
            "CPU %",
            "MEM USAGE / LIMIT",
            "MEM %",
            "NET I/O",
            "BLOCK I/O",
            "PIDS",
        ],
        &cells,
    )?;
    Ok(())
}
