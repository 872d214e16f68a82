//! Machines from their start to their end: states, published ports, killed processes.

mod common;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use common::{Kiln, image};

#[test]
fn life_of_a_detached_machine() {
    let kiln = Kiln::new();
    let image = image();
    let script =
        "trap 'echo got TERM; exit 5' TERM; echo one; echo two >&2; while true; do sleep 0.1; done";
    kiln.text(&["run", "-d", "--name", "job", "-l", "tier=back", &image, "sh", "-c", script]);
    let twice = kiln.output(&["run", "-d", "--name", "job", &image, "true"]);
    assert_eq!(twice.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("in use"), "{twice:?}");
    assert!(kiln.text(&["ps", "--label", "tier=back"]).contains("job"));
    assert!(!kiln.text(&["ps", "--label", "tier=front"]).contains("job"));
    let listed: serde_json::Value =
        serde_json::from_str(&kiln.text(&["ps", "--format", "json"])).unwrap();
    assert_eq!((&listed[0]["name"], &listed[0]["status"]), (&"job".into(), &"running".into()));
    let refused = kiln.output(&["rm", "job"]);
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("running"),
        "{refused:?}"
    );
    kiln.text(&["stop", "job"]);
    assert_eq!(kiln.text(&["wait", "job"]), "5");
    let logs = kiln.output(&["logs", "job"]);
    assert_eq!(String::from_utf8_lossy(&logs.stdout), "one\ngot TERM\n");
    assert_eq!(String::from_utf8_lossy(&logs.stderr), "two\n");
    assert_eq!(kiln.text(&["logs", "--tail", "1", "job"]), "got TERM");
    assert!(kiln.text(&["ps", "-a"]).contains("Exited (5)"));
    kiln.text(&["rm", "job"]);
    assert!(!kiln.output(&["inspect", "job"]).status.success());
}

/// A published port carries connections to a server in the guest, and only on loopback.
#[test]
fn ports_are_published() {
    let kiln = Kiln::new();
    let server = "while true; do echo hello | nc -l -p 8080; done";
    kiln.text(&["run", "-d", "--name", "server", "-p", "8080", &image(), "sh", "-c", server]);
    let listed: serde_json::Value =
        serde_json::from_str(&kiln.text(&["ps", "--format", "json"])).unwrap();
    let port = listed[0]["ports"][0]["host"].as_u64().unwrap() as u16;
    assert_eq!(listed[0]["ports"][0]["address"], "127.0.0.1");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mut text = String::new();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // Until the server listens, the connection is closed without a word.
        let _ = client.write_all(b"\n").and_then(|()| client.read_to_string(&mut text));
        if text == "hello\n" {
            break;
        }
        assert!(Instant::now() < deadline, "{text:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A machine's process, or its client, may be killed at any time: what is left is recognised and can be removed.
#[test]
fn killed_processes_leave_what_can_be_cleaned() {
    let kiln = Kiln::new();
    let image = image();
    for round in 0..3 {
        kiln.text(&["run", "-d", "--name", "victim", &image, "sleep", "1000"]);
        let inspected: serde_json::Value =
            serde_json::from_str(&kiln.text(&["inspect", "victim"])).unwrap();
        let pid = inspected[0]["state"]["pid"].as_i64().unwrap().to_string();
        let kill = std::process::Command::new("kill").args(["-9", &pid]).status().unwrap();
        assert!(kill.success());
        let deadline = Instant::now() + Duration::from_secs(20);
        while !kiln.text(&["ps", "-a"]).contains("Exited (137)") {
            assert!(Instant::now() < deadline, "round {round}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(kiln.text(&["ps", "-q"]), "");
        kiln.text(&["rm", "victim"]);
    }
    let mut client =
        kiln.command(&["run", "--name", "orphan", &image, "sleep", "1000"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while kiln.text(&["ps", "-q"]).is_empty() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    client.kill().unwrap();
    client.wait().unwrap();
    assert!(kiln.text(&["ps"]).contains("orphan"), "the machine does not depend on who started it");
    kiln.text(&["rm", "--force", "orphan"]);
    let left: Vec<_> = std::fs::read_dir(kiln.home().join("machines"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != ".lock")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A port that somebody else has is said, with what to do.
#[test]
fn a_port_in_use_is_said() {
    let kiln = Kiln::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let publish = format!("{port}:80");
    let output = kiln.output(&["run", "--rm", "-p", &publish, &image(), "true"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(125), 1), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("free one"), "{said}");
    assert_eq!(kiln.text(&["ps", "-aq"]), "");
}

/// Nobody but the owner may reach a machine.
#[test]
fn only_the_owner_opens_the_socket() {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let kiln = Kiln::new();
    let id = kiln.text(&["run", "-d", &image(), "sleep", "1000"]);
    let machines = kiln.home().join("machines");
    let machine = machines.join(&id[..12]);
    let owner = rustix::process::geteuid().as_raw();
    for (path, mode) in
        [(&machines, 0o700), (&machine, 0o700), (&machine.join("control.sock"), 0o600)]
    {
        let metadata = std::fs::symlink_metadata(path).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (mode, owner), "{path:?}");
    }
    let socket = std::fs::symlink_metadata(machine.join("control.sock")).unwrap();
    assert!(socket.file_type().is_socket());
}

/// What is refused before it is understood is refused in the same words as everything else.
#[test]
fn every_refusal_is_json() {
    let kiln = Kiln::new();
    let id = kiln.text(&["run", "-d", &image(), "sleep", "1000"]);
    let socket = kiln.home().join("machines").join(&id[..12]).join("control.sock");
    let ask = |request: &str, content: &str, body: &str| {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        let head = format!(
            "{request} HTTP/1.1\r\nHost: kiln\r\nConnection: close\r\nContent-Type: {content}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let json = "application/json";
    for (request, content, body, status) in [
        ("POST /v1/kill", json, "{", 400),
        ("POST /v1/kill", "text/plain", "{\"signal\": 9}", 415),
        ("POST /v1/kill", json, "{\"signal\": \"KILL\"}", 422),
        ("POST /v1/stop", json, "{\"signals\": 9}", 422),
        ("GET /v1/kill", json, "", 405),
        ("GET /v1/nothing", json, "", 404),
        ("GET /v1/attach", json, "", 426),
        ("POST /v1/unpause", json, "", 409),
    ] {
        let answer = ask(request, content, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(body["error"].is_string(), "{request}: {answer}");
    }
    assert!(kiln.text(&["ps"]).contains("Up "), "nothing of it reached the machine");
}

/// Every step of a run with its time, on standard error.
#[test]
fn the_steps_of_a_run_are_timed() {
    let kiln = Kiln::new();
    let output = kiln.output(&["run", "--rm", "--timings", &image(), "echo", "hello"]);
    assert_eq!(output.stdout, b"hello\n");
    let said = String::from_utf8_lossy(&output.stderr);
    for step in ["image", "virtual machine", "command to its first output", "process started"] {
        let line = said.lines().find(|line| line.contains(step));
        let line = line.unwrap_or_else(|| panic!("{step}: {said}"));
        let (ms, _) = line.trim().split_once(" ms ").unwrap();
        assert!(ms.parse::<f64>().unwrap() >= 0.0, "{line}");
    }
}
