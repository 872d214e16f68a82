//! `cargo xtask fuzz`: every cargo-fuzz target of the workspace for some time each.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{announce, cargo, find, output, root, run};

/// Runs every target whose name contains `filter` for so many seconds.
pub(crate) fn fuzz(seconds: u64, filter: Option<&str>) -> Result<()> {
    if find("cargo-fuzz").is_none() {
        announce("installing cargo-fuzz");
        run(cargo().args(["install", "--quiet", "--locked", "cargo-fuzz"]))?;
    }
    let mut count = 0;
    for directory in directories()? {
        let targets = output(cargo_fuzz(&directory).arg("list"))?;
        for target in targets.lines().filter(|t| filter.is_none_or(|part| t.contains(part))) {
            announce(&format!("fuzzing {target} for {seconds} s"));
            run(cargo_fuzz(&directory)
                .args(["run", target, "--", &format!("-max_total_time={seconds}")])
                .args(["-print_final_stats=1", "-rss_limit_mb=4096"]))?;
            count += 1;
        }
    }
    if count == 0 {
        bail!("no fuzz target matches; `cargo fuzz list` in a crate's fuzz directory names them");
    }
    println!("{count} fuzz targets ran {seconds} s each without a finding");
    Ok(())
}

/// cargo-fuzz in a crate's `fuzz` directory. It needs compiler flags that only a nightly takes, or
/// a stable compiler that is told to.
fn cargo_fuzz(directory: &PathBuf) -> Command {
    let mut command = cargo();
    command.arg("fuzz").current_dir(directory).env("RUSTC_BOOTSTRAP", "1");
    command
}

fn directories() -> Result<Vec<PathBuf>> {
    let mut directories: Vec<PathBuf> = fs::read_dir(root())?
        .filter_map(|entry| Some(entry.ok()?.path().join("fuzz")))
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect();
    directories.sort();
    Ok(directories)
}
