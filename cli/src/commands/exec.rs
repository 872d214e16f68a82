//! `kiln exec`

use std::io::{self, IsTerminal};

use agent::WindowSize;
use anyhow::Context;
use clap::Parser;

use super::process::{self, EnvArgs};
use crate::{
    Home, agent_link, launch, options,
    record::Machines,
    session::{Ended, Stdio},
    terminal,
};

/// Run one more command in a machine that runs
#[derive(Debug, Parser)]
#[command(trailing_var_arg = true)]
#[command(override_usage = "kiln exec [OPTIONS] MACHINE COMMAND [ARG...]")]
pub(super) struct Args {
    /// Do not wait for the command
    #[arg(short, long)]
    detach: bool,
    /// Forward standard input
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    #[command(flatten)]
    env: EnvArgs,
    /// Working directory in the machine
    #[arg(short, long)]
    workdir: Option<String>,
    /// User to run as: NAME|UID[:GROUP|GID]
    #[arg(short, long)]
    user: Option<String>,
    /// Name or id of the machine, then the command and its arguments
    // One argument, so that whatever follows the machine is the command's, also what looks like a flag.
    #[arg(required = true, num_args = 2.., value_name = "MACHINE COMMAND")]
    target: Vec<String>,
}

pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let (name, command) = args.target.split_first().context("there is no machine to run in")?;
    let machine = Machines::open(&Home::open()?)?.find(name)?;
    let client = launch::awake(&machine)?;
    let mut spec = agent_link::beside(&machine.spec.process, command.to_vec());
    options::merge_env(&mut spec.env, args.env.all()?);
    if args.tty {
        options::default_env(&mut spec.env, "TERM", "xterm");
        let size = terminal::window_size().unwrap_or(WindowSize { rows: 24, columns: 80 });
        spec.tty = Some(size);
    }
    spec.cwd = args.workdir.unwrap_or(spec.cwd);
    spec.user = args.user.unwrap_or(spec.user);
    spec.stdin = args.interactive;
    if args.detach {
        agent_link::exec_detached(&client, spec)?;
        return Ok(0);
    }
    if args.tty && args.interactive && !io::stdin().is_terminal() {
        anyhow::bail!(crate::Exit::new(
            1,
            "the input device is not a terminal; leave out -t, or run it from a terminal"
        ));
    }
    let stdio = Stdio { stdin: args.interactive, tty: args.tty, signals: !args.tty };
    Ok(match agent_link::exec(&client, spec, stdio, &mut io::stdout(), &mut io::stderr())? {
        Ended::Exited(exit) => process::status(exit.status.code()),
        Ended::Detached => 0,
    })
}
