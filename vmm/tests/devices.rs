//! What goes through the devices arrives whole.

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use common::{Console, config, in_its_own_process, machine, soak};
use vmm::{
    DiskConfig, DiskSource, Durability, Machine, MachineConfig, Outcome, PartConfig, VsockConfig,
};

/// The guest's `next`: xorshift64 (Marsaglia 2003), as bytes.
struct Pattern(u64);

impl Pattern {
    fn fill(&mut self, into: &mut [u8]) {
        for word in into.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

const BLOCK: usize = 65536;

/// Runs to the end, which is the guest's own.
fn run(config: &MachineConfig) -> Console {
    let (machine, console) = machine(config);
    machine.run().unwrap();
    assert_eq!(machine.wait(), Outcome::PoweredOff, "{}", console.text());
    drop(machine);
    console
}

#[test]
fn a_disk_holds_what_was_written() {
    in_its_own_process("a_disk_holds_what_was_written", || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let size: u64 = 256 << 20;
        File::create(&path).unwrap().set_len(size).unwrap();
        let mut config = config("disk", 2);
        config.disks.push(DiskConfig {
            name: "data".into(),
            source: DiskSource::Raw {
                path: path.clone(),
                read_only: false,
                durability: Durability::Medium,
            },
        });
        let console = run(&config);
        let blocks = size / BLOCK as u64;
        assert_eq!(console.values("disk"), [format!("blocks {blocks}")], "{}", console.text());
        let mut file = File::open(&path).unwrap();
        let (mut expected, mut found) = (vec![0; BLOCK], vec![0; BLOCK]);
        for block in 0..blocks {
            Pattern(block + 1).fill(&mut expected);
            file.read_exact(&mut found).unwrap();
            assert!(expected == found, "block {block} differs");
        }
    });
}

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[test]
fn a_composite_disk_shows_its_files_as_partitions() {
    in_its_own_process("a_composite_disk_shows_its_files_as_partitions", || {
        let directory = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        let mut parts = Vec::new();
        for (index, len) in [(1, 4096usize), (2, 1 << 20), (3, (3 << 20) + 512)] {
            let mut bytes = vec![0; len];
            Pattern(index).fill(&mut bytes);
            let path = directory.path().join(format!("part{index}"));
            fs::write(&path, &bytes).unwrap();
            let label = format!("layer-{index}");
            expected.push(format!("{label} {len} {:016x}", fnv(&bytes)));
            parts.push(PartConfig { path, label });
        }
        let mut config = config("partitions", 1);
        config
            .disks
            .push(DiskConfig { name: "layers".into(), source: DiskSource::Composite { parts } });
        let console = run(&config);
        assert_eq!(console.values("partition"), expected, "{}", console.text());
    });
}

fn with_vsock(test: &str) -> MachineConfig {
    let mut config = config(test, 2);
    config.vsock = Some(VsockConfig { cid: 3, socket: None });
    config
}

#[test]
fn a_socket_carries_both_ways_at_once() {
    in_its_own_process("a_socket_carries_both_ways_at_once", || {
        let mebibytes: usize = if soak() { 1024 } else { 128 };
        let (machine, console) = machine(&with_vsock(&format!("stream,{mebibytes}")));
        let listener = machine.vsock().unwrap().listen(1024).unwrap();
        machine.run().unwrap();
        let stream = listener.accept(Duration::from_secs(60)).unwrap().stream;
        std::thread::scope(|scope| {
            let mut out = stream.try_clone().unwrap();
            scope.spawn(move || {
                let (mut pattern, mut block) = (Pattern(2), vec![0; BLOCK]);
                for _ in 0..(mebibytes << 20) / BLOCK {
                    pattern.fill(&mut block);
                    out.write_all(&block).unwrap();
                }
            });
            let (mut pattern, mut expected) = (Pattern(1), vec![0; BLOCK]);
            let mut found = vec![0; BLOCK];
            for block in 0..(mebibytes << 20) / BLOCK {
                pattern.fill(&mut expected);
                (&stream).read_exact(&mut found).unwrap();
                assert!(expected == found, "block {block} differs");
            }
        });
        console.wait_for("kiln: stream", 1);
        drop(stream);
        assert_eq!(machine.wait(), Outcome::PoweredOff);
        drop(machine);
        assert_eq!(console.values("stream"), ["whole"], "{}", console.text());
    });
}

#[test]
fn five_hundred_streams_are_open_at_once() {
    in_its_own_process("five_hundred_streams_are_open_at_once", || {
        let (machine, console) = machine(&with_vsock("streams,500"));
        let listener = machine.vsock().unwrap().listen(1025).unwrap();
        machine.run().unwrap();
        let mut streams: Vec<_> =
            (0..500).map(|_| listener.accept(Duration::from_secs(60)).unwrap().stream).collect();
        for stream in &mut streams {
            let mut text = [0; 64];
            let len = stream.read(&mut text).unwrap();
            stream.write_all(&text[..len]).unwrap();
        }
        assert_eq!(machine.wait(), Outcome::PoweredOff);
        drop(machine);
        assert_eq!(console.values("streams"), ["500"], "{}", console.text());
    });
}

#[test]
fn streams_end_with_the_machine() {
    in_its_own_process("streams_end_with_the_machine", || {
        let (machine, _) = machine(&with_vsock("streams,1"));
        let listener = machine.vsock().unwrap().listen(1025).unwrap();
        machine.run().unwrap();
        let mut stream = listener.accept(Duration::from_secs(60)).unwrap().stream;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        machine.stop();
        machine.wait();
        // Whatever the guest wrote before, then the end.
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
}

/// Bytes of guest memory that the host has in RAM (proc(5), `smaps`).
fn resident(machine: &Machine) -> u64 {
    let guest = machine.host_memory();
    let (mut kib, mut inside) = (0, false);
    for line in fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        if let Some(rss) = line.strip_prefix("Rss:") {
            if inside {
                kib += rss.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
        } else if let Some((start, _)) = line.split_once('-')
            && let Ok(start) = u64::from_str_radix(start, 16)
        {
            inside = guest.iter().any(|range| range.contains(&start));
        }
    }
    kib << 10
}

/// Waits for a condition; the test's process has a time limit.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come about");
}

#[test]
#[cfg(target_os = "linux")]
fn memory_that_the_guest_frees_returns_to_the_host() {
    in_its_own_process("memory_that_the_guest_frees_returns_to_the_host", || {
        let (machine, console) = machine(&config("touch,150", 1));
        machine.run().unwrap();
        console.wait_for("kiln: touched", 1);
        assert!(resident(&machine) >= 150 << 20, "{} bytes are resident", resident(&machine));
        machine.serial_input(b"\r");
        // Free page reporting needs nobody to ask. The guest has 256 MiB and uses about 40.
        wait_until("the return of freed memory", || resident(&machine) < 100 << 20);
        // With the balloon, what it does not use but would keep goes as well.
        machine.balloon().set_target(128 << 20);
        wait_until("the balloon", || machine.balloon().actual() == 128 << 20);
        let full = resident(&machine);
        machine.balloon().set_target(0);
        wait_until("an empty balloon", || machine.balloon().actual() == 0);
        assert!(full < 100 << 20, "{full} bytes are resident with a full balloon");
        machine.stop();
        machine.wait();
    });
}

#[test]
fn each_boot_has_random_numbers_of_its_own() {
    in_its_own_process("each_boot_has_random_numbers_of_its_own", || {
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.extend(run(&config("report", 1)).values("random"));
        }
        assert_eq!(seen.len(), 3);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 3, "{seen:?}");
    });
}

#[test]
fn a_machine_can_be_small_or_large() {
    in_its_own_process("a_machine_can_be_small_or_large", || {
        for memory in [64 << 20, 8 << 30] {
            if memory > vmm::Host::query().unwrap().memory {
                continue;
            }
            let mut config = config("report", 2);
            config.memory = memory;
            assert_eq!(run(&config).values("nproc"), ["2"]);
        }
    });
}

#[test]
fn a_unix_socket_reaches_the_guests_device() {
    in_its_own_process("a_unix_socket_reaches_the_guests_device", || {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("vsock");
        let mut config = with_vsock("idle");
        config.vsock = Some(VsockConfig { cid: 3, socket: Some(path.clone()) });
        let (machine, console) = machine(&config);
        machine.run().unwrap();
        console.wait_for("kiln: init idle", 1);
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.write_all(b"CONNECT 9\n").unwrap();
        // Nobody listens on port 9: the guest resets, the device closes.
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(!answer.starts_with("OK"), "{answer}");
        machine.stop();
        machine.wait();
        drop(machine);
        assert!(!path.exists(), "the socket is removed");
    });
}
