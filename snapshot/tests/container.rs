//! The container as its users see it: whole or absent, and never trusted.

use std::{fs, os::unix::fs::FileExt, path::Path};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use snapshot::{Error, FORMAT, Fingerprint, HEADER_LEN, Invalid, PAGE, Saved, Snapshot, Writer};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Counter {
    value: u64,
    history: Vec<u32>,
}

impl Saved for Counter {
    const KIND: &'static str = "counter";
    const VERSION: u32 = 3;

    fn validate(&self) -> Result<(), Invalid> {
        if self.value == u64::MAX {
            return Err(Invalid { kind: Self::KIND, what: "the counter is saturated".into() });
        }
        Ok(())
    }
}

/// The same record after its layout changed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct NewCounter {}

impl Saved for NewCounter {
    const KIND: &'static str = "counter";
    const VERSION: u32 = 4;

    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

fn host() -> Fingerprint {
    Fingerprint::default().with("ID_AA64PFR0_EL1", 0x11).with("CTR_EL0", 0x8444_c004)
}

fn ram() -> Vec<u8> {
    let mut ram = vec![0; 5 << 20];
    ram[0] = 1;
    ram[(3 << 20) + 17] = 2;
    *ram.last_mut().unwrap() = 3;
    ram
}

fn write(path: &Path) -> Result<(), Error> {
    let disk = tempfile::tempfile().unwrap();
    disk.set_len(9 << 20).unwrap();
    disk.write_all_at(b"data", 4 << 20).unwrap();
    let mut writer = Writer::create(path, &host())?;
    writer.put("cpu0", &Counter { value: 7, history: vec![1, 2] })?;
    writer.put("cpu1", &Counter { value: 8, history: vec![] })?;
    writer.memory(&mut ram().as_slice())?;
    writer.disk("root", &disk)?;
    writer.commit()?;
    Ok(())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn everything_written_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("one");
    write(&path).unwrap();
    let snapshot = Snapshot::open(&path).unwrap();
    snapshot.fits(&host()).unwrap();
    snapshot.verify().unwrap();
    assert_eq!(snapshot.get::<Counter>("cpu0").unwrap().history, [1, 2]);
    assert_eq!(snapshot.records().map(|r| r.0).collect::<Vec<_>>(), ["cpu0", "cpu1"]);
    let mut back = vec![0; ram().len()];
    snapshot.memory_file().read_exact_at(&mut back, HEADER_LEN).unwrap();
    assert!(back == ram());
    let disk = fs::read(snapshot.disk_path("root").unwrap()).unwrap();
    assert_eq!((disk.len(), &disk[4 << 20..(4 << 20) + 4]), (9 << 20, &b"data"[..]));
}

#[test]
fn zero_pages_take_no_space() {
    use std::os::unix::fs::MetadataExt;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("sparse");
    let mut writer = Writer::create(&path, &host()).unwrap();
    let mut ram = vec![0; 64 << 20];
    ram[40 << 20] = 1;
    writer.memory(&mut ram.as_slice()).unwrap();
    let written = writer.commit().unwrap();
    assert!(written.bytes < 64 << 10, "{written:?}");
    let blocks = fs::metadata(path.join("memory")).unwrap().blocks() * 512;
    assert!(blocks <= 4 * PAGE, "{blocks} bytes are allocated for two pages of data");
}

#[test]
fn a_snapshot_is_whole_or_absent() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("half");
    let mut writer = Writer::create(&path, &host()).unwrap();
    writer.memory(&mut ram().as_slice()).unwrap();
    assert!(matches!(Snapshot::open(&path), Err(Error::Missing(_))));
    drop(writer);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    write(&path).unwrap();
    assert!(matches!(Writer::create(&path, &host()), Err(Error::Exists(_))));
}

#[test]
fn what_dead_writers_left_is_swept() {
    let home = tempfile::tempdir().unwrap();
    let writer = Writer::create(&home.path().join("alive"), &host()).unwrap();
    fs::create_dir(home.path().join(".unfinished-dead-1")).unwrap();
    fs::write(home.path().join(".unfinished-dead-1/memory"), "half").unwrap();
    snapshot::sweep(home.path()).unwrap();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "the living one stays");
    let mut writer = writer;
    writer.memory(&mut ram().as_slice()).unwrap();
    writer.commit().unwrap();
    snapshot::sweep(home.path()).unwrap();
    Snapshot::open(&home.path().join("alive")).unwrap();
}

#[test]
fn another_host_is_named() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("one");
    write(&path).unwrap();
    let snapshot = Snapshot::open(&path).unwrap();
    let message = snapshot.fits(&host().with("CTR_EL0", 1)).unwrap_err().to_string();
    assert!(message.contains("CTR_EL0 is 0x8444c004 there and 0x1 here"), "{message}");
    assert!(snapshot.fits(&host().with("MIDR_EL1", 1)).is_err());
}

#[test]
fn versions_and_values_are_checked() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("one");
    let mut writer = Writer::create(&path, &host()).unwrap();
    writer.put("old", &Counter { value: 1, history: vec![] }).unwrap();
    writer.put("hostile", &Counter { value: u64::MAX, history: vec![] }).unwrap();
    assert!(matches!(writer.put("old", &NewCounter {}), Err(Error::Name(_))));
    assert!(matches!(writer.put("../up", &NewCounter {}), Err(Error::Name(_))));
    writer.memory(&mut [0u8; 0].as_slice()).unwrap();
    writer.commit().unwrap();
    let snapshot = Snapshot::open(&path).unwrap();
    let got = snapshot.get::<NewCounter>("old");
    assert!(matches!(got, Err(Error::Version { found: 3, supported: 4, .. })), "{got:?}");
    assert!(matches!(snapshot.get::<Counter>("hostile"), Err(Error::Invalid(_))));
    assert!(matches!(snapshot.get::<Counter>("absent"), Err(Error::NoRecord(_))));
}

#[test]
fn damage_is_found_before_anything_is_mapped() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("one");
    write(&path).unwrap();
    let state = fs::read(path.join("state")).unwrap();
    let target = home.path().join("state-damage");
    copy(&path, &target);
    for at in (0..state.len()).step_by(7) {
        let mut damaged = state.clone();
        damaged[at] ^= 0x40;
        fs::write(target.join("state"), &damaged).unwrap();
        Snapshot::open(&target).expect_err("a flipped bit in the state must not pass");
        fs::write(target.join("state"), &state[..at]).unwrap();
        Snapshot::open(&target).expect_err("a truncated state must not pass");
    }
    let mut newer = state.clone();
    newer[8..12].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    fs::write(target.join("state"), &newer).unwrap();
    let error = Snapshot::open(&target).unwrap_err();
    assert!(matches!(error, Error::Format { found, .. } if found == FORMAT + 1), "{error}");
    fs::write(target.join("state"), &state).unwrap();
    let ram = fs::OpenOptions::new().write(true).open(target.join("memory")).unwrap();
    ram.set_len(HEADER_LEN + PAGE).unwrap();
    assert!(matches!(Snapshot::open(&target), Err(Error::Damaged { .. })));
}

#[test]
fn ram_of_another_snapshot_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (home.path().join("one"), home.path().join("two"));
    write(&one).unwrap();
    write(&two).unwrap();
    fs::copy(two.join("memory"), one.join("memory")).unwrap();
    assert!(matches!(Snapshot::open(&one), Err(Error::Damaged { .. })));
}

#[test]
fn verify_reads_every_byte() {
    for (name, offset) in [
        ("memory", HEADER_LEN + (1 << 20)),
        ("memory", HEADER_LEN),
        ("disk-root", 77),
        ("memory.sums", 3),
    ] {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("one");
        write(&path).unwrap();
        let file = fs::OpenOptions::new().write(true).open(path.join(name)).unwrap();
        file.write_all_at(&[0x99], offset).unwrap();
        let snapshot = Snapshot::open(&path).unwrap();
        let error = snapshot.verify().unwrap_err();
        assert!(matches!(&error, Error::Damaged { path, .. } if path.ends_with(name)), "{error}");
    }
}

#[test]
fn export_and_import_are_inverse() {
    let home = tempfile::tempdir().unwrap();
    let (one, two, file) =
        (home.path().join("one"), home.path().join("two"), home.path().join("one.kiln"));
    write(&one).unwrap();
    let original = Snapshot::open(&one).unwrap();
    original.export(&file, &[]).unwrap();
    assert!(matches!(original.export(&file, &[]), Err(Error::Exists(_))));
    let back = Snapshot::import(&file, &two).unwrap();
    assert_eq!(back.id(), original.id());
    for name in ["state", "memory", "memory.sums", "disk-root"] {
        assert!(fs::read(one.join(name)).unwrap() == fs::read(two.join(name)).unwrap(), "{name}");
    }
    let whole = fs::read(&file).unwrap();
    for keep in [0, 10, whole.len() / 2, whole.len() - 9] {
        fs::write(&file, &whole[..keep]).unwrap();
        let three = home.path().join("three");
        Snapshot::import(&file, &three).expect_err("a truncated export must not pass");
        assert!(!three.exists());
    }
}

#[test]
fn an_export_carries_layers() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    write(&at("one")).unwrap();
    let contents: [&[u8]; 2] = [&[1; 5000], b""];
    let layers = [at("base"), at("top")];
    for (path, content) in layers.iter().zip(contents) {
        fs::write(path, content).unwrap();
    }
    let one = Snapshot::open(&at("one")).unwrap();
    assert!(one.layers().unwrap().is_empty());
    one.export(&at("file"), &layers).unwrap();
    let two = Snapshot::import(&at("file"), &at("two")).unwrap();
    // Its own go with it from now on, and into what is made of it.
    two.export(&at("again"), &[]).unwrap();
    let three = Snapshot::import(&at("again"), &at("three")).unwrap();
    let mut writer = Writer::create(&at("four"), &host()).unwrap();
    writer.layers_of(&three).unwrap();
    writer.memory(&mut ram().as_slice()).unwrap();
    writer.commit().unwrap();
    let four = Snapshot::open(&at("four")).unwrap();
    for snapshot in [&two, &three, &four] {
        snapshot.verify().unwrap();
        let found = snapshot.layers().unwrap();
        assert_eq!(found.len(), 2);
        for (path, content) in found.iter().zip(contents) {
            assert_eq!(fs::read(path).unwrap(), content);
        }
    }
    // Another length is seen at once, other bytes when it is verified.
    let layer = fs::OpenOptions::new().write(true).open(at("two/layer-1")).unwrap();
    layer.write_all_at(&[9], 77).unwrap();
    assert!(matches!(two.verify(), Err(Error::Damaged { .. })));
    layer.set_len(7).unwrap();
    assert!(matches!(two.layers(), Err(Error::Damaged { .. })));
}

#[test]
fn the_first_format_stays_readable() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1.kiln");
    let home = tempfile::tempdir().unwrap();
    let snapshot = Snapshot::import(&golden, &home.path().join("golden")).unwrap();
    snapshot.fits(&host()).unwrap();
    assert_eq!(snapshot.get::<Counter>("cpu0").unwrap(), Counter { value: 7, history: vec![1, 2] });
    assert_eq!(snapshot.memory_len(), ram().len() as u64);
}

proptest! {
    #[test]
    fn any_record_round_trips(value in 0..u64::MAX, history in proptest::collection::vec(any::<u32>(), 0..50)) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("one");
        let counter = Counter { value, history };
        let mut writer = Writer::create(&path, &host()).unwrap();
        writer.put("c", &counter).unwrap();
        writer.memory(&mut [0u8; 0].as_slice()).unwrap();
        writer.commit().unwrap();
        prop_assert_eq!(Snapshot::open(&path).unwrap().get::<Counter>("c").unwrap(), counter);
    }

    /// An attacker can make the checksum right; what is inside must still be refused without a panic.
    #[test]
    fn mutated_state_with_a_right_checksum_never_panics(
        edits in proptest::collection::vec((40usize..400, any::<u8>()), 1..8),
        cut in 0usize..400,
    ) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("one");
        write(&path).unwrap();
        let mut state = fs::read(path.join("state")).unwrap();
        state.truncate(state.len() - 32);
        let len = state.len();
        for (at, byte) in edits {
            state[at % len] = byte;
        }
        state.truncate(state.len().saturating_sub(cut % 40).max(40));
        let total = state.len() as u64 + 32;
        state[32..40].copy_from_slice(&total.to_le_bytes());
        let hash = blake3::hash(&state);
        state.extend(hash.as_bytes());
        fs::write(path.join("state"), &state).unwrap();
        if let Ok(snapshot) = Snapshot::open(&path) {
            let _ = snapshot.get::<Counter>("cpu0");
            let _ = snapshot.verify();
        }
    }
}
