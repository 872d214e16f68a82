//! `kiln run` and `kiln exec` behave as Docker's documentation says of `docker run` and `docker exec`.

mod common;

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use common::{Kiln, image};

/// What is expected of one call.
struct Case {
    /// Between `run --rm` or `exec` and the image or machine.
    flags: &'static [&'static str],
    command: &'static [&'static str],
    stdin: &'static [u8],
    status: i32,
    stdout: &'static str,
    /// Must be in standard error.
    stderr: &'static str,
}

const fn case(
    flags: &'static [&'static str],
    command: &'static [&'static str],
    status: i32,
    stdout: &'static str,
) -> Case {
    Case { flags, command, stdin: b"", status, stdout, stderr: "" }
}

fn check(case: &Case, output: &Output) {
    let what = format!("{:?} {:?}: {output:?}", case.flags, case.command);
    assert_eq!(output.status.code(), Some(case.status), "{what}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), case.stdout, "{what}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(case.stderr), "{what}");
}

/// Each in a machine of its own.
#[test]
fn runs() {
    let kiln = Kiln::new();
    let image = image();
    let cases = [
        // Exit status: the command's own; 125 for kiln's failure, 126 and 127 for a command that cannot be run.
        case(&[], &["true"], 0, ""),
        case(&[], &["sh", "-c", "exit 3"], 3, ""),
        case(&[], &["sh", "-c", "kill -TERM $$; sleep 1; exit 4"], 4, ""),
        Case { stderr: "nope", ..case(&[], &["nope"], 127, "") },
        Case { stderr: "/etc/passwd", ..case(&[], &["/etc/passwd"], 126, "") },
        Case { stderr: "nobody-such", ..case(&["-u", "nobody-such"], &["true"], 125, "") },
        Case { stderr: "--volume", ..case(&["-v", "/a:/b"], &["true"], 125, "") },
        Case { stderr: "--network", ..case(&["--network", "host"], &["true"], 125, "") },
        // Streams.
        Case {
            stderr: "to stderr",
            ..case(&[], &["sh", "-c", "echo to stdout; echo to stderr >&2"], 0, "to stdout\n")
        },
        case(&[], &["cat"], 0, ""),
        Case { stdin: b"through\n", ..case(&["-i"], &["cat"], 0, "through\n") },
        Case { stdin: b"ignored\n", ..case(&[], &["cat"], 0, "") },
        // The process's surroundings.
        case(&[], &["sh", "-c", "echo $$"], 0, "1\n"),
        case(
            &["--hostname", "web1"],
            &["sh", "-c", "hostname; echo $HOSTNAME; cat /etc/hostname"],
            0,
            "web1\nweb1\nweb1\n",
        ),
        case(&["-e", "A=1", "-e", "B=two words"], &["sh", "-c", "echo $A-$B"], 0, "1-two words\n"),
        case(
            &[],
            &["sh", "-c", "echo $PATH $HOME"],
            0,
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /root\n",
        ),
        case(&["-w", "/made/for/me"], &["pwd"], 0, "/made/for/me\n"),
        case(&["-u", "nobody"], &["id", "-u"], 0, "65534\n"),
        case(&["-u", "nobody"], &["id", "-g"], 0, "65534\n"),
        case(&["-u", "1234:99"], &["sh", "-c", "id -u; id -g"], 0, "1234\n99\n"),
        case(&["--entrypoint", "/bin/echo"], &["-n", "x"], 0, "x"),
        case(&["--cpus", "2"], &["nproc"], 0, "2\n"),
        case(
            &["-t"],
            &["sh", "-c", "test -t 1 && echo terminal; echo $TERM"],
            0,
            "terminal\r\nxterm\r\n",
        ),
        case(&[], &["sh", "-c", "test -t 0 || echo none"], 0, "none\n"),
        // The root is the image's and writable; kernel file systems are where they belong.
        case(&[], &["sh", "-c", "echo x > /new && cat /new; stat -c %a /tmp"], 0, "x\n1777\n"),
        case(
            &[],
            &[
                "sh",
                "-c",
                "ls /proc/self/fd | wc -l; echo x > /dev/null; head -c 4 /dev/zero | wc -c; mount | grep -c ' /sys '",
            ],
            0,
            "4\n4\n1\n",
        ),
        case(
            &[],
            &["sh", "-c", "grep -c localhost /etc/hosts; ip addr show lo | grep -c 127.0.0.1"],
            0,
            "2\n1\n",
        ),
        case(
            &["-m", "256m"],
            &["sh", "-c", "test $(free -m | awk 'NR==2 {print $2}') -le 256 && echo small"],
            0,
            "small\n",
        ),
    ];
    for case in &cases {
        let mut args = vec!["run", "--rm"];
        args.extend(case.flags);
        args.push(&image);
        args.extend(case.command);
        check(case, &kiln.feed(&args, case.stdin));
    }
    assert_eq!(kiln.text(&["ps", "-aq"]), "", "--rm leaves nothing");
}

/// All in one machine.
#[test]
fn execs() {
    let kiln = Kiln::new();
    let id = kiln.text(&[
        "run",
        "-d",
        "--name",
        "web",
        "-e",
        "FROM=run",
        "-w",
        "/tmp",
        &image(),
        "sleep",
        "1000",
    ]);
    assert_eq!(id.len(), 64, "{id}");
    let cases = [
        case(&[], &["true"], 0, ""),
        case(&[], &["sh", "-c", "exit 7"], 7, ""),
        Case { stderr: "nope", ..case(&[], &["nope"], 127, "") },
        Case { stderr: "/etc/passwd", ..case(&[], &["/etc/passwd"], 126, "") },
        case(&[], &["sh", "-c", "kill -KILL $$"], 137, ""),
        case(&[], &["sh", "-c", "kill -TERM $$"], 143, ""),
        case(&[], &["sh", "-c", "echo $FROM; pwd"], 0, "run\n/tmp\n"),
        case(&["-e", "FROM=exec", "-w", "/"], &["sh", "-c", "echo $FROM; pwd"], 0, "exec\n/\n"),
        case(&["-u", "nobody"], &["id", "-un"], 0, "nobody\n"),
        case(&["-t"], &["tty"], 0, "/dev/pts/0\r\n"),
        Case { stdin: b"a\0b\xff", ..case(&["-i"], &["sh", "-c", "wc -c"], 0, "4\n") },
        case(&[], &["cat"], 0, ""),
        case(&[], &["sh", "-c", "ps | grep -c '[s]leep 1000'"], 0, "1\n"),
        case(&["-d"], &["sh", "-c", "echo detached > /tmp/flag"], 0, ""),
        case(
            &[],
            &[
                "sh",
                "-c",
                "i=0; while [ ! -s /tmp/flag ] && [ $i -lt 100 ]; do sleep 0.05; i=$((i+1)); done; cat /tmp/flag",
            ],
            0,
            "detached\n",
        ),
    ];
    for case in &cases {
        let mut args = vec!["exec"];
        args.extend(case.flags);
        args.push("web");
        args.extend(case.command);
        check(case, &kiln.feed(&args, case.stdin));
    }
    many_at_once(&kiln);
    bulk(&kiln);
    copies(&kiln);
    assert_eq!(kiln.text(&["stop", "-t", "1", "web"]), "web");
    assert_eq!(kiln.text(&["wait", "web"]), "137", "sleep as process 1 ignores SIGTERM");
    let exec = kiln.output(&["exec", "web", "true"]);
    assert!(String::from_utf8_lossy(&exec.stderr).contains("not running"), "{exec:?}");
    assert_eq!(kiln.text(&["rm", "web"]), "web");
}

fn many_at_once(kiln: &Kiln) {
    let children: Vec<_> = (0..20)
        .map(|n| {
            let script = format!("sleep 0.2; echo {n}");
            kiln.command(&["exec", "web", "sh", "-c", &script])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (n, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{n}\n"));
    }
}

/// 8 MiB of anything, both ways at once, unchanged.
fn bulk(kiln: &Kiln) {
    let bytes: Vec<u8> =
        (0..8u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let output = kiln.feed(&["exec", "-i", "web", "cat"], &bytes);
    assert!(output.stdout == bytes, "{} bytes came back", output.stdout.len());
}

fn copies(kiln: &Kiln) {
    let files = tempfile::tempdir().unwrap();
    let tree = files.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("one"), "first").unwrap();
    std::os::unix::fs::symlink("one", tree.join("link")).unwrap();
    let tree = tree.to_str().unwrap();
    kiln.text(&["cp", tree, "web:/srv"]);
    assert_eq!(
        kiln.text(&["exec", "web", "sh", "-c", "cat /srv/one; readlink /srv/link"]),
        "firstone"
    );
    kiln.text(&["cp", tree, "web:/tmp"]);
    assert_eq!(kiln.text(&["exec", "web", "cat", "/tmp/tree/link"]), "first");
    let back = files.path().join("back");
    kiln.text(&["cp", "web:/srv", back.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(back.join("one")).unwrap(), "first");
    let missing = kiln.output(&["cp", "web:/none", tree]);
    assert!(
        !missing.status.success() && String::from_utf8_lossy(&missing.stderr).contains("/none"),
        "{missing:?}"
    );
}

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
