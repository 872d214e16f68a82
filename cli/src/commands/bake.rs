//! `kiln bake`

use std::{
    io,
    str::FromStr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use agent::{ExitStatus, Request};
use anyhow::{Context, bail};
use clap::Parser;

use super::run::NewArgs;
use crate::{
    Home, agent_link,
    control::StopRequest,
    exit::before_the_command,
    launch::Launched,
    log::LogReader,
    options::Options,
    prepare,
    progress::{Mode, Show},
    sandbox, session,
    session::Ended,
    signal,
    snapshots::Snapshots,
    text,
};

/// Run an image until it is ready, and keep a snapshot of that moment
#[derive(Debug, Parser)]
#[command(trailing_var_arg = true, disable_help_flag = true)]
#[command(
    override_usage = "kiln bake [OPTIONS] --ready <READY> --output <NAME> IMAGE [COMMAND] [ARG...]"
)]
pub(super) struct Args {
    #[command(flatten)]
    new: NewArgs,
    /// When it is ready: listen:PORT, marker:TEXT in its output, exec:COMMAND succeeds, or after:DURATION
    #[arg(long)]
    ready: Ready,
    /// How long it may take to be ready
    #[arg(long, default_value = "60s", value_parser = text::parse_duration)]
    timeout: Duration,
    /// How long to let it come to rest once it is ready
    #[arg(long, default_value = "0s", value_parser = text::parse_duration)]
    settle: Duration,
    /// Name of the snapshot
    #[arg(short, long)]
    output: String,
    /// The image, then the command and its arguments
    #[arg(required = true, value_name = "IMAGE [COMMAND]")]
    target: Vec<String>,
}

/// What tells that a machine is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ready {
    Listen(u16),
    Marker(String),
    Exec(String),
    After(Duration),
}

impl FromStr for Ready {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let how = "write listen:PORT, marker:TEXT, exec:COMMAND or after:DURATION";
        let (kind, value) = text.split_once(':').with_context(|| how.to_owned())?;
        if value.is_empty() {
            bail!(how);
        }
        Ok(match kind {
            "listen" => {
                Self::Listen(value.parse().with_context(|| format!("{value:?} is no port"))?)
            }
            "marker" => Self::Marker(value.into()),
            "exec" => Self::Exec(value.into()),
            "after" => Self::After(text::parse_duration(value)?),
            _ => bail!(how),
        })
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    bake(args).map_err(before_the_command)
}

fn bake(args: &Args) -> anyhow::Result<u8> {
    let home = Home::open()?;
    let snapshots = Snapshots::open(&home)?;
    if snapshots.path(&args.output)?.exists() {
        bail!(
            "the snapshot {} exists; remove it with `kiln snapshot rm {}`",
            args.output,
            args.output
        );
    }
    let options = Options { auto_remove: true, ..args.new.options(&args.target)? };
    let show = Show::new(Mode::Auto);
    let machine = prepare::from_image(&home, &options, &|event| show.event(&event));
    show.finish();
    // Nobody wants the machine for itself.
    let launched = Launched::bound(machine?)?;
    let result = launched.start().and_then(|_| {
        wait_ready(&launched, args)?;
        thread::sleep(args.settle);
        snapshots.create(&launched.machine, &args.output)
    });
    let kill = StopRequest { signal: Some(signal::KILL), timeout: Some(0) };
    let stopped = sandbox::stop(&launched.machine, &kill);
    result?;
    stopped?;
    text::say!("{}", args.output)?;
    Ok(0)
}

fn wait_ready(launched: &Launched, args: &Args) -> anyhow::Result<()> {
    // None is a time that never comes.
    let deadline = Instant::now().checked_add(args.timeout);
    let check = |met: anyhow::Result<bool>| -> anyhow::Result<bool> {
        if met? {
            return Ok(true);
        }
        if !launched.machine.is_alive() {
            bail!("the machine ended before it was ready");
        }
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            bail!(
                "the machine was not ready within {} s; allow more with --timeout",
                args.timeout.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(20));
        Ok(false)
    };
    match &args.ready {
        Ready::After(time) => {
            thread::sleep(*time);
            Ok(())
        }
        Ready::Listen(port) => {
            let timeout_ms = u64::try_from(args.timeout.as_millis()).unwrap_or(u64::MAX);
            let request = Request::AwaitListener { port: *port, timeout_ms };
            agent_link::call(&launched.client, &request).map(drop)
        }
        Ready::Marker(marker) => {
            let mut reader = LogReader::open(&launched.machine.directory);
            let mut seen = Vec::new();
            while !check(found(&mut reader, &mut seen, marker.as_bytes()))? {}
            Ok(())
        }
        Ready::Exec(command) => {
            while !check(succeeds(launched, command, deadline))? {}
            Ok(())
        }
    }
}

/// Reads on; whether the marker is in what was read. Keeps no more than a marker may need.
fn found(reader: &mut LogReader, seen: &mut Vec<u8>, marker: &[u8]) -> anyhow::Result<bool> {
    while let Some(record) = reader.read()? {
        seen.extend(record.bytes);
        if seen.windows(marker.len()).any(|window| window == marker) {
            return Ok(true);
        }
        let keep = seen.len().min(marker.len());
        seen.drain(..seen.len() - keep);
    }
    Ok(false)
}

/// Whether the command succeeds before it is too late.
fn succeeds(launched: &Launched, command: &str, deadline: Option<Instant>) -> anyhow::Result<bool> {
    let command = vec!["/bin/sh".into(), "-c".into(), command.into()];
    let spec = agent_link::beside(&launched.machine.spec.process, command);
    let (ended, end) = mpsc::channel();
    let client = launched.client.clone();
    // One that hangs ends with the machine.
    thread::Builder::new().name("ready".into()).spawn(move || {
        let stdio = session::Stdio { stdin: false, tty: false, signals: false };
        let result = agent_link::exec(&client, spec, stdio, &mut io::sink(), &mut io::sink());
        // Nobody waits any more if this fails.
        let _ = ended.send(result);
    })?;
    let left = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
    match end.recv_timeout(left) {
        Ok(result) => {
            Ok(matches!(result?, Ended::Exited(exit) if exit.status == ExitStatus::Exited(0)))
        }
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        assert_eq!("listen:80".parse::<Ready>().unwrap(), Ready::Listen(80));
        assert_eq!("marker:a:b".parse::<Ready>().unwrap(), Ready::Marker("a:b".into()));
        assert_eq!("after:2s".parse::<Ready>().unwrap(), Ready::After(Duration::from_secs(2)));
        for text in ["", "listen", "listen:", "listen:x", "now:1"] {
            assert!(text.parse::<Ready>().is_err(), "{text:?}");
        }
    }
}
