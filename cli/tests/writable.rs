//! `--writable`: a disk of one's own in place of memory.

mod common;

use std::{fs::File, path::Path, process::Command};

use common::{Kiln, image};

/// A file of 64 MiB with an empty ext4 file system.
fn disk(directory: &Path) -> String {
    let path = directory.join("disk");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(&path).status().unwrap();
    assert!(made.success());
    path.to_str().unwrap().into()
}

#[test]
fn what_is_written_to_a_disk_is_there_again() {
    let (kiln, place) = (Kiln::new(), tempfile::tempdir().unwrap());
    let disk = disk(place.path());
    let image = image();
    let run =
        |script: &str| kiln.text(&["run", "--rm", "--writable", &disk, &image, "sh", "-c", script]);
    run("echo kept > /root/file; rm /bin/vi; chmod 700 /tmp");
    // The last line is about the size, which is that of the disk.
    let listed = run("cat /root/file; ls /bin | grep -cx vi; stat -c %a /tmp /; df -k / | tail -1");
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines[..4], ["kept", "0", "700", "755"], "{listed}");
    let size: u64 = lines[4].split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((32 << 10..64 << 10).contains(&size), "{listed}");
    // It was let go of in order.
    let checked = Command::new("e2fsck").args(["-fn", &disk]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    // One machine at a time; and what a snapshot would leave out is said.
    kiln.text(&["run", "-d", "--name", "one", "--writable", &disk, &image, "sleep", "1000"]);
    let refused = |args: &[&str], status, says: &str| {
        let output = kiln.output(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.lines().count()), (Some(status), 1), "{error}");
        assert!(error.contains(says), "{error}");
    };
    refused(&["run", "--rm", "--writable", &disk, &image, "true"], 125, "in use");
    refused(&["snapshot", "create", "one", "point"], 1, "--writable");
    assert_eq!(kiln.text(&["exec", "one", "cat", "/root/file"]), "kept");
    kiln.text(&["rm", "--force", "one"]);
    refused(&["run", "--rm", "--writable", "/nowhere", &image, "true"], 125, "/nowhere");
    let empty = place.path().join("empty");
    File::create(&empty).unwrap();
    let empty = empty.to_str().unwrap();
    refused(&["run", "--rm", "--writable", empty, &image, "true"], 125, "mkfs.ext4");
    assert_eq!(kiln.text(&["ps", "-aq"]), "");
}
