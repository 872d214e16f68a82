//! Differential test of the CPU against `qemu-aarch64-static -cpu neoverse-n1`.
//!
//! Every encoding class that the ID registers promise (`classes`) is drawn thousands of times with random operands,
//! registers, flags, floating-point control and memory. One harness, assembled from `guest/`, runs the same batch under
//! the oracle as a Linux program and under hv-soft at EL0 behind a flat stage-1 mapping. General and vector registers, NZCV, FPCR,
//! FPSR, memory and the kind of fault have to be equal. Random words of every top-level group check that what is not
//! allocated is UNDEFINED.
//!
//! ```text
//! cargo test -p hv-soft --test differential -- [--class TEXT] [--count N] [--seed HEX] [--run HEX] [--verbose]
//! ```
//! `--class` selects the classes whose name contains the text; `--seed` replays one instance; `--run` is the seed of
//! the whole run, which every report prints.

mod classes;
mod compare;
mod deviations;
mod guest;
mod instance;
mod layout;
mod options;
mod oracle;
mod report;
mod rng;
mod run;
mod soft;
mod tables;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match options::Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    if options.list {
        // `cargo nextest list` and friends.
        println!("differential: test");
        return ExitCode::SUCCESS;
    }
    let report = run::run(&options);
    report.print();
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
