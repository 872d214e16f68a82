//! A snapshot of a whole machine that an earlier build took, kept as a file: it goes on in every later build.
//!
//! With `KILN_GOLDEN=FILE` the test of the present build writes what it takes there, for the next format.

#![cfg(not(target_os = "macos"))]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::in_its_own_process;
use snapshot::{HEADER_LEN, Snapshot, Writer};
use vm_memory::{Bytes, GuestAddress};
use vmm::{Machine, MachineConfig, MachineState, MemoryFile, Outcome, Resources, fingerprint};

/// Where the program leaves its results (`bare.h`).
const RESULTS: u64 = 0x8000;

/// Assembles the program into an Image.
fn program(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/golden.S");
    let (object, image) = (directory.join("program.o"), directory.join("Image"));
    let run = |command: &mut Command| {
        assert!(command.status().expect("cargo xtask setup installs it").success());
    };
    run(Command::new("aarch64-linux-gnu-gcc").arg("-c").arg(&source).arg("-o").arg(&object));
    run(Command::new("aarch64-linux-gnu-objcopy").args(["-O", "binary"]).args([&object, &image]));
    image
}

/// Goes on from an exported snapshot, and sees the program report what it held.
fn goes_on(archive: &Path, directory: &Path) {
    let snapshot = Snapshot::import(archive, &directory.join("imported")).unwrap();
    snapshot.fits(&fingerprint().unwrap()).unwrap();
    let mut state: MachineState = snapshot.get("machine").unwrap();
    state.config.kernel = program(directory);
    let file = Arc::new(snapshot.memory_file().try_clone().unwrap());
    let memory = MemoryFile { file, offset: HEADER_LEN, scattered: false };
    let machine = Machine::restore(&state, &memory, Resources::serial(std::io::sink())).unwrap();
    let at = |word: u64| GuestAddress(machine.layout().ram.start + RESULTS + 8 * word);
    machine.memory().write_obj(1u64, at(1)).unwrap();
    machine.run().unwrap();
    assert_eq!(machine.wait(), Outcome::PoweredOff);
    let word = |n| machine.memory().read_obj::<u64>(at(n)).unwrap();
    assert_eq!(word(2), 0x3344_0000_0000_1122);
    assert_eq!(f64::from_bits(word(3)), 2.5);
    assert_eq!(word(4), 0xcafe);
}

#[test]
fn the_first_machine_goes_on() {
    in_its_own_process("the_first_machine_goes_on", || {
        let directory = tempfile::tempdir().unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/machine-1.kiln");
        goes_on(&golden, directory.path());
    });
}

#[test]
fn the_present_machine_goes_on() {
    in_its_own_process("the_present_machine_goes_on", || {
        let directory = tempfile::tempdir().unwrap();
        let mut config = MachineConfig::new(program(directory.path()));
        config.memory = 16 << 20;
        let machine = Machine::new(&config, Resources::serial(std::io::sink())).unwrap();
        machine.run().unwrap();
        let ready = GuestAddress(machine.layout().ram.start + RESULTS);
        let began = Instant::now();
        while machine.memory().read_obj::<u64>(ready).unwrap() == 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "the program does not get ready");
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut pause = machine.pause().unwrap();
        let path = directory.path().join("snapshot");
        let mut state = pause.capture().unwrap();
        // Only its name is kept, and nobody else has this one.
        state.config.kernel = "Image".into();
        let mut writer = Writer::create(&path, &fingerprint().unwrap()).unwrap();
        writer.put("machine", &state).unwrap();
        writer.memory(&mut pause.captured_memory()).unwrap();
        writer.commit().unwrap();
        drop(pause);
        machine.stop();
        machine.wait();
        drop(machine);
        let archive = directory.path().join("machine.kiln");
        Snapshot::open(&path).unwrap().export(&archive, &[]).unwrap();
        goes_on(&archive, directory.path());
        if let Some(file) = std::env::var_os("KILN_GOLDEN") {
            std::fs::copy(archive, file).unwrap();
        }
    });
}
