//! Lets the host's kernel start arm64 programs, through QEMU.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::run;

const BINFMT_MISC: &str = "/proc/sys/fs/binfmt_misc";
/// The rule that the package qemu-user-static brings; a running systemd has given it to the kernel already.
const RULE: &str = "/usr/lib/binfmt.d/qemu-aarch64.conf";

/// Registers QEMU for arm64 programs, for chroots too, unless that is so.
pub(super) fn ensure_arm64() -> Result<()> {
    if cfg!(target_arch = "aarch64") {
        return Ok(());
    }
    let directory = Path::new(BINFMT_MISC);
    if !directory.join("register").exists() {
        run(Command::new("mount").args(["-t", "binfmt_misc", "binfmt_misc", BINFMT_MISC]))?;
    }
    let registered = directory.join("qemu-aarch64");
    if !registered.exists() {
        let rule = fs::read_to_string(RULE)
            .with_context(|| format!("cannot read {RULE} of the package qemu-user-static"))?;
        fs::write(directory.join("register"), rule.trim_end())
            .context("the kernel does not take QEMU as the interpreter of arm64 programs")?;
    }
    let state = fs::read_to_string(&registered)?;
    // F: the interpreter is open from registration on, so a chroot need not have it.
    let fixed = state.lines().any(|line| line.starts_with("flags:") && line.contains('F'));
    if !state.starts_with("enabled") || !fixed {
        bail!("{} must be enabled and have the flag F; see binfmt_misc", registered.display());
    }
    Ok(())
}
