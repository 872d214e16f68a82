//! The automation of the workspace: `cargo xtask COMMAND`.
//!
//! Everything that a person or a machine does with this repository beyond `cargo build` is here, so
//! that it works the same for both. Slow products are cached under the user's cache directory,
//! keyed by what they were made from.

mod bench;
mod busybox;
mod cache;
mod cpio;
mod demo;
mod fuzz;
mod guest_agent;
mod kernel;
mod macos;
mod oci;
mod run;
mod servers;
mod setup;
mod soak;
mod suite;
mod test_images;

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
    /// Make the images of real programs that the tests run
    TestImages,
    /// Run every check and test
    Test,
    /// Run a container in its own machine, with all the set-up that takes
    Demo {
        /// An image; default: a busybox made from Debian's package
        image: Option<String>,
    },
    /// Compare with a peer
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Run the tests at the counts that take hours
    Soak {
        /// Only tests whose name contains one of these
        filters: Vec<String>,
    },
    /// Run every fuzz target
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Only targets whose name contains this
        filter: Option<String>,
    },
    /// Typecheck everything for macOS
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
        Command::TestImages => test_images::build(),
        Command::Test => suite::run_all(),
        Command::Demo { image } => demo::run_demo(image.as_deref()),
        Command::Bench(bench) => bench.run(),
        Command::Soak { filters } => soak::soak(&filters),
        Command::Fuzz { seconds, filter } => fuzz::fuzz(seconds, filter.as_deref()),
        Command::CheckMacos => macos::check(),
    }
}
