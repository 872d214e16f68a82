//! Several processes on one store: many pulls at once, pulls that are killed at any moment, and how
//! much memory one takes. The program starts itself again as the process that pulls.

mod common;

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use common::registry::{Guard, Registry};
use common::tars::{self, Tar};
use common::{layers, layout, pull, text};
use image::{Digest, Image, Store};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, home, reference] = &arguments[..]
        && word == "pull"
    {
        let store = Store::open(home.as_ref()).expect("a store");
        pull(&store, reference).expect("an image");
        println!("{}", peak_memory());
        return;
    }
    for (name, test) in [
        ("twenty_pulls_at_once", twenty_pulls_at_once as fn()),
        ("killed_at_any_moment", killed_at_any_moment),
        ("two_gibibytes_in_bounded_memory", two_gibibytes_in_bounded_memory),
        ("sparse_files", sparse_files),
        ("large_directories_and_files", large_directories_and_files),
    ] {
        if arguments.get(1).is_none_or(|wanted| wanted.starts_with('-') || name.contains(wanted)) {
            let start = Instant::now();
            test();
            println!("test {name} ... ok ({:.1} s)", start.elapsed().as_secs_f32());
        }
    }
}

/// The most memory this process has had, in KiB; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}

fn start_pull(home: &Path, reference: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["pull", text(home), reference])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts again")
}

/// Numbers that are the same in every run (Knuth's MMIX generator).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// Six layers of a few hundred files that do not compress, each needing the ones below.
fn sample(dir: &Path) -> String {
    let mut numbers = Numbers(1);
    let tars: Vec<PathBuf> = (0..6)
        .map(|layer| {
            let mut tar = Tar::default();
            if layer == 0 {
                tar = tar.add(tars::dir("dir/"), b"");
            }
            for n in 0..200 {
                let size = (numbers.next() % 20_000) as usize;
                tar = tar.add(tars::file(format!("dir/{layer}-{n}")), &numbers.bytes(size));
                if layer > 0 && n % 5 == 0 {
                    tar = tar.add(tars::file(format!("dir/.wh.{}-{n}", layer - 1)), b"");
                }
            }
            tar.write(dir, &format!("{layer}.tar"))
        })
        .collect();
    layout(dir, &tars.iter().map(PathBuf::as_path).collect::<Vec<_>>())
}

fn twenty_pulls_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&sample(dir.path()).replacen("oci-layout:", "oci:", 1), "image", &[]);
    let reference = format!("{}/image", registry.host);
    let home = dir.path().join("home");
    let pulls: Vec<Child> = (0..20).map(|_| start_pull(&home, &reference)).collect();
    for pull in pulls {
        let output = pull.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let store = Store::open(&home).unwrap();
    let image = pull(&store, &reference).unwrap();
    assert_eq!(layers::merged(&image).len(), 2 + 6 * 200 - 5 * 40);
    assert!(store.verify().unwrap().damage.is_empty());
    // Each layer was converted once, and no blob but manifest and configuration is left.
    assert_eq!(store.verify().unwrap().layers, 6);
    assert_eq!(store.verify().unwrap().blobs, 2);
}

/// The names and digests of an image's layer files, which are the same wherever they are made.
fn contents(image: &Image) -> Vec<(OsString, Digest)> {
    let layers = image.layers.iter().map(|layer| {
        let name = layer.path.file_name().unwrap().to_owned();
        (name, Digest::of(&std::fs::read(&layer.path).unwrap()))
    });
    let layers: Vec<_> = layers.collect();
    assert_eq!(layers.len(), 6);
    layers
}

fn killed_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), &Guard::default());
    registry.push(&sample(dir.path()).replacen("oci-layout:", "oci:", 1), "image", &[]);
    let reference = format!("{}/image", registry.host);
    let (whole, expected) = {
        let home = tempfile::tempdir_in(dir.path()).unwrap();
        let start = Instant::now();
        assert!(start_pull(home.path(), &reference).wait().unwrap().success());
        let whole = start.elapsed();
        (whole, contents(&pull(&Store::open(home.path()).unwrap(), &reference).unwrap()))
    };
    let mut numbers = Numbers(2);
    let (mut killed, mut resumed) = (0, 0);
    while killed < 200 {
        let home = tempfile::tempdir_in(dir.path()).unwrap();
        let store = Store::open(home.path()).unwrap();
        // Several deaths in one store, so that a pull meets what an earlier one left.
        for _ in 0..5 {
            let mut child = start_pull(home.path(), &reference);
            let share = numbers.next() % 1000;
            std::thread::sleep(whole * (share as u32) / 1000);
            child.kill().unwrap();
            killed += usize::from(!child.wait().unwrap().success());
            let verified = store.verify().unwrap();
            assert!(verified.damage.is_empty(), "{:?}", verified.damage);
            resumed += verified.layers;
        }
        let image = pull(&store, &reference).unwrap();
        assert_eq!(contents(&image), expected);
        drop(image);
        store.prune(true).unwrap();
        for kind in ["blobs/sha256", "layers/diff/sha256", "layers/chain/sha256", "tags", "tmp"]
            .into_iter()
            .chain(["leases", "partial/sha256", "locks"])
        {
            let left = std::fs::read_dir(home.path().join("images").join(kind)).unwrap();
            let left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
    assert!(resumed > 0, "some pulls died after a layer was done");
}

/// A layout of one uncompressed layer, written as it is made.
fn large_layer(dir: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> String {
    use sha2::{Digest, Sha256};
    struct Hashed(BufWriter<File>, Sha256, u64);
    impl Write for Hashed {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1.update(bytes);
            self.2 += bytes.len() as u64;
            self.0.write_all(bytes).map(|()| bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.flush()
        }
    }
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let file = File::create(dir.join("layer")).unwrap();
    let mut out = Hashed(BufWriter::with_capacity(1 << 20, file), Sha256::new(), 0);
    write(&mut out).and_then(|()| out.flush()).unwrap();
    let hex: String = out.1.finalize().iter().map(|b| format!("{b:02x}")).collect();
    std::fs::rename(dir.join("layer"), blobs.join(&hex)).unwrap();
    let put = |json: serde_json::Value, media_type: &str| {
        let bytes = json.to_string();
        let digest = image::Digest::of(bytes.as_bytes());
        std::fs::write(blobs.join(digest.hex()), &bytes).unwrap();
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let config = serde_json::json!({
        "os": "linux", "architecture": "arm64",
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{hex}")] },
    });
    let layer = serde_json::json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": format!("sha256:{hex}"), "size": out.2,
    });
    let config = put(config, "application/vnd.oci.image.config.v1+json");
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    let manifest = put(manifest, "application/vnd.oci.image.manifest.v1+json");
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    format!("oci-layout:{}", text(dir))
}

fn two_gibibytes_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let data = Numbers(3).bytes(1 << 20);
    let reference = large_layer(dir.path(), |out| {
        // 20,480 files of 100 KiB and 2,048 that are empty.
        for n in 0..20_480u32 {
            let offset = (n as usize * 7919) % (data.len() - (100 << 10));
            let file = tars::file(format!("d{}/f{n}", n % 100));
            out.write_all(
                &Tar::default().add(file, &data[offset..offset + (100 << 10)]).open_ended(),
            )?;
            if n % 10 == 0 {
                let empty = tars::file(format!("d{}/e{n}", n % 100));
                out.write_all(&Tar::default().add(empty, b"").open_ended())?;
            }
        }
        out.write_all(&[0; 1024])
    });
    let output = start_pull(&dir.path().join("home"), &reference).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let peak: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    println!("a layer of 2 GiB and 22,528 files: at most {} MiB of memory", peak >> 10);
    assert!(peak < 200 << 10, "{peak} KiB");
    let store = Store::open(&dir.path().join("home")).unwrap();
    assert!(store.verify().unwrap().damage.is_empty());
}

fn large_directories_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let five_gib: u64 = 5 << 30;
    let map = format!("0,3,{},4,{},5", 1u64 << 32, five_gib - 5);
    let reference = large_layer(dir.path(), |out| {
        let mut tar = Tar::default().add(tars::dir("many/"), b"");
        for n in 0..100_000 {
            tar = tar.add(tars::file(format!("many/{n}")), b"");
        }
        let sparse = tars::file("GNUSparseFile.0/sparse")
            .pax("GNU.sparse.name", "sparse")
            .pax("GNU.sparse.size", five_gib.to_string())
            .pax("GNU.sparse.map", map);
        tar = tar.add(sparse, b"onefourfinal");
        let sparse = tars::file("GNUSparseFile.1/sparse-1.0")
            .pax("GNU.sparse.major", "1")
            .pax("GNU.sparse.minor", "0")
            .pax("GNU.sparse.name", "sparse-1.0")
            .pax("GNU.sparse.realsize", "100000");
        let mut data = b"1\n50000\n6\n".to_vec();
        data.resize(512, 0);
        data.extend(b"middle");
        out.write_all(&tar.add(sparse, &data).open_ended())?;
        // 4 GiB and a byte, whole.
        let size = (1u64 << 32) + 1;
        let header = tars::Header { size: Some(size), ..tars::file("zeroes") };
        out.write_all(&Tar::default().add(header, b"").open_ended())?;
        let zeroes = vec![0; 1 << 20];
        for _ in 0..4096 {
            out.write_all(&zeroes)?;
        }
        out.write_all(b"!")?;
        out.write_all(&[0; 511 + 1024])
    });
    let home = dir.path().join("home");
    let output = start_pull(&home, &reference).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let store = Store::open(&home).unwrap();
    let image = store.get(&reference.parse().unwrap(), &image::Platform::guest()).unwrap().unwrap();
    let layer = &image.layers[0].path;
    layers::fsck(layer);
    assert!(store.verify().unwrap().damage.is_empty());
    let used = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(layer).unwrap()) * 512;
    assert!(used < 64 << 20, "zeroes take no space: {used}");
    // erofs-utils find each file by name and agree on its size and on where its last byte is. (They
    // unpack holes as nothing, so what is in sparse files is compared below, by another reader.)
    for (path, size, last) in [
        ("many/99999", 0, None),
        ("sparse", five_gib, Some(b'l')),
        ("zeroes", (1 << 32) + 1, Some(b'!')),
    ] {
        let told = common::run("dump.erofs", &["-e", &format!("--path=/{path}"), text(layer)]);
        let line = told.lines().find(|line| line.starts_with("Size: ")).unwrap_or_default();
        let stated = line.split_whitespace().nth(1).and_then(|size| size.parse().ok());
        assert_eq!(stated, Some(size), "{path}: {told}");
        let Some(last) = last else { continue };
        let mut byte = [0];
        let position = position(&told, size - 1).unwrap_or_else(|| panic!("{path}: {told}"));
        File::open(layer).unwrap().read_exact_at(&mut byte, position).unwrap();
        assert_eq!(byte[0], last, "{path}: {told}");
    }
}

/// Where a file's byte is in the image, by the extents that dump.erofs lists:
/// `0: 0..4096 | 4096 : 8192..12288 | 4096`.
fn position(told: &str, offset: u64) -> Option<u64> {
    told.lines().find_map(|line| {
        let (_, extent) = line.split_once(':')?;
        let (logical, physical) = extent.split_once(':')?;
        let range = |text: &str| {
            let (start, end) = text.split('|').next()?.trim().split_once("..")?;
            Some((start.trim().parse::<u64>().ok()?, end.trim().parse::<u64>().ok()?))
        };
        let ((start, end), (at, _)) = (range(logical)?, range(physical)?);
        (start..end).contains(&offset).then(|| at + offset - start)
    })
}

fn sparse_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut data = b"1\n50000\n6\n".to_vec();
    data.resize(512, 0);
    data.extend(b"middle");
    let tar = Tar::default()
        .add(
            tars::file("GNUSparseFile.0/0.1")
                .pax("GNU.sparse.name", "0.1")
                .pax("GNU.sparse.size", "9000000")
                .pax("GNU.sparse.map", "0,3,4096,4,8999995,5"),
            b"onefourfinal",
        )
        .add(
            tars::file("GNUSparseFile.1/1.0")
                .pax("GNU.sparse.major", "1")
                .pax("GNU.sparse.minor", "0")
                .pax("GNU.sparse.name", "1.0")
                .pax("GNU.sparse.realsize", "100000"),
            &data,
        );
    let tar = tar.write(dir.path(), "t.tar");
    let store = Store::open(&dir.path().join("home")).unwrap();
    let image = pull(&store, &layout(dir.path(), &[&tar])).unwrap();
    let tree = layers::merged(&image);
    for (name, size, pieces) in [
        ("0.1", 9_000_000, &[(0, &b"one"[..]), (4096, b"four"), (8_999_995, b"final")][..]),
        ("1.0", 100_000, &[(50_000, b"middle")]),
    ] {
        let mut expected = vec![0; size];
        for (at, bytes) in pieces {
            expected[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        let seen = &tree[name.as_bytes()];
        assert_eq!(seen.size, size as u64);
        assert_eq!(seen.content, common::tree::hash(&expected[..]), "{name}");
    }
}
