//! What cannot run: the exit status that Docker's users expect, and one sentence.

use std::process::Output;

use crate::{
    common::Kiln,
    images::Images,
    table::{Case, case, check},
};

/// "Exit status", docs.docker.com/engine/containers/run: 125 is the daemon's own failure, 126 a command that cannot be
/// invoked, 127 one that cannot be found.
pub(crate) const CASES: &[Case] = &[
    case("no command at all", &[], &[], "").image("none-none").fails(125, "names no command"),
    case("neither entry point nor command", &["--entrypoint", ""], &[], "")
        .image("exec-exec")
        .fails(125, "names no command"),
    case("a flag that does not exist", &["--foo"], &["true"], "").status(125),
    case("a command that does not exist", &[], &["foo"], "").fails(127, "foo"),
    case("a path that does not exist", &[], &["/bin/foo"], "").fails(127, "/bin/foo"),
    case("a path through a file", &[], &["/srv/file/foo"], "").fails(127, "/srv/file/foo"),
    case("an interpreter that does not exist", &[], &["no-interpreter"], "")
        .fails(127, "interpreter"),
    case("a directory", &[], &["/etc"], "").fails(126, "/etc"),
    case("a file that is not executable", &[], &["/srv/file"], "").fails(126, "permission denied"),
    case("a file that is no program", &[], &["no-program"], "").fails(126, "no-program"),
    case("a command that its user may not run", &["-u", "web"], &["/root/x"], "")
        .fails(126, "/root/x"),
    // "User", same page: an id is in the range of 0 to 2147483647, and a name must exist in the container.
    case("an unknown user", &["-u", "nemo"], &["true"], "").fails(125, "nemo"),
    case("an unknown group", &["-u", "web:nemo"], &["true"], "").fails(125, "nemo"),
    case("an id that is too large", &["-u", "2147483648"], &["true"], "").fails(125, "2147483647"),
    case("the id that means nobody", &["-u", "4294967295"], &["true"], "").fails(125, "2147483647"),
    case("a group's id that is too large", &["-u", "0:4294967295"], &["true"], "")
        .fails(125, "2147483647"),
    // `--workdir`, docs.docker.com/reference/cli/docker/container/run: an absolute path.
    case("a relative directory", &["-w", "tmp"], &["true"], "").fails(125, "absolute"),
    case("a directory that is a file", &["-w", "/srv/file"], &["true"], "").fails(125, "/srv/file"),
    // `--name`, same page, and the rule that Docker's own message names: [a-zA-Z0-9][a-zA-Z0-9_.-]+.
    case("a name that is none", &["--name", "a/b"], &["true"], "").fails(125, "a/b"),
    case("a name of one letter", &["--name", "a"], &["true"], "").fails(125, "\"a\""),
    // Images: `--platform` and `--pull`, same page.
    case("an image of another architecture", &[], &["true"], "")
        .image("foreign")
        .fails(125, "amd64"),
    case("an image without such a tag", &[], &["true"], "")
        .image("none-such")
        .fails(125, "none-such"),
    // Resources, same page: a value that makes no sense, or cannot be had.
    case("a size that is none", &["-m", "much"], &["true"], "").status(125),
    case("too little memory", &["-m", "6m"], &["true"], "").fails(125, "at least 16 MiB"),
    case("more memory than there is", &["-m", "100000t"], &["true"], "").fails(125, "ask for less"),
    case("no processor", &["--cpus", "0"], &["true"], "").fails(125, "vCPUs"),
    case("more processors than can be", &["--cpus", "100000"], &["true"], "").fails(125, "vCPUs"),
    case("a signal that is none", &["--stop-signal", "SIGNOPE"], &["true"], "").status(125),
    case("a port that is none", &["-p", "80:x"], &["true"], "").status(125),
    case("a terminal that is none", &["-it"], &["true"], "").fails(125, "terminal"),
    case("a variable without a name", &["-e", "=x"], &["true"], "").fails(125, "=x"),
    // What kiln does not do yet.
    case("-v", &["-v", "/a:/b"], &["true"], "").fails(125, "--volume is not supported yet"),
    case("--mount", &["--mount", "type=bind"], &["true"], "")
        .fails(125, "--mount is not supported yet"),
    case("--network", &["--network", "host"], &["true"], "")
        .fails(125, "--network is not supported yet"),
    case("--dns", &["--dns", "1.1.1.1"], &["true"], "").fails(125, "--dns is not supported yet"),
    case("--add-host", &["--add-host", "a:1.1.1.1"], &["true"], "")
        .fails(125, "--add-host is not supported yet"),
    case("-P", &["-P"], &["true"], "").fails(125, "--publish-all is not supported yet"),
    case("--volumes-from", &["--volumes-from", "a"], &["true"], "")
        .fails(125, "--volumes-from is not supported yet"),
    case("--tmpfs", &["--tmpfs", "/a"], &["true"], "").fails(125, "--tmpfs is not supported yet"),
    case("--net", &["--net", "host"], &["true"], "").fails(125, "--network is not supported yet"),
];

#[test]
fn refusals() {
    let (kiln, images) = (Kiln::new(), Images::new());
    check(&kiln, CASES, &["run", "--rm"], |case| images.reference(case.image));
    assert_eq!(kiln.text(&["ps", "-aq"]), "", "what was refused leaves nothing");
}

fn fails(output: &Output, status: i32, says: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert!(says.iter().all(|part| stderr.contains(part)), "{output:?}");
    assert_eq!(stderr.lines().count(), 1, "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

/// An image that is nowhere: `--pull`, docs.docker.com/reference/cli/docker/container/run.
#[test]
fn a_missing_image_is_said() {
    let kiln = Kiln::new();
    fails(
        &kiln.output(&["run", "--pull", "never", "nowhere:1", "true"]),
        125,
        &["nowhere:1", "pull"],
    );
    fails(&kiln.output(&["run", "oci-layout:/nowhere", "true"]), 125, &["/nowhere"]);
    fails(&kiln.output(&["run", "oci-archive:/nowhere.tar", "true"]), 125, &["/nowhere.tar"]);
    fails(&kiln.output(&["run", "no image", "true"]), 125, &["no image"]);
    let usage = kiln.output(&["run"]);
    assert_eq!(usage.status.code(), Some(125), "{usage:?}");
    let usage = kiln.output(&["--verbose", "run", "--foo"]);
    assert_eq!(usage.status.code(), Some(125), "{usage:?}");
    assert_eq!(kiln.text(&["ps", "-aq"]), "");
}

/// Without the guest's kernel or agent the remedy is said, and nothing is made.
#[test]
fn a_missing_kernel_or_agent_is_said() {
    let (kiln, cache) = (Kiln::new(), tempfile::tempdir().unwrap());
    let image = crate::common::image();
    let run = || {
        let mut command = kiln.command(&["run", &image, "true"]);
        kiln.finish(
            {
                command.env("XDG_CACHE_HOME", cache.path());
                command
            },
            b"",
        )
    };
    fails(&run(), 125, &["kernel", "cargo xtask guest-kernel"]);
    let kernel = cache.path().join("kiln/guest-kernel/current");
    std::fs::create_dir_all(&kernel).unwrap();
    std::fs::write(kernel.join("Image"), "no kernel").unwrap();
    fails(&run(), 125, &["agent", "cargo xtask guest-agent"]);
    let agent = cache.path().join("kiln/guest-agent/current");
    std::fs::create_dir_all(&agent).unwrap();
    std::fs::write(agent.join("initramfs.cpio"), "").unwrap();
    fails(&run(), 125, &["Image"]);
}

/// Machines that do not exist, or run no longer: docs.docker.com/reference/cli/docker/container/exec says 1.
#[test]
fn commands_on_no_machine_say_so() {
    let kiln = Kiln::new();
    let commands: [&[&str]; 10] = [
        &["exec", "nemo", "true"],
        &["kill", "nemo"],
        &["stop", "nemo"],
        &["rm", "nemo"],
        &["rm", "-f", "nemo"],
        &["wait", "nemo"],
        &["logs", "nemo"],
        &["cp", "nemo:/etc", "/tmp/none"],
        &["stats", "--no-stream", "nemo"],
        &["cp", "/etc", "nemo:/"],
    ];
    for command in commands {
        fails(&kiln.output(command), 1, &["no such machine", "nemo"]);
    }
    let image = crate::common::image();
    kiln.text(&["run", "--name", "over", &image, "true"]);
    let commands: [&[&str]; 4] = [
        &["exec", "over", "true"],
        &["kill", "over"],
        &["cp", "over:/etc", "/tmp/none"],
        &["stats", "--no-stream", "over"],
    ];
    for command in commands {
        fails(&kiln.output(command), 1, &["over is not running"]);
    }
    // A stop of what has stopped is no failure.
    assert_eq!(kiln.text(&["stop", "over"]), "over");
    let taken = kiln.output(&["run", "--name", "over", &image, "true"]);
    fails(&taken, 125, &["\"over\" is in use"]);
}
