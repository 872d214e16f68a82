//! Machines under load that are captured at random moments, again and again, each time to go on in a new process.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Console, config, in_its_own_process, in_new_processes, initramfs_of, soak};
use snapshot::{HEADER_LEN, Snapshot, Writer};
use vmm::{
    DiskConfig, DiskSource, Durability, Machine, MachineConfig, MachineState, MemoryFile, Outcome,
    Power, Resources, VsockConfig, VsockHost, fingerprint,
};

const BLOCK: usize = 65536;
const DISK: u64 = 64 << 20;

/// The guest's `next`: xorshift64 (Marsaglia 2003).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Where one chain of lives keeps its things.
struct Chain {
    directory: PathBuf,
    vcpus: u32,
}

impl Chain {
    fn path(&self, what: &str, life: usize) -> PathBuf {
        self.directory.join(format!("{what}-{life}"))
    }

    fn disks(&self, life: usize) -> Vec<DiskConfig> {
        let path = self.path("disk", life);
        let source = DiskSource::Raw { path, read_only: false, durability: Durability::HostCache };
        vec![DiskConfig { name: "data".into(), source }]
    }

    fn config(&self) -> MachineConfig {
        let mut config = config("load", self.vcpus);
        config.memory = 128 << 20;
        config.initramfs = Some(initramfs_of("load.c"));
        config.disks = self.disks(0);
        config.vsock = Some(VsockConfig { cid: 3, socket: None });
        config
    }

    /// The machine at the beginning of a life: booted in the first one, restored in the others.
    fn begin(&self, life: usize, console: &Console) -> Machine {
        let resources = Resources::serial(console.clone());
        let made = if life == 0 {
            File::create(self.path("disk", 0)).unwrap().set_len(DISK).unwrap();
            Machine::new(&self.config(), resources)
        } else {
            let snapshot = Snapshot::open(&self.path("snapshot", life)).unwrap();
            snapshot.fits(&fingerprint().unwrap()).unwrap();
            fs::copy(snapshot.disk_path("data").unwrap(), self.path("disk", life)).unwrap();
            let mut state: MachineState = snapshot.get("machine").unwrap();
            state.config.disks = self.disks(life);
            let file = Arc::new(snapshot.memory_file().try_clone().unwrap());
            Machine::restore(
                &state,
                &MemoryFile { file, offset: HEADER_LEN, scattered: false },
                resources,
            )
        };
        made.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Stops the machine and keeps all of it for the next life. What the guest has said is kept, too.
    fn end(&self, life: usize, machine: &Machine, console: &Console) -> MachineState {
        let mut pause = machine.pause().unwrap();
        let state = pause.capture().unwrap();
        let path = self.path("snapshot", life + 1);
        let mut writer = Writer::create(&path, &fingerprint().unwrap()).unwrap();
        writer.put("machine", &state).unwrap();
        writer.memory(&mut pause.captured_memory()).unwrap();
        writer.disk("data", &File::open(self.path("disk", life)).unwrap()).unwrap();
        writer.commit().unwrap();
        assert_eq!(machine.outcome(), None, "{}", console.text());
        self.keep(life, console);
        state
    }

    fn keep(&self, life: usize, console: &Console) {
        fs::write(self.path("console", life), console.text()).unwrap();
        // The life before is over.
        if life > 0 {
            fs::remove_dir_all(self.path("snapshot", life)).unwrap();
            fs::remove_file(self.path("disk", life - 1)).unwrap();
        }
    }

    /// All that the guest has said in its lives.
    fn said(&self, lives: usize) -> String {
        (0..=lives).map(|life| fs::read_to_string(self.path("console", life)).unwrap()).collect()
    }
}

/// Answers the guest's messages with what they hold; with `over`, asks it to finish by a changed first word.
fn answer(host: &VsockHost, over: &Arc<AtomicBool>) {
    let listener = host.listen(1024).unwrap();
    let over = Arc::clone(over);
    // It ends with the process.
    std::thread::spawn(move || {
        loop {
            if let Ok(incoming) = listener.accept(Duration::from_secs(3600)) {
                let over = Arc::clone(&over);
                std::thread::spawn(move || echo(incoming.stream, &over));
            }
        }
    });
}

fn echo(mut stream: UnixStream, over: &AtomicBool) {
    let mut word = [0; 8];
    // It ends with the connection.
    while stream.read_exact(&mut word).is_ok() {
        let words = u64::from_le_bytes(word);
        assert!((1..=BLOCK as u64 / 8).contains(&words), "a message of {words} words");
        let mut message = vec![0; words as usize * 8];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        let first = if over.load(Ordering::Relaxed) { 0 } else { words };
        if stream.write_all(&first.to_le_bytes()).and_then(|()| stream.write_all(&message)).is_err()
        {
            return;
        }
    }
}

/// What the guest reports must be what the host computes.
fn check(chain: &Chain, lives: usize) {
    let text = chain.said(lives);
    let values = |key: &str| -> Vec<Vec<String>> {
        let prefix = format!("kiln: {key} ");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
        lines.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    };
    assert!(text.contains("kiln: whole") && !text.contains("broken"), "{text}");
    let nonces = values("nonce");
    assert_eq!(nonces.len(), 2, "one boot, one end:\n{text}");
    assert_eq!(nonces[0], nonces[1], "its memory is that of its boot");
    let computed = values("compute");
    assert_eq!(computed.len(), chain.vcpus as usize, "{text}");
    for report in computed {
        let [cpu, rounds]: [u64; 2] = std::array::from_fn(|n| report[n].parse().unwrap());
        let mut state = cpu + 1;
        let mut x = 0.5 / (cpu + 1) as f64;
        for _ in 0..rounds * 20_000 {
            next(&mut state);
            x = 3.9 * x * (1.0 - x);
        }
        assert_eq!(report[2], format!("{state:016x}"), "integers of CPU {cpu} after {rounds}");
        assert_eq!(report[3], format!("{:016x}", x.to_bits()), "floats of CPU {cpu}");
    }
    let blocks: BTreeMap<u64, u64> = values("block")
        .iter()
        .map(|report| (report[0].parse().unwrap(), report[1].parse().unwrap()))
        .collect();
    assert!(!blocks.is_empty(), "{text}");
    let disk = File::open(chain.path("disk", lives)).unwrap();
    let (mut found, mut expected) = (vec![0; BLOCK], Vec::with_capacity(BLOCK));
    for (block, generation) in blocks {
        let mut state = block << 32 | generation;
        expected.clear();
        (0..BLOCK / 8).for_each(|_| expected.extend(next(&mut state).to_le_bytes()));
        disk.read_exact_at(&mut found, block * BLOCK as u64).unwrap();
        assert!(found == expected, "block {block} is not what was written {generation} times");
    }
}

/// A machine under load lives `captures` + 1 lives, whose lengths are random.
fn under_load(name: &str, vcpus: u32) {
    // Enough that some lives end in the boot, and some in the middle of everything.
    let captures = if soak() { 50 } else { 4 };
    in_new_processes(name, captures + 1, |directory, life| {
        let chain = Chain { directory: directory.into(), vcpus };
        let console = Console::default();
        let machine = chain.begin(life, &console);
        let over = Arc::new(AtomicBool::new(life == captures));
        answer(&machine.vsock().unwrap(), &over);
        machine.run().unwrap();
        if life == captures {
            assert_eq!(machine.wait(), Outcome::PoweredOff, "{}", console.text());
            drop(machine);
            chain.keep(life, &console);
            check(&chain, life);
        } else {
            let mut random = [0; 2];
            getrandom::fill(&mut random).unwrap();
            if life == 0 {
                console.wait_for("kiln: working", 1);
            }
            if life % 2 == 1 {
                // In the others, the kicks of the next restore would hide that an interrupt was lost in
                // this one. Part of the first round may be from before.
                console.wait_for("kiln: round ", 2);
            }
            std::thread::sleep(Duration::from_millis(u64::from(u16::from_le_bytes(random) % 400)));
            chain.end(life, &machine, &console);
        }
    });
}

#[test]
fn one_vcpu_under_load() {
    under_load("one_vcpu_under_load", 1);
}

#[test]
fn two_vcpus_under_load() {
    under_load("two_vcpus_under_load", 2);
}

#[test]
fn four_vcpus_under_load() {
    under_load("four_vcpus_under_load", 4);
}

#[test]
fn eight_vcpus_under_load() {
    under_load("eight_vcpus_under_load", 8);
}

/// The whole boot in short lives: before the secondaries start, and before, while and after drivers find their devices.
#[test]
fn a_boot_in_many_lives() {
    let captures = if soak() { 100 } else { 10 };
    in_new_processes("a_boot_in_many_lives", captures + 1, |directory, life| {
        let chain = Chain { directory: directory.into(), vcpus: 4 };
        let console = Console::default();
        let machine = chain.begin(life, &console);
        let over = Arc::new(AtomicBool::new(life == captures));
        answer(&machine.vsock().unwrap(), &over);
        machine.run().unwrap();
        if life < captures {
            // Short lives first: secondaries start early on a host that is not busy.
            std::thread::sleep(Duration::from_millis(if soak() { 5 } else { 1 << life }));
            let state = chain.end(life, &machine, &console);
            let off = state.power.iter().filter(|power| **power == Power::Off).count();
            let ready = |name: &str| state.parts.virtio[name].status & 4 != 0;
            let seen = format!("{off} {} {}\n", ready("disk-data"), ready("vsock0"));
            let mut log =
                File::options().create(true).append(true).open(directory.join("seen")).unwrap();
            log.write_all(seen.as_bytes()).unwrap();
        } else {
            assert_eq!(machine.wait(), Outcome::PoweredOff, "{}", console.text());
            drop(machine);
            chain.keep(life, &console);
            check(&chain, life);
            let seen = fs::read_to_string(directory.join("seen")).unwrap();
            // DRIVER_OK is bit 2 of the status (virtio 1.2, 2.1).
            assert!(seen.contains("3 false false"), "no capture before the secondaries:\n{seen}");
        }
    });
}

/// A CPU that is off stays off, and can be switched on where the machine goes on.
#[test]
fn a_cpu_that_is_off_is_switched_on_elsewhere() {
    in_new_processes("a_cpu_that_is_off_is_switched_on_elsewhere", 2, |directory, life| {
        let path = directory.join("snapshot");
        let console = Console::default();
        if life == 0 {
            let config = config("parked", 2);
            let machine = Machine::new(&config, Resources::serial(console.clone())).unwrap();
            machine.run().unwrap();
            console.wait_for("kiln: parked", 1);
            let mut pause = machine.pause().unwrap();
            let state = pause.capture().unwrap();
            assert_eq!(state.power, [Power::On, Power::Off]);
            let mut writer = Writer::create(&path, &fingerprint().unwrap()).unwrap();
            writer.put("machine", &state).unwrap();
            writer.memory(&mut pause.captured_memory()).unwrap();
            writer.commit().unwrap();
        } else {
            let machine = restored(&path, &console);
            machine.run().unwrap();
            assert_eq!(machine.serial_input(b"\n"), 1);
            assert_eq!(machine.wait(), Outcome::PoweredOff);
            drop(machine);
            assert_eq!(console.values("unparked"), ["2"], "{}", console.text());
            assert_eq!(console.values("visited"), ["2"], "{}", console.text());
        }
    });
}

fn restored(path: &Path, console: &Console) -> Machine {
    let snapshot = Snapshot::open(path).unwrap();
    let file = Arc::new(snapshot.memory_file().try_clone().unwrap());
    let memory = MemoryFile { file, offset: HEADER_LEN, scattered: false };
    let state: MachineState = snapshot.get("machine").unwrap();
    Machine::restore(&state, &memory, Resources::serial(console.clone())).unwrap()
}

/// Two machines from one snapshot draw different random numbers, although the kernel's generator had the same state.
#[test]
fn twins_draw_different_random_numbers() {
    in_its_own_process("twins_draw_different_random_numbers", || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot");
        let console = Console::default();
        let first = Machine::new(&config("random", 1), Resources::serial(console.clone())).unwrap();
        first.run().unwrap();
        console.wait_for("kiln: type", 1);
        let mut pause = first.pause().unwrap();
        let state = pause.capture().unwrap();
        let mut writer = Writer::create(&path, &fingerprint().unwrap()).unwrap();
        writer.put("machine", &state).unwrap();
        writer.memory(&mut pause.captured_memory()).unwrap();
        writer.commit().unwrap();
        drop(pause);
        drop(first);
        let nonce = console.values("nonce");
        let mut drawn = Vec::new();
        let mut identities = Vec::new();
        for _ in 0..2 {
            let console = Console::default();
            let twin = restored(&path, &console);
            let page = twin.layout().generation.start;
            let mut identity = [0; 16];
            vm_memory::Bytes::read_slice(
                twin.memory(),
                &mut identity,
                vm_memory::GuestAddress(page),
            )
            .unwrap();
            identities.push(identity);
            twin.run().unwrap();
            // The kernel hears of its new generation by an interrupt.
            console.wait_for("crng reseeded", 1);
            twin.serial_input(b"\n");
            assert_eq!(twin.wait(), Outcome::PoweredOff);
            drop(twin);
            assert_eq!(console.values("nonce"), nonce, "they come from one boot");
            drawn.extend(console.values("random"));
        }
        assert_eq!(drawn.len(), 2);
        assert_ne!(drawn[0], drawn[1]);
        assert_ne!(identities[0], identities[1]);
    });
}
