//! The two machines of a comparison: the same kernel and initramfs on kiln and on QEMU.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cpio::Archive;
use crate::kernel;
use crate::run::{line, measured, root, run};
use crate::setup::{self, Purpose};

/// Memory of both machines, in MiB.
const MEMORY: &str = "512";

/// What both sides start from.
pub(super) struct Guest {
    kernel: PathBuf,
    initrd: PathBuf,
    kiln: PathBuf,
    pub(super) place: tempfile::TempDir,
}

impl Guest {
    /// Builds everything; init is `guest/bench.c`.
    pub(super) fn build() -> Result<Self> {
        setup::ensure(&[Purpose::Test])?;
        let kernel = kernel::build(None, false)?;
        let place = tempfile::tempdir()?;
        let init = place.path().join("init");
        let source = root().join("xtask/guest/bench.c");
        run(Command::new("aarch64-linux-gnu-gcc")
            .args(["-O2", "-static", "-s", "-o"])
            .args([&init, &source]))?;
        let archive = Archive::new()
            .directory("dev", 0o755)
            .character_device("dev/console", 0o600, (5, 1))
            .file("init", 0o755, &fs::read(&init)?)
            .finish();
        let initrd = place.path().join("initramfs.cpio");
        fs::write(&initrd, archive)?;
        Ok(Self { kernel, initrd, kiln: super::kiln()?, place })
    }

    /// kiln's command line, with the given devices.
    pub(super) fn on_kiln(&self, bench: &str, devices: &[OsString]) -> Command {
        let mut command = measured(&self.kiln);
        command.args(["boot", "--no-reboot", "--memory", &format!("{MEMORY}M")]);
        command.args(["--cmdline", &format!("console=ttyAMA0 bench={bench}")]);
        command.arg("--kernel").arg(&self.kernel).arg("--initrd").arg(&self.initrd).args(devices);
        command
    }

    /// QEMU's command line, with the given devices.
    pub(super) fn on_qemu(&self, bench: &str, devices: &[OsString]) -> Command {
        let mut command = measured("qemu-system-aarch64");
        command.args(["-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-accel", "tcg"]);
        command.args(["-global", "virtio-mmio.force-legacy=false", "-m", MEMORY]);
        command.args(["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"]);
        command.args(["-append", &format!("console=ttyAMA0 bench={bench}")]);
        command.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&self.initrd).args(devices);
        command
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }
}

/// A running machine, its console read line by line. Dropping it kills it.
pub(super) struct Session {
    child: Child,
    /// Kept open: the end of its input would end a console.
    _stdin: Option<ChildStdin>,
    console: BufReader<ChildStdout>,
    command: String,
}

impl Session {
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", line(&command)))?;
        let console = BufReader::new(child.stdout.take().context("standard output is piped")?);
        Ok(Self { _stdin: child.stdin.take(), child, console, command: line(&command) })
    }

    /// Reads the console up to a line that contains `text`.
    pub(super) fn wait_for(&mut self, text: &str) -> Result<()> {
        let mut bytes = Vec::new();
        let mut tail = String::new();
        while self.console.read_until(b'\n', &mut bytes)? > 0 {
            let read = String::from_utf8_lossy(&bytes);
            if read.contains(text) {
                return Ok(());
            }
            tail = read.trim_end().to_owned();
            bytes.clear();
        }
        bail!("{} ended before \"{text}\"; its last line was \"{tail}\"", self.command)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Command-line arguments of several kinds.
pub(super) fn arguments(parts: &[&dyn AsRef<Path>]) -> Vec<OsString> {
    parts.iter().map(|part| part.as_ref().as_os_str().to_owned()).collect()
}
