//! `kiln run`

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use agent::WindowSize;
use anyhow::{Context, bail};
use clap::Parser;

use super::{
    clock::Clock,
    process::{self, EnvArgs},
    unsupported::Unsupported,
};
use crate::{
    Home,
    control::STDIO,
    exit::before_the_command,
    launch::{Launched, Life},
    options::{Options, Pull},
    prepare,
    progress::{Mode, Show},
    pull::PullFlags,
    record::PortMapping,
    session::{self, Ended, Stdio},
    signal, terminal, text,
};

/// Run a command in a new machine made from an image
#[derive(Debug, Parser)]
#[command(trailing_var_arg = true, disable_help_flag = true)]
#[command(override_usage = "kiln run [OPTIONS] IMAGE [COMMAND] [ARG...]")]
pub(super) struct Args {
    #[command(flatten)]
    new: NewArgs,
    /// Let it run in the background, and print its id
    #[arg(short, long)]
    detach: bool,
    /// Remove it once it has ended
    #[arg(long)]
    rm: bool,
    /// Forward standard input
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Write to this file instead of memory, and find there what was written before: an ext4 file system, as mkfs.ext4 makes
    /// it, for one machine at a time and one image
    #[arg(long, value_name = "FILE")]
    writable: Option<PathBuf>,
    /// Do not show the progress of a pull
    #[arg(short, long)]
    quiet: bool,
    /// Say on standard error how long each step took
    #[arg(long)]
    timings: bool,
    /// The image (a reference, oci-layout:DIR[:TAG], oci-archive:FILE or docker-archive:FILE), then the command and its
    /// arguments
    // One argument, so that whatever follows the image is the command's, also what looks like a flag.
    #[arg(required = true, value_name = "IMAGE [COMMAND]")]
    target: Vec<String>,
}

/// What can be said of a new machine.
#[derive(Debug, Parser)]
pub(super) struct NewArgs {
    /// Name; default: one is made up
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    env: EnvArgs,
    /// Working directory in the machine
    #[arg(short, long)]
    workdir: Option<String>,
    /// User to run as: NAME|UID[:GROUP|GID]
    #[arg(short, long)]
    user: Option<String>,
    /// Replace the image's entry point; an empty one removes it
    #[arg(long)]
    entrypoint: Option<String>,
    /// The machine's host name
    #[arg(short = 'h', long)]
    hostname: Option<String>,
    /// Memory, such as 512m or 2g
    #[arg(short, long, default_value = "1g", value_parser = text::parse_size)]
    memory: u64,
    /// Virtual processors, a fraction of one being a whole one; default: the host's, at most four
    #[arg(long, value_parser = text::parse_cpus)]
    cpus: Option<u32>,
    /// Publish a TCP port: [IP:]HOST:GUEST, on 127.0.0.1 unless an address is given
    #[arg(short, long = "publish", value_name = "[IP:]HOST:GUEST")]
    ports: Vec<PortMapping>,
    /// When to pull the image
    #[arg(long, value_enum, default_value = "missing")]
    pull: Pull,
    #[command(flatten)]
    fetch: PullFlags,
    /// Signal that asks the command to end
    #[arg(long, value_parser = signal::parse)]
    stop_signal: Option<i32>,
    /// Seconds between that signal and SIGKILL
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    stop_timeout: u64,
    /// Label: KEY[=VALUE]
    #[arg(short, long = "label", value_name = "KEY[=VALUE]")]
    labels: Vec<String>,
    /// Seconds that the guest may take until its agent answers
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    init_timeout: u64,
    /// Print help
    // Without the short form: -h is the host name's, as Docker's users know it.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    unsupported: Unsupported,
}

impl NewArgs {
    /// The options that these flags stand for.
    pub(super) fn options(&self, target: &[String]) -> anyhow::Result<Options> {
        let (image, command) = target.split_first().context("there is no image to run")?;
        self.unsupported.refuse()?;
        let options = Options::new(image.as_str());
        Ok(Options {
            command: command.to_vec(),
            entrypoint: self.entrypoint.clone(),
            env: self.env.all()?,
            user: self.user.clone(),
            workdir: self.workdir.clone(),
            hostname: self.hostname.clone(),
            name: self.name.clone(),
            memory: self.memory,
            cpus: self.cpus.unwrap_or(options.cpus),
            ports: self.ports.clone(),
            labels: process::labels(&self.labels),
            stop_signal: self.stop_signal,
            stop_timeout: self.stop_timeout,
            init_timeout: self.init_timeout,
            pull: self.pull,
            fetch: self.fetch.options()?,
            ..options
        })
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    launch(args).map_err(before_the_command)
}

fn launch(args: &Args) -> anyhow::Result<u8> {
    if args.tty && args.interactive && !args.detach && !io::stdin().is_terminal() {
        bail!("the input device is not a terminal; leave out -t, or run it from a terminal");
    }
    let mut clock = Clock::start();
    let home = Home::open()?;
    let size = || terminal::window_size().unwrap_or(WindowSize { rows: 24, columns: 80 });
    let options = Options {
        tty: args.tty.then(size),
        stdin: args.interactive,
        stdin_once: args.interactive && !args.detach && !args.tty,
        auto_remove: args.rm,
        writable: args.writable.clone(),
        ..args.new.options(&args.target)?
    };
    let show = Show::new(if args.quiet { Mode::None } else { Mode::Auto });
    let machine = prepare::from_image(&home, &options, &|event| show.event(&event));
    show.finish();
    let machine = machine?;
    clock.lap("image");
    let auto_remove = machine.spec.auto_remove;
    let directory = machine.clone();
    let result = attach_and_start(args, machine, &mut clock);
    if result.is_err() && auto_remove {
        // The failure itself is what the user wants to hear of.
        let _ = directory.remove();
    }
    if args.timings {
        clock.print();
    }
    result
}

fn attach_and_start(
    args: &Args,
    machine: crate::record::Machine,
    clock: &mut Clock,
) -> anyhow::Result<u8> {
    let launched = Launched::new(machine, Life::Own)?;
    clock.lap("machine's process and virtual machine");
    if args.detach {
        clock.add_inner(&launched.start()?);
        text::say!("{}", launched.machine.spec.id).map_err(session::Broken::Output)?;
        return Ok(0);
    }
    // Attached before the start, so that not a byte is missed.
    let stream = launched.client.upgrade("/v1/attach", STDIO)?;
    clock.add_inner(&launched.start()?);
    clock.lap("guest's kernel, root and command");
    let stdio = Stdio { stdin: args.interactive, tty: args.tty, signals: !args.tty };
    let mut out = clock.watch(io::stdout());
    let ended = session::run(stream, stdio, &mut out, &mut io::stderr());
    let first = out.first;
    clock.lap_at("command to its first output", first);
    Ok(match ended {
        Ok(Ended::Exited(exit)) => {
            clock.lap("first output to the end");
            launched.wait_gone();
            clock.lap("power-off");
            process::status(exit.status.code())
        }
        Ok(Ended::Detached) => 0,
        Err(error) => return Err(launched.lost(error)),
    })
}
