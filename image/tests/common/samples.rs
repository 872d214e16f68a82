//! Images to compare trees on, each as an OCI layout made by umoci in a directory of its own.
//!
//! Each has the directories that a container runtime mounts something on, so that it need not make
//! them.

use std::fs;
use std::path::{Path, PathBuf};

use super::tars::{self, Tar};
use super::tools::{layout, run, text};

/// Capabilities, access control lists, devices, hard links, and names and times of every kind, in
/// one layer.
pub(crate) fn every_kind_of_file(dir: &Path) -> String {
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // POSIX_ACL_XATTR_VERSION 2; user::rw-, user:1000:r--, group::r--, mask::r--, other::r--.
    let acl = [
        &[2u8, 0, 0, 0][..],
        &[1, 0, 6, 0, 255, 255, 255, 255],
        &[2, 0, 4, 0, 0xe8, 3, 0, 0],
        &[4, 0, 4, 0, 255, 255, 255, 255],
        &[16, 0, 4, 0, 255, 255, 255, 255],
        &[32, 0, 4, 0, 255, 255, 255, 255],
    ]
    .concat();
    let long = "n".repeat(255);
    let deep = ["d".repeat(200), "e".repeat(200), "f".repeat(200)].join("/");
    let root = tars::dir("./").mode(0o1755).owner(7, 8).xattr("user.root", b"1");
    let mut tar = with_mount_points(Tar::default().add(root, b""))
        .add(tars::file("plain").pax("mtime", "1700000000.123456789"), b"some bytes")
        .add(tars::file("empty"), b"")
        .add(tars::file("set-id").mode(0o6755).owner(4_000_000_000 >> 12, 5), b"#!")
        .add(tars::file("far-owner").pax("uid", "4000000000").pax("gid", "3999999999"), b"x")
        .add(tars::file("old").pax("mtime", "-1.5"), b"before the epoch")
        .add(tars::file("block").mode(0o000), &[0; 4096])
        .add(tars::file("blocks"), &vec![7; 3 * 4096 + 1])
        .add(tars::link("again", "plain"), b"")
        .add(tars::link("thrice", "./plain"), b"")
        .add(tars::symlink("short", "plain"), b"")
        .add(tars::symlink("dangling", "/no/where/../else"), b"")
        .add(tars::symlink("long-link", "t/".repeat(1000)), b"")
        .add(tars::symlink("longest-link", "t".repeat(4095)), b"")
        .add(tars::file(&long), b"255 bytes")
        .add(tars::file(b"not \xff\xfe utf-8 \n"), b"x")
        .add(tars::file("capable").xattr("security.capability", capability), b"x")
        .add(tars::file("acl").xattr("system.posix_acl_access", &acl).mode(0o644), b"x")
        .add(tars::dir("attributes/").xattr("user.a", b"\0\n=").xattr("trusted.b", b"2"), b"")
        .add(tars::dir("empty-dir/").mode(0o3777), b"")
        .add(tars::Header { device: (1, 3), ..tars::entry(b'3', "null") }.mode(0o666), b"")
        .add(tars::Header { device: (259, 70_000), ..tars::entry(b'4', "disk") }, b"")
        .add(tars::entry(b'6', "fifo"), b"");
    for end in deep.match_indices('/').map(|(at, _)| at).chain([deep.len()]) {
        tar = tar.add(tars::dir(format!("{}/", &deep[..end])), b"");
    }
    tar = tar.add(tars::file(format!("{deep}/leaf")), b"deep").add(tars::dir("many/"), b"");
    for n in 0..3000 {
        tar = tar.add(tars::file(format!("many/{n:x}-{}", "z".repeat(n % 90))), &n.to_be_bytes());
    }
    // Names that sort before and between "." and "..".
    tar = tar.add(tars::dir("order/"), b"");
    for name in ["!", "-", ".a", "..a", "...", "/", "0", "~"].iter().filter(|n| **n != "/") {
        tar = tar.add(tars::file(format!("order/{name}")), b"");
    }
    layout(dir, &[&tar.write(dir, "base.tar")])
}

/// Three layers that delete, replace, hide and link what the ones below have. The files
/// [`SPREAD`] are one file with names in two layers.
pub(crate) fn changes_across_layers(dir: &Path) -> String {
    let d = |name: &str| tars::dir(name);
    let f = |name: &str| tars::file(name);
    let base = with_mount_points(Tar::default().add(d("./"), b""))
        .add(d("a/").mode(0o700).owner(1, 2).xattr("user.kept", b"1"), b"")
        .add(d("a/b/").mode(0o750), b"")
        .add(f("a/b/deep"), b"deep")
        .add(f("a/x"), b"x")
        .add(f("gone"), b"gone")
        .add(f("file-to-dir"), b"file")
        .add(d("dir-to-file/"), b"")
        .add(f("dir-to-file/in"), b"in")
        .add(d("opaque/"), b"")
        .add(f("opaque/old"), b"old")
        .add(d("opaque/sub/").mode(0o711), b"")
        .add(f("opaque/sub/old"), b"old")
        .add(f("original").mode(0o4755).xattr("user.o", b"1"), &[b'o'; 10_000])
        .add(tars::link("original-2", "original"), b"")
        .add(d("usr/"), b"")
        .add(d("usr/lib/"), b"")
        .add(tars::symlink("lib", "usr/lib"), b"")
        .add(tars::symlink("abs", "/usr/lib"), b"")
        .add(tars::symlink("up", "../../usr"), b"")
        .add(tars::symlink("sym-to-dir", "usr"), b"")
        .write(dir, "0.tar");
    let second = Tar::default()
        .add(f(".wh.gone"), b"")
        .add(f("a/.wh.x"), b"")
        .add(f("a/b/new"), b"in directories that this layer only implies")
        .add(f(".wh.file-to-dir"), b"")
        .add(d("file-to-dir/"), b"")
        .add(f("file-to-dir/in"), b"in")
        .add(f("dir-to-file"), b"now a file")
        .add(d("opaque/").mode(0o777), b"")
        .add(f("opaque/.wh..wh..opq"), b"")
        .add(f("opaque/new"), b"new")
        .add(tars::link("linked", "original"), b"")
        .add(tars::link("linked-2", "original"), b"")
        .add(f("lib/through-a-link"), b"lands in usr/lib")
        .add(f("abs/through-an-absolute-link"), b"too")
        .add(f("up/through-a-climbing-link"), b"too")
        .add(d("sym-to-dir/"), b"")
        .add(f("sym-to-dir/own"), b"own")
        .add(f(".wh.never-was"), b"")
        .write(dir, "1.tar");
    let third = Tar::default()
        .add(f(".wh.dir-to-file"), b"")
        .add(d("dir-to-file/"), b"")
        .add(f("dir-to-file/back"), b"back")
        .add(f("file-to-dir"), b"back")
        .add(f("gone"), b"back")
        .add(d("opaque/sub/"), b"")
        .add(f("opaque/sub/third"), b"third")
        .add(f("a/.wh.b"), b"")
        .write(dir, "2.tar");
    layout(dir, &[&base, &second, &third])
}

/// The names that lie in two layers: the second links to the lowest layer's "original", not to its
/// other name.
pub(crate) const SPREAD: [&str; 4] = ["original", "original-2", "linked", "linked-2"];

/// Three layers, of which the second hides all that the first has, and states some of it anew.
pub(crate) fn opaque_root(dir: &Path) -> String {
    let base = with_mount_points(Tar::default().add(tars::dir("./").mode(0o700), b""))
        .add(tars::file("gone"), b"gone")
        .add(tars::dir("dir/"), b"")
        .add(tars::file("dir/gone"), b"gone")
        .add(tars::dir("dir-gone/"), b"")
        .add(tars::file("dir-gone/in"), b"in")
        .add(tars::file("file"), b"old")
        .write(dir, "0.tar");
    let second = with_mount_points(Tar::default().add(tars::dir("./").mode(0o711), b""))
        .add(tars::file(".wh..wh..opq"), b"")
        .add(tars::dir("dir/").mode(0o750), b"")
        .add(tars::file("dir/new"), b"new")
        .add(tars::file("file"), b"new")
        .write(dir, "1.tar");
    let third = Tar::default().add(tars::file("dir/third"), b"third").write(dir, "2.tar");
    layout(dir, &[&base, &second, &third])
}

/// Thirty changes to one tree, each made a layer by `umoci repack` or `umoci insert`.
pub(crate) fn thirty_layers(dir: &Path) -> String {
    let base = with_mount_points(Tar::default().add(tars::dir("./"), b"")).write(dir, "base.tar");
    let reference = layout(dir, &[&base]);
    let name = reference.strip_prefix("oci-layout:").unwrap();
    let bundle = dir.join("work");
    run("umoci", &["unpack", "--image", name, text(&bundle)]);
    let root = bundle.join("rootfs");
    for layer in 1..=24u32 {
        change(&root, layer).unwrap();
        run("umoci", &["repack", "--refresh-bundle", "--image", name, text(&bundle)]);
    }
    let extra = dir.join("extra");
    for layer in 25..30 {
        fs::create_dir_all(extra.join("sub")).unwrap();
        fs::write(extra.join(format!("sub/{layer}")), format!("{layer}")).unwrap();
        let target = format!("/dir-{}", layer % 3);
        let opaque = if layer % 2 == 0 { &["--opaque"][..] } else { &[] };
        let insert = [&["insert", "--image", name][..], opaque, &[text(&extra), &target]].concat();
        run("umoci", &insert);
    }
    reference
}

/// Adds, removes and replaces by turns, so that names change their type and come back.
fn change(root: &Path, layer: u32) -> std::io::Result<()> {
    for n in 0..6u32 {
        let path = root.join(format!("dir-{}", (layer + n) % 5));
        match (layer * 7 + n * 3) % 5 {
            0 => {
                let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
                fs::write(&path, format!("{layer}"))?;
            }
            1 => {
                let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
            }
            2 => {
                let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
                std::os::unix::fs::symlink("elsewhere", &path)?;
            }
            _ => {
                if !path.symlink_metadata().is_ok_and(|m| m.is_dir()) {
                    let _ = fs::remove_file(&path);
                    fs::create_dir(&path)?;
                }
                fs::create_dir_all(path.join("a/b"))?;
                fs::write(path.join(format!("a/b/{layer}-{n}")), vec![n as u8; 5000])?;
                fs::hard_link(
                    path.join(format!("a/b/{layer}-{n}")),
                    path.join(format!("l{layer}")),
                )
                .or_else(|_| fs::write(path.join("again"), "again"))?;
            }
        }
    }
    Ok(())
}

fn with_mount_points(tar: Tar) -> Tar {
    let add = |tar: Tar, name| tar.add(tars::dir(name), b"");
    ["dev/", "etc/", "proc/", "sys/"].into_iter().fold(tar, add)
}

/// A small Debian for arm64 with busybox.
pub(crate) fn busybox(dir: &Path) -> String {
    layout(dir, &[&debian("base-files,base-passwd,busybox-static,libc6,netbase,tzdata")])
}

/// A Debian for arm64 with nginx, Python and Redis, and a layer on top that changes it.
pub(crate) fn servers(dir: &Path) -> String {
    let base = debian("nginx-light,python3-minimal,redis-server,perl-base,libc6,bash");
    let top = Tar::default()
        .add(tars::file("usr/share/.wh.doc"), b"")
        .add(tars::file("etc/motd"), b"hello")
        .write(dir, "top.tar");
    layout(dir, &[&base, &top])
}

/// Packages of Debian 12 for arm64, unpacked into one tar by mmdebstrap, once: it is kept under a
/// name that says what it was made of.
fn debian(packages: &str) -> PathBuf {
    let cache = super::tools::cache("test-images");
    let tar = cache.join(format!("bookworm-{packages}.tar"));
    if !tar.exists() {
        let new = tempfile::Builder::new().suffix(".tar").tempfile_in(&cache).unwrap();
        let include = format!("--include={packages}");
        let what = ["--architectures=arm64", "--variant=extract", &include, "bookworm"];
        run("mmdebstrap", &[&what[..], &[text(new.path())]].concat());
        new.persist(&tar).unwrap();
    }
    tar
}

/// How an image can come, besides an OCI layout with gzip layers.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Zstd,
    OciArchive,
    DockerArchive,
}

/// The image in another form, made by skopeo in `dir`; returns kiln's reference of it.
pub(crate) fn in_form(dir: &Path, layout: &str, form: Form) -> String {
    let from = layout.replacen("oci-layout:", "oci:", 1);
    let file = text(dir);
    let (to, reference) = match form {
        Form::Zstd => (format!("oci:{file}/zstd:t"), format!("oci-layout:{file}/zstd:t")),
        Form::OciArchive => {
            (format!("oci-archive:{file}/oci.tar:t"), format!("oci-archive:{file}/oci.tar:t"))
        }
        Form::DockerArchive => (
            format!("docker-archive:{file}/docker.tar:name:t"),
            format!("docker-archive:{file}/docker.tar:t"),
        ),
    };
    let compress: &[&str] = match form {
        Form::Zstd => &["--dest-compress", "--dest-compress-format", "zstd"],
        Form::OciArchive | Form::DockerArchive => &[],
    };
    let copy = ["--insecure-policy", "copy", "-q"];
    run("skopeo", &[&copy[..], compress, &[&from, &to]].concat());
    reference
}
