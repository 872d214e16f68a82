//! `kiln completions`

use clap::{CommandFactory, Parser};
use clap_complete::Shell;

/// Print the completions of a shell
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    clap_complete::generate(args.shell, &mut super::Cli::command(), "kiln", &mut std::io::stdout());
    Ok(0)
}
