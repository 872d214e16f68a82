//! Machines that cannot be are refused in one sentence, before anything starts.

mod common;

use std::error::Error;
use std::fs::File;

use common::{in_its_own_process, kernel, threads_left};
use vmm::{DiskConfig, DiskSource, Durability, Machine, MachineConfig, Resources};

/// What is said of a machine that cannot be.
fn refusal(config: &MachineConfig) -> String {
    let error = match Machine::new(config, Resources::serial(std::io::sink())) {
        Ok(_) => panic!("the machine was built: {config:?}"),
        Err(error) => said(&error),
    };
    assert!(!error.contains('\n'), "{error}");
    assert_eq!(threads_left(), Vec::<String>::new());
    error
}

/// An error with its causes, as the command line shows it.
fn said(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", said(cause)),
        None => error.to_string(),
    }
}

fn good() -> MachineConfig {
    let mut config = MachineConfig::new(kernel());
    config.memory = 64 << 20;
    config
}

#[test]
fn each_mistake_has_its_sentence() {
    in_its_own_process("each_mistake_has_its_sentence", || {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, len: u64| {
            let path = directory.path().join(name);
            File::create(&path).unwrap().set_len(len).unwrap();
            path
        };
        let disk = |path| DiskConfig {
            name: "disk0".into(),
            source: DiskSource::Raw { path, read_only: false, durability: Durability::Medium },
        };
        let cases: [(&str, MachineConfig, &[&str]); 13] = [
            ("no kernel", MachineConfig::new("/nowhere/Image"), &["/nowhere/Image"]),
            ("no Image", MachineConfig::new(file("text", 4096)), &["not an arm64 Image"]),
            ("short", MachineConfig::new(file("short", 10)), &["10 bytes", "too few"]),
            ("directory", MachineConfig::new(directory.path()), &["not a file"]),
            ("no vCPU", MachineConfig { vcpus: 0, ..good() }, &["0 vCPUs", "use 1 to"]),
            ("vCPUs", MachineConfig { vcpus: 10_000, ..good() }, &["10000 vCPUs"]),
            ("memory", MachineConfig { memory: 1 << 50, ..good() }, &["1073741824 MiB"]),
            ("odd memory", MachineConfig { memory: (64 << 20) + 4096, ..good() }, &["2 MiB"]),
            (
                "initramfs",
                MachineConfig { initramfs: Some(file("large", 80 << 20)), ..good() },
                &["initramfs", "67108864"],
            ),
            (
                "command line",
                MachineConfig { command_line: "x".repeat(2048), ..good() },
                &["command line", "2048"],
            ),
            // Found before the kernel is looked for, let alone a VM made.
            (
                "NUL",
                MachineConfig { command_line: "a\0b".into(), ..MachineConfig::new("/nowhere") },
                &["command line", "NUL"],
            ),
            (
                "little memory",
                MachineConfig { memory: 4096, ..MachineConfig::new("/nowhere") },
                &["at least 16 MiB"],
            ),
            (
                "no disk",
                MachineConfig { disks: vec![disk("/nowhere/disk".into())], ..good() },
                &["/nowhere/disk"],
            ),
        ];
        for (what, config, words) in cases {
            let sentence = refusal(&config);
            for word in words {
                assert!(sentence.contains(word), "{what}: {sentence:?} lacks {word:?}");
            }
        }

        // A disk that another open file description has locked.
        let path = file("locked", 1 << 20);
        let locked = File::open(&path).unwrap();
        locked.lock().unwrap();
        let sentence = refusal(&MachineConfig { disks: vec![disk(path)], ..good() });
        assert!(sentence.contains("locked"), "{sentence}");

        // After all these refusals the process can still have its machine.
        let good = Machine::new(&good(), Resources::serial(std::io::sink()));
        drop(good.unwrap());
        assert_eq!(threads_left(), Vec::<String>::new());
    });
}

#[test]
fn a_second_machine_is_refused() {
    in_its_own_process("a_second_machine_is_refused", || {
        let first = Machine::new(&good(), Resources::serial(std::io::sink())).unwrap();
        let error = Machine::new(&good(), Resources::serial(std::io::sink()))
            .err()
            .expect("a second machine in one process");
        assert!(error.to_string().contains("already has a virtual machine"), "{error}");
        drop(first);
    });
}
