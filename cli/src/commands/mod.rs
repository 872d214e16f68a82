//! The command line: one file a subcommand.

mod bake;
mod boot;
mod clock;
mod completions;
mod cp;
mod doctor;
mod exec;
mod fork;
mod images;
mod inspect;
mod kill;
mod logs;
mod machine_process;
mod man;
mod pause;
mod process;
mod prune;
mod ps;
mod pull;
mod restore;
mod rm;
mod rmi;
mod run;
mod snapshot;
mod stats;
mod stop;
mod unsupported;
mod wait;

use std::{env, io, process::ExitCode, sync::Mutex};

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::{filter::Targets, fmt::writer::BoxMakeWriter};

use crate::{
    Home,
    exit::{Exit, KILN_FAILED},
    launch::SUBCOMMAND,
    record::Machines,
};

/// Runs any OCI image as a hardware-isolated microVM.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, propagate_version = true, max_term_width = 100)]
// The last of a flag's values counts, as with Docker.
#[command(args_override_self = true)]
pub struct Cli {
    /// Say more on standard error; twice says even more
    #[arg(long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// What this process was started with.
    ///
    /// # Errors
    /// The status to exit with, if there is nothing to do: help was asked for, or something is wrong and has been told.
    pub fn of_process() -> Result<Self, ExitCode> {
        // All other commands are of no use to a machine's process, which somebody waits for.
        if env::args_os().nth(1).is_none_or(|command| command != SUBCOMMAND) {
            return Self::try_parse().map_err(|error| usage(&error));
        }
        let args = machine_process::Args::try_parse_from(env::args_os().skip(1));
        let args = args.map_err(|error| usage(&error))?;
        match args.wait_for_record() {
            Ok(true) => Ok(Self { verbose: 0, command: Command::MachineProcess(args) }),
            Ok(false) => Err(ExitCode::SUCCESS),
            Err(error) => {
                eprintln!("kiln: {error:#}");
                Err(KILN_FAILED.into())
            }
        }
    }

    /// What to log: `KILN_LOG` if it is set, else by `--verbose`.
    pub fn log_filter(&self) -> Targets {
        use tracing::Level;
        let levels = [Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        let default = levels[usize::from(self.verbose).min(3)];
        let asked = env::var("KILN_LOG").ok().and_then(|filter| filter.parse().ok());
        asked.unwrap_or_else(|| Targets::new().with_default(default))
    }

    /// Where to log: standard error, or a machine's own file. What a guest can make its process say must not fill the disk.
    pub fn log_writer(&self) -> BoxMakeWriter {
        if let Command::MachineProcess(args) = &self.command
            && let Ok(log) = args.log()
        {
            return BoxMakeWriter::new(Mutex::new(log));
        }
        BoxMakeWriter::new(io::stderr)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Boot(boot::Args),
    Ps(ps::Args),
    Pull(pull::Args),
    Images(images::Args),
    Rmi(rmi::Args),
    Prune(prune::Args),
    Exec(exec::Args),
    Logs(logs::Args),
    Stop(stop::Args),
    Kill(kill::Args),
    Wait(wait::Args),
    Pause(pause::Pause),
    Unpause(pause::Unpause),
    Rm(rm::Args),
    Cp(cp::Args),
    Inspect(inspect::Args),
    Stats(stats::Args),
    Bake(Box<bake::Args>),
    Snapshot(snapshot::Args),
    Restore(restore::Args),
    Fork(fork::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
    #[command(name = SUBCOMMAND, hide = true)]
    MachineProcess(machine_process::Args),
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
        Command::Run(args) => run::run(&args),
        Command::Boot(args) => boot::run(&args),
        Command::Ps(args) => ps::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Images(args) => images::run(&args),
        Command::Rmi(args) => rmi::run(&args),
        Command::Prune(args) => prune::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Exec(args) => exec::run(args),
        Command::Stop(args) => stop::run(&args),
        Command::Kill(args) => kill::run(&args),
        Command::Wait(args) => wait::run(&args),
        Command::Pause(args) => pause::pause(&args),
        Command::Unpause(args) => pause::unpause(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Cp(args) => cp::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::MachineProcess(args) => machine_process::run(&args),
        Command::Bake(args) => bake::run(&args),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Fork(args) => fork::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            // A reader that has gone, as in `kiln logs | head`, is no failure to talk about.
            let broken_pipe = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
            let of_the_agent = error.chain().any(|e| e.is::<agent::ProtocolError>());
            if !of_the_agent && error.chain().filter_map(|e| e.downcast_ref()).any(broken_pipe) {
                return ExitCode::from(141);
            }
            eprintln!("kiln: {error:#}");
            error.downcast_ref::<Exit>().map_or(1, |exit| exit.status).into()
        }
    }
}

/// Does something to each machine and prints its name; goes on after a failure, and ends with the last one.
fn for_each(
    names: &[String],
    mut work: impl FnMut(&Machines, &str) -> anyhow::Result<()>,
) -> anyhow::Result<u8> {
    let machines = Machines::open(&Home::open()?)?;
    let mut failure: Option<anyhow::Error> = None;
    for name in names {
        match work(&machines, name) {
            Ok(()) => crate::text::say!("{name}")?,
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    eprintln!("kiln: {earlier:#}");
                }
            }
        }
    }
    failure.map_or(Ok(0), Err)
}

/// Prints what clap says of a wrong command line, or the help or version that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell if this fails.
    let _ = error.print();
    // Behind the flags of every command, none of which has a value.
    let command = std::env::args_os().skip(1).find(|arg| !arg.as_encoded_bytes().starts_with(b"-"));
    let runs = command.is_some_and(|command| command == "run" || command == "exec");
    match (error.exit_code(), runs) {
        (0, _) => ExitCode::SUCCESS,
        (_, true) => KILN_FAILED.into(),
        (_, false) => ExitCode::from(2),
    }
}
