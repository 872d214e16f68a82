//! A whole machine restored from a state in which an attacker has changed what he likes: nothing but errors, or a guest that
//! harms only itself and can be stopped.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ciborium::Value;
use libfuzzer_sys::fuzz_target;
use snapshot::{HEADER_LEN, Snapshot};
use vmm::{Machine, MachineConfig, MachineState, MemoryFile, Resources};

struct Golden {
    /// Kept for its files.
    directory: tempfile::TempDir,
    snapshot: Snapshot,
    state: MachineState,
}

static GOLDEN: LazyLock<Golden> = LazyLock::new(|| {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/machine-1.kiln");
    let snapshot = Snapshot::import(&golden, &directory.path().join("golden")).unwrap();
    let state = snapshot.get("machine").unwrap();
    fs::write(directory.path().join("Image"), image()).unwrap();
    Golden { directory, snapshot, state }
});

/// The header of an arm64 Image of 64 KiB (Documentation/arch/arm64/booting.rst).
fn image() -> Vec<u8> {
    let mut image = vec![0; 64 << 10];
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
    let kernel = GOLDEN.directory.path().join("Image");
    state.config = MachineConfig { memory, vcpus, ..MachineConfig::new(kernel) };
    let file = Arc::new(GOLDEN.snapshot.memory_file().try_clone().unwrap());
    let memory = MemoryFile { file, offset: HEADER_LEN };
    if let Ok(machine) = Machine::restore(&state, &memory, Resources::serial(std::io::sink())) {
        if machine.run().is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
        machine.stop();
        machine.wait();
    }
});
