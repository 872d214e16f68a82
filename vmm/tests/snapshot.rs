//! Machines that stop in one place and go on in another.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Console, config, in_its_own_process, machine, threads_left};
use snapshot::{HEADER_LEN, Snapshot, Writer};
use vmm::{Error, Machine, MachineState, MemoryFile, Outcome, Pause, Resources, fingerprint};

/// Writes a machine to disk, which stands still meanwhile and goes on if it ran.
fn save(machine: &Machine, path: &Path) {
    write(&mut machine.pause().unwrap(), path);
}

/// Writes a machine that stands still to disk.
fn write(pause: &mut Pause<'_>, path: &Path) {
    let state = pause.capture().unwrap();
    let mut writer = Writer::create(path, &fingerprint().unwrap()).unwrap();
    writer.put("machine", &state).unwrap();
    writer.memory(&mut pause.captured_memory()).unwrap();
    writer.commit().unwrap();
}

/// A machine from disk.
fn load(path: &Path) -> (Machine, Console) {
    let snapshot = Snapshot::open(path).unwrap();
    snapshot.fits(&fingerprint().unwrap()).unwrap();
    let state: MachineState = snapshot.get("machine").unwrap();
    let file = Arc::new(snapshot.memory_file().try_clone().unwrap());
    let memory = MemoryFile { file, offset: HEADER_LEN, scattered: false };
    let console = Console::default();
    let machine = Machine::restore(&state, &memory, Resources::serial(console.clone()))
        .unwrap_or_else(|error| panic!("{error}"));
    (machine, console)
}

fn ticks(console: &Console) -> Vec<u128> {
    // The line at the moment of the capture is in two halves, and neither counts.
    console.values("tick").iter().filter_map(|tick| tick.parse().ok()).collect()
}

/// A guest that counts its own milliseconds, on `vcpus`, goes on where it stood, twice.
fn goes_on(vcpus: u32) {
    let away = Duration::from_secs(2);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let (first, console) = machine(&config("tick", vcpus));
    first.run().unwrap();
    console.wait_for("kiln: tick", 5);
    let mut pause = first.pause().unwrap();
    write(&mut pause, &path);
    // The captured machine itself can go on.
    let before = ticks(&console);
    pause.resume().unwrap();
    console.wait_for("kiln: tick", before.len() + 3);
    first.stop();
    assert_eq!(first.wait(), Outcome::Stopped);
    drop(first);
    assert_eq!(threads_left(), Vec::<String>::new());
    std::thread::sleep(away);

    for _ in 0..2 {
        let (second, console) = load(&path);
        second.run().unwrap();
        console.wait_for("kiln: tick", 6);
        second.stop();
        assert_eq!(second.wait(), Outcome::Stopped, "{}", console.text());
        drop(second);
        let after = ticks(&console);
        assert!(!console.text().contains("init"), "it booted again:\n{}", console.text());
        let all: Vec<_> = before.iter().chain(&after).collect();
        for pair in all.windows(2) {
            assert!(pair[0] < pair[1], "time went back: {all:?}");
            assert!(pair[1] - pair[0] < away.as_millis(), "time jumped: {all:?}");
        }
    }
}

#[test]
fn one_vcpu_goes_on() {
    in_its_own_process("one_vcpu_goes_on", || goes_on(1));
}

#[test]
fn four_vcpus_go_on() {
    in_its_own_process("four_vcpus_go_on", || goes_on(4));
}

#[test]
fn a_restored_guest_sees_its_devices() {
    in_its_own_process("a_restored_guest_sees_its_devices", || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot");
        let (first, console) = machine(&config("button", 2));
        first.run().unwrap();
        console.wait_for("waiting for the power button", 1);
        save(&first, &path);
        drop(first);

        let (second, console) = load(&path);
        second.run().unwrap();
        assert_eq!(second.shut_down(Duration::from_secs(60)), Outcome::PoweredOff);
        drop(second);
        assert!(console.text().contains("kiln: power button"), "{}", console.text());
        // Parked vCPUs and one that is on are kept apart: both were on here.
        let state: MachineState = Snapshot::open(&path).unwrap().get("machine").unwrap();
        assert_eq!(state.power, [vmm::Power::On; 2]);
    });
}

#[test]
fn a_machine_that_has_not_begun_can_be_captured() {
    in_its_own_process("a_machine_that_has_not_begun_can_be_captured", || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot");
        let (first, _console) = machine(&config("roam", 4));
        save(&first, &path);
        drop(first);
        let (second, console) = load(&path);
        second.run().unwrap();
        assert_eq!(second.wait(), Outcome::PoweredOff);
        drop(second);
        assert_eq!(console.values("visited"), ["4"], "{}", console.text());
    });
}

#[test]
fn captures_exclude_each_other() {
    in_its_own_process("captures_exclude_each_other", || {
        let (machine, _console) = machine(&config("idle", 2));
        machine.run().unwrap();
        let over = AtomicBool::new(false);
        let mut first = machine.pause().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut second = machine.pause().unwrap();
                assert!(over.load(Ordering::Acquire), "the first stands still yet");
                second.capture().unwrap();
            });
            first.capture().unwrap();
            std::thread::sleep(Duration::from_millis(100));
            over.store(true, Ordering::Release);
            drop(first);
        });
        machine.stop();
        assert_eq!(machine.wait(), Outcome::Stopped);
        assert!(matches!(machine.pause().unwrap().capture(), Err(Error::Ended(Outcome::Stopped))));
    });
}

#[test]
fn every_device_is_restored_or_named() {
    in_its_own_process("every_device_is_restored_or_named", || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot");
        let (first, _console) = machine(&config("idle", 1));
        save(&first, &path);
        drop(first);
        let snapshot = Snapshot::open(&path).unwrap();
        let good: MachineState = snapshot.get("machine").unwrap();
        let file = Arc::new(snapshot.memory_file().try_clone().unwrap());
        let refused = |state: &MachineState| {
            let memory =
                MemoryFile { file: Arc::clone(&file), offset: HEADER_LEN, scattered: false };
            let restored = Machine::restore(state, &memory, Resources::serial(std::io::sink()));
            restored.err().expect("a machine with other devices")
        };
        let mut state = good.clone();
        let rng = state.parts.virtio.remove("rng0").unwrap();
        assert!(matches!(refused(&state), Error::NoDeviceState { name } if name == "rng0"));
        state.parts.virtio = good.parts.virtio.clone();
        state.parts.virtio.insert("rng1".into(), rng);
        assert!(matches!(refused(&state), Error::NoDevice { name } if name == "rng1"));
        // A host that would put the devices elsewhere.
        let mut state = good.clone();
        state.platform = good.platform.clone().with("first SPI", 64);
        let error = refused(&state);
        assert!(
            matches!(error, Error::Host(_)) && error.to_string().contains("first SPI"),
            "{error}"
        );
    });
}

#[test]
fn a_state_that_contradicts_itself_is_refused() {
    in_its_own_process("a_state_that_contradicts_itself_is_refused", || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot");
        let (first, _console) = machine(&config("idle", 2));
        save(&first, &path);
        drop(first);
        let snapshot = Snapshot::open(&path).unwrap();
        let good: MachineState = snapshot.get("machine").unwrap();
        let file = Arc::new(snapshot.memory_file().try_clone().unwrap());
        let refused = |state: &MachineState| {
            let memory =
                MemoryFile { file: Arc::clone(&file), offset: HEADER_LEN, scattered: false };
            let error = Machine::restore(state, &memory, Resources::serial(std::io::sink()))
                .err()
                .unwrap_or_else(|| panic!("restored {state:?}"));
            assert_eq!(threads_left(), Vec::<String>::new(), "{error}");
        };
        let mut state = good.clone();
        state.vcpus.pop();
        refused(&state);
        let mut state = good.clone();
        state.vcpus.swap(0, 1);
        refused(&state);
        let mut state = good.clone();
        state.vcpus[1].system.insert(0xffff, 0);
        refused(&state);
        let mut state = good.clone();
        state.gic.truncate(10);
        refused(&state);
        let mut state = good.clone();
        state.config.memory *= 2;
        refused(&state);
        let mut state = good.clone();
        state.config.vcpus = 3;
        refused(&state);
    });
}
