//! Servers: published, loaded, and stopped as they like it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::common::Kiln;
use crate::{image, wait_for};

/// Starts the image's server under its own name and returns the host's port of `port`.
fn serve(kiln: &Kiln, tag: &str, port: &str) -> u16 {
    kiln.text(&["run", "-d", "--name", tag, "-p", port, &image(tag)]);
    let listed: serde_json::Value =
        serde_json::from_str(&kiln.text(&["ps", "--format", "json"])).unwrap();
    listed[0]["ports"][0]["host"].as_u64().unwrap() as u16
}

/// Sends `question` and reads an answer of a known length, if the server is there yet.
fn ask(port: u16, question: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut client = TcpStream::connect(("127.0.0.1", port)).ok()?;
    client.write_all(question).ok()?;
    let mut answer = vec![0; length];
    client.read_exact(&mut answer).ok()?;
    Some(answer)
}

fn logs(kiln: &Kiln, name: &str) -> String {
    let logs = kiln.output(&["logs", name]);
    String::from_utf8([logs.stdout, logs.stderr].concat()).unwrap()
}

#[test]
fn nginx() {
    let kiln = Kiln::new();
    let port = serve(&kiln, "nginx", "80");
    let request = b"GET / HTTP/1.0\r\n\r\n";
    let answer = wait_for("nginx answers", || ask(port, request, 15));
    assert_eq!(answer, b"HTTP/1.1 200 OK");
    let inside = kiln.text(&["exec", "nginx", "wget", "-qO-", "http://localhost/"]);
    assert!(inside.contains("<h1>Welcome to nginx!</h1>"), "{inside}");

    // A file that passes through sendfile, from either side.
    let make = "seq 1000000 > /var/www/html/numbers; sha256sum < /var/www/html/numbers";
    let digest = kiln.text(&["exec", "nginx", "sh", "-c", make]);
    let fetch = "wget -qO- http://127.0.0.1/numbers | sha256sum";
    assert_eq!(kiln.text(&["exec", "nginx", "sh", "-c", fetch]), digest);
    let numbers: String = (1..=1_000_000).map(|n| format!("{n}\n")).collect();
    let request = b"GET /numbers HTTP/1.0\r\n\r\n";
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(request).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.split_once("\r\n\r\n").unwrap().1 == numbers);

    for keep_alive in [&["-k"][..], &[]] {
        let mut load = Command::new("ab");
        load.args(["-q", "-n200", "-c8", "-s120"])
            .args(keep_alive)
            .arg(format!("http://127.0.0.1:{port}/"));
        let load = load.output().unwrap();
        let report = String::from_utf8_lossy(&load.stdout);
        let field = |name: &str| {
            let line = report.lines().find(|line| line.starts_with(name));
            line.unwrap_or_else(|| panic!("{load:?}")).split_whitespace().last().unwrap().to_owned()
        };
        assert_eq!(
            (field("Complete requests:"), field("Failed requests:")),
            ("200".into(), "0".into())
        );
    }

    // SIGQUIT is the image's stop signal: nginx ends well when its workers have.
    kiln.text(&["stop", "-t", "60", "nginx"]);
    assert_eq!(kiln.text(&["wait", "nginx"]), "0");
    let requests = logs(&kiln, "nginx").matches("\"GET / HTTP/1.").count();
    assert_eq!(requests, 1 + 1 + 2 * 200, "the access log is the machine's output");
}

#[test]
fn redis() {
    let kiln = Kiln::new();
    let port = serve(&kiln, "redis", "6379");
    let pong = wait_for("redis answers", || ask(port, b"PING\r\n", 7));
    assert_eq!(pong, b"+PONG\r\n");
    let redis = |command: &[&str]| kiln.text(&[&["exec", "redis", "redis-cli"], command].concat());
    assert_eq!(redis(&["set", "greeting", "hello"]), "OK");
    assert_eq!(ask(port, b"GET greeting\r\n", 11).unwrap(), b"$5\r\nhello\r\n");
    assert_eq!(redis(&["eval", "return redis.call('incrby', KEYS[1], 41) + 1", "1", "n"]), "42");

    let benchmark = ["-n", "1000", "-c", "10", "--csv", "-t", "ping_mbulk,set,get,incr,lpush"];
    let report = kiln.text(&[&["exec", "redis", "redis-benchmark"], &benchmark[..]].concat());
    let mut lines = report.lines();
    assert!(lines.next().unwrap().starts_with("\"test\",\"rps\""), "{report}");
    let tests: Vec<_> = lines
        .map(|line| {
            let mut fields = line.split(',').map(|field| field.trim_matches('"'));
            let name = fields.next().unwrap();
            assert!(fields.next().unwrap().parse::<f64>().unwrap() > 0.0, "{report}");
            name
        })
        .collect();
    assert_eq!(tests, ["PING_MBULK", "SET", "GET", "INCR", "LPUSH"]);
    // What the benchmark did is there, and a forked child saves it.
    assert_eq!(redis(&["get", "counter:__rand_int__"]), "1000");
    assert_eq!(redis(&["llen", "mylist"]), "1000");
    assert_eq!(redis(&["bgsave"]), "Background saving started");
    wait_for("the child saves", || {
        let state = redis(&["info", "persistence"]);
        state.contains("rdb_bgsave_in_progress:0").then_some(())
    });
    assert!(redis(&["info", "persistence"]).contains("rdb_last_bgsave_status:ok"));

    kiln.text(&["stop", "-t", "60", "redis"]);
    assert_eq!(kiln.text(&["wait", "redis"]), "0");
    assert!(logs(&kiln, "redis").contains("DB saved on disk"));
}

#[test]
fn postgres() {
    let kiln = Kiln::new();
    let port = serve(&kiln, "postgres", "5432");
    // SSLRequest; a server without certificates answers N, says "Message Flow" in its manual.
    let question = [0, 0, 0, 8, 4, 210, 22, 47];
    let answer = wait_for("initdb is done and the server answers", || ask(port, &question, 1));
    assert_eq!(answer, b"N");
    wait_for("the server is ready", || {
        kiln.output(&["exec", "postgres", "pg_isready"]).status.success().then_some(())
    });
    let query =
        |sql: &str| kiln.text(&["exec", "postgres", "psql", "-U", "postgres", "-qAtc", sql]);
    assert_eq!(
        query(
            "create table part (id int primary key, name text not null, parent int references part);
             insert into part select n, 'part ' || n, nullif(n / 2, 0) from generate_series(1, 1000) n;
             create index on part (parent); analyze part;
             with recursive up as (select * from part where id = 1000
                 union all select part.* from part join up on part.id = up.parent)
             select count(*), min(id), (select sum(id) from part) from up"
        ),
        "10|1|500500"
    );
    let refused = kiln.output(&[
        "exec",
        "postgres",
        "psql",
        "-U",
        "postgres",
        "-v",
        "VERBOSITY=sqlstate",
        "-c",
        "insert into part values (1, 'again', null)",
    ]);
    // 23505 is unique_violation in "PostgreSQL Error Codes".
    assert!(String::from_utf8_lossy(&refused.stderr).contains("23505"), "{refused:?}");
    assert_eq!(query("select encode(sha256('abc'), 'hex')").get(..8), Some("ba7816bf"));

    kiln.text(&["stop", "-t", "60", "postgres"]);
    assert_eq!(kiln.text(&["wait", "postgres"]), "0");
    assert!(logs(&kiln, "postgres").contains("database system is shut down"));
}
