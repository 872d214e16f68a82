//! QEMU TCG with a server as its guest: the same kernel, the same files as its root.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use serde_json::{Value, json};

use super::serving::{Forwarder, Server, first_byte, free_port};
use crate::run::{measured, run};
use crate::{kernel, servers};

/// A server's machine, and its state in a file.
pub(super) struct Saved {
    place: tempfile::TempDir,
    kernel: PathBuf,
    /// In MiB.
    memory: u32,
}

/// A process of QEMU. Dropped, it is gone.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn process(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Saved {
    /// Boots the server, and saves the machine once it has answered.
    pub(super) fn new(server: &Server, memory: u32) -> Result<Self> {
        let place = tempfile::tempdir()?;
        root(server, &place.path().join("root.erofs"))?;
        let saved = Self { place, kernel: kernel::build(None, false)?, memory };
        let (mut machine, port) = saved.start(&[])?;
        first_byte(port, Forwarder::Eager, || matches!(machine.0.try_wait(), Ok(Some(_))))?;
        // As kiln's, which rests before its snapshot.
        std::thread::sleep(Duration::from_millis(500));
        saved.save()?;
        Ok(saved)
    }

    fn state(&self) -> PathBuf {
        self.place.path().join("state")
    }

    /// Seconds from the start of a process that takes the saved state to the first byte of the answer.
    pub(super) fn seconds_to_answer(&self) -> Result<f64> {
        let began = Instant::now();
        let _machine = self.restore()?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// A machine from the saved state that has answered.
    pub(super) fn restore(&self) -> Result<Running> {
        let incoming = format!("exec:cat {}", self.state().display());
        let (mut machine, port) = self.start(&["-incoming", &incoming])?;
        first_byte(port, Forwarder::Eager, || matches!(machine.0.try_wait(), Ok(Some(_))))?;
        Ok(machine)
    }

    fn start(&self, more: &[&str]) -> Result<(Running, u16)> {
        let at = |name: &str| self.place.path().join(name).display().to_string();
        let port = free_port()?;
        let mut command = measured("qemu-system-aarch64");
        command.args(["-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-accel", "tcg"]);
        command.args(["-m", &self.memory.to_string(), "-smp", "1"]);
        command.args(["-nodefaults", "-display", "none", "-serial"]);
        command.arg(format!("file:{}", at("console")));
        command.args(["-global", "virtio-mmio.force-legacy=false"]);
        command.args([
            "-append",
            "console=ttyAMA0 quiet panic=-1 root=/dev/vda rootfstype=erofs ro init=/command",
        ]);
        command.arg("-kernel").arg(&self.kernel);
        command
            .arg("-drive")
            .arg(format!("file={},if=none,id=root,format=raw,readonly=on", at("root.erofs")));
        command.args(["-device", "virtio-blk-device,drive=root"]);
        command.arg("-netdev").arg(format!("user,id=net,hostfwd=tcp:127.0.0.1:{port}-:80"));
        command.args(["-device", "virtio-net-device,netdev=net"]);
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", at("qmp")));
        let child = command.args(more).stdin(Stdio::null()).spawn().context("cannot start QEMU")?;
        Ok((Running(child), port))
    }

    /// Writes the machine's state. It stops at the end; stopped before, it would be restored as one that stands still.
    fn save(&self) -> Result<()> {
        let mut monitor = Monitor::connect(&self.place.path().join("qmp"))?;
        let to = format!("exec:cat > {}", self.state().display());
        // The default is what a network carries.
        monitor.call("migrate-set-parameters", &json!({ "max-bandwidth": 1u64 << 40 }))?;
        monitor.call("migrate", &json!({ "uri": to }))?;
        loop {
            let state = monitor.call("query-migrate", &json!({}))?;
            match state["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => bail!("QEMU could not save its state: {state}"),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

/// QEMU's control socket.
struct Monitor(BufReader<UnixStream>);

impl Monitor {
    fn connect(path: &Path) -> Result<Self> {
        let mut monitor = Self(BufReader::new(UnixStream::connect(path)?));
        // The greeting.
        monitor.0.read_line(&mut String::new())?;
        monitor.call("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    fn call(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.0.get_mut(), "{request}")?;
        loop {
            let mut text = String::new();
            if self.0.read_line(&mut text)? == 0 {
                bail!("QEMU ended during {command}");
            }
            let mut answer: Value = serde_json::from_str(&text)?;
            if !answer["error"].is_null() {
                bail!("QEMU refused {command}: {}", answer["error"]);
            }
            // Events come in between.
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
        }
    }
}

/// The files of the image of servers, and an init that brings up the network and becomes the server.
fn root(server: &Server, target: &Path) -> Result<()> {
    let tree = tempfile::tempdir()?;
    for layer in servers::layers()? {
        run(Command::new("tar").arg("-C").arg(tree.path()).arg("-xf").arg(layer))?;
    }
    let script = format!(
        "#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for place in /run /tmp /var/lib/nginx; do /bin/busybox mount -t tmpfs tmpfs $place; done
/bin/busybox ifconfig lo up
/bin/busybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
/bin/busybox route add default gw 10.0.2.2
exec {}
",
        server.command.join(" ")
    );
    let init = tree.path().join("command");
    fs::write(&init, script)?;
    fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    // What a container has and packages do not.
    for directory in ["dev", "proc", "sys", "tmp", "run"] {
        fs::create_dir_all(tree.path().join(directory))?;
    }
    File::create(tree.path().join("etc/resolv.conf"))?;
    run(Command::new("mkfs.erofs").arg("--quiet").arg(target).arg(tree.path()))
}
