//! Standard streams: byte for byte, in order, bounded, whoever closes what.
//!
//! `--interactive`, docs.docker.com/reference/cli/docker/container/run: standard input and output allow for composition,
//! as pipes of the host do.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{common::Kiln, images::Images};

fn machine() -> (Kiln, Images, String) {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    kiln.text(&["run", "-d", "--name", "box", "-m", "256m", &image, "sleep", "100000"]);
    (kiln, images, image)
}

/// Numbers from a linear congruential generator (Knuth, MMIX).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn sha256(bytes: &[u8]) -> String {
    image::Digest::of(bytes).hex().to_owned()
}

#[test]
fn every_byte_passes_unchanged() {
    let (kiln, _images, image) = machine();
    let all: Vec<u8> = (0..=255).cycle().take(4096).collect();
    for args in [&["exec", "-i", "box", "cat"][..], &["run", "--rm", "-i", &image, "cat"]] {
        let output = kiln.feed(args, &all);
        assert!(output.status.success() && output.stdout == all, "{args:?}: {output:?}");
    }
    // Where they come from the guest alone, and on standard error.
    let script =
        "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %o $i)\"; i=$((i+1)); done >&2";
    let output = kiln.output(&["exec", "box", "sh", "-c", script]);
    assert_eq!(output.stderr, (0..=255).collect::<Vec<u8>>());
}

/// 100 MB in through `run -i`, out through `exec`, then both ways at once, with equal hashes.
#[test]
fn a_hundred_megabytes_pass_both_ways() {
    let (kiln, _images, image) = machine();
    let bytes = noise(100_000_000);
    let hash = sha256(&bytes);
    let hashed = kiln.feed(&["exec", "-i", "box", "sha256sum"], &bytes);
    assert_eq!(
        String::from_utf8_lossy(&hashed.stdout),
        format!("{hash}  -\n"),
        "{:?}",
        hashed.stderr
    );
    for args in [&["exec", "-i", "box", "cat"][..], &["run", "--rm", "-i", &image, "cat"]] {
        let output = kiln.feed(args, &bytes);
        assert_eq!((output.stdout.len(), sha256(&output.stdout)), (bytes.len(), hash.clone()));
    }
}

/// The end of standard input reaches the process, which may go on writing.
#[test]
fn standard_input_ends_alone() {
    let (kiln, _images, image) = machine();
    let script = "n=$(wc -c); sleep 0.2; echo $n after the end";
    for args in [
        &["exec", "-i", "box", "sh", "-c", script][..],
        &["run", "--rm", "-i", &image, "sh", "-c", script],
    ] {
        let output = kiln.feed(args, b"12345");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "5 after the end\n", "{output:?}");
    }
    // Without an end, the process does not wait for one.
    let mut run = kiln
        .command(&["run", "--rm", "-i", &image, "sh", "-c", "read line; echo got $line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = run.stdin.take().unwrap();
    stdin.write_all(b"a line\n").unwrap();
    let mut said = String::new();
    run.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), run.wait().unwrap().code()), ("got a line\n", Some(0)));
}

/// What a shell's `<&-` and `>&-` leave, and readers that go.
#[test]
fn streams_may_be_closed() {
    let (kiln, _images, image) = machine();
    let shell = |redirection: &str, args: &str| {
        let program = kiln.command(&[]).get_program().to_str().unwrap().to_owned();
        let line = format!("exec {program} {args} {redirection}");
        Command::new("sh")
            .args(["-c", &line])
            .env("KILN_HOME", kiln.home())
            .stdin(Stdio::piped())
            .output()
            .unwrap()
    };
    for before in ["exec -i box".to_owned(), format!("run --rm -i {image}")] {
        let output = shell("<&-", &format!("{before} sh -c 'cat; echo end'"));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "end\n", "{output:?}");
        // What is written to nowhere is no reason to fail, as for any program under a Unix shell.
        let output = shell(">&-", &format!("{before} sh -c 'echo lost; echo said >&2; exit 3'"));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "said\n", "{output:?}");
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        // A full disk is one.
        let output = shell(">/dev/full", &format!("{before} echo lost"));
        assert!(!output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
    }
    // A reader that goes ends the command; the status is that of SIGPIPE.
    let mut child = kiln
        .command(&["exec", "box", "yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!((line.as_str(), output.status.code()), ("y\n", Some(141)), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// Counts what it writes, 64 KiB at a time, in a file.
const FLOOD: &str = "i=0; while [ $i -lt 640 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i > /tmp/written; done";

/// A reader that is slower than the guest holds it up: little is in flight, and nothing is lost.
#[test]
fn a_flood_waits_for_its_reader() {
    let (kiln, _images, image) = machine();
    let of_exec = kiln.command(&["exec", "box", "sh", "-c", FLOOD]);
    flood(&kiln, "box", of_exec);
    let of_run = kiln.command(&["run", "--name", "flood", "-m", "256m", &image, "sh", "-c", FLOOD]);
    flood(&kiln, "flood", of_run);
    // A log has a bound as well, and its end is whole.
    let kept = kiln.output(&["logs", "flood"]).stdout.len();
    assert!((32 << 20..=64 << 20).contains(&kept), "{kept} bytes are kept");
}

fn flood(kiln: &Kiln, machine: &str, mut command: Command) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // It writes until every buffer on the way is full, and no more.
    let written = || -> u64 {
        let output = kiln.output(&["exec", machine, "cat", "/tmp/written"]);
        String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0)
    };
    let mut last = 0;
    let mut still = 0;
    for _ in 0..600 {
        std::thread::sleep(Duration::from_millis(100));
        let now = written();
        still = if now == last && now > 0 { still + 1 } else { 0 };
        last = now;
        if still == 5 {
            break;
        }
    }
    assert!(still == 5 && last * 65536 < 4 << 20, "{last} pieces of 64 KiB are in flight");
    let memory = resident(&child);
    assert!(memory < 64 << 20, "the command holds {memory} bytes");
    let mut count = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            read => count += read,
        }
        if count % 7 == 0 {
            std::thread::sleep(Duration::from_micros(500));
        }
    }
    assert_eq!(count, 640 << 16);
    assert!(child.wait().unwrap().success());
}

/// Bytes of memory that a process has, from proc(5): `VmRSS`.
fn resident(child: &Child) -> u64 {
    let mut status = String::new();
    File::open(format!("/proc/{}/status", child.id()))
        .unwrap()
        .read_to_string(&mut status)
        .unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Output comes in the order of its writing, on each stream, however slowly it is read.
#[test]
fn output_keeps_its_order() {
    let (kiln, _images, image) = machine();
    let script = "i=0; while [ $i -lt 3000 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done";
    let expected = |letter| (0..3000).map(|i| format!("{letter}{i}\n")).collect::<String>();
    for args in [
        &["exec", "box", "sh", "-c", script][..],
        &["run", "--name", "order", &image, "sh", "-c", script],
        &["logs", "order"],
    ] {
        let output = kiln.output(args);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected('o'), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected('e'), "{args:?}");
    }
}

/// Input that nobody takes stays with its giver.
#[test]
fn a_process_that_does_not_read_holds_up_its_input() {
    let (kiln, _images, _) = machine();
    let mut child = kiln
        .command(&["exec", "-i", "box", "sh", "-c", "read line; echo $line; sleep 100000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let piece = [b'\n'; 1 << 16];
        (0..1600).take_while(|_| stdin.write_all(&piece).is_ok()).count()
    });
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let memory = resident(&child);
    assert!(memory < 64 << 20, "the command holds {memory} bytes");
    child.kill().unwrap();
    child.wait().unwrap();
    let taken = writer.join().unwrap() << 16;
    assert!(taken < 4 << 20, "{taken} bytes of 100 MB were taken");
}

/// A reader that has gone ends the command without a word, as SIGPIPE would.
#[test]
fn a_reader_may_go() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    let calls: [&[&str]; 2] =
        [&["run", "--name", "talker", &image, "yes"], &["exec", "talker", "yes"]];
    for args in calls {
        let mut child =
            kiln.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0; 2]).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(141), &b""[..]));
    }
    kiln.text(&["rm", "--force", "talker"]);
}
