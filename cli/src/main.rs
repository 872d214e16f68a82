//! The `kiln` command.

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use kiln::commands::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return kiln::commands::usage(&error),
    };
    tracing_subscriber::fmt()
        .with_env_filter(cli.log_filter())
        .with_writer(cli.log_writer())
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        // It would say on standard error that it cannot write, and die of it if that is full as well.
        .log_internal_errors(false)
        .init();
    kiln::commands::execute(cli)
}
