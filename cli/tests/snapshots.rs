//! Snapshots of real machines: they go on where they were, as often as one likes.

mod common;

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::{Kiln, image};
use rustix::process::{Pid, Signal, kill_process};

/// Counts in the guest's memory and says a word that only its memory knows.
const COUNTER: &str = "nonce=$(cat /proc/sys/kernel/random/uuid); echo ready; i=0; \
                       while true; do i=$((i+1)); echo \"$i $nonce\" > /tmp/count; sleep 0.05; done";

fn count(kiln: &Kiln, machine: &str) -> (u64, String) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        // The file is empty for a moment while it is written.
        let text = kiln.text(&["exec", machine, "cat", "/tmp/count"]);
        if let Some((count, nonce)) = text.split_once(' ') {
            return (count.parse().unwrap(), nonce.into());
        }
        assert!(Instant::now() < deadline, "{text:?}");
    }
}

#[test]
fn restored_machines_go_on_and_differ() {
    let kiln = Kiln::new();
    kiln.text(&[
        "bake",
        "--ready",
        "marker:ready",
        "-o",
        "base",
        "-m",
        "256m",
        &image(),
        "sh",
        "-c",
        COUNTER,
    ]);
    assert_eq!(kiln.text(&["ps", "-aq"]), "", "the baking machine is gone");
    kiln.text(&["snapshot", "verify", "base"]);
    let one = kiln.text(&["restore", "-d", "--name", "one", "base"]);
    kiln.text(&["restore", "-d", "--name", "two", "--ram", "copy", "base"]);
    assert_eq!(one.len(), 64);
    let (first, nonce) = count(&kiln, "one");
    assert_eq!(count(&kiln, "two").1, nonce, "both come from one boot");
    let deadline = Instant::now() + Duration::from_secs(30);
    while count(&kiln, "one").0 <= first {
        assert!(Instant::now() < deadline, "the restored process stands still");
    }
    // They share a past, not a future: fresh randomness in each, and the right time.
    let random = |name| kiln.text(&["exec", name, "cat", "/proc/sys/kernel/random/uuid"]);
    assert_ne!(random("one"), random("two"));
    let guest: i64 = kiln.text(&["exec", "one", "date", "+%s"]).parse().unwrap();
    let host = jiff::Timestamp::now().as_second();
    assert!((host - guest).abs() <= 2, "the guest's clock says {guest}, the host's {host}");
    let forked = kiln.text(&["fork", "-n", "2", "one"]);
    assert_eq!(forked.lines().count(), 2, "{forked}");
    for line in forked.lines() {
        let id = line.split(' ').next().unwrap();
        assert_eq!(count(&kiln, id).1, nonce);
    }
    assert_eq!(count(&kiln, "one").1, nonce, "the forked machine goes on");
    // A snapshot that is gone takes nothing from the machines that came from it.
    kiln.text(&["snapshot", "rm", "base"]);
    assert_eq!(count(&kiln, "one").1, nonce);
    assert_eq!(kiln.text(&["snapshot", "ls", "--format", "json"]), "[]");
}

/// An exported snapshot goes on where nothing of its image is, also in what is captured there.
#[test]
fn an_export_needs_nothing_else() {
    let kiln = Kiln::new();
    let bake = ["bake", "--ready", "marker:ready", "-o", "base", "-m", "128m", &image()];
    kiln.text(&[&bake[..], &["sh", "-c", COUNTER]].concat());
    let file = kiln.home().join("base.kiln");
    let file = file.to_str().unwrap();
    kiln.text(&["snapshot", "export", "base", file]);
    kiln.text(&["restore", "-d", "--name", "here", "base"]);
    let nonce = count(&kiln, "here").1;
    let other = Kiln::new();
    other.text(&["snapshot", "import", file, "base"]);
    other.text(&["snapshot", "verify", "base"]);
    other.text(&["restore", "-d", "--name", "there", "base"]);
    assert_eq!(count(&other, "there").1, nonce);
    // A program that the guest has not read yet comes from the layers.
    assert_eq!(other.text(&["exec", "there", "sha256sum", "/etc/group"]).len(), 64 + 2 + 10);
    let pruned = other.output(&["prune"]);
    assert!(pruned.status.success() && pruned.stderr.is_empty(), "{pruned:?}");
    other.text(&["snapshot", "create", "there", "next"]);
    other.text(&["restore", "-d", "--name", "next", "next"]);
    assert_eq!(count(&other, "next").1, nonce);
    assert_eq!(other.text(&["images", "-q"]), "", "nothing came into the store");
    // A byte of a layer that is another one is not imported.
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = kiln.home().join("bad.kiln");
    std::fs::write(&bad, bytes).unwrap();
    let output = other.output(&["snapshot", "import", bad.to_str().unwrap(), "bad"]);
    assert!(!output.status.success(), "{output:?}");
}

/// A machine's process that is killed while it captures leaves a whole snapshot or none, and nothing else for long.
#[test]
fn a_killed_capture_is_whole_or_absent() {
    let times = if std::env::var_os("KILN_SOAK").is_some() { 100 } else { 8 };
    let kiln = Kiln::new();
    let bake = ["bake", "--ready", "marker:ready", "-o", "base", "-m", "128m", &image()];
    kiln.text(&[&bake[..], &["sh", "-c", COUNTER]].concat());
    let pid = |machine: &str| {
        let all: serde_json::Value =
            serde_json::from_str(&kiln.text(&["inspect", machine])).unwrap();
        rustix::process::Pid::from_raw(all[0]["state"]["pid"].as_i64().unwrap() as i32).unwrap()
    };
    // The time that it takes undisturbed.
    kiln.text(&["restore", "-d", "--rm", "--name", "calm", "base"]);
    let began = Instant::now();
    kiln.text(&["snapshot", "create", "calm", "calm"]);
    let whole = began.elapsed().as_micros() as u64;
    let nonce = count(&kiln, "calm").1;
    let mut survived = 0;
    for round in 0..times {
        let name = format!("m{round}");
        kiln.text(&["restore", "-d", "--name", &name, "base"]);
        let process = pid(&name);
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let mut capture = kiln.command(&["snapshot", "create", &name, &name]);
        let mut capture = capture.stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(u64::from_le_bytes(random) % whole));
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        capture.wait().unwrap();
        let path = kiln.home().join("snapshots").join(&name);
        if path.exists() {
            survived += 1;
            kiln.text(&["snapshot", "verify", &name]);
            kiln.text(&["restore", "-d", "--rm", "--name", "again", &name]);
            assert_eq!(count(&kiln, "again").1, nonce);
            kiln.text(&["rm", "--force", "again"]);
        }
        kiln.text(&["rm", "--force", &name]);
    }
    let listed: serde_json::Value =
        serde_json::from_str(&kiln.text(&["snapshot", "ls", "--format", "json"])).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), survived + 2, "{listed}");
    let left = std::fs::read_dir(kiln.home().join("snapshots")).unwrap();
    assert_eq!(left.count(), survived + 2, "what was cut short is swept");
}

/// What a program that measures reads: every step of a restore, and what a capture came to.
#[test]
fn captures_and_restores_report_their_steps() {
    let kiln = Kiln::new();
    let bake = ["bake", "--ready", "after:100ms", "-o", "base", "-m", "128m", &image()];
    kiln.text(&[&bake[..], &["sleep", "1000"]].concat());
    let json =
        |args: &[&str]| -> serde_json::Value { serde_json::from_str(&kiln.text(args)).unwrap() };
    let restored = json(&["restore", "-d", "--name", "one", "--format", "json", "base"]);
    assert_eq!(restored["name"], "one");
    let steps = restored["restored"].as_object().unwrap();
    for step in [
        "state",
        "memory",
        "resources",
        "vm",
        "gic",
        "devices",
        "vcpus",
        "timer",
        "first_instruction",
        "endpoints",
        "thaw",
    ] {
        let ms = steps[&format!("{step}_ms")].as_f64().unwrap();
        assert!(ms > 0.0, "{step}: {restored}");
    }
    let taken = json(&["snapshot", "create", "--format", "json", "one", "two"]);
    let number = |name: &str| taken[name].as_f64().unwrap();
    assert!(number("bytes") > (1 << 20) as f64, "{taken}");
    assert!(number("save_ms") > 0.0 && number("pause_ms") >= number("save_ms"), "{taken}");
    let output = kiln.output(&["restore", "-d", "--rm", "--timings", "two"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("first guest instruction"), "{text}");
}

/// A rehearsal tells what a restore needs first; without it, and with one that somebody has damaged, a restore works as well.
#[test]
fn a_rehearsal_tells_what_a_restore_needs_first() {
    let kiln = Kiln::new();
    let image = image();
    let bake = |name: &str, more: &[&str]| {
        let bake = ["bake", "--ready", "after:100ms", "-o", name, "-m", "128m"];
        kiln.text(&[&bake[..], more, &[&image, "sleep", "1000"]].concat());
    };
    let working_set = |name: &str| {
        let all: serde_json::Value =
            serde_json::from_str(&kiln.text(&["snapshot", "inspect", name])).unwrap();
        all["working_set"].as_u64().unwrap()
    };
    bake("rehearsed", &[]);
    bake("not", &["--no-rehearsal"]);
    assert_eq!(working_set("not"), 0);
    // What is all memory is never read from a disk.
    #[cfg(target_os = "linux")]
    const TMPFS: u64 = 0x0102_1994;
    #[cfg(target_os = "linux")]
    if rustix::fs::statfs(kiln.home()).unwrap().f_type as u64 != TMPFS {
        let known = working_set("rehearsed");
        assert!((1 << 20..64 << 20).contains(&known), "{known}");
    }
    assert!(kiln.text(&["ps", "-aq"]).is_empty(), "a machine was left behind");
    let file = kiln.home().join("snapshots/rehearsed/working-set");
    std::fs::write(file, [0xff; 4096]).unwrap();
    assert_eq!(working_set("rehearsed"), 0);
    for name in ["rehearsed", "not"] {
        kiln.text(&["restore", "-d", "--name", name, name]);
        assert_eq!(kiln.text(&["exec", name, "echo", "well"]), "well");
    }
}

/// What ends as soon as it is restored was restored nonetheless, and its record tells how it ended.
#[test]
fn what_ends_at_once_was_restored() {
    let kiln = Kiln::new();
    let script = "begin=$(date +%s); echo begun; \
                  while [ $(($(date +%s) - begin)) -lt 4 ]; do :; done; exit 7";
    let bake = ["bake", "--ready", "marker:begun", "--no-rehearsal", "-o", "short", "-m", "128m"];
    kiln.text(&[&bake[..], &[&image(), "sh", "-c", script]].concat());
    std::thread::sleep(Duration::from_secs(5));
    for name in ["one", "two", "three"] {
        assert_eq!(kiln.text(&["restore", "-d", "--name", name, "short"]).len(), 64);
        assert_eq!(kiln.text(&["wait", name]), "7");
        assert_eq!(kiln.text(&["restore", "-d", "--rm", "short"]).len(), 64);
    }
    assert_eq!(kiln.output(&["restore", "short"]).status.code(), Some(7));
    // Whoever restores it may stand still meanwhile.
    for milliseconds in (5..60).step_by(5) {
        let mut command = kiln.command(&["restore", "-d", "short"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let process = Pid::from_child(&child);
        std::thread::sleep(Duration::from_millis(milliseconds));
        // It may have ended already.
        let _ = kill_process(process, Signal::STOP);
        std::thread::sleep(Duration::from_millis(200));
        let _ = kill_process(process, Signal::CONT);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "stopped after {milliseconds} ms: {output:?}");
    }
}

/// A server is captured once it listens, and each machine that is restored from that has ports and labels of its own.
#[test]
fn what_serves_is_restored_and_forked() {
    let kiln = Kiln::new();
    let serve = ["nc", "-ll", "-p", "80", "-e", "cat", "/etc/hostname"];
    let bake =
        ["bake", "--ready", "listen:80", "--settle", "50ms", "--timings", "--format", "json"];
    let rest = ["-p", "80", "-l", "tier=back", "-o", "web", "-m", "128m", &image()];
    let baked = kiln.output(&[&bake[..], &rest, &serve].concat());
    assert!(baked.status.success(), "{baked:?}");
    let said: serde_json::Value = serde_json::from_slice(&baked.stdout).unwrap();
    assert_eq!(said["name"], "web");
    assert!(String::from_utf8(baked.stderr).unwrap().contains("stood still"));
    let ask = |port: &str| {
        let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.len(), 12 + 1, "an id's beginning: {answer:?}");
        answer
    };
    let options =
        ["-d", "--name", "one", "-p", "127.0.0.1:0:80", "-l", "tier=front", "-l", "new=1"];
    kiln.text(&[&["restore"], &options[..], &["web"]].concat());
    let all: serde_json::Value = serde_json::from_str(&kiln.text(&["inspect", "one"])).unwrap();
    let labels = &all[0]["spec"]["labels"];
    assert_eq!((&labels["tier"], &labels["new"]), (&"front".into(), &"1".into()), "{all}");
    let first = ask(&all[0]["state"]["ports"][0]["host"].to_string());
    let forked = kiln.text(&["fork", "-n", "2", "web"]);
    let ports: Vec<&str> = forked
        .lines()
        .map(|line| {
            let (_, mapping) = line.split_once(' ').unwrap();
            mapping.strip_prefix("127.0.0.1:").unwrap().strip_suffix("->80/tcp").unwrap()
        })
        .collect();
    assert!(ports.len() == 2 && ports[0] != ports[1], "{forked}");
    for port in ports {
        assert_eq!(ask(port), first);
    }
    let forked = kiln.text(&["fork", "--format", "json", "one"]);
    let forked: serde_json::Value = serde_json::from_str(&forked).unwrap();
    ask(&forked[0]["ports"][0]["host"].to_string());
    let inspected: serde_json::Value =
        serde_json::from_str(&kiln.text(&["snapshot", "inspect", "web"])).unwrap();
    assert_eq!((&inspected["fits"], &inspected["name"]), (&true.into(), &"web".into()));
    assert_eq!(inspected["spec"]["memory"], 128 << 20);
}

/// Neither `rmi` nor `prune` takes what a snapshot needs, also one that this version cannot read.
#[test]
fn a_snapshot_keeps_its_image() {
    let kiln = Kiln::new();
    let bake = ["bake", "--ready", "marker:ready", "-o", "base", "-m", "128m", &image()];
    kiln.text(&[&bake[..], &["sh", "-c", COUNTER]].concat());
    let refused = kiln.output(&["rmi", &image()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("is used by"), "{said}");
    let state = kiln.home().join("snapshots/base/state");
    let good = std::fs::read(&state).unwrap();
    for damaged in [false, true] {
        if damaged {
            std::fs::write(&state, &good[..good.len() / 2]).unwrap();
        }
        let pruned = kiln.text(&["prune", "--all", "--format", "json"]);
        let pruned: serde_json::Value = serde_json::from_str(&pruned).unwrap();
        assert_eq!(pruned["freed"], 0, "{pruned}");
    }
    std::fs::write(&state, good).unwrap();
    kiln.text(&["restore", "-d", "--name", "one", "base"]);
    count(&kiln, "one");
    kiln.text(&["rm", "--force", "one"]);
    kiln.text(&["snapshot", "rm", "base"]);
    kiln.text(&["prune", "--all"]);
    assert_eq!(kiln.text(&["images", "-q"]), "");
}

/// A capture for which there is no space leaves nothing, and the machine goes on.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_ends_a_capture_only() {
    assert!(rustix::process::geteuid().is_root(), "this test mounts a small disk: run it as root");
    let kiln = Kiln::new();
    let run = ["run", "-d", "--name", "box", "-m", "128m", &image(), "sh", "-c", COUNTER];
    kiln.text(&run);
    let place = kiln.home().join("snapshots");
    std::fs::create_dir_all(&place).unwrap();
    let disk = SmallDisk::mount(&place, "4m");
    let failed = kiln.output(&["snapshot", "create", "box", "full"]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && said.contains("the disk is full; free some"), "{said}");
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
    let (before, _) = count(&kiln, "box");
    let deadline = Instant::now() + Duration::from_secs(30);
    while count(&kiln, "box").0 <= before {
        assert!(Instant::now() < deadline, "the machine stands still");
    }
    drop(disk);
    kiln.text(&["snapshot", "create", "box", "whole"]);
    kiln.text(&["snapshot", "verify", "whole"]);
}

/// A file system in memory of so many bytes, unmounted when dropped.
#[cfg(target_os = "linux")]
struct SmallDisk<'a>(&'a Path);

#[cfg(target_os = "linux")]
impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, size: &str) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(at);
        assert!(mount.status().unwrap().success());
        Self(at)
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn what_cannot_be_restored_is_said() {
    let kiln = Kiln::new();
    let error = |args: &[&str], part: &str| {
        let output = kiln.output(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(part), "{args:?}: {output:?}");
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    };
    error(&["restore", "none"], "no snapshot");
    error(&["snapshot", "rm", "none"], "no snapshot");
    error(&["snapshot", "verify", "../none"], "name");
    error(&["fork", "none"], "no such machine");
    kiln.text(&[
        "bake",
        "--ready",
        "after:100ms",
        "-o",
        "base",
        "-m",
        "128m",
        &image(),
        "sleep",
        "1000",
    ]);
    error(&["bake", "--ready", "after:1s", "-o", "base", &image(), "true"], "exists");
    error(
        &["bake", "--ready", "marker:x", "-o", "new", &image(), "true"],
        "ended before it was ready",
    );
    let foreign =
        ["--memory=1g", "--cpus=2", "-eA=1", "--user=root", "--entrypoint=sh", "--pull=always"];
    for flag in foreign {
        let refused = kiln.output(&["restore", flag, "base"]);
        assert_eq!(refused.status.code(), Some(125), "{refused:?}");
        error(&["restore", flag, "base"], "cannot be changed by a restore");
    }
    let state = kiln.home().join("snapshots/base/state");
    let good = std::fs::read(&state).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    std::fs::write(&state, bad).unwrap();
    error(&["restore", "-d", "base"], "damaged");
    std::fs::write(&state, good).unwrap();
    let ram = kiln.home().join("snapshots/base/memory");
    std::fs::File::options().write(true).open(ram).unwrap().set_len(1 << 20).unwrap();
    error(&["restore", "-d", "base"], "damaged");
    std::fs::remove_file(kiln.home().join("snapshots/base/memory")).unwrap();
    error(&["restore", "-d", "base"], "it is missing");
    assert_eq!(kiln.text(&["ps", "-aq"]), "", "a refused restore leaves nothing");
}
