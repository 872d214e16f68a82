//! Linux's own drivers against the virtio devices: every byte is checked at the other end.

mod common;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{
    Console, descriptors, in_its_own_process, initramfs_of, kernel, machine_threads, soak,
    threads_left,
};
use sha2::{Digest, Sha256};
use vmm::{
    DiskConfig, DiskSource, Durability, Machine, MachineConfig, Outcome, PartConfig, Resources,
    VsockConfig,
};

const LONG: Duration = Duration::from_secs(100);
const BLOCK: u64 = 4096;

/// The long counts are for the soak.
fn bytes(usual: u64, long: u64) -> u64 {
    if soak() { long } else { usual }
}

fn config(test: &str, bytes: u64) -> MachineConfig {
    let mut config = MachineConfig::new(kernel());
    config.initramfs = Some(initramfs_of("virtio.c"));
    config.memory = 512 << 20;
    config.vcpus = 2;
    config.command_line = format!("console=ttyAMA0 kiln.test={test} kiln.bytes={bytes}");
    config
}

fn disk(name: &str, source: DiskSource) -> DiskConfig {
    DiskConfig { name: name.to_owned(), source }
}

/// Word `at` of the stream that the guest makes too (splitmix64's finalizer).
fn mix(at: u64) -> u64 {
    let mut x = at + 1;
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn stream(first_word: u64, bytes: u64) -> Vec<u8> {
    (first_word..first_word + bytes / 8).flat_map(|at| mix(at).to_le_bytes()).collect()
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lets the guest go on.
fn nod(machine: &Machine) {
    assert_eq!(machine.serial_input(b"\n"), 1);
}

fn run(config: &MachineConfig, resources: Resources) -> Machine {
    let machine = Machine::new(config, resources).unwrap_or_else(|error| panic!("{error}"));
    machine.run().unwrap();
    machine
}

fn finish(machine: Machine, console: &Console) {
    assert_eq!(machine.wait(), Outcome::PoweredOff, "{}", console.text());
    assert_eq!(console.values("failed"), Vec::<String>::new(), "{}", console.text());
}

fn start(config: &MachineConfig) -> (Machine, Console) {
    let console = Console::default();
    (run(config, Resources::serial(console.clone())), console)
}

#[test]
fn a_disk_keeps_what_is_written_at_random_and_flushed() {
    in_its_own_process("a_disk_keeps_what_is_written_at_random_and_flushed", || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let len = bytes(64 << 20, 256 << 20);
        File::create(&path).unwrap().set_len(len).unwrap();
        let mut config = config("disk", len);
        let source = DiskSource::Raw {
            path: path.clone(),
            read_only: false,
            durability: Durability::Medium,
        };
        config.disks = vec![disk("kiln-serial-7", source)];
        let (machine, console) = start(&config);
        console.wait_for("kiln: flushed", 1);
        let mut file = File::open(&path).unwrap();
        let mut block = vec![0; BLOCK as usize];
        for at in 0..len / BLOCK {
            file.read_exact(&mut block).unwrap();
            assert!(block == stream(at * BLOCK / 8, BLOCK), "block {at} is not what was written");
        }
        nod(&machine);
        console.wait_for("kiln: changed", 1);
        let mut piece = vec![0; 1 << 20];
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_exact(&mut piece).unwrap();
        assert!(piece == stream(1 << 40, 1 << 20), "the direct write");
        file.read_exact(&mut piece).unwrap();
        assert!(piece.iter().all(|byte| *byte == 0), "the zeroed range");
        file.seek(SeekFrom::Start(3 << 20)).unwrap();
        file.read_exact(&mut piece).unwrap();
        assert!(piece == stream((3 << 20) / 8, 1 << 20), "past the discarded range");
        nod(&machine);
        finish(machine, &console);
        assert_eq!(console.values("serial"), ["kiln-serial-7"]);
        assert_eq!(console.values("queues"), ["2"]);
        assert_eq!(console.values("wrong"), ["0"]);
    });
}

#[test]
fn a_composite_disk_has_the_right_bytes_in_each_partition() {
    in_its_own_process("a_composite_disk_has_the_right_bytes_in_each_partition", || {
        let directory = tempfile::tempdir().unwrap();
        let mut parts = Vec::new();
        let mut expected = Vec::new();
        for (index, len) in [4096, 5 << 20, 1_000_448, 512].into_iter().enumerate() {
            let path = directory.path().join(format!("part{index}"));
            let content = stream((index as u64) << 40, len);
            std::fs::write(&path, &content).unwrap();
            let label = format!("layer-{index}");
            expected.push(format!("{label} {len} {}", hex(Sha256::new_with_prefix(content))));
            parts.push(PartConfig { path, label });
        }
        let mut config = config("composite", 0);
        config.disks = vec![disk("layers", DiskSource::Composite { parts })];
        let (machine, console) = start(&config);
        finish(machine, &console);
        assert_eq!(console.values("read-only"), ["1"]);
        assert_eq!(console.values("part"), expected, "{}", console.text());
    });
}

fn with_vsock(test: &str, bytes: u64, socket: Option<PathBuf>) -> MachineConfig {
    let mut config = config(test, bytes);
    config.vsock = Some(VsockConfig { cid: 3, socket });
    config
}

/// As another process would.
fn connect(path: &Path, port: u32) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"OK "), "{answer:?}");
    stream
}

#[test]
fn a_long_stream_each_way_arrives_whole() {
    in_its_own_process("a_long_stream_each_way_arrives_whole", || {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("vsock");
        let len = bytes(64 << 20, 1 << 30);
        let config = with_vsock("vsock", len, Some(socket.clone()));
        let (machine, console) = start(&config);
        console.wait_for("kiln: listening", 1);
        let mut to_guest = machine.vsock().unwrap().connect(1024, LONG).unwrap();
        let mut hash = Sha256::new();
        for at in (0..len).step_by(1 << 20) {
            let piece = stream(at / 8, 1 << 20);
            hash.update(&piece);
            to_guest.write_all(&piece).unwrap();
        }
        to_guest.shutdown(Shutdown::Both).unwrap();
        console.wait_for(&format!("kiln: received {len} {}", hex(hash)), 1);

        let mut from_guest = connect(&socket, 1024);
        let mut hash = Sha256::new();
        let mut count = 0;
        let mut piece = vec![0; 1 << 16];
        loop {
            match from_guest.read(&mut piece).unwrap() {
                0 => break,
                n => {
                    hash.update(&piece[..n]);
                    count += n;
                }
            }
        }
        assert_eq!(count as u64, len);
        console.wait_for(&format!("kiln: sent {len} {}", hex(hash)), 1);
        nod(&machine);
        finish(machine, &console);
    });
}

#[test]
fn five_hundred_streams_at_once_keep_their_bytes_apart() {
    in_its_own_process("five_hundred_streams_at_once_keep_their_bytes_apart", || {
        let config = with_vsock("streams", 0, None);
        let console = Console::default();
        let machine = Machine::new(&config, Resources::serial(console.clone())).unwrap();
        let listener = machine.vsock().unwrap().listen(5000).unwrap();
        machine.run().unwrap();
        let mut echoes = Vec::new();
        for _ in 0..500 {
            let mut stream = listener.accept(LONG).unwrap().stream;
            let echo = std::thread::Builder::new().stack_size(64 << 10);
            echoes.push(echo.spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
            }));
        }
        finish(machine, &console);
        assert_eq!(console.values("echoed"), ["500 wrong 0"], "{}", console.text());
        for echo in echoes {
            echo.unwrap().join().unwrap();
        }
    });
}

/// KiB of the guest's memory that the host has resident (proc(5), smaps).
fn resident(machine: &Machine) -> u64 {
    let ranges = machine.host_memory();
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut inside = false;
    let mut total = 0;
    for line in smaps.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-')
            && let (Ok(start), Ok(end)) =
                (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16))
        {
            inside = ranges.iter().any(|range| start < range.end && end > range.start);
        } else if let Some(size) = line.strip_prefix("Rss:").filter(|_| inside) {
            total += size.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
        }
    }
    total
}

/// Waits until it holds; the test's process has a time limit.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn ballooned_memory_goes_back_to_the_host_and_free_memory_follows() {
    in_its_own_process("ballooned_memory_goes_back_to_the_host_and_free_memory_follows", || {
        const TOUCHED: u64 = 128 << 20;
        let (machine, console) = start(&config("balloon", TOUCHED));
        let balloon = machine.balloon();
        console.wait_for("kiln: touched", 1);
        // The guest has freed what it touched and reports its free pages after a while.
        wait_until("free page reporting", || resident(&machine) * 1024 < TOUCHED);
        // Not free pages alone: the balloon takes most of what the guest has.
        let target = 320 << 20;
        balloon.set_target(target);
        wait_until("the balloon's inflation", || balloon.actual() == target);
        let full = resident(&machine);
        assert!(full * 1024 < (512 << 20) - target, "{full} KiB are resident");
        balloon.request_stats();
        wait_until("statistics", || balloon.stats().1 > 1);
        let total = balloon.stats().0[&virtio::Stat::Total];
        assert!((100 << 20..512 << 20).contains(&total), "{total}");
        balloon.set_target(0);
        wait_until("the balloon's deflation", || balloon.actual() == 0);
        nod(&machine);
        console.wait_for("kiln: touched", 2);
        nod(&machine);
        finish(machine, &console);
        assert_eq!(console.values("touched"), ["0", "0"]);
    });
}

/// The balloon's driver gives memory back before anything is killed (virtio 1.2, 5.5.6).
#[test]
fn a_guest_that_runs_out_of_memory_takes_it_from_the_balloon() {
    in_its_own_process("a_guest_that_runs_out_of_memory_takes_it_from_the_balloon", || {
        let (machine, console) = start(&config("balloon", 192 << 20));
        let balloon = machine.balloon();
        console.wait_for("kiln: touched", 1);
        // What is left is less than what is touched again.
        let target = 320 << 20;
        balloon.set_target(target);
        wait_until("the balloon's inflation", || balloon.actual() == target);
        nod(&machine);
        console.wait_for("kiln: touched", 2);
        assert!(balloon.actual() < target);
        nod(&machine);
        finish(machine, &console);
        assert_eq!(console.values("touched"), ["0", "0"]);
    });
}

#[test]
fn nothing_is_left_of_a_machine_with_every_device() {
    in_its_own_process("nothing_is_left_of_a_machine_with_every_device", || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        let (socket, _end) = UnixStream::pair().unwrap();
        let before = descriptors();
        let mut config = with_vsock("rng", 0, Some(directory.path().join("vsock")));
        let source = DiskSource::Raw { path, read_only: false, durability: Durability::Medium };
        config.disks = vec![disk("disk", source)];
        let console = Console::default();
        let mut resources = Resources::serial(console.clone());
        let name = String::new();
        let theirs = socket.try_clone().unwrap();
        resources.console.push(virtio::ConsolePort { name, is_console: true, socket: theirs });
        let machine = run(&config, resources);
        assert!(descriptors().len() > before.len(), "{before:?}");
        let io = |name: &String| name.starts_with("kiln-io");
        // A thread takes its name once it runs.
        wait_until("a thread of the disk", || machine_threads().iter().any(io));
        finish(machine, &console);
        assert_eq!(threads_left(), Vec::<String>::new());
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn no_two_boots_get_the_same_random_bytes() {
    in_its_own_process("no_two_boots_get_the_same_random_bytes", || {
        let boot = || {
            let (machine, console) = start(&config("rng", 0));
            finish(machine, &console);
            console.values("rng").remove(0)
        };
        let (first, second) = (boot(), boot());
        assert_eq!(first.len(), 64);
        assert_ne!(first, second);
    });
}

#[test]
fn console_ports_carry_bytes_and_the_size() {
    in_its_own_process("console_ports_carry_bytes_and_the_size", || {
        let console = Console::default();
        let mut resources = Resources::serial(console.clone());
        let mut ends = Vec::new();
        for name in ["", "kiln.test"] {
            let (socket, end) = UnixStream::pair().unwrap();
            end.set_read_timeout(Some(LONG)).unwrap();
            ends.push(end);
            let is_console = name.is_empty();
            resources.console.push(virtio::ConsolePort {
                name: name.to_owned(),
                is_console,
                socket,
            });
        }
        let machine = run(&config("console", 0), resources);
        console.wait_for("kiln: open", 1);
        for end in &mut ends {
            end.write_all(b"ten bytes.").unwrap();
            let mut bytes = [0; 10];
            end.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"ten bytes.");
        }
        nod(&machine);
        console.wait_for("kiln: size 80 24", 1);
        machine.console().unwrap().resize(132, 43);
        console.wait_for("kiln: resized 132 43", 1);
        nod(&machine);
        finish(machine, &console);
    });
}
