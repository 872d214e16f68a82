//! The command line: one file a subcommand.

mod boot;
mod completions;
mod images;
mod inspect;
mod logs;
mod man;
mod prune;
mod ps;
mod pull;
mod rm;
mod rmi;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, KILN_FAILED};

/// Runs any OCI image as a hardware-isolated microVM.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Say more on standard error; twice says even more
    #[arg(long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// What to log: `KILN_LOG` if it is set, else by `--verbose`.
    pub fn log_filter(&self) -> EnvFilter {
        let default = ["warn", "info", "debug", "trace"][usize::from(self.verbose).min(3)];
        EnvFilter::try_from_env("KILN_LOG").unwrap_or_else(|_| EnvFilter::new(default))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Boot(boot::Args),
    Ps(ps::Args),
    Pull(pull::Args),
    Images(images::Args),
    Rmi(rmi::Args),
    Prune(prune::Args),
    Logs(logs::Args),
    Inspect(inspect::Args),
    Rm(rm::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// How a command shows what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// One JSON value for scripts
    Json,
}

/// Runs a command and says with which status to exit.
pub fn execute(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Boot(args) => boot::run(&args),
        Command::Ps(args) => ps::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Images(args) => images::run(&args),
        Command::Rmi(args) => rmi::run(&args),
        Command::Prune(args) => prune::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            // A reader that has gone, as in `kiln logs | head`, is no failure to talk about.
            let broken_pipe = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
            if error.chain().filter_map(|e| e.downcast_ref()).any(broken_pipe) {
                return ExitCode::from(141);
            }
            eprintln!("kiln: {error:#}");
            error.downcast_ref::<Exit>().map_or(1, |exit| exit.status).into()
        }
    }
}

/// Prints what clap says of a wrong command line, or the help or version that was asked for.
pub fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell if this fails.
    let _ = error.print();
    let runs =
        std::env::args().nth(1).is_some_and(|first| ["run", "exec"].contains(&first.as_str()));
    match (error.exit_code(), runs) {
        (0, _) => ExitCode::SUCCESS,
        (_, true) => KILN_FAILED.into(),
        (_, false) => ExitCode::from(2),
    }
}
