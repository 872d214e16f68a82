//! `kiln restore`

use std::io;

use anyhow::bail;
use clap::{Parser, ValueEnum};

use super::{Format, clock::Clock, process};
use crate::{
    Home,
    control::STDIO,
    exit::before_the_command,
    launch::Life,
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
    #[command(flatten)]
    fixed: Fixed,
}

/// What `kiln run` takes, and the snapshot has settled.
#[derive(Debug, Parser)]
struct Fixed {
    #[arg(short, long, hide = true)]
    memory: Option<String>,
    #[arg(long, hide = true)]
    cpus: Option<String>,
    #[arg(short, long, hide = true)]
    env: Vec<String>,
    #[arg(long, hide = true)]
    env_file: Vec<String>,
    #[arg(short, long, hide = true)]
    workdir: Option<String>,
    #[arg(short, long, hide = true)]
    user: Option<String>,
    #[arg(long, hide = true)]
    entrypoint: Option<String>,
    #[arg(long, hide = true)]
    hostname: Option<String>,
    #[arg(long, hide = true)]
    platform: Option<String>,
    #[arg(long, hide = true)]
    pull: Option<String>,
    #[arg(long, hide = true)]
    stop_signal: Option<String>,
    #[arg(long, hide = true)]
    stop_timeout: Option<String>,
}

impl Fixed {
    fn refuse(&self) -> anyhow::Result<()> {
        let one = |value: &Option<String>| value.is_some();
        let given = [
            ("--memory", one(&self.memory)),
            ("--cpus", one(&self.cpus)),
            ("--env", !self.env.is_empty()),
            ("--env-file", !self.env_file.is_empty()),
            ("--workdir", one(&self.workdir)),
            ("--user", one(&self.user)),
            ("--entrypoint", one(&self.entrypoint)),
            ("--hostname", one(&self.hostname)),
            ("--platform", one(&self.platform)),
            ("--pull", one(&self.pull)),
            ("--stop-signal", one(&self.stop_signal)),
            ("--stop-timeout", one(&self.stop_timeout)),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => bail!(
                "{flag} cannot be changed by a restore, which goes on with what the snapshot holds; leave it out, or bake \
                 the image again with it"
            ),
            None => Ok(()),
        }
    }
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
    args.fixed.refuse()?;
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
    let path = snapshots.path(&args.snapshot)?;
    // Whoever wants all of its output attaches before its processes go on.
    let life = if args.detach { Life::Eager } else { Life::Own };
    let launched = snapshots.launch(&path, &options, life, || clock.lap("machine recorded"))?;
    clock.lap("machine's process and virtual machine");
    if args.detach {
        let state = clock.thaw(&launched, args.timings)?;
        let spec = &launched.machine.spec;
        match args.format {
            Format::Table => {
                crate::text::say!("{}", spec.id).map_err(session::Broken::Output)?;
            }
            Format::Json => {
                let all = clock.restored(spec, &state);
                crate::text::say!("{}", serde_json::to_string_pretty(&all)?)
                    .map_err(session::Broken::Output)?;
            }
        }
        return Ok(0);
    }
    let stream = launched.client.upgrade("/v1/attach", STDIO)?;
    clock.thaw(&launched, args.timings)?;
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
