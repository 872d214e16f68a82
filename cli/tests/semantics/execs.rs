//! `kiln exec`: all cases in one machine.

use crate::{
    common::Kiln,
    images::Images,
    table::{Case, case, check},
};

/// docs.docker.com/reference/cli/docker/container/exec, and of docker-exec(1) its "Exit Status": that of the command,
/// 126 if it cannot be invoked, 127 if it cannot be found.
pub(crate) const CASES: &[Case] = &[
    case("status 0", &[], &["true"], ""),
    case("the command's own status", &[], &["sh", "-c", "exit 7"], "").status(7),
    case("128 + SIGKILL", &[], &["sh", "-c", "kill -KILL $$"], "").status(137),
    case("128 + SIGTERM", &[], &["sh", "-c", "kill -TERM $$"], "").status(143),
    case("128 + SIGSEGV", &[], &["sh", "-c", "kill -SEGV $$"], "").status(139),
    case("not found", &[], &["foo"], "").fails(127, "foo"),
    case("not executable", &[], &["/srv/file"], "").fails(126, "/srv/file"),
    case("a directory", &[], &["/etc"], "").fails(126, "/etc"),
    case("a quoted command is one word", &[], &["echo a && echo b"], "")
        .fails(127, "echo a && echo b"),
    // "Set environment variables for the exec process", same page.
    case(
        "the whole environment",
        &["-e", "VAR_A=1", "-e", "VAR_B=2"],
        &["env"],
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOSTNAME=box\n\
         FROM=run\nVAR_A=1\nVAR_B=2\nHOME=/root\n",
    ),
    case("-e above the machine's", &["-e", "FROM=exec"], &["sh", "-c", "echo $FROM"], "exec\n"),
    case(
        "they are this process's alone",
        &[],
        &["sh", "-c", "echo $FROM ${VAR_A-none}"],
        "run none\n",
    ),
    case("-e takes kiln's own value", &["-e", "OWN"], &["sh", "-c", "echo $OWN"], "value\n")
        .host_env(&[("OWN", "value")]),
    // "Set the working directory for the exec process", same page.
    case("the machine's directory", &[], &["pwd"], "/tmp\n"),
    case("-w above it", &["-w", "/root"], &["pwd"], "/root\n"),
    // `--user`, same page.
    case(
        "-u by name",
        &["-u", "web"],
        &["sh", "-c", "id -u; id -G; echo $HOME"],
        "33\n34 4 9\n/srv/web\n",
    ),
    case("-u by ids", &["-u", "7:8"], &["sh", "-c", "id -u; id -G"], "7\n8\n"),
    case("an unknown user", &["-u", "nemo"], &["true"], "").fails(125, "nemo"),
    // Streams.
    case("both streams", &[], &["sh", "-c", "echo out; echo err >&2"], "out\n").stderr("err\n"),
    case("no standard input without -i", &[], &["cat"], "").stdin(b"ignored"),
    case("zero bytes and no text", &["-i"], &["sh", "-c", "wc -c"], "4\n").stdin(b"a\0b\xff"),
    case("a terminal", &["-t"], &["tty"], "/dev/pts/0\r\n"),
    case("TERM with a terminal", &["-t"], &["sh", "-c", "echo $TERM"], "xterm\r\n"),
    case("a process may end before its input", &["-i"], &["head", "-c", "1"], "a")
        .stdin(&[b'a'; 300_000]),
    // "The command only runs while the container's primary process is running", same page: they share their world.
    case(
        "it sees the machine's processes",
        &[],
        &["sh", "-c", "ps | grep -c '[s]leep 1000'"],
        "1\n",
    ),
    case("it is not PID 1", &[], &["sh", "-c", "test $$ -gt 1 && echo more"], "more\n"),
    case("-d does not wait", &["-d"], &["sh", "-c", "echo detached > /tmp/flag"], ""),
    case(
        "but runs",
        &[],
        &[
            "sh",
            "-c",
            "i=0; while [ ! -s /tmp/flag ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done; cat /tmp/flag",
        ],
        "detached\n",
    ),
    case("-d says what cannot start", &["-d"], &["foo"], "").fails(127, "foo"),
    case(
        "a child that goes on does not hold up the end",
        &[],
        &["sh", "-c", "sleep 1000 >/dev/null 2>&1 </dev/null & echo soon"],
        "soon\n",
    ),
];

#[test]
fn execs() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let image = images.reference("plain");
    let flags = ["run", "-d", "--name", "box", "--hostname", "box", "-e", "FROM=run", "-w", "/tmp"];
    let id = kiln.text(&[&flags[..], &[&image, "sleep", "1000"]].concat());
    assert_eq!(id.len(), 64, "{id}");
    check(&kiln, CASES, &["exec"], |_| "box".into());
    // A machine is known by its name, its id, and any beginning of its id.
    for name in ["box", &id, &id[..12], &id[..4]] {
        assert_eq!(kiln.text(&["exec", name, "echo", "found"]), "found");
    }
}
