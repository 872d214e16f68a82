//! `kiln logs`: docs.docker.com/reference/cli/docker/container/logs.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use jiff::Timestamp;

use crate::common::{Kiln, image};

fn stdout(kiln: &Kiln, args: &[&str]) -> String {
    let output = kiln.output(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn logs_of_what_has_ended() {
    let kiln = Kiln::new();
    let script = "echo one; echo two; sleep 1.2; echo three; echo error >&2; printf four";
    let run = kiln.output(&["run", "--name", "job", &image(), "sh", "-c", script]);
    assert_eq!(String::from_utf8_lossy(&run.stdout), "one\ntwo\nthree\nfour");
    let logs = kiln.output(&["logs", "job"]);
    assert_eq!((&logs.stdout, &logs.stderr), (&run.stdout, &run.stderr));
    // "Passing a negative number or a non-integer to --tail is invalid and the value is set to all".
    for (tail, expected) in [
        ("0", ""),
        ("1", "four"),
        ("99", "one\ntwo\nthree\nfour"),
        ("all", "one\ntwo\nthree\nfour"),
        ("-1", "one\ntwo\nthree\nfour"),
        ("-7", "one\ntwo\nthree\nfour"),
        ("some", "one\ntwo\nthree\nfour"),
    ] {
        assert_eq!(stdout(&kiln, &["logs", "--tail", tail, "job"]), expected, "{tail}");
        assert_eq!(stdout(&kiln, &["logs", "-n", tail, "job"]), expected, "{tail}");
    }
    // Following what has ended ends.
    assert_eq!(stdout(&kiln, &["logs", "-f", "--tail", "1", "job"]), "four");

    let json = stdout(&kiln, &["logs", "--format", "json", "job"]);
    let records: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text_of = |stream: &str| {
        let of = records.iter().filter(|record| record["stream"] == stream);
        of.map(|record| record["text"].as_str().unwrap()).collect::<String>()
    };
    assert_eq!(text_of("stdout"), "one\ntwo\nthree\nfour");
    assert_eq!(text_of("stderr"), "error\n");
    assert!(records[0]["time"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{json}");

    // An RFC3339Nano time with all nine digits before each line.
    let stamped = stdout(&kiln, &["logs", "-t", "job"]);
    let lines: Vec<(&str, &str)> =
        stamped.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let texts: Vec<&str> = lines.iter().map(|(_, text)| *text).collect();
    assert_eq!(texts, ["one", "two", "three", "four"]);
    for (time, _) in &lines {
        assert_eq!(time.len(), "2014-09-16T06:17:46.000000000Z".len(), "{time}");
    }
    let times: Vec<Timestamp> = lines.iter().map(|(time, _)| time.parse().unwrap()).collect();
    assert!(times.is_sorted(), "{stamped}");

    // --since: a time in RFC 3339, seconds since the epoch with or without a fraction, a date, or a duration.
    let third = lines[2].0;
    let seconds = times[2].as_nanosecond() as f64 / 1e9 - 0.5;
    for (since, expected) in [
        (third.to_owned(), "three\nfour"),
        (format!("{seconds:.9}"), "three\nfour"),
        (times[0].as_second().to_string(), "one\ntwo\nthree\nfour"),
        ("2020-01-01".to_owned(), "one\ntwo\nthree\nfour"),
        ("2020-01-01T00:00:00".to_owned(), "one\ntwo\nthree\nfour"),
        ("2999-01-01T00:00:00Z".to_owned(), ""),
        ("1h30m".to_owned(), "one\ntwo\nthree\nfour"),
        ("0s".to_owned(), ""),
    ] {
        assert_eq!(stdout(&kiln, &["logs", "--since", &since, "job"]), expected, "{since}");
    }
    let both = stdout(&kiln, &["logs", "--since", third, "--tail", "1", "job"]);
    assert_eq!(both, "four");
    assert!(!kiln.output(&["logs", "--since", "yesterday", "job"]).status.success());
}

/// `--follow`: what is there, then what comes, then the end.
#[test]
fn logs_follow() {
    let kiln = Kiln::new();
    let script =
        "echo one; echo two; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo three; exit 7";
    kiln.text(&["run", "-d", "--name", "job", &image(), "sh", "-c", script]);
    let follow = |args: &[&str]| {
        let mut child = kiln.command(args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        (child, lines)
    };
    let (mut all, mut all_lines) = follow(&["logs", "-f", "job"]);
    assert_eq!(all_lines.next().unwrap(), "one");
    assert_eq!(all_lines.next().unwrap(), "two");
    let (mut last, mut last_lines) = follow(&["logs", "-f", "-n", "1", "job"]);
    assert_eq!(last_lines.next().unwrap(), "two");
    kiln.text(&["exec", "job", "touch", "/tmp/go"]);
    assert_eq!(all_lines.collect::<Vec<_>>(), ["three"]);
    assert_eq!(last_lines.collect::<Vec<_>>(), ["three"]);
    assert!(all.wait().unwrap().success() && last.wait().unwrap().success());
    assert_eq!(kiln.text(&["wait", "job"]), "7");
}
