//! Boot time: the same kernel and initramfs on kiln and on QEMU, from the start of the process to a
//! line that init prints.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::{kiln, pairs};
use crate::cpio::Archive;
use crate::run::{line, measured};
use crate::setup::{self, Purpose};
use crate::{busybox, kernel};

/// Printed by init.
const MARKER: &str = "init has started";
const COMMAND_LINE: &str = "console=ttyAMA0 panic=-1";
/// Most that a boot may take of QEMU's time.
const LIMIT: f64 = 1.5;
/// Memory of both machines, in MiB.
const MEMORY: &str = "512";

pub(super) fn run(count: usize) -> Result<()> {
    setup::ensure(&[Purpose::Test])?;
    let kernel = kernel::build(None, false)?;
    let place = tempfile::tempdir()?;
    let initrd = place.path().join("initramfs.cpio");
    fs::write(&initrd, initramfs(&fs::read(busybox::program()?)?))?;
    let kiln = kiln()?;
    let ratio = pairs(
        "boot to init",
        count,
        || until_marker(&mut on_kiln(&kiln, &kernel, &initrd), MARKER),
        || until_marker(&mut on_qemu(&kernel, &initrd), MARKER),
    )?;
    ensure!(ratio <= LIMIT, "the boot takes {ratio:.2} of QEMU's time; the limit is {LIMIT}");
    Ok(())
}

fn initramfs(busybox: &[u8]) -> Vec<u8> {
    let script = format!("#!/busybox sh\n/busybox echo {MARKER}\nexec /busybox poweroff -f\n");
    Archive::new()
        .directory("dev", 0o755)
        .character_device("dev/console", 0o600, (5, 1))
        .file("busybox", 0o755, busybox)
        .file("init", 0o755, script.as_bytes())
        .finish()
}

fn on_kiln(kiln: &Path, kernel: &Path, initrd: &Path) -> Command {
    let mut command = measured(kiln);
    command.args(["boot", "--no-reboot", "--memory", &format!("{MEMORY}M")]);
    command.args(["--cmdline", COMMAND_LINE]);
    command.arg("--kernel").arg(kernel).arg("--initrd").arg(initrd);
    command
}

fn on_qemu(kernel: &Path, initrd: &Path) -> Command {
    let mut command = measured("qemu-system-aarch64");
    command.args(["-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-accel", "tcg", "-m", MEMORY]);
    command.args(["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"]);
    command.args(["-append", COMMAND_LINE]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
    command
}

/// Seconds from the start of the process to the marker. The machine is left to switch itself off.
pub(super) fn until_marker(command: &mut Command, marker: &str) -> Result<f64> {
    let begin = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    // Kept open: the end of its input would end a console.
    let stdin = child.stdin.take();
    let mut console = BufReader::new(child.stdout.take().context("standard output is piped")?);
    let mut seconds = None;
    let mut text = Vec::new();
    while console.read_until(b'\n', &mut text)? > 0 {
        if seconds.is_none() && String::from_utf8_lossy(&text).contains(marker) {
            seconds = Some(begin.elapsed().as_secs_f64());
        }
        text.clear();
    }
    drop(stdin);
    let status = child.wait()?;
    match seconds {
        Some(seconds) if status.success() => Ok(seconds),
        Some(_) => bail!("{} failed with {status} after it had said {marker:?}", line(command)),
        None => bail!("{} ended with {status} before it said {marker:?}", line(command)),
    }
}
