//! `kiln ps`

use clap::Parser;
use jiff::Timestamp;
use serde_json::json;

use super::Format;
use crate::{
    Home,
    record::{Machine, Machines, Status},
    text,
};

/// List machines
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Show those that have ended, too
    #[arg(short, long)]
    all: bool,
    /// Only print ids
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Only those with this label: KEY or KEY=VALUE; may be repeated
    #[arg(long = "label", value_name = "KEY[=VALUE]")]
    labels: Vec<String>,
    /// How to show them
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let mut machines = Machines::open(&Home::open()?)?.list()?;
    machines.retain(|machine| args.all || machine.is_running());
    machines.retain(|machine| args.labels.iter().all(|wanted| has_label(machine, wanted)));
    let id = |machine: &Machine| match args.no_trunc {
        true => machine.spec.id.clone(),
        false => machine.short_id().to_owned(),
    };
    if args.quiet {
        machines.iter().try_for_each(|machine| text::say!("{}", id(machine)))?;
        return Ok(0);
    }
    if args.format == Format::Json {
        let all: Vec<_> = machines
            .iter()
            .map(|machine| {
                json!({
                    "id": machine.spec.id, "name": machine.spec.name, "image": machine.spec.image,
                    "command": machine.spec.process.args, "created": machine.spec.created,
                    "status": machine.state.status, "exit_code": machine.state.exit_code,
                    "ports": machine.state.ports, "labels": machine.spec.labels,
                })
            })
            .collect();
        text::say!("{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = machines
        .iter()
        .map(|machine| {
            let ports: Vec<_> = machine.state.ports.iter().map(ToString::to_string).collect();
            vec![
                id(machine),
                machine.spec.image.clone(),
                command(machine, args.no_trunc),
                format!("{} ago", text::since(machine.spec.created)),
                status(machine),
                if machine.is_running() { ports.join(", ") } else { String::new() },
                machine.spec.name.clone(),
            ]
        })
        .collect();
    text::table(
        &["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"],
        &rows,
    )?;
    Ok(0)
}

fn has_label(machine: &Machine, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => machine.spec.labels.get(key).is_some_and(|found| found == value),
        None => machine.spec.labels.contains_key(wanted),
    }
}

fn command(machine: &Machine, whole: bool) -> String {
    let command = machine.spec.process.args.join(" ");
    let short: String = command.chars().take(19).collect();
    if whole || short.len() == command.len() {
        format!("\"{command}\"")
    } else {
        format!("\"{short}…\"")
    }
}

fn status(machine: &Machine) -> String {
    let state = &machine.state;
    let ago = |time: Option<Timestamp>| text::since(time.unwrap_or(machine.spec.created));
    match state.status {
        Status::Created => "Created".into(),
        Status::Running => format!("Up {}", ago(state.started)),
        Status::Paused => format!("Up {} (Paused)", ago(state.started)),
        Status::Exited => {
            format!("Exited ({}) {} ago", state.exit_code.unwrap_or(-1), ago(state.finished))
        }
    }
}
