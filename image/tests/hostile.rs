//! Images that were made to do harm: each gives an error that names the entry and the layer, and
//! leaves nothing behind.

mod common;

use std::path::Path;

use common::tars::{self, Tar};
use common::{http, text};
use image::{Digest, EntryProblem, Error, LayerError, PullOptions, Reference, Store, TarError};
use rustix::process::{Resource, Rlimit};

/// An OCI layout around blobs, without asking anyone whether they make sense.
struct Layout<'a>(&'a Path);

impl Layout<'_> {
    fn blob(&self, bytes: &[u8]) -> serde_json::Value {
        let digest = Digest::of(bytes);
        let dir = self.0.join("blobs/sha256");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(digest.hex()), bytes).unwrap();
        serde_json::json!({ "digest": digest, "size": bytes.len() })
    }

    /// The layout of an image of these layer blobs, whose tars have those diff ids.
    fn image(&self, layers: &[(&[u8], Digest)]) -> Reference {
        let diff_ids: Vec<_> = layers.iter().map(|(_, diff_id)| diff_id).collect();
        let config = serde_json::json!({
            "os": "linux", "architecture": "arm64",
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let mut config = self.blob(config.to_string().as_bytes());
        config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
        let layers = layers.iter().map(|(blob, _)| {
            let mut layer = self.blob(blob);
            layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
            layer
        });
        let layers: Vec<_> = layers.collect();
        self.manifest(&serde_json::json!({
            "schemaVersion": 2, "config": config, "layers": layers,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
        }))
    }

    fn manifest(&self, manifest: &serde_json::Value) -> Reference {
        let mut entry = self.blob(manifest.to_string().as_bytes());
        entry["mediaType"] = manifest["mediaType"].clone();
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": [entry] });
        std::fs::write(self.0.join("index.json"), index.to_string()).unwrap();
        std::fs::write(self.0.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        format!("oci-layout:{}", text(self.0)).parse().unwrap()
    }
}

/// Pulls into a new store and checks that a failure leaves nothing that a clean-up does not take.
fn pull_with(reference: &Reference, options: &PullOptions) -> Result<(), Error> {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let outcome = store.pull(reference, options, &|_| {}).map(drop);
    if outcome.is_err() {
        let count =
            |kind: &str| std::fs::read_dir(home.path().join("images").join(kind)).unwrap().count();
        for kind in ["tags", "leases", "tmp", "partial/sha256"] {
            assert_eq!(count(kind), 0, "{kind}");
        }
        // What was verified before the failure is no harm: the next clean-up takes it.
        store.prune(false).unwrap();
        for kind in ["blobs/sha256", "layers/diff/sha256", "layers/chain/sha256"] {
            assert_eq!(count(kind), 0, "{kind}");
        }
    }
    outcome
}

fn pull_layers(layers: &[(&[u8], Digest)], options: &PullOptions) -> Result<(), Error> {
    let dir = tempfile::tempdir().unwrap();
    pull_with(&Layout(dir.path()).image(layers), options)
}

/// What a layer's tar is refused for: the problem and the entry's name.
fn refusal(tar: &[u8]) -> (EntryProblem, String) {
    let diff_id = Digest::of(tar);
    match pull_layers(&[(tar, diff_id.clone())], &PullOptions::default()) {
        Err(Error::Layer { layer, source: LayerError::Entry { entry, problem } }) => {
            assert_eq!(layer, diff_id);
            (problem, entry)
        }
        other => panic!("{other:?}"),
    }
}

fn pull_one(tar: &[u8]) -> Result<(), Error> {
    pull_layers(&[(tar, Digest::of(tar))], &PullOptions::default())
}

macro_rules! refused {
    ($tar:expr, $problem:pat, $entry:expr) => {
        match refusal(&$tar) {
            ($problem, entry) => assert_eq!(entry, $entry),
            other => panic!("{other:?}"),
        }
    };
}

fn one(header: tars::Header) -> Vec<u8> {
    Tar::default().add(header, b"").bytes()
}

#[test]
fn names_that_lead_out() {
    refused!(one(tars::file("/etc/passwd")), EntryProblem::Absolute, "/etc/passwd");
    refused!(one(tars::file("../x")), EntryProblem::DotDot, "../x");
    refused!(one(tars::file("a/../../x")), EntryProblem::DotDot, "a/../../x");
    refused!(one(tars::link("l", "../../etc/shadow")), EntryProblem::DotDot, "l");
    refused!(one(tars::link("l", "/etc/shadow")), EntryProblem::Absolute, "l");
    refused!(one(tars::file("x").pax("path", b"a\0b")), EntryProblem::Tar(_), "");
    refused!(one(tars::file("n".repeat(256))), EntryProblem::NameTooLong, "n".repeat(200) + "…");
    refused!(one(tars::file(".")), EntryProblem::Root, ".");

    let absolute = one(tars::file("/etc/passwd"));
    let mut options = PullOptions::default();
    options.limits.absolute_names = true;
    pull_layers(&[(&absolute, Digest::of(&absolute))], &options).unwrap();
}

#[test]
fn links_that_lead_nowhere_or_round() {
    refused!(one(tars::link("l", "nothing")), EntryProblem::LinkTarget(_), "l");
    let to_dir = Tar::default().add(tars::dir("d"), b"").add(tars::link("l", "d"), b"").bytes();
    refused!(to_dir, EntryProblem::LinkToDirectory(_), "l");
    refused!(one(tars::symlink("s", "")), EntryProblem::SymlinkTarget, "s");
    refused!(one(tars::symlink("s", "t".repeat(4096))), EntryProblem::SymlinkTarget, "s");
    let circle = Tar::default()
        .add(tars::symlink("a", "b"), b"")
        .add(tars::symlink("b", "a"), b"")
        .add(tars::file("a/x"), b"")
        .bytes();
    refused!(circle, EntryProblem::Loop, "a/x");
    // The link would take the place of the directory that its target lies in.
    let below = Tar::default().add(tars::dir("d"), b"").add(tars::file("d/f"), b"").bytes();
    let above = one(tars::link("d", "d/f"));
    match pull_layers(
        &[(&below, Digest::of(&below)), (&above, Digest::of(&above))],
        &PullOptions::default(),
    ) {
        Err(Error::Layer {
            source: LayerError::Entry { problem: EntryProblem::LinkTarget(_), .. },
            ..
        }) => {}
        outcome => panic!("{outcome:?}"),
    }
    let through = Tar::default().add(tars::file("f"), b"").add(tars::file("f/x"), b"").bytes();
    refused!(through, EntryProblem::NotADirectory(_), "f/x");
}

#[test]
fn entries_twice() {
    let twice = Tar::default().add(tars::file("a"), b"1").add(tars::file("./a"), b"2").bytes();
    refused!(twice, EntryProblem::Duplicate, "./a");
    let through = Tar::default()
        .add(tars::dir("usr"), b"")
        .add(tars::symlink("lib", "usr"), b"")
        .add(tars::file("usr/f"), b"")
        .add(tars::file("lib/f"), b"")
        .bytes();
    refused!(through, EntryProblem::Duplicate, "lib/f");
    // Two statements about one directory do not contradict each other: the later one holds.
    let dir = Tar::default().add(tars::dir("a/"), b"").add(tars::dir("a").mode(0o700), b"").bytes();
    pull_layers(&[(&dir, Digest::of(&dir))], &PullOptions::default()).unwrap();
}

#[test]
fn what_overlayfs_would_obey() {
    refused!(one(tars::entry(b'3', "c")), EntryProblem::WhiteoutDevice, "c");
    refused!(one(tars::file(".wh.")), EntryProblem::EmptyWhiteout, ".wh.");
    refused!(one(tars::file("d/.wh...")), EntryProblem::EmptyWhiteout, "d/.wh...");

    let dir = tempfile::tempdir().unwrap();
    let opaque = one(tars::dir("d").xattr("trusted.overlay.opaque", "y"));
    let reference = Layout(dir.path()).image(&[(&opaque, Digest::of(&opaque))]);
    let store = Store::open(&dir.path().join("home")).unwrap();
    let image = store.pull(&reference, &PullOptions::default(), &|_| {}).unwrap();
    let bytes = std::fs::read(&image.layers[0].path).unwrap();
    let escaped = b"overlay.overlay.opaque";
    assert!(bytes.windows(escaped.len()).any(|window| window == escaped));
    // As a nested overlayfs would show it.
    let tree = common::layers::merged(&image);
    assert!(tree[&b"d"[..]].xattrs.contains_key(&b"trusted.overlay.opaque"[..]));
}

#[test]
fn archives_that_lie() {
    let whole = Tar::default().add(tars::file("f"), &[7; 5000]).bytes();
    for cut in [100, 512, 513, 3000, 512 + 4999] {
        match refusal(&whole[..cut]) {
            (EntryProblem::Tar(_), _) => {}
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    let huge = tars::Header { size: Some(1 << 40), ..tars::file("f") };
    refused!(Tar::default().add(huge, b"x").open_ended(), EntryProblem::Tar(_), "f");
    let all = tars::Header { size: Some(u64::MAX >> 1), ..tars::file("f") };
    refused!(Tar::default().add(all, b"x").open_ended(), EntryProblem::Tar(_), "f");
    let long_name = tars::Header { size: Some(1 << 33), ..tars::entry(b'L', "x") };
    refused!(Tar::default().add(long_name, b"x").open_ended(), EntryProblem::Tar(_), "");
    let pax = tars::Header { size: Some(1 << 33), ..tars::entry(b'x', "x") };
    refused!(Tar::default().add(pax, b"x").open_ended(), EntryProblem::Tar(_), "");
    refused!(one(tars::entry(b'V', "volume")), EntryProblem::Tar(_), "volume");
    let mut checksum = one(tars::file("f"));
    checksum[0] ^= 1;
    refused!(checksum, EntryProblem::Tar(_), "");
    refused!(one(tars::file("f").pax("uid", "4294967296")), EntryProblem::Tar(_), "f");
    refused!(one(tars::file("f").pax("size", "-1")), EntryProblem::Tar(_), "");
    let device = tars::Header { device: (4096, 0), ..tars::entry(b'4', "b") };
    refused!(one(device), EntryProblem::Device(4096, 0), "b");
    let value = vec![0; 65_536];
    refused!(one(tars::file("f").xattr("user.x", value)), EntryProblem::Xattr, "f");
    let sparse = |map: &str, size: &str| {
        one(tars::file("s").pax("GNU.sparse.map", map).pax("GNU.sparse.size", size))
    };
    for (map, size) in [("0,1", "5"), ("5,1,0,1", "9"), ("0,18446744073709551615", "1"), ("0", "1")]
    {
        refused!(sparse(map, size), EntryProblem::Tar(_), "s");
    }
}

/// The entry that is wrong is named, not the good one before it.
#[test]
fn the_second_entry_is_at_fault() {
    let first = || Tar::default().add(tars::file("good"), b"content");
    let mut checksum = first().add(tars::file("bad"), b"").bytes();
    checksum[1024] ^= 1;
    refused!(checksum, EntryProblem::Tar(TarError::Checksum), "");
    let long = "l".repeat(200);
    let pax = first().add(tars::file("bad").pax("uid", "x"), b"").bytes();
    refused!(pax, EntryProblem::Tar(_), "");
    let size = first().add(tars::file(&long).pax("path", long.as_bytes()), b"").bytes();
    let size = with_field(size, 1024 + 1024 + 124, b"x");
    refused!(size, EntryProblem::Tar(TarError::Field { field: "size" }), long);
    let owner = with_field(first().add(tars::file("bad"), b"").bytes(), 1024 + 108, b"x");
    refused!(owner, EntryProblem::Tar(TarError::Field { .. }), "bad");
    let kind = first().add(tars::entry(b'V', "bad"), b"").bytes();
    refused!(kind, EntryProblem::Tar(TarError::Type('V')), "bad");
    // What is missing is the second's, too.
    let cut = first().add(tars::file("bad"), &[7; 5000]).bytes();
    refused!(cut[..1024 + 512 + 4000], EntryProblem::Tar(TarError::Truncated), "bad");
}

/// Changes bytes of the header that begins with the block of `at`.
fn with_field(mut tar: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    tar[at..at + bytes.len()].copy_from_slice(bytes);
    let header = &mut tar[at / 512 * 512..][..512];
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar
}

/// What a global header says is copied for each entry.
#[test]
fn global_headers() {
    let global = |records: tars::Header| {
        // The record's own header becomes a global one.
        let mut tar = Tar::default().add(records, b"").open_ended();
        tar[156] = b'g';
        let tar = with_field(tar, 0, b"");
        Tar::default().raw(&tar).add(tars::file("later"), b"").bytes()
    };
    pull_one(&global(tars::file("f").xattr("user.a", "b"))).unwrap();
    let sparse = global(tars::file("f").pax("GNU.sparse.map", "0,0").pax("GNU.sparse.size", "0"));
    refused!(sparse, EntryProblem::Tar(TarError::Field { .. }), "");
    let large = global(tars::file("f").xattr("user.a", "v".repeat(5000)));
    refused!(large, EntryProblem::Tar(TarError::TooLong { .. }), "");
}

#[test]
fn digests_and_sizes_that_are_wrong() {
    let tar = one(tars::file("f"));
    let other = Digest::of(b"something else");
    match pull_layers(&[(&tar, other.clone())], &PullOptions::default()) {
        Err(Error::Layer { source: LayerError::DiffId { expected, actual }, .. }) => {
            assert_eq!((expected, actual), (other, Digest::of(&tar)));
        }
        outcome => panic!("{outcome:?}"),
    }
    for change in [&b"same length"[..], b"longer than it was", b"short"] {
        let dir = tempfile::tempdir().unwrap();
        let reference = Layout(dir.path()).image(&[(b"the content", Digest::of(b"x"))]);
        let blob = dir.path().join("blobs/sha256").join(Digest::of(b"the content").hex());
        std::fs::write(blob, change).unwrap();
        match pull_with(&reference, &PullOptions::default()) {
            Err(Error::WrongDigest { .. } | Error::WrongSize { .. } | Error::Connection { .. }) => {
            }
            outcome => panic!("{outcome:?}"),
        }
    }
}

/// No harm is meant: both algorithms may name a layer, also one that does not stand alone.
#[test]
fn digests_by_sha512() {
    use sha2::Digest as _;
    // Its directory is only implied, so it is kept under its chain id.
    let tar = one(tars::file("implied/f"));
    let hex: String = sha2::Sha512::digest(&tar).iter().map(|b| format!("{b:02x}")).collect();
    let diff_id: Digest = format!("sha512:{hex}").parse().unwrap();
    pull_layers(&[(&tar, diff_id)], &PullOptions::default()).unwrap();
}

#[test]
fn streams_that_swell_or_break() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let header = tars::Header { size: Some(64 << 20), ..tars::file("zeroes") };
    gzip.write_all(&Tar::default().add(header, b"").open_ended()).unwrap();
    for _ in 0..64 {
        gzip.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = gzip.finish().unwrap();
    let mut options = PullOptions::default();
    options.limits.tar_bytes = 8 << 20;
    match pull_layers(&[(&bomb, Digest::of(b""))], &options) {
        Err(Error::Layer { source: LayerError::Bomb { limit }, .. }) => assert_eq!(limit, 8 << 20),
        outcome => panic!("{outcome:?}"),
    }
    for broken in [&bomb[..bomb.len() / 2], b"\x1f\x8bnot gzip", b"\x28\xb5\x2f\xfdnot zstd"] {
        match pull_layers(&[(broken, Digest::of(b""))], &PullOptions::default()) {
            Err(Error::Layer { source: LayerError::Decompress(_), .. }) => {}
            outcome => panic!("{outcome:?}"),
        }
    }
}

/// The limit holds for what a layer takes from those below, too.
#[test]
fn hard_links_that_swell() {
    let mut options = PullOptions::default();
    options.limits.tar_bytes = 8 << 20;
    let of = |name: &str, byte| Tar::default().add(tars::file(name), &vec![byte; 5 << 20]).bytes();
    let top =
        Tar::default().add(tars::link("a2", "a"), b"").add(tars::link("b2", "b"), b"").bytes();
    let layers = |byte| [of("a", byte), of("b", byte), top.clone()];
    let pull = |layers: &[Vec<u8>; 3]| {
        pull_layers(&layers.each_ref().map(|tar| (&tar[..], Digest::of(tar))), &options)
    };
    match pull(&layers(7)) {
        Err(Error::Layer { layer, source: LayerError::Bomb { limit } }) => {
            assert_eq!((layer, limit), (Digest::of(&top), 8 << 20));
        }
        outcome => panic!("{outcome:?}"),
    }
    // Blocks of zeroes are holes, which are not copied.
    pull(&layers(0)).unwrap();
}

/// A file of a TiB that has a byte here and there: 16 GiB of chunks are holes but for 1,000 bytes.
#[test]
fn hard_links_to_holes() {
    let chunk = 16u64 << 20;
    let map: Vec<String> = (0..1000).map(|n| format!("{},1", n * chunk)).collect();
    let sparse = tars::file("GNUSparseFile.0/s")
        .pax("GNU.sparse.name", "s")
        .pax("GNU.sparse.size", (1u64 << 40).to_string())
        .pax("GNU.sparse.map", map.join(","));
    let below = Tar::default().add(sparse, &[7; 1000]).bytes();
    let top = one(tars::link("again", "s"));
    let mut options = PullOptions::default();
    options.limits.tar_bytes = 256 << 20;
    pull_layers(&[(&below, Digest::of(&below)), (&top, Digest::of(&top))], &options).unwrap();
}

#[test]
fn blobs_that_claim_to_be_huge() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout(dir.path());
    let tar = one(tars::file("f"));
    layout.image(&[(&tar, Digest::of(&tar))]);
    let index = std::fs::read(dir.path().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let digest: Digest = index["manifests"][0]["digest"].as_str().unwrap().parse().unwrap();
    let manifest = std::fs::read(dir.path().join("blobs/sha256").join(digest.hex())).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["layers"][0]["size"] = (1u64 << 50).into();
    match pull_with(&layout.manifest(&manifest), &PullOptions::default()) {
        Err(Error::Layer { source: LayerError::Bomb { .. }, .. }) => {}
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn metadata_without_end() {
    let mut options = PullOptions::default();
    options.limits.metadata_bytes = 1 << 20;
    // Whiteouts become inodes too, however little their tar says.
    for prefix in ["", ".wh."] {
        let mut many = Tar::default();
        for n in 0..5000 {
            many = many.add(tars::file(format!("{prefix}{n}")), b"");
        }
        let many = many.bytes();
        match pull_layers(&[(&many, Digest::of(&many))], &options) {
            Err(Error::Layer { source: LayerError::Metadata { .. }, .. }) => {}
            outcome => panic!("{outcome:?}"),
        }
    }
    // One entry with any number of extended headers, each of an acceptable size.
    let mut repeated = Tar::default();
    for n in 0..40 {
        let value = "v".repeat(60_000);
        let header = Tar::default().add(tars::file("f").xattr(&format!("user.{n}"), value), b"");
        let mut bytes = header.open_ended();
        bytes.truncate(bytes.len() - 512);
        repeated = repeated.raw(&bytes);
    }
    let repeated = repeated.add(tars::file("f"), b"").bytes();
    match refusal(&repeated) {
        (EntryProblem::Tar(TarError::TooLong { .. }), _) => {}
        other => panic!("{other:?}"),
    }
}

/// An opaque root asks for every name that any layer below has, also for those that another of them
/// hides: here each layer is within the limit, but not all their names together.
#[test]
fn names_below_an_opaque_root() {
    let mut options = PullOptions::default();
    options.limits.metadata_bytes = 1 << 20;
    let mut layers = Vec::new();
    for group in 0..4 {
        for prefix in ["", ".wh."] {
            let add = |tar: Tar, n| tar.add(tars::file(format!("{prefix}{group}-{n}")), b"");
            layers.push((0..1200).fold(Tar::default(), add).bytes());
        }
    }
    let layer = |tar: &Vec<u8>| Digest::of(tar);
    let all = |tars: &[Vec<u8>]| {
        pull_layers(&tars.iter().map(|tar| (&tar[..], layer(tar))).collect::<Vec<_>>(), &options)
    };
    all(&layers).unwrap();
    layers.push(one(tars::file(".wh..wh..opq")));
    match all(&layers) {
        Err(Error::Layer { layer: at, source: LayerError::Metadata { .. } }) => {
            assert_eq!(at, layer(&layers[8]));
        }
        outcome => panic!("{outcome:?}"),
    }
}

/// Each symbolic link leads 2,000 directories down, and each directory has an entry of its own.
#[test]
fn directories_deeper_than_a_stack() {
    let below = one(tars::file("f"));
    let mut deep = Tar::default();
    let mut start = String::new();
    for link in 0..4 {
        for depth in 1..=2000 {
            deep = deep.add(tars::dir(format!("{start}{}", "a/".repeat(depth))), b"");
        }
        let end = format!("{start}{}", "a/".repeat(2000));
        deep = deep.add(tars::symlink(format!("s{link}"), end), b"");
        start = format!("s{link}/");
    }
    let deep = deep.add(tars::file(format!("{start}.wh.gone")), b"").bytes();
    let layers = [(&below[..], Digest::of(&below)), (&deep, Digest::of(&deep))];
    pull_layers(&layers, &PullOptions::default()).unwrap();
}

/// A blob that came from a registry is kept for a later pull, but not one that is of no use.
#[test]
fn what_cannot_be_converted_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let bad = one(tars::file("../x"));
    Layout(dir.path()).image(&[(&bad, Digest::of(&bad))]);
    let port = http::serve_layout(dir.path());
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let reference = format!("localhost:{port}/image").parse().unwrap();
    let refused = store.pull(&reference, &PullOptions::default(), &|_| {}).unwrap_err();
    assert!(matches!(refused, Error::Layer { .. }), "{refused}");
    for kind in ["blobs/sha256", "partial/sha256", "tmp", "tags"] {
        let left = std::fs::read_dir(home.path().join("images").join(kind)).unwrap().count();
        assert_eq!(left, 0, "{kind}");
    }
}

#[test]
fn manifests() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout(dir.path());
    let tar = one(tars::file("f"));
    let many = vec![(&tar[..], Digest::of(&tar)); 128];
    let sentence = pull_with(&layout.image(&many), &PullOptions::default()).unwrap_err();
    assert!(matches!(sentence, Error::TooManyLayers { found: 128 }));
    assert!(sentence.to_string().contains("at most 127"), "{sentence}");
    let many = vec![(&tar[..], Digest::of(&tar)); 10_000];
    let many = pull_with(&layout.image(&many), &PullOptions::default()).unwrap_err();
    assert!(matches!(many, Error::TooManyLayers { found: 10_000 }), "{many}");
    // Each links to a file of the one below, so that the last looks at 126 layers. macOS lets a
    // process have 256 files open.
    let limits = rustix::process::getrlimit(Resource::Nofile);
    let few = Rlimit { current: Some(256), ..limits };
    rustix::process::setrlimit(Resource::Nofile, few).unwrap();
    let most: Vec<Vec<u8>> = (0..127)
        .map(|n: usize| match n.checked_sub(1) {
            None => Tar::default().add(tars::file("0"), b"content").bytes(),
            Some(below) => one(tars::link(format!("{n}"), format!("{below}"))),
        })
        .collect();
    let most: Vec<_> = most.iter().map(|tar| (&tar[..], Digest::of(tar))).collect();
    let reference = layout.image(&most);
    pull_with(&reference, &PullOptions::default()).unwrap();
    let store = Store::open(&dir.path().join("home")).unwrap();
    let image = store.pull(&reference, &PullOptions::default(), &|_| {}).unwrap();
    let tree = common::layers::merged(&image);
    assert_eq!(tree.len(), 1 + 127);
    assert_eq!(tree[&b"126"[..]].content, common::tree::hash(&b"content"[..]));
    // Every layer but the lowest has the file anew, under its own name and the one below.
    assert_eq!(tree[&b"126"[..]].links, 2);

    // Digests make a true circle impossible; depth is what an attacker has.
    let mut entry = layout.blob(b"{}");
    for _ in 0..20 {
        let media_type = "application/vnd.oci.image.index.v1+json";
        entry["mediaType"] = media_type.into();
        entry["platform"] = serde_json::json!({ "os": "linux", "architecture": "arm64" });
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type, "manifests": [entry],
        });
        layout.manifest(&index);
        entry = layout.blob(index.to_string().as_bytes());
    }
    let reference = format!("oci-layout:{}", text(dir.path())).parse().unwrap();
    let deep = pull_with(&reference, &PullOptions::default()).unwrap_err();
    assert!(matches!(deep, Error::BadManifest { .. }), "{deep}");

    let foreign = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": Digest::of(b""), "size": 0 },
        "layers": [{ "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                     "digest": Digest::of(b""), "size": 0, "urls": ["http://localhost/x"] }],
    });
    match pull_with(&layout.manifest(&foreign), &PullOptions::default()) {
        Err(Error::UnsupportedMediaType { media_type, .. }) => {
            assert!(media_type.contains("foreign"))
        }
        outcome => panic!("{outcome:?}"),
    }
}
