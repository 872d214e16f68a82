//! Layer files against `umoci unpack`: the same images, path by path.
//!
//! Departures, and why:
//! - The modification time of a directory that no layer states: umoci leaves the time of unpacking.
//!   The tars here state theirs, except where a test says otherwise.
//! - An extended attribute with an empty value: GNU tar stores it as an empty pax record, which we
//!   keep; Go's reader, and so umoci, takes that for the removal of a record.
//! - The link count of a file whose names lie in different layers: overlayfs cannot share an inode
//!   between layers. The names of such a file are put into one layer where a layer links to a lower
//!   one, so those too agree here.

mod common;

use std::fs;
use std::path::Path;

use common::tars::{self, Tar};
use common::tree::{self, Tree};
use common::{layers, layout, need_root, pull, run, text};
use image::Store;

/// Unpacks with umoci as root, once.
fn umoci(dir: &Path, reference: &str) -> Tree {
    let bundle = dir.join("bundle");
    let _ = fs::remove_dir_all(&bundle);
    let name = reference.strip_prefix("oci-layout:").expect("a layout");
    run("umoci", &["unpack", "--image", name, text(&bundle)]);
    let tree = tree::of_host(&bundle.join("rootfs"));
    fs::remove_dir_all(&bundle).expect("removed");
    tree
}

/// Compares what `reference` gives with what umoci makes of `layout`. `spread` are files whose names
/// lie in several layers, so that their link counts differ.
fn compare_with(dir: &Path, reference: &str, layout: &str, spread: &[&str]) {
    let store = Store::open(&dir.join("home")).unwrap();
    let image = pull(&store, reference).unwrap();
    let mut ours = layers::merged(&image);
    let mut theirs = umoci(dir, layout);
    for path in spread {
        for tree in [&mut ours, &mut theirs] {
            tree.get_mut(path.as_bytes()).expect("a file").links = 0;
        }
    }
    let differences = tree::differences(&ours, &theirs);
    assert!(differences.is_empty(), "{differences}");
    assert!(ours.len() > 1);
    let verified = store.verify().unwrap();
    assert!(verified.damage.is_empty(), "{:?}", verified.damage);
}

fn compare(dir: &Path, reference: &str) {
    compare_with(dir, reference, reference, &[]);
}

#[test]
fn every_kind_of_file() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
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
    let mut tar = Tar::default()
        .add(tars::dir("./").mode(0o1755).owner(7, 8), b"")
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
    let tar = tar.write(dir.path(), "base.tar");
    compare(dir.path(), &layout(dir.path(), &[&tar]));
}

#[test]
fn whiteouts_replacements_and_links_across_layers() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let d = |name: &str| tars::dir(name);
    let f = |name: &str| tars::file(name);
    let base = Tar::default()
        .add(d("./"), b"")
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
        .write(dir.path(), "0.tar");
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
        .write(dir.path(), "1.tar");
    let third = Tar::default()
        .add(f(".wh.dir-to-file"), b"")
        .add(d("dir-to-file/"), b"")
        .add(f("dir-to-file/back"), b"back")
        .add(f("file-to-dir"), b"back")
        .add(f("gone"), b"back")
        .add(d("opaque/sub/"), b"")
        .add(f("opaque/sub/third"), b"third")
        .add(f("a/.wh.b"), b"")
        .write(dir.path(), "2.tar");
    let reference = layout(dir.path(), &[&base, &second, &third]);
    // The second layer links to the lowest layer's "original", not to its other name.
    let spread = ["original", "original-2", "linked", "linked-2"];
    compare_with(dir.path(), &reference, &reference, &spread);
}

#[test]
fn an_empty_attribute_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let tar =
        Tar::default().add(tars::file("f").xattr("user.empty", b""), b"").write(dir.path(), "t");
    let store = Store::open(&dir.path().join("home")).unwrap();
    let image = pull(&store, &layout(dir.path(), &[&tar])).unwrap();
    let tree = layers::merged(&image);
    assert_eq!(tree[&b"f"[..]].xattrs, [(b"user.empty".to_vec(), Vec::new())].into());
}

/// Thirty changes to one tree, each made a layer by `umoci repack` or `umoci insert`.
#[test]
fn thirty_layers() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let base = Tar::default().add(tars::dir("./"), b"").write(dir.path(), "base.tar");
    let reference = layout(dir.path(), &[&base]);
    let name = reference.strip_prefix("oci-layout:").unwrap();
    let bundle = dir.path().join("work");
    run("umoci", &["unpack", "--image", name, text(&bundle)]);
    let root = bundle.join("rootfs");
    for layer in 1..=24u32 {
        change(&root, layer).unwrap();
        run("umoci", &["repack", "--refresh-bundle", "--image", name, text(&bundle)]);
    }
    let extra = dir.path().join("extra");
    for layer in 25..30 {
        fs::create_dir_all(extra.join("sub")).unwrap();
        fs::write(extra.join(format!("sub/{layer}")), format!("{layer}")).unwrap();
        let target = format!("/dir-{}", layer % 3);
        let opaque = if layer % 2 == 0 { &["--opaque"][..] } else { &[] };
        let insert = [&["insert", "--image", name][..], opaque, &[text(&extra), &target]].concat();
        run("umoci", &insert);
    }
    let store = Store::open(&dir.path().join("home")).unwrap();
    assert_eq!(pull(&store, &reference).unwrap().layers.len(), 30);
    compare(dir.path(), &reference);
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

/// Debian packages for arm64, unpacked by mmdebstrap into one tar and kept.
fn debian(name: &str, packages: &str) -> std::path::PathBuf {
    let tar = common::cache("test-images").join(format!("{name}.tar"));
    if !tar.exists() {
        let new = tar.with_extension("new.tar");
        let include = format!("--include={packages}");
        let arguments =
            ["--architectures=arm64", "--variant=extract", &include, "bookworm", text(&new)];
        run("mmdebstrap", &arguments);
        fs::rename(&new, &tar).unwrap();
    }
    tar
}

#[test]
fn debian_with_busybox() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let packages = "base-files,base-passwd,busybox-static,libc6,netbase,tzdata";
    let tar = debian("busybox", packages);
    compare(dir.path(), &layout(dir.path(), &[&tar]));
}

/// One image in every form it can come in.
#[test]
fn debian_with_servers_in_every_form() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let tar = debian("servers", "nginx-light,python3-minimal,redis-server,perl-base,libc6,bash");
    let top = Tar::default()
        .add(tars::file("usr/share/.wh.doc"), b"")
        .add(tars::file("etc/motd"), b"hello")
        .write(dir.path(), "top.tar");
    let oci = layout(dir.path(), &[&tar, &top]);
    compare(dir.path(), &oci);
    let from = oci.replacen("oci-layout:", "oci:", 1);
    for (to, reference, format) in [
        ("oci:", "oci-layout:", "zstd"),
        ("oci-archive:", "oci-archive:", "gzip"),
        ("docker-archive:", "docker-archive:", ""),
    ] {
        let target = format!("{}/{}:t", text(dir.path()), to.trim_end_matches(':'));
        let skopeo_target = match to {
            "docker-archive:" => {
                format!("{to}{}ame:t", target.trim_end_matches('t').to_owned() + "n")
            }
            _ => format!("{to}{target}"),
        };
        let mut arguments = vec!["--insecure-policy", "copy", "-q"];
        if !format.is_empty() {
            arguments.extend(["--dest-compress-format", format, "--dest-compress"]);
        }
        arguments.extend([from.as_str(), &skopeo_target]);
        run("skopeo", &arguments);
        // A store of its own, so that nothing is there already.
        let home = tempfile::tempdir_in(dir.path()).unwrap();
        compare_with(home.path(), &format!("{reference}{target}"), &oci, &[]);
    }
}
