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
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
    kiln::commands::execute(cli)
}
