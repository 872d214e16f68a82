//! `kiln cp`, both ways: docs.docker.com/reference/cli/docker/container/cp.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use crate::common::{Kiln, image};

/// One copy between two directories, from the page's table of what becomes of SRC_PATH and DEST_PATH.
pub(crate) struct Copy {
    name: &'static str,
    flags: &'static [&'static str],
    from: &'static str,
    to: &'static str,
    /// What the destination's directory holds besides what it held before, or what is said.
    result: Result<&'static [&'static str], &'static str>,
}

const fn copy(
    name: &'static str,
    from: &'static str,
    to: &'static str,
    result: Result<&'static [&'static str], &'static str>,
) -> Copy {
    Copy { name, flags: &[], from, to, result }
}

/// Each of them is made into the machine and out of it.
pub(crate) const CASES: &[Copy] = &[
    copy("a file to a new name", "file", "new", Ok(&["./new=data"])),
    copy("a file to a directory that does not exist", "file", "new/", Err("new")),
    copy("a file over a file", "file", "existing", Ok(&["./existing=data"])),
    copy("a file into a directory", "file", "there", Ok(&["./there/file=data"])),
    copy("a file into a directory, with a slash", "file", "there/", Ok(&["./there/file=data"])),
    copy("a directory to a new name", "dir", "new", Ok(&["./new/a=A", "./new/sub/b=B"])),
    copy("a directory over a file", "dir", "existing", Err("existing")),
    copy(
        "a directory into a directory",
        "dir",
        "there",
        Ok(&["./there/dir/a=A", "./there/dir/sub/b=B"]),
    ),
    copy("its content into a directory", "dir/.", "there", Ok(&["./there/a=A", "./there/sub/b=B"])),
    copy("its content to a new name", "dir/.", "new", Ok(&["./new/a=A", "./new/sub/b=B"])),
    copy("into a directory that does not exist", "file", "none/new", Err("none")),
    copy("what does not exist", "none", "there", Err("none")),
    copy("a symbolic link as such", "link", "new", Ok(&["./new -> file"])),
    Copy { flags: &["-L"], ..copy("what it points to", "link", "new", Ok(&["./new=data"])) },
    copy("a link inside a directory", "linked", "new", Ok(&["./new/l -> ../file"])),
];

const SOURCE: &str = "mkdir -p dir/sub linked; printf data > file; printf A > dir/a; printf B > dir/sub/b; \
                      ln -s file link; ln -s ../file linked/l";
const TARGET: &str = "mkdir there; printf old > existing; printf old > there/old";
const LIST: &str = "find . ! -type d | sort | while read -r f; do \
                    if [ -L \"$f\" ]; then echo \"$f -> $(readlink $f)\"; else echo \"$f=$(cat $f)\"; fi; done";

/// Runs a script in this directory of the machine, or of the host.
fn shell(kiln: &Kiln, machine: bool, directory: &str, script: &str) -> String {
    let script = format!("mkdir -p {directory} && cd {directory} && {{ {script}; }}");
    if machine {
        return kiln.text(&["exec", "box", "sh", "-c", &script]);
    }
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn copies() {
    let kiln = Kiln::new();
    kiln.text(&["run", "-d", "--name", "box", &image(), "sleep", "100000"]);
    let files = tempfile::tempdir().unwrap();
    let mut problems = Vec::new();
    for into in [true, false] {
        for (number, case) in CASES.iter().enumerate() {
            let what = format!("{} ({})", case.name, if into { "in" } else { "out" });
            let host = files.path().join(format!("{into}{number}"));
            let (host, guest) = (host.to_str().unwrap(), format!("/w/{into}{number}"));
            let (source, target) = if into { (host, &*guest) } else { (&*guest, host) };
            shell(&kiln, !into, source, SOURCE);
            shell(&kiln, into, target, TARGET);
            let place = |machine: bool, directory: &str, path: &str| {
                format!("{}{directory}/{path}", if machine { "box:" } else { "" })
            };
            let from = place(!into, source, case.from);
            let to = place(into, target, case.to);
            let output = kiln.output(&[&["cp"], case.flags, &[&from, &to]].concat());
            let listed = shell(&kiln, into, target, LIST);
            let mut expected = vec!["./existing=old", "./there/old=old"];
            let stderr = String::from_utf8_lossy(&output.stderr);
            let right = match case.result {
                Ok(more) => {
                    let path = |line: &str| line.split('=').next().map(str::to_owned);
                    expected.retain(|old| !more.iter().any(|new| path(new) == path(old)));
                    expected.extend(more);
                    expected.sort_unstable();
                    output.status.success() && stderr.is_empty()
                }
                Err(part) => {
                    output.status.code() == Some(1)
                        && stderr.contains(part)
                        && stderr.lines().count() == 1
                }
            };
            if !right || listed.lines().collect::<Vec<_>>() != expected {
                problems.push(format!("{what}: {listed:?} instead of {expected:?}; {output:?}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}:\n{}", problems.len(), problems.join("\n"));
}

/// "Directories are copied recursively with permissions preserved"; owners are root's, or with -a the source's.
#[test]
fn copies_keep_what_files_are() {
    let kiln = Kiln::new();
    kiln.text(&["run", "-d", "--name", "box", &image(), "sleep", "100000"]);
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let big: Vec<u8> =
        (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::create_dir(path("tree")).unwrap();
    fs::write(path("tree/big"), &big).unwrap();
    fs::write(path("tree/a:b c"), "").unwrap();
    fs::set_permissions(path("tree/big"), fs::Permissions::from_mode(0o741)).unwrap();
    let past = fs::FileTimes::new()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000));
    fs::File::options().write(true).open(path("tree/big")).unwrap().set_times(past).unwrap();
    // A path of the machine is relative to its root; one of the host with a colon begins with a dot or slash.
    kiln.text(&["cp", &path("tree"), "box:tmp"]);
    assert_eq!(
        kiln.text(&["exec", "box", "stat", "-c", "%a %s %Y %u:%g", "/tmp/tree/big"]),
        "741 20000000 1000000000 0:0"
    );
    let hash = kiln.text(&["exec", "box", "sha256sum", "/tmp/tree/big"]);
    assert!(hash.starts_with(image::Digest::of(&big).hex()), "{hash}");
    kiln.text(&["cp", "box:tmp/tree", &path("back")]);
    assert!(fs::read(path("back/big")).unwrap() == big);
    let metadata = fs::metadata(path("back/big")).unwrap();
    assert_eq!((metadata.mode() & 0o777, metadata.mtime()), (0o741, 1_000_000_000));
    assert!(Path::new(&path("back/a:b c")).exists());
    kiln.text(&["cp", &path("back/a:b c"), "box:/tmp/colon"]);

    // No archive can hold a socket: it is left out, and that is said.
    let _socket = std::os::unix::net::UnixListener::bind(path("tree/socket")).unwrap();
    let copied = kiln.output(&["cp", &path("tree"), "box:/tmp/without"]);
    let said = String::from_utf8_lossy(&copied.stderr).into_owned();
    assert!(copied.status.success() && said.contains("tree/socket is a socket"), "{copied:?}");
    assert_eq!(kiln.text(&["exec", "box", "ls", "/tmp/without"]).matches("socket").count(), 0);
    kiln.text(&["exec", "box", "test", "-f", "/tmp/without/big"]);
    fs::remove_file(path("tree/socket")).unwrap();

    // `-` is a tar archive, from standard input or to standard output.
    let packed = kiln.output(&["cp", "box:/tmp/tree", "-"]);
    let mut archive = tar::Archive::new(&packed.stdout[..]);
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            entry.unwrap().path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned()
        })
        .collect();
    assert_eq!(names.first().map(String::as_str), Some("tree"), "{names:?}");
    assert!(
        names.contains(&"tree/big".into()) && names.contains(&"tree/a:b c".into()),
        "{names:?}"
    );
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o640);
    header.set_uid(33);
    header.set_gid(34);
    builder.append_data(&mut header, "unpacked", &b"hello"[..]).unwrap();
    let archive = builder.into_inner().unwrap();
    let fed = kiln.feed(&["cp", "-", "box:/tmp"], &archive);
    assert!(fed.status.success(), "{fed:?}");
    assert_eq!(
        kiln.text(&[
            "exec",
            "box",
            "sh",
            "-c",
            "cat /tmp/unpacked; stat -c ' %a %u:%g' /tmp/unpacked"
        ]),
        "hello 640 33:34"
    );
    // "DEST_PATH must specify a directory", and what is no archive is said.
    let no_directory = kiln.feed(&["cp", "-", "box:/etc/passwd"], &archive);
    assert_eq!(no_directory.status.code(), Some(1), "{no_directory:?}");
    let no_archive = kiln.feed(&["cp", "-", "box:/tmp"], &[b'x'; 2000]);
    assert_eq!(no_archive.status.code(), Some(1), "{no_archive:?}");
    // -a keeps owners.
    if rustix::process::geteuid().is_root() {
        rustix::fs::chown(
            path("tree/big"),
            Some(rustix::fs::Uid::from_raw(33)),
            Some(rustix::fs::Gid::from_raw(34)),
        )
        .unwrap();
        kiln.text(&["cp", "-a", &path("tree"), "box:/root"]);
        assert_eq!(kiln.text(&["exec", "box", "stat", "-c", "%u:%g", "/root/tree/big"]), "33:34");
        kiln.text(&["cp", "-a", "box:/root/tree", &path("owned")]);
        let metadata = fs::metadata(path("owned/big")).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (33, 34));
        kiln.text(&["cp", "box:/root/tree", &path("mine")]);
        assert_eq!(fs::metadata(path("mine/big")).unwrap().uid(), 0);
    }
}
