//! What `ps`, `inspect`, `stats`, `wait` and `rm` show: docs.docker.com/reference/cli/docker/container/ls, …/inspect,
//! …/stats, …/wait and …/rm.

use serde_json::Value;

use crate::{common::Kiln, images::Images};

/// The words of a table's rows, told apart by two spaces or more.
fn rows(table: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    table.lines().map(cells).collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn machines_are_listed() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("web");
    let id = kiln.text(&[
        "run",
        "-d",
        "--name",
        "web",
        "-l",
        "tier=mine",
        "-l",
        "bare",
        "-p",
        "8080",
        &image,
        "sleep",
        "1000",
        "2000",
        "3000",
        "4000",
    ]);
    kiln.output(&["run", "--name", "over", &image, "sh", "-c", "exit 3"]);
    let table = rows(&kiln.text(&["ps"]));
    assert_eq!(
        table[0],
        ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    );
    assert_eq!(table.len(), 2, "{table:?}");
    let row = &table[1];
    // A command of more than 20 characters is cut, with an ellipsis.
    assert_eq!(
        [&row[0], &row[1], &row[2], &row[6]],
        [&id[..12], &image, "\"sleep 1000 2000 300…\"", "web"]
    );
    assert!(row[3].ends_with(" ago") && row[4].starts_with("Up "), "{row:?}");
    assert!(row[5].starts_with("127.0.0.1:") && row[5].ends_with("->8080/tcp"), "{row:?}");
    let all = kiln.text(&["ps", "-a", "--no-trunc"]);
    assert!(all.contains(&id) && all.contains("\"sleep 1000 2000 3000 4000\""), "{all}");
    let over = all.lines().find(|line| line.ends_with("over")).unwrap();
    assert!(over.contains("Exited (3) ") && over.contains(" ago"), "{over}");
    assert_eq!(kiln.text(&["ps", "-q"]), id[..12]);
    assert_eq!(kiln.text(&["ps", "-q", "--no-trunc"]), id);
    assert_eq!(kiln.text(&["ps", "-aq"]).lines().count(), 2);
    // Labels of the image and of the machine; the latter win.
    for (label, count) in [
        ("tier", 2),
        ("tier=mine", 1),
        ("tier=image", 1),
        ("bare", 1),
        ("kind=test", 2),
        ("none", 0),
    ] {
        assert_eq!(kiln.text(&["ps", "-aq", "--label", label]).lines().count(), count, "{label}");
    }
    let listed = json(&kiln.text(&["ps", "-a", "--format", "json"]));
    // The newest first.
    assert_eq!([&listed[0]["name"], &listed[1]["name"]], ["over", "web"]);
    assert_eq!((&listed[0]["status"], &listed[0]["exit_code"]), (&"exited".into(), &3.into()));
    assert_eq!(
        (&listed[1]["status"], &listed[1]["id"]),
        (&"running".into(), &Value::from(id.clone()))
    );

    // An array, in the order of the names; what is missing is said after the others were shown, with status 1.
    let inspected = json(&kiln.text(&["inspect", "over", &id[..5]]));
    assert_eq!([&inspected[0]["name"], &inspected[1]["name"]], ["over", "web"]);
    assert_eq!(inspected[1]["state"]["status"], "running");
    assert_eq!(inspected[0]["state"]["exit_code"], 3);
    let missing = kiln.output(&["inspect", "web", "nemo"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert_eq!(json(&String::from_utf8_lossy(&missing.stdout))[0]["name"], "web");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nemo"), "{missing:?}");

    let table = rows(&kiln.text(&["stats", "--no-stream"]));
    assert_eq!(
        table[0],
        [
            "CONTAINER ID",
            "NAME",
            "CPU %",
            "MEM USAGE / LIMIT",
            "MEM %",
            "NET I/O",
            "BLOCK I/O",
            "PIDS"
        ]
    );
    let row = &table[1];
    assert_eq!([&row[0], &row[1], &row[7]], [&id[..12], "web", "1"]);
    assert!(row[2].ends_with('%') && row[3].contains("iB / ") && row[4].ends_with('%'), "{row:?}");
    assert_eq!(row[5], "0B / 0B");
    let stats = json(&kiln.text(&["stats", "--no-stream", "--format", "json", "web"]));
    assert_eq!(stats[0]["stats"]["pids"], 1);

    // Names are repeated as they were given; the rest is done although one fails.
    let refused = kiln.output(&["rm", "web", "over"]);
    assert_eq!((refused.status.code(), &refused.stdout[..]), (Some(1), &b"over\n"[..]));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("web is running"), "{refused:?}");
    assert_eq!(kiln.text(&["rm", "-f", &id[..12]]), id[..12]);
    assert_eq!(kiln.text(&["ps", "-a"]).lines().count(), 1);
}

/// "Block until one or more containers stop, then print their exit codes".
#[test]
fn waits_print_statuses_in_order() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    for (name, status) in [("one", 1), ("two", 2)] {
        let script = format!("while [ ! -e /tmp/go ]; do sleep 0.05; done; exit {status}");
        kiln.text(&["run", "-d", "--name", name, &image, "sh", "-c", &script]);
    }
    let waits: Vec<_> = (0..8)
        .map(|_| {
            let mut command = kiln.command(&["wait", "two", "one"]);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for name in ["one", "two"] {
        kiln.text(&["exec", name, "touch", "/tmp/go"]);
    }
    for wait in waits {
        assert_eq!(wait.wait_with_output().unwrap().stdout, b"2\n1\n");
    }
    // What has ended is not waited for.
    assert_eq!(kiln.text(&["wait", "one"]), "1");
    assert_eq!(
        json(&kiln.text(&["wait", "--format", "json", "one", "two"])),
        serde_json::json!([{ "name": "one", "exit_code": 1 }, { "name": "two", "exit_code": 2 }])
    );
    let removed = kiln.text(&["rm", "one", "two"]);
    assert_eq!(removed, "one\ntwo");
    // --rm with -d removes the machine when it has ended; waiting for it still tells its status.
    kiln.text(&[
        "run",
        "-d",
        "--rm",
        "--name",
        "gone",
        &image,
        "sh",
        "-c",
        "while [ ! -e /tmp/go ]; do sleep 0.05; done; sleep 2; exit 9",
    ]);
    let wait =
        kiln.command(&["wait", "gone"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    kiln.text(&["exec", "gone", "touch", "/tmp/go"]);
    assert_eq!(wait.wait_with_output().unwrap().stdout, b"9\n");
    for _ in 0..200 {
        if kiln.text(&["ps", "-aq"]).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{}", kiln.text(&["ps", "-a"]));
}
