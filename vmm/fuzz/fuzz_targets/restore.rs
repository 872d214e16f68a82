//! A whole machine restored from a state in which an attacker has changed what he likes: nothing but errors, or a guest that
//! harms only itself and can be stopped.
#![no_main]

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ciborium::Value;
use libfuzzer_sys::fuzz_target;
use snapshot::{HEADER_LEN, Snapshot, Writer};
use vmm::{
    ConsolePort, DiskConfig, DiskSource, Durability, Machine, MachineConfig, MachineState, MemoryFile,
    Resources, VsockConfig, fingerprint,
};

/// A machine that stands still before its first instruction, with the driver of every device at work.
struct Golden {
    /// Kept for its files.
    directory: tempfile::TempDir,
    snapshot: Snapshot,
    state: MachineState,
}

static GOLDEN: LazyLock<Golden> = LazyLock::new(|| {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    fs::write(directory.path().join("Image"), image()).unwrap();
    fs::write(directory.path().join("disk"), vec![0; 1 << 20]).unwrap();
    let machine = Machine::new(&config(directory.path()), resources()).unwrap();
    let mut pause = machine.pause().unwrap();
    let mut state = pause.capture().unwrap();
    let path = directory.path().join("golden");
    let mut writer = Writer::create(&path, &fingerprint().unwrap()).unwrap();
    writer.memory(&mut pause.captured_memory()).unwrap();
    writer.commit().unwrap();
    // Every queue is empty, past the kernel.
    let mut ring = machine.layout().ram.start + (4 << 20);
    for device in state.parts.virtio.values_mut() {
        device.status = 15;
        device.driver_features = 1 << 32;
        for queue in &mut device.queues {
            queue.ready = true;
            (queue.desc, queue.driver, queue.device) = (ring, ring + 0x1000, ring + 0x2000);
            ring += 0x3000;
        }
    }
    let snapshot = Snapshot::open(&path).unwrap();
    Golden { directory, snapshot, state }
});

/// Two vCPUs and every device.
fn config(directory: &Path) -> MachineConfig {
    let source = DiskSource::Raw {
        path: directory.join("disk"),
        read_only: false,
        durability: Durability::HostCache,
    };
    MachineConfig {
        memory: 16 << 20,
        vcpus: 2,
        disks: vec![DiskConfig { name: "disk".into(), source }],
        vsock: Some(VsockConfig { cid: 3, socket: None }),
        ..MachineConfig::new(directory.join("Image"))
    }
}

fn resources() -> Resources {
    let (socket, _) = UnixStream::pair().unwrap();
    let mut resources = Resources::serial(std::io::sink());
    resources.console.push(ConsolePort { name: String::new(), is_console: true, socket });
    resources
}

/// An arm64 Image of 64 KiB that does nothing for ever (Documentation/arch/arm64/booting.rst).
fn image() -> Vec<u8> {
    let mut image = vec![0; 64 << 10];
    image[..4].copy_from_slice(&0x1400_0000u32.to_le_bytes());
    image[16..24].copy_from_slice(&(64u64 << 10).to_le_bytes());
    image[24..32].copy_from_slice(&0xau64.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

/// Every value that holds no others.
fn leaves<'a>(value: &'a mut Value, into: &mut Vec<&'a mut Value>) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| leaves(value, into)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| leaves(value, into)),
        _ => into.push(value),
    }
}

/// Edits of ten bytes: which value, and what it becomes.
fn mutated(data: &[u8]) -> Option<MachineState> {
    let mut value = Value::serialized(&GOLDEN.state).ok()?;
    let mut all = Vec::new();
    leaves(&mut value, &mut all);
    for edit in data.chunks_exact(10) {
        let which = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % all.len();
        let number = u64::from_le_bytes(edit[2..].try_into().ok()?);
        match &mut *all[which] {
            Value::Bool(value) => *value = number & 1 != 0,
            Value::Bytes(bytes) if bytes.is_empty() => bytes.push(number as u8),
            Value::Bytes(bytes) => {
                let at = (number >> 16) as usize % bytes.len();
                bytes[at] = number as u8;
                if number >> 56 == 0xff {
                    bytes.truncate(at);
                }
            }
            Value::Text(text) => *text = format!("{number:x}"),
            other => *other = Value::Integer(number.into()),
        }
    }
    let mut bytes = Vec::new();
    ciborium::into_writer(&value, &mut bytes).ok()?;
    ciborium::from_reader(bytes.as_slice()).ok()
}

fuzz_target!(|data: &[u8]| {
    let Some(mut state) = mutated(data) else { return };
    // As kiln does: files and sockets are this host's own, whatever the snapshot says.
    let MachineConfig { memory, vcpus, .. } = state.config;
    state.config = MachineConfig { memory, vcpus, ..config(GOLDEN.directory.path()) };
    let file = Arc::new(GOLDEN.snapshot.memory_file().try_clone().unwrap());
    let memory = MemoryFile { file, offset: HEADER_LEN, scattered: false };
    if let Ok(machine) = Machine::restore(&state, &memory, resources()) {
        if machine.run().is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
        machine.stop();
        machine.wait();
    }
});
