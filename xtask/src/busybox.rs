//! Debian's static arm64 busybox: the program of the demo's image and of the boot benchmark.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::run::{announce, run};
use crate::setup;

const PACKAGE: &str = "busybox-static:arm64";

/// The program's path. The package is only unpacked: installed, it would take the place of the
/// host's own busybox.
pub(crate) fn program() -> Result<PathBuf> {
    if cfg!(not(target_os = "linux")) {
        bail!("the busybox of this command comes from Debian; give `cargo xtask demo` an image");
    }
    let cache = Cache::open("busybox")?;
    let directory = match cache.get("arm64") {
        Some(directory) => directory,
        None => {
            setup::ensure_arm64_packages()?;
            announce(&format!("fetching {PACKAGE}"));
            let workshop = cache.workshop()?;
            run(Command::new("apt-get")
                .args(["download", "-qq", "-oAPT::Sandbox::User=root", PACKAGE])
                .current_dir(&workshop))?;
            let package = fs::read_dir(&workshop)?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
            let Some(package) = package else { bail!("apt-get downloaded no {PACKAGE}") };
            let unpacked = workshop.path().join("unpacked");
            run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&unpacked))?;
            cache.put("arm64", &unpacked)?
        }
    };
    Ok(directory.join("bin/busybox"))
}
