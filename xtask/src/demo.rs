//! `cargo xtask demo`: from a fresh clone to a container in its own machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use serde_json::json;

use crate::cache::{Cache, Key, digest};
use crate::oci::Layout;
use crate::run::{announce, cargo, line, root, run};
use crate::setup::{self, Purpose};
use crate::{busybox, guest_agent, kernel};

/// Commands of busybox that the image has names for.
const COMMANDS: &[&str] = &[
    "ash",
    "awk",
    "basename",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "clear",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "dirname",
    "dmesg",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "free",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "hostname",
    "id",
    "ifconfig",
    "ip",
    "kill",
    "less",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "more",
    "mount",
    "mv",
    "nc",
    "nproc",
    "od",
    "pidof",
    "ping",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "reset",
    "rm",
    "rmdir",
    "route",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "stty",
    "sync",
    "tail",
    "tar",
    "tee",
    "test",
    "time",
    "timeout",
    "top",
    "touch",
    "tr",
    "true",
    "tty",
    "umount",
    "uname",
    "uniq",
    "uptime",
    "vi",
    "wc",
    "wget",
    "which",
    "whoami",
    "xargs",
    "yes",
];

/// What the demo's container runs.
const SCRIPT: &str = "echo; echo \"Hello from inside a microVM.\"; echo; uname -a; \
                      echo; echo \"$(nproc) processor(s), $(free -m | awk 'NR==2 {print $2}') MiB of memory\"; \
                      echo; ps";

/// Sets everything up and runs the image, or our own one.
pub(crate) fn run_demo(image: Option<&str>) -> Result<()> {
    // The agent's compiler may be there already, and is seen to when it is built.
    setup::ensure(&[Purpose::Kernel])?;
    kernel::build(None, false)?;
    guest_agent::build()?;
    announce("building kiln");
    run(cargo().args(["build", "--package", "kiln"]))?;
    let program = root().join("target/debug/kiln");
    if cfg!(target_os = "macos") {
        // Hypervisor.framework serves signed programs with the entitlement only.
        let entitlements = root().join("cli/kiln.entitlements");
        let mut sign = Command::new("codesign");
        sign.args(["--sign", "-", "--force", "--entitlements"]).arg(entitlements);
        run(sign.arg(&program))?;
    }
    let mut kiln = Command::new(program);
    kiln.args(["run", "--rm"]);
    match image {
        Some(image) => kiln.arg(image),
        None => kiln
            .arg(format!("oci-layout:{}:latest", layout()?.display()))
            .args(["sh", "-c", SCRIPT]),
    };
    announce(&line(&kiln));
    let status = kiln.status()?;
    if !status.success() {
        bail!("the container ended with {status}");
    }
    Ok(())
}

/// An OCI image layout with one layer: busybox under all of its names.
pub(crate) fn layout() -> Result<PathBuf> {
    let busybox = busybox::program()?;
    let cache = Cache::open("demo-image")?;
    let key = Key::new()
        .add("busybox", digest(&busybox)?)
        .add("recipe", include_str!("demo.rs"))
        .add("layout", include_str!("oci.rs"))
        .finish();
    if let Some(directory) = cache.get(&key) {
        cache.select(&key)?;
        return Ok(directory);
    }
    let workshop = cache.workshop()?;
    let mut layout = Layout::create(&workshop.path().join("layout"))?;
    layout.layer(layer(&fs::read(busybox)?)?.as_slice())?;
    layout.finish(&json!({
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["sh"],
    }))?;
    let directory = cache.put(&key, layout.path())?;
    cache.select(&key)?;
    Ok(directory)
}

fn layer(busybox: &[u8]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (directory, mode) in [
        ("bin/", 0o755),
        ("dev/", 0o755),
        ("etc/", 0o755),
        ("proc/", 0o555),
        ("root/", 0o700),
        ("sys/", 0o555),
        ("tmp/", 0o1777),
    ] {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        archive.append_data(&mut header, directory, std::io::empty())?;
    }
    for (name, mode, content) in [
        ("bin/busybox", 0o755, busybox),
        ("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n".as_slice()),
        (
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n".as_slice(),
        ),
    ] {
        let mut header = header(tar::EntryType::Regular, mode, content.len() as u64);
        archive.append_data(&mut header, name, content)?;
    }
    for command in COMMANDS {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        archive.append_link(&mut header, format!("bin/{command}"), "busybox")?;
    }
    Ok(archive.into_inner()?)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
