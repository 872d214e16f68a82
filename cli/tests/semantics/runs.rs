//! `kiln run`: each case in a machine of its own.

use crate::{
    common::Kiln,
    images::Images,
    table::{Case, case, check},
};

pub(crate) const CASES: &[Case] = &[
    // "Understand how CMD and ENTRYPOINT interact", docs.docker.com/reference/dockerfile: the nine cells of its table,
    // named entry point - command. That of none with none is among the refusals.
    case("shell entry point, no command", &[], &[], "[e]\n").image("shell-none"),
    case("exec entry point, no command", &[], &[], "[e]\n").image("exec-none"),
    case("no entry point, exec command", &[], &[], "[c]\n").image("none-exec"),
    case("shell entry point drops the exec command", &[], &[], "[e]\n").image("shell-exec"),
    case("exec entry point takes the exec command", &[], &[], "[e][show][c]\n").image("exec-exec"),
    case("no entry point, shell command", &[], &[], "[c]\n").image("none-shell"),
    case("shell entry point drops the shell command", &[], &[], "[e]\n").image("shell-shell"),
    case("exec entry point takes the shell command", &[], &[], "[e][/bin/sh][-c][show c]\n")
        .image("exec-shell"),
    // "Overriding image defaults", docs.docker.com/engine/containers/run.
    case("a command replaces the image's", &[], &["show", "mine"], "[mine]\n").image("none-exec"),
    case("a command goes behind the entry point", &[], &["mine"], "[e][mine]\n").image("exec-exec"),
    case("--entrypoint drops the image's command", &["--entrypoint", "show"], &[], "\n")
        .image("exec-exec"),
    case("--entrypoint takes arguments", &["--entrypoint", "show"], &["-x", "y"], "[-x][y]\n")
        .image("exec-exec"),
    case("an empty --entrypoint removes it", &["--entrypoint", ""], &["show", "z"], "[z]\n")
        .image("exec-exec"),
    case("what follows the image belongs to the command", &[], &["--rm", "-d"], "[e][--rm][-d]\n")
        .image("exec-exec"),
    case(
        "no shell reads the command",
        &[],
        &["show", "$HOME", "a b", "", "*"],
        "[$HOME][a b][][*]\n",
    ),
    case("a command is found by its path", &[], &["/bin/show", "ü"], "[ü]\n"),
    // "Exit status", docs.docker.com/engine/containers/run; 125 to 127 are among the refusals.
    case("status 0", &[], &["true"], ""),
    case("the command's own status", &[], &["sh", "-c", "exit 3"], "").status(3),
    case("the largest status", &[], &["sh", "-c", "exit 255"], "").status(255),
    // "A process running as PID 1 inside a container is treated specially", same page, and pid_namespaces(7).
    case("PID 1 ignores its own SIGTERM", &[], &["sh", "-c", "kill -TERM $$; exit 4"], "")
        .status(4),
    case("PID 1 ignores its own SIGKILL", &[], &["sh", "-c", "kill -KILL $$; exit 4"], "")
        .status(4),
    case("the command is PID 1", &[], &["sh", "-c", "echo $$"], "1\n"),
    case(
        "a child's death by a signal is the shell's 128 + n",
        &[],
        &["sh", "-c", "sh -c 'kill -9 $$'; exit $?"],
        "",
    )
    .status(137),
    // "Environment variables", same page, and `--env`, docs.docker.com/reference/cli/docker/container/run.
    case(
        "the whole environment",
        &["--hostname", "h1", "-e", "deep=purple", "-e", "today"],
        &["env"],
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOSTNAME=h1\n\
         deep=purple\ntoday=Wednesday\nHOME=/root\n",
    )
    .host_env(&[("today", "Wednesday")]),
    case("the image's variables", &[], &["sh", "-c", "echo $A $B"], "image image\n").image("web"),
    case("-e above the image", &["-e", "A=mine"], &["sh", "-c", "echo $A $B"], "mine image\n")
        .image("web"),
    case(
        "-e without a value on the host removes",
        &["-e", "A"],
        &["sh", "-c", "echo ${A-gone}"],
        "gone\n",
    )
    .image("web"),
    case("an empty value is a value", &["-e", "A="], &["sh", "-c", "echo \"<${A-gone}>\""], "<>\n")
        .image("web"),
    case(
        "a value with anything in it",
        &["-e", "A=b=c d\n$e"],
        &["sh", "-c", "echo \"$A\""],
        "b=c d\n$e\n",
    ),
    case(
        "PATH where the image has none",
        &[],
        &["sh", "-c", "echo $PATH"],
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
    )
    .image("web"),
    case(
        "-e PATH decides what is found",
        &["-e", "PATH=/none"],
        &["/bin/sh", "-c", "echo $PATH"],
        "/none\n",
    ),
    case("HOME is the user's", &["-u", "web"], &["sh", "-c", "echo $HOME"], "/srv/web\n"),
    case("HOME of nobody we know is /", &["-u", "4711"], &["sh", "-c", "echo $HOME"], "/\n"),
    case("-e HOME above the user's", &["-e", "HOME=/x"], &["sh", "-c", "echo $HOME"], "/x\n"),
    case("TERM with -t", &["-t"], &["sh", "-c", "test -t 1 && echo $TERM"], "xterm\r\n"),
    case("-e TERM above that", &["-t", "-e", "TERM=dumb"], &["sh", "-c", "echo $TERM"], "dumb\r\n"),
    case("no TERM without -t", &[], &["sh", "-c", "echo ${TERM-none}"], "none\n"),
    case(
        "the host's name, everywhere",
        &["-h", "web1"],
        &["sh", "-c", "hostname; echo $HOSTNAME; cat /etc/hostname; grep -c web1 /etc/hosts"],
        "web1\nweb1\nweb1\n1\n",
    ),
    case(
        "the default name is the short id",
        &[],
        &["sh", "-c", "hostname | tr -d 0-9a-f | wc -c; hostname | wc -c"],
        "1\n13\n",
    ),
    // "User", docs.docker.com/engine/containers/run: [ user | user:group | uid | uid:gid | user:gid | uid:group ]; "USER",
    // docs.docker.com/reference/dockerfile: a named group is the only one, a user without a primary group has root's.
    case("root unless something is said", &[], &["sh", "-c", "id -u; id -G"], "0\n0\n"),
    case(
        "a user by name has all its groups",
        &["-u", "web"],
        &["sh", "-c", "id -u; id -g; id -G"],
        "33\n34\n34 4 9\n",
    ),
    case("a user by id is the same", &["-u", "33"], &["sh", "-c", "id -u; id -G"], "33\n34 4 9\n"),
    case("uid:gid", &["-u", "1234:99"], &["sh", "-c", "id -u; id -G"], "1234\n99\n"),
    case("user:group", &["-u", "web:log"], &["sh", "-c", "id -u; id -G"], "33\n9\n"),
    case("user:gid", &["-u", "web:77"], &["sh", "-c", "id -u; id -G"], "33\n77\n"),
    case("uid:group", &["-u", "1234:adm"], &["sh", "-c", "id -u; id -G"], "1234\n4\n"),
    case(
        "an unknown id has root's group",
        &["-u", "1234"],
        &["sh", "-c", "id -u; id -G"],
        "1234\n0\n",
    ),
    case("the largest id", &["-u", "2147483647"], &["id", "-u"], "2147483647\n"),
    case("the image's user", &[], &["sh", "-c", "id -u; id -G"], "33\n34 4 9\n").image("web"),
    case("the image's user and group", &[], &[], "9\n").image("owner"),
    case("-u above the image's", &["-u", "root"], &["id", "-u"], "0\n").image("web"),
    // "WORKDIR", docs.docker.com/reference/dockerfile: "/" by default, made if it is absent.
    case("/ by default", &[], &["pwd"], "/\n"),
    case("the image's, made", &[], &["pwd"], "/srv/web/made\n").image("web"),
    case("-w above it, made", &["-w", "/made/for/me"], &["pwd"], "/made/for/me\n").image("web"),
    // "Foreground" and `--interactive`, same pages.
    case("both streams", &[], &["sh", "-c", "echo out; echo err >&2"], "out\n").stderr("err\n"),
    case("no standard input without -i", &[], &["cat"], "").stdin(b"ignored\n"),
    case("standard input with -i", &["-i"], &["cat"], "through\n").stdin(b"through\n"),
    case("and its end", &["-i"], &["sh", "-c", "cat >/dev/null; echo end"], "end\n"),
    case(
        "no terminal without -t",
        &[],
        &["sh", "-c", "test -t 0 || test -t 1 || echo none"],
        "none\n",
    ),
    // "Runtime constraints on resources", same page.
    case("--cpus", &["--cpus", "2"], &["nproc"], "2\n"),
    case(
        "-m",
        &["-m", "256m"],
        &["sh", "-c", "test $(free -m | awk 'NR==2 {print $2}') -le 256 && echo small"],
        "small\n",
    ),
    // The file system of a container: opencontainers/runtime-spec, "Default Filesystems" and "Default Devices".
    case(
        "the root is writable",
        &[],
        &["sh", "-c", "echo x > /new && cat /new; stat -c %a /tmp"],
        "x\n1777\n",
    ),
    case(
        "default devices and file systems",
        &[],
        &[
            "sh",
            "-c",
            "ls -d /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/ptmx /dev/shm /dev/pts | wc -l; \
             grep -c -e ' /proc ' -e ' /sys ' -e ' /dev/shm ' -e ' /dev/mqueue ' /proc/mounts",
        ],
        "9\n4\n",
    ),
    case(
        "only the standard descriptors are open",
        &[],
        &["sh", "-c", "ls /proc/self/fd | wc -l"],
        "4\n",
    ),
    // `--cpus`, docs.docker.com/engine/containers/resource_constraints: a fraction is one.
    case("a processor and a half", &["--cpus", "1.5"], &["nproc"], "2\n"),
    case(
        "the loopback interface is up",
        &[],
        &["sh", "-c", "ip addr show lo | grep -c 127.0.0.1"],
        "1\n",
    ),
];

#[test]
fn runs() {
    let (kiln, images) = (Kiln::new(), Images::new());
    check(&kiln, CASES, &["run", "--rm"], |case| images.reference(case.image));
    assert_eq!(kiln.text(&["ps", "-aq"]), "", "--rm leaves nothing");
}

/// `--env-file`, docs.docker.com/reference/cli/docker/container/run: comments, and names alone, which take kiln's own value.
#[test]
fn variables_come_from_files() {
    let (kiln, images) = (Kiln::new(), Images::new());
    let file = kiln.home().join("variables");
    std::fs::write(&file, "# a comment\nA=file\n\nB=1 # no comment\nHOSTS\nNONE\nD=d\n").unwrap();
    let reference = images.reference("web");
    let file = file.to_str().unwrap();
    let script = "echo \"$A|$B|$HOSTS|${NONE-none}|$D\"";
    let args = ["run", "--rm", "-e", "D=flag", "--env-file", file, &reference, "sh", "-c", script];
    let mut command = kiln.command(&args);
    command.env("HOSTS", "its own");
    let output = kiln.finish(command, b"");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout, "file|1 # no comment|its own|none|flag\n", "{output:?}");
    let missing = kiln.output(&["run", "--rm", "--env-file", "/none", &reference, "true"]);
    assert_eq!(missing.status.code(), Some(125), "{missing:?}");
}
