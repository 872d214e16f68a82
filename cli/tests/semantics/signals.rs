//! Signals to a machine's process, and its end.
//!
//! docs.docker.com/reference/cli/docker/container/kill, …/stop and …/run (`--stop-signal`, `--stop-timeout`, `--attach`),
//! and STOPSIGNAL of docs.docker.com/reference/dockerfile. Statuses: 128 + n, "Filter by exit signal" of …/ls.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::{common::Kiln, images::Images};

/// Says the name of every signal that it gets, and ends with status 5 on SIGTERM.
const TELLS: &str = "for s in HUP INT USR1 USR2 QUIT WINCH; do trap \"echo $s\" $s; done; \
                     trap 'echo TERM; exit 5' TERM; echo up; while :; do sleep 0.05; done";

/// Starts a detached machine and waits until its process has said something.
fn start(kiln: &Kiln, flags: &[&str], image: &str, script: &str) {
    let before = ["run", "-d", "--name", "job"];
    kiln.text(&[&before[..], flags, &[image, "sh", "-c", script]].concat());
    let mut logs = kiln.command(&["logs", "-f", "job"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(logs.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    logs.kill().unwrap();
    logs.wait().unwrap();
}

/// Waits for the end; its status and output.
fn end(kiln: &Kiln) -> (String, String) {
    let status = kiln.text(&["wait", "job"]);
    let output = kiln.text(&["logs", "job"]);
    kiln.text(&["rm", "job"]);
    (status, output)
}

fn ended(kiln: &Kiln, status: &str, output: &str) {
    assert_eq!(end(kiln), (status.to_owned(), output.to_owned()));
}

/// Waits until the log has this many lines.
fn lines(kiln: &Kiln, count: usize) {
    for _ in 0..600 {
        if kiln.text(&["logs", "job"]).lines().count() >= count {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{}", kiln.text(&["logs", "job"]));
}

#[test]
fn signals_have_names_and_numbers() {
    let (kiln, images) = (Kiln::new(), Images::new());
    start(&kiln, &[], &images.reference("plain"), TELLS);
    let signals = ["SIGHUP", "HUP", "1", "int", "SIGUSR1", "12", "QUIT"];
    for (count, signal) in signals.iter().enumerate() {
        assert_eq!(kiln.text(&["kill", "-s", signal, "job"]), "job");
        lines(&kiln, count + 2);
    }
    let unknown = kiln.output(&["kill", "-s", "SIGNOPE", "job"]);
    assert!(!unknown.status.success(), "{unknown:?}");
    assert_eq!(kiln.text(&["kill", "--signal=TERM", "job"]), "job");
    ended(&kiln, "5", "up\nHUP\nHUP\nHUP\nINT\nUSR1\nUSR2\nQUIT\nTERM");
}

#[test]
fn the_first_process_ignores_what_it_does_not_handle() {
    let (kiln, images) = (Kiln::new(), Images::new());
    start(&kiln, &[], &images.reference("plain"), "echo up; exec sleep 100000");
    for signal in ["TERM", "INT", "USR1", "HUP"] {
        kiln.text(&["kill", "-s", signal, "job"]);
    }
    // From inside not even SIGKILL reaches it.
    kiln.text(&["exec", "job", "sh", "-c", "kill -KILL 1; kill -TERM 1"]);
    assert_eq!(kiln.text(&["exec", "job", "cat", "/proc/1/comm"]), "sleep");
    // SIGKILL from outside does, and is what `kill` sends.
    kiln.text(&["kill", "job"]);
    ended(&kiln, "137", "up");
}

#[test]
fn a_stop_asks_then_insists() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let plain = images.reference("plain");
    let stubborn = "echo up; while :; do sleep 0.05; done";
    let on = |signal: &str| format!("trap 'echo {signal}; exit 6' {signal}; {stubborn}");
    // SIGTERM, unless something else is said.
    start(&kiln, &[], &plain, &on("TERM"));
    assert_eq!(kiln.text(&["stop", "job"]), "job");
    ended(&kiln, "6", "up\nTERM");
    // The image's signal, the machine's above it, and that of `stop` above both.
    start(&kiln, &[], &images.reference("web"), &on("USR1"));
    kiln.text(&["stop", "job"]);
    ended(&kiln, "6", "up\nUSR1");
    start(&kiln, &["--stop-signal", "QUIT"], &images.reference("web"), &on("QUIT"));
    kiln.text(&["stop", "job"]);
    ended(&kiln, "6", "up\nQUIT");
    start(&kiln, &["--stop-signal", "QUIT"], &plain, &on("INT"));
    kiln.text(&["stop", "-s", "SIGINT", "job"]);
    ended(&kiln, "6", "up\nINT");
    // SIGKILL when the time is over: that of `stop`, or the machine's.
    start(&kiln, &[], &plain, stubborn);
    kiln.text(&["stop", "-t", "1", "job"]);
    ended(&kiln, "137", "up");
    start(&kiln, &["--stop-timeout", "1"], &plain, stubborn);
    kiln.text(&["stop", "job"]);
    ended(&kiln, "137", "up");
    start(&kiln, &[], &plain, stubborn);
    kiln.text(&["stop", "--timeout", "0", "job"]);
    ended(&kiln, "137", "up");
}

/// "If you set --timeout to -1, no timeout is applied"; nor must any number of seconds be too many.
#[test]
fn a_stop_may_wait_for_ever() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let script = "trap 'sleep 0.5; exit 6' TERM; echo up; while :; do sleep 0.05; done";
    for timeout in ["-1", "9223372036854775807"] {
        start(&kiln, &[], &images.reference("plain"), script);
        kiln.text(&["stop", "--timeout", timeout, "job"]);
        ended(&kiln, "6", "up");
    }
}

/// What the attached command gets, its process gets.
#[test]
fn signals_of_the_command_are_forwarded() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    let mut run = kiln
        .command(&["run", "--rm", "--name", "job", &image, "sh", "-c", TELLS])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "up");
    for signal in ["HUP", "INT", "USR1", "USR2", "QUIT", "TERM"] {
        let pid = run.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert_eq!(lines.next().unwrap(), signal);
    }
    assert_eq!(run.wait().unwrap().code(), Some(5));
    assert_eq!(lines.next(), None);
    assert_eq!(kiln.text(&["ps", "-aq"]), "");
}

/// SIGKILL by the kernel is 137 as well, and `OOMKilled` of docs.docker.com/reference/cli/docker/container/inspect.
#[test]
fn a_machine_that_runs_out_of_memory_says_so() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    // The larger of the two, which is the first process, is the one that the kernel chooses.
    let script = "tail -c 30000000 /dev/zero & exec tail -c 60000000 /dev/zero";
    let args = ["run", "--name", "job", "--cpus", "1", "-m", "96m", &image, "sh", "-c", script];
    assert_eq!(kiln.output(&args).status.code(), Some(137));
    let inspected: serde_json::Value =
        serde_json::from_str(&kiln.text(&["inspect", "job"])).unwrap();
    assert_eq!(inspected[0]["state"]["oom_killed"], true, "{inspected}");
}

/// What is said of the machine is about all of its processes, as there.
#[test]
fn a_child_that_takes_the_memory_is_told_of_too() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    // Each of them could be had alone, and only they may be chosen.
    let script = "echo -1000 > /proc/self/oom_score_adj; \
                  takes() { echo 0 > /proc/self/oom_score_adj; exec tail -c $1 /dev/zero; }; \
                  (takes 30000000) & (takes 60000000); exit 4";
    let args = ["run", "--name", "job", "--cpus", "1", "-m", "96m", &image, "sh", "-c", script];
    assert_eq!(kiln.output(&args).status.code(), Some(4));
    let inspected: serde_json::Value =
        serde_json::from_str(&kiln.text(&["inspect", "job"])).unwrap();
    assert_eq!(inspected[0]["state"]["oom_killed"], true, "{inspected}");
}
