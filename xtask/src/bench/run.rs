//! `kiln run` against QEMU TCG that boots the same kernel with the same files as its root, from the start of the process to
//! the command's first output.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::boot::until_marker;
use super::{kiln, pairs};
use crate::run::{measured, run as run_command};
use crate::setup::{self, Purpose};
use crate::{busybox, demo, guest_agent, kernel};

/// Printed by the command.
const MARKER: &str = "the command has started";
/// The most that the ratio may be.
const LIMIT: f64 = 1.5;
/// Memory of both machines, in MiB.
const MEMORY: &str = "512";

pub(super) fn run(count: usize) -> Result<()> {
    setup::ensure(&[Purpose::Test])?;
    let kernel = kernel::build(None, false)?;
    guest_agent::build()?;
    let image = format!("oci-layout:{}:latest", demo::layout()?.display());
    let place = tempfile::tempdir()?;
    let root = place.path().join("root.erofs");
    erofs(&root)?;
    let kiln = kiln()?;
    let home = place.path().join("home");
    let on_kiln = || {
        let mut command = measured(&kiln);
        command.env("KILN_HOME", &home).args([
            "run",
            "--rm",
            "--cpus",
            "1",
            "--memory",
            &format!("{MEMORY}m"),
        ]);
        command.arg(&image).args(["echo", MARKER]);
        command
    };
    // The image is converted once, as it is the first time that anybody runs it.
    run_command(&mut on_kiln())?;
    let ratio = pairs(
        "run to the first output",
        count,
        || until_marker(&mut on_kiln(), MARKER),
        || until_marker(&mut on_qemu(&kernel, &root), MARKER),
    )?;
    ensure!(ratio <= LIMIT, "the ratio is {ratio:.2}; the limit is {LIMIT}");
    Ok(())
}

/// The files that the image has, as QEMU's guest needs them: a script in place of the command.
fn erofs(target: &Path) -> Result<()> {
    let tree = tempfile::tempdir()?;
    let bin = tree.path().join("bin");
    for directory in ["bin", "dev", "proc"] {
        fs::create_dir(tree.path().join(directory))?;
    }
    fs::copy(busybox::program()?, bin.join("busybox")).context("cannot copy busybox")?;
    std::os::unix::fs::symlink("busybox", bin.join("sh"))?;
    let script = bin.join("command");
    fs::write(
        &script,
        format!("#!/bin/sh\n/bin/busybox echo {MARKER}\nexec /bin/busybox poweroff -f\n"),
    )?;
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    run_command(Command::new("mkfs.erofs").arg("--quiet").arg(target).arg(tree.path()))
}

fn on_qemu(kernel: &Path, root: &Path) -> Command {
    let mut command = measured("qemu-system-aarch64");
    command.args(["-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-accel", "tcg", "-m", MEMORY]);
    command.args(["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"]);
    command.args(["-global", "virtio-mmio.force-legacy=false"]);
    command.args([
        "-append",
        "console=ttyAMA0 quiet panic=-1 root=/dev/vda rootfstype=erofs ro init=/bin/command",
    ]);
    command
        .arg("-drive")
        .arg(format!("file={},if=none,id=root,format=raw,readonly=on", root.display()));
    command.args(["-device", "virtio-blk-device,drive=root"]);
    command.arg("-kernel").arg(kernel);
    command
}
