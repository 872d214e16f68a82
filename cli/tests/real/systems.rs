//! The distribution itself.

use std::fs;

use crate::{common, run};

/// The digest of "abc" is FIPS 180-4's example.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn busybox() {
    let script = "uname -m
        printf abc | sha256sum
        seq 100 | awk '{ sum += $1 } END { print sum }'
        mkdir -p /tmp/a/b; echo deep > /tmp/a/b/c
        tar -C /tmp -c a | gzip | gunzip | tar -t | sort
        find / -xdev -name os-release -type f -exec sed -n 's/^ID=//p' {} \\;";
    let expected = format!("aarch64\n{ABC}  -\n5050\na/\na/b/\na/b/c\ndebian");
    assert_eq!(run("busybox", &["sh", "-c", script]), expected);
}

/// `apt list` names what the host's dpkg found in the image, in the guest's words:
/// `name/now version architecture [installed,local]`.
#[test]
fn apt_list() {
    let expected = fs::read_to_string(common::product("test-images").join("debian.packages"));
    let expected = expected.unwrap();
    let mut expected: Vec<_> = expected.lines().collect();
    let listed = run("debian", &["apt", "list"]);
    let mut listed: Vec<_> = listed
        .lines()
        .skip_while(|line| line.starts_with("Listing..."))
        .map(|line| {
            let line = line.strip_suffix(" [installed,local]").expect(line);
            line.replacen("/now", "", 1)
        })
        .collect();
    expected.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, expected);
    assert!(listed.len() > 50);
}

/// POSIX has readdir's `d_ino` be the file's serial number, which stat gives too; overlayfs does not see to
/// that by itself. Directories and files, of the image and new ones.
#[test]
fn readdir_and_stat_agree_on_inode_numbers() {
    let script = "
import os
os.makedirs('/new/directory')
open('/new/file', 'w').close()
for directory in '/', '/new', '/usr', '/etc', '/usr/lib/python3':
    for entry in os.scandir(directory):
        if not os.path.ismount(entry.path) and entry.inode() != os.lstat(entry.path).st_ino:
            print(entry.path)
";
    assert_eq!(run("python", &["python3", "-c", script]), "");
}
