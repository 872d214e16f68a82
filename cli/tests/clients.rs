//! What clients do that stand still, do not read, or go: it hurts nobody but them.

mod common;

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{Kiln, image};

const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is so.
fn until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !met() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal(child: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Standard output of a call that may hang, but must not.
fn answer(kiln: &Kiln, args: &[&str]) -> String {
    let mut child = kiln.command(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut ended = false;
    until(&format!("{args:?} ends"), || {
        ended = child.try_wait().unwrap().is_some();
        ended
    });
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn runs(kiln: &Kiln) -> bool {
    !kiln.text(&["ps", "-q"]).is_empty()
}

#[test]
fn a_client_that_floods_and_does_not_read_can_still_be_signalled() {
    let kiln = Kiln::new();
    let script = "exec 3<&0; cat <&3 & trap 'exit 9' TERM; wait";
    let mut client = kiln
        .command(&["run", "-i", "--name", "flood", &image(), "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let flood = std::thread::spawn(move || {
        while stdin.write_all(&[b'x'; 4096]).is_ok() {
            counter.fetch_add(4096, Ordering::Relaxed);
        }
    });
    // All that lies between is full: pipes, sockets, windows.
    let mut before = 0;
    until("the flood stands", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = written.load(Ordering::Relaxed);
        std::mem::replace(&mut before, now) == now && now > 256 << 10
    });
    signal(&client, "-TERM");
    assert_eq!(answer(&kiln, &["wait", "flood"]), "9");
    // Output that was on its way is not lost for it.
    let mut output = Vec::new();
    client.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    assert!(output.len() > 256 << 10 && output.iter().all(|&byte| byte == b'x'));
    assert_eq!(client.wait().unwrap().code(), Some(9));
    flood.join().unwrap();
}

#[test]
fn a_client_that_stands_still_holds_up_no_stop() {
    let kiln = Kiln::new();
    let script = "trap 'exit 4' TERM; yes a line to fill all pipes with & wait";
    let mut client = kiln
        .command(&["run", "--name", "talker", &image(), "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    client.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    signal(&client, "-STOP");
    assert_eq!(answer(&kiln, &["stop", "talker"]), "talker");
    assert_eq!(answer(&kiln, &["wait", "talker"]), "4");
    until("its process has gone", || kiln.output(&["rm", "talker"]).status.success());
    signal(&client, "-CONT");
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn a_client_that_was_left_behind_knows_how_it_ended() {
    let kiln = Kiln::new();
    let script = "trap 'exit 4' TERM; echo up; until test -e /go; do sleep 0.05; done; \
                  yes a line to fill all pipes with & wait";
    let mut client = kiln
        .command(&["run", "--name", "talker", &image(), "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    client.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    signal(&client, "-STOP");
    kiln.text(&["exec", "talker", "touch", "/go"]);
    // Beyond what the socket to the client holds.
    until("it floods", || kiln.output(&["logs", "talker"]).stdout.len() >= 256 << 10);
    // It returns when the machine's process has gone.
    assert_eq!(answer(&kiln, &["stop", "talker"]), "talker");
    signal(&client, "-CONT");
    let output = client.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("kiln logs talker"), "{said}");
}

#[test]
fn a_client_that_reads_late_gets_everything_although_the_machine_has_gone() {
    let kiln = Kiln::new();
    let mut client = kiln
        .command(&["run", "--name", "seq", &image(), "sh", "-c", "seq 1 60000; exit 3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // 300,000 bytes and more are beyond what a pipe and a socket hold, and within the window.
    until("it has ended", || kiln.text(&["ps", "-a"]).contains("Exited (3)"));
    until("its process has gone", || kiln.output(&["rm", "seq"]).status.success());
    let mut output = String::new();
    client.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    let want: String = (1..=60_000).map(|n| format!("{n}\n")).collect();
    assert!(output == want, "{} of {} bytes", output.len(), want.len());
    assert_eq!(client.wait().unwrap().code(), Some(3));
}

/// Interrupted before its process runs, a machine leaves no trace; and so does one that is being baked.
#[test]
fn an_interrupt_leaves_no_machine_that_nobody_wanted() {
    let kiln = Kiln::new();
    let image = image();
    let machines = kiln.home().join("machines");
    let is_empty = || {
        let mut entries = std::fs::read_dir(&machines).unwrap();
        entries.all(|entry| entry.unwrap().file_name() == ".lock")
    };
    let bake = ["bake", "--ready", "after:1000s", "-o", "baked", &image, "sleep", "1000"];
    for (args, running) in [
        (&["run", "--name", "early", &image, "sleep", "1000"][..], false),
        (&["run", "-d", "--name", "early", &image, "sleep", "1000"], false),
        (&bake, true),
    ] {
        let mut client = kiln.command(args).stdout(Stdio::null()).spawn().unwrap();
        until("a machine is there", || match running {
            true => runs(&kiln),
            false => machines.exists() && !is_empty(),
        });
        signal(&client, "-INT");
        assert!(!client.wait().unwrap().success());
        until("nothing is left", || kiln.text(&["ps", "-aq"]).is_empty() && is_empty());
    }
    assert_eq!(kiln.text(&["snapshot", "ls", "--format", "json"]), "[]");
}

/// A command that nobody listens to is not held up by what it says.
#[test]
fn a_detached_command_may_talk_without_end() {
    let kiln = Kiln::new();
    kiln.text(&["run", "-d", "--name", "quiet", &image(), "sleep", "1000"]);
    let script = "seq 1 60000; seq 1 60000 >&2; echo over > /over";
    for flags in [&["exec", "-d"][..], &["exec", "-d", "-t"]] {
        kiln.text(&[flags, &["quiet", "sh", "-c", script]].concat());
        until("it ends", || kiln.output(&["exec", "quiet", "cat", "/over"]).stdout == b"over\n");
        kiln.text(&["exec", "quiet", "rm", "/over"]);
    }
}

/// As `docker pause` and `docker unpause`: all processes stand still, and a stop is no exception for long.
#[test]
fn a_paused_machine_stands_still_until_it_goes_on() {
    let kiln = Kiln::new();
    let script = "trap 'exit 6' TERM; while :; do echo x >> /count; sleep 0.05; done";
    kiln.text(&["run", "-d", "--name", "still", &image(), "sh", "-c", script]);
    let count = || {
        let archive = kiln.output(&["cp", "still:/count", "-"]);
        archive.stdout.iter().filter(|&&byte| byte == b'x').count()
    };
    until("it counts", || count() > 3);
    assert_eq!(kiln.text(&["pause", "still"]), "still");
    assert!(kiln.text(&["ps"]).contains("(Paused)"));
    let paused = count();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(count(), paused);
    for refused in [&["pause", "still"][..], &["exec", "still", "true"]] {
        let output = kiln.output(refused);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("is paused"), "{output:?}");
    }
    assert_eq!(kiln.text(&["unpause", "still"]), "still");
    until("it counts again", || count() > paused);
    assert!(!kiln.output(&["unpause", "still"]).status.success());
    kiln.text(&["pause", "still"]);
    kiln.text(&["stop", "still"]);
    assert_eq!(kiln.text(&["wait", "still"]), "6");
}

#[test]
fn a_bake_whose_condition_hangs_ends_in_time() {
    let kiln = Kiln::new();
    let ready = ["--ready", "exec:sleep 1000", "--timeout", "1s"];
    let output =
        kiln.output(&[&["bake"], &ready[..], &["-o", "hung", &image(), "sleep", "1000"]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not ready within 1 s"), "{output:?}");
    assert_eq!(kiln.text(&["ps", "-aq"]), "");
}
