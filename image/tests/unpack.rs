//! Layer files against `umoci unpack`: the same images, path by path.
//!
//! Departures, and why:
//! - The modification time of a directory that no layer states: umoci leaves the time of unpacking.
//!   The tars here state theirs, except where a test says otherwise.
//! - An extended attribute with an empty value: GNU tar stores it as an empty pax record, which we
//!   keep; Go's reader, and so umoci, takes that for the removal of a record.
//! - An extended attribute of a namespace that Linux does not have (`com.apple.…`): it is left out,
//!   with a warning, since no Linux file system could show it.
//! - The link count of a file whose names lie in different layers: overlayfs cannot share an inode
//!   between layers. The names of such a file are put into one layer where a layer links to a lower
//!   one, so those too agree here.

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::samples::{self, Form};
use common::tars::{self, Tar};
use common::tree::{self, Tree};
use common::{layers, layout, need_root, pull, run, text};
use image::Store;
use rustix::fs::XattrFlags;

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
    compare(dir.path(), &samples::every_kind_of_file(dir.path()));
}

#[test]
fn whiteouts_replacements_and_links_across_layers() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let reference = samples::changes_across_layers(dir.path());
    compare_with(dir.path(), &reference, &reference, &samples::SPREAD);
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

/// The same files in GNU tar's own format and in POSIX's: long names, sparse files, attributes. The
/// peer is GNU tar itself: umoci refuses its sparse entries.
#[test]
fn archives_by_gnu_tar() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    let deep = tree.join("d".repeat(150)).join("e".repeat(150));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f".repeat(200)), "deep").unwrap();
    std::os::unix::fs::symlink("t/".repeat(300), tree.join("long-target")).unwrap();
    fs::hard_link(deep.join("f".repeat(200)), tree.join("linked")).unwrap();
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    // More pieces than a header has room for.
    for piece in 0..60 {
        sparse.write_all_at(b"data", piece * 200_000).unwrap();
    }
    sparse.set_len(60 * 200_000).unwrap();
    fs::File::create(tree.join("hole")).unwrap().set_len(64 << 20).unwrap();
    rustix::fs::setxattr(tree.join("linked"), "user.a", b"1", XattrFlags::empty()).unwrap();
    fs::write(tree.join("owned"), "x").unwrap();
    std::os::unix::fs::chown(tree.join("owned"), Some(3_000_000), Some(4_000_000_000)).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--format=posix", "--xattrs", "--sparse-version=0.0"],
        &["--format=posix", "--xattrs", "--sparse-version=0.1"],
        &["--format=posix", "--xattrs", "--sparse-version=1.0"],
    ] {
        let place = tempfile::tempdir_in(dir.path()).unwrap();
        let tar = place.path().join("t.tar");
        let what = ["-C", text(&tree), "--sparse", "-cf", text(&tar), "."];
        run("tar", &[format, &what].concat());
        let unpacked = place.path().join("unpacked");
        fs::create_dir(&unpacked).unwrap();
        run("tar", &["-C", text(&unpacked), "--xattrs", "-xpf", text(&tar)]);
        let store = Store::open(&place.path().join("home")).unwrap();
        let image = pull(&store, &layout(place.path(), &[&tar])).unwrap();
        let differences = tree::differences(&layers::merged(&image), &tree::of_host(&unpacked));
        assert!(differences.is_empty(), "{format:?}: {differences}");
    }
}

#[test]
fn an_opaque_root() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    compare(dir.path(), &samples::opaque_root(dir.path()));
}

#[test]
fn thirty_layers() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let reference = samples::thirty_layers(dir.path());
    let store = Store::open(&dir.path().join("home")).unwrap();
    assert_eq!(pull(&store, &reference).unwrap().layers.len(), 30);
    compare(dir.path(), &reference);
}

#[test]
fn debian_with_busybox() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    compare(dir.path(), &samples::busybox(dir.path()));
}

/// One image in every form it can come in.
#[test]
fn debian_with_servers_in_every_form() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let layout = samples::servers(dir.path());
    compare(dir.path(), &layout);
    for form in [Form::Zstd, Form::OciArchive, Form::DockerArchive] {
        // A store of its own, so that nothing is there already.
        let home = tempfile::tempdir_in(dir.path()).unwrap();
        let reference = samples::in_form(home.path(), &layout, form);
        compare_with(home.path(), &reference, &layout, &[]);
    }
}

/// Docker's own archives where it keeps images in containerd: an OCI layout whose layers are as the
/// registry had them, and beside it the manifest of old.
#[test]
fn a_docker_archive_of_compressed_layers() {
    let dir = tempfile::tempdir().unwrap();
    let base = Tar::default().add(tars::dir("d/"), b"").add(tars::file("d/f"), &[7; 10_000]);
    let top = Tar::default().add(tars::file("d/.wh.f"), b"").add(tars::file("d/g"), b"g");
    let tars = [base.write(dir.path(), "0.tar"), top.write(dir.path(), "1.tar")];
    let gzip = layout(dir.path(), &tars.each_ref().map(|tar| tar.as_path()));
    let zstd = samples::in_form(dir.path(), &gzip, Form::Zstd);
    let expected = pull(&Store::open(&dir.path().join("home")).unwrap(), &gzip).unwrap();
    for (reference, magic) in [(gzip, &b"\x1f\x8b"[..]), (zstd, b"\x28\xb5\x2f\xfd")] {
        let place = tempfile::tempdir_in(dir.path()).unwrap();
        let layout = reference.strip_prefix("oci-layout:").unwrap().strip_suffix(":t").unwrap();
        let read = |name: &str| fs::read(Path::new(layout).join(name)).unwrap();
        let json = |name: &str| serde_json::from_slice::<serde_json::Value>(&read(name)).unwrap();
        let name = |descriptor: &serde_json::Value| {
            format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))
        };
        let manifest = json(&name(&json("index.json")["manifests"][0]));
        let config = name(&manifest["config"]);
        let blobs: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(name).collect();
        let saved = serde_json::json!([
            { "Config": config, "RepoTags": ["name:t"], "Layers": blobs }
        ]);
        let mut tar = Tar::default().add(tars::file("manifest.json"), saved.to_string().as_bytes());
        for layer in &blobs {
            assert!(read(layer).starts_with(magic));
            tar = tar.add(tars::file(layer), &read(layer));
        }
        tar.add(tars::file(&config), &read(&config)).write(place.path(), "saved.tar");
        let store = Store::open(&place.path().join("home")).unwrap();
        let saved = text(place.path());
        let image = pull(&store, &format!("docker-archive:{saved}/saved.tar")).unwrap();
        assert_eq!(image.config, expected.config);
        let differences = tree::differences(&layers::merged(&image), &layers::merged(&expected));
        assert!(differences.is_empty(), "{differences}");
    }
}
