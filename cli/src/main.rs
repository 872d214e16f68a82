//! The `kiln` command.

use std::{io::IsTerminal, process::ExitCode};

use kiln::commands::Cli;
use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    let cli = match Cli::of_process() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    let log = tracing_subscriber::fmt::layer()
        .with_writer(cli.log_writer())
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        // It would say on standard error that it cannot write, and die of it if that is full as well.
        .log_internal_errors(false)
        .with_filter(cli.log_filter());
    tracing_subscriber::registry().with(log).init();
    kiln::commands::execute(cli)
}
