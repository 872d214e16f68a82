//! The root that a workload sees, against `umoci unpack`: the same images, path by path.
//!
//! One program (`guest/walk.c`) walks both: in a booted machine, through overlayfs, and on the host,
//! what umoci unpacked as root. It comes into the machine as the image's top layer, so umoci has it
//! too. Departures, and why:
//! - `/etc/hostname` and `/etc/hosts` are the machine's own, as in every container, and so is the
//!   modification time of `/etc`, where they were made.
//! - The link count of a file whose names lie in different layers: overlayfs cannot share an inode
//!   between layers.

#[path = "../../image/tests/common/samples.rs"]
#[allow(dead_code, reason = "each suite uses a part of it")]
mod samples;
#[path = "../../image/tests/common/tars.rs"]
#[allow(dead_code, reason = "each suite uses a part of it")]
mod tars;
#[path = "../../image/tests/common/tools.rs"]
#[allow(dead_code, reason = "each suite uses a part of it")]
mod tools;

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::Kiln;
use samples::Form;
use tars::Tar;
use tools::{need_root, run, text};

/// What was seen of each path.
type Tree = BTreeMap<String, String>;

/// Compares what a machine sees of an image with what umoci makes of it. `spread` are files whose
/// names lie in several layers.
fn compare(dir: &Path, layout: &str, form: Option<Form>, spread: &[&str]) {
    let [here, there] = ["gcc", "aarch64-linux-gnu-gcc"].map(|compiler| walker(dir, compiler));
    let program = std::fs::read(there).unwrap();
    let top = Tar::default().add(tars::file("walk").mode(0o755), &program).write(dir, "walk.tar");
    let image = layout.strip_prefix("oci-layout:").expect("a layout");
    run("umoci", &["raw", "add-layer", "--image", image, text(&top)]);
    let reference = match form {
        Some(form) => samples::in_form(dir, layout, form),
        None => layout.to_owned(),
    };

    let bundle = dir.join("bundle");
    run("umoci", &["unpack", "--image", image, text(&bundle)]);
    let theirs = run(text(&here), &[text(&bundle.join("rootfs"))]);
    let ours = Kiln::new().text(&["run", "--rm", &reference, "/walk", "--under-mounts", "/"]);
    let [ours, theirs] = [ours, theirs].map(|lines| tree(&lines, spread));
    assert!(theirs.contains_key("/walk"));
    let paths = ours.keys().chain(theirs.keys().filter(|path| !ours.contains_key(*path)));
    let different = paths.filter(|path| ours.get(*path) != theirs.get(*path));
    let lines = different.map(|path| {
        let [ours, theirs] = [&ours, &theirs].map(|tree| tree.get(path).map_or("", |line| line));
        format!("{path}\n  ours   {ours}\n  theirs {theirs}\n")
    });
    let lines: Vec<String> = lines.collect();
    assert!(
        lines.is_empty(),
        "{} differences:\n{}",
        lines.len(),
        lines[..lines.len().min(40)].concat()
    );
}

fn walker(dir: &Path, compiler: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/walk.c");
    let program = dir.join(format!("walk-{compiler}"));
    run(compiler, &["-O2", "-Wall", "-Werror", "-static", "-o", text(&program), text(&source)]);
    program
}

/// The walker's lines by path, without what may differ.
fn tree(lines: &str, spread: &[&str]) -> Tree {
    let paths = lines.lines().map(|line| line.split_once(' ').expect("a path and more"));
    let mut tree: Tree = paths.map(|(path, seen)| (path.to_owned(), seen.to_owned())).collect();
    tree.remove("/etc/hostname");
    tree.remove("/etc/hosts");
    blank(&mut tree, "/etc", TIME);
    for path in spread {
        blank(&mut tree, &format!("/{path}"), LINKS);
    }
    tree
}

/// Which word of a line, the path not counted.
const TIME: usize = 3;
const LINKS: usize = 4;

fn blank(tree: &mut Tree, path: &str, word: usize) {
    let line = tree.get_mut(path).expect("a path of the image");
    let mut words: Vec<&str> = line.split(' ').collect();
    words[word] = "-";
    *line = words.join(" ");
}

#[test]
fn debian_with_busybox() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    compare(dir.path(), &samples::busybox(dir.path()), None, &[]);
}

#[test]
fn debian_with_servers() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    compare(dir.path(), &samples::servers(dir.path()), None, &[]);
}

#[test]
fn thirty_layers() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    compare(dir.path(), &samples::thirty_layers(dir.path()), None, &[]);
}

#[test]
fn every_kind_of_file() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    compare(dir.path(), &samples::every_kind_of_file(dir.path()), None, &[]);
}

#[test]
fn an_opaque_root() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    compare(dir.path(), &samples::opaque_root(dir.path()), None, &[]);
}

#[test]
fn zstd_layers() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    compare(dir.path(), &samples::busybox(dir.path()), Some(Form::Zstd), &[]);
}

#[test]
fn docker_archive() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let layout = samples::changes_across_layers(dir.path());
    compare(dir.path(), &layout, Some(Form::DockerArchive), &samples::SPREAD);
}
