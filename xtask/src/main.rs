//! The automation of the workspace: `cargo xtask COMMAND`.
//!
//! Everything that a person or a machine does with this repository beyond `cargo build` is here, so
//! that it works the same for both. Slow products are cached under the user's cache directory,
//! keyed by what they were made from.

mod cache;
mod cpio;
mod guest_agent;
mod kernel;
mod macos;
mod run;
mod setup;
mod suite;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The automation of the kiln workspace")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the packages that everything below needs (as root), or print the line that does
    Setup,
    /// Build the guest's Linux kernel and make it the current one
    GuestKernel {
        /// Kernel source: a tarball or a tree; default: Debian's linux-source-6.12, else a pinned
        /// release from kernel.org
        #[arg(long)]
        source: Option<PathBuf>,
        /// Build even if the cache has it, and compare
        #[arg(long)]
        rebuild: bool,
    },
    /// Build PID 1 of the guest and its initramfs, and make them the current ones
    GuestAgent,
    /// Run every check and test
    Test,
    /// Typecheck the framework's side of `hv-sys` and `hv` for macOS
    CheckMacos,
}

fn main() -> ExitCode {
    match perform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform() -> Result<()> {
    match Arguments::parse().command {
        Command::Setup => setup::everything(),
        Command::GuestKernel { source, rebuild } => {
            kernel::build(source.as_deref(), rebuild).map(drop)
        }
        Command::GuestAgent => guest_agent::build().map(drop),
        Command::Test => suite::run_all(),
        Command::CheckMacos => macos::check(),
    }
}
