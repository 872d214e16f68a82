//! Saved state comes back as it was, every field of it, and no type of it is forgotten here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use devices::{Pl011State, Pl031State, Pl061State};
use proptest::prelude::*;
use snapshot::testing::{check_every_field, random};
use snapshot::{Fingerprint, Saved};
use virtio::{ConsoleState, DeviceState, SavedQueue, VirtioState};
use vmm::{
    DiskConfig, DiskSource, Durability, Entry, MachineConfig, MachineState, OnReset, PartConfig,
    PartsState, Power, VcpuState, VsockConfig,
};

/// The types that have a check of their own, here or (`Workload`) beside them, by name.
const CHECKED: [&str; 6] =
    ["MachineState", "Pl011State", "Pl031State", "Pl061State", "VirtioState", "Workload"];

fn virtio(device: DeviceState) -> VirtioState {
    VirtioState {
        device_id: 3,
        config: vec![1, 2, 3],
        queues: vec![SavedQueue::default(); 2],
        device,
        ..VirtioState::default()
    }
}

fn vcpu() -> VcpuState {
    VcpuState {
        mpidr: 0,
        general: [1; 31],
        pc: 2,
        pstate: 3,
        fpcr: 4,
        fpsr: 5,
        simd: [6; 32],
        system: (0..40).map(|register| (register, 7)).collect(),
        icc: (0..9).map(|register| (register, 8)).collect(),
        redistributor: (0..13).map(|register| (register, 9)).collect(),
        counter: 10,
    }
}

/// One of every variant.
fn machine() -> MachineState {
    let disk = |name: &str, source| DiskConfig { name: name.into(), source };
    let raw = |durability| DiskSource::Raw { path: "disk".into(), read_only: false, durability };
    let part = PartConfig { path: "part".into(), label: "layer".into() };
    let config = MachineConfig {
        initramfs: Some("initramfs".into()),
        disks: vec![
            disk("a", raw(Durability::Medium)),
            disk("b", raw(Durability::HostCache)),
            disk("c", DiskSource::Composite { parts: vec![part] }),
        ],
        vsock: Some(VsockConfig { cid: 3, socket: Some("socket".into()) }),
        on_reset: OnReset::End,
        ..MachineConfig::new("kernel")
    };
    let parts = PartsState {
        virtio: BTreeMap::from([
            ("rng0".to_owned(), virtio(DeviceState::None)),
            ("disk-a".to_owned(), VirtioState::default()),
        ]),
        ..PartsState::default()
    };
    MachineState {
        config,
        parts,
        power: vec![Power::Off, Power::OnPending(Entry { pc: 1, x0: 2 }), Power::On],
        vcpus: vec![vcpu(), vcpu()],
        gic: vec![1, 2, 3],
        counter: 4,
        platform: Fingerprint::default().with("a", 5),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_field_comes_back(seed: u64) {
        let mut random = random(seed);
        check_every_field(&machine(), &mut random);
        check_every_field(&virtio(DeviceState::None), &mut random);
        let console = ConsoleState {
            guest_open: vec![true],
            host_open_told: vec![true],
            partly: vec![1],
            pending: vec![vec![1]],
        };
        check_every_field(&virtio(DeviceState::Console(console)), &mut random);
        check_every_field(&Pl011State::default(), &mut random);
        check_every_field(&Pl031State::default(), &mut random);
        check_every_field(&Pl061State::default(), &mut random);
    }
}

/// Whoever implements [`Saved`] is in the list above.
#[test]
fn no_saved_type_is_forgotten() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeSet::new();
    for package in fs::read_dir(workspace).unwrap() {
        search(&package.unwrap().path().join("src"), &mut found);
    }
    assert_eq!(found, BTreeSet::from(CHECKED.map(str::to_owned)));
    let kinds = [MachineState::KIND, VirtioState::KIND, Pl011State::KIND, Pl031State::KIND];
    assert_eq!(BTreeSet::from(kinds).len(), kinds.len());
}

fn search(directory: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let types = text.lines().filter_map(|line| line.strip_prefix("impl Saved for "));
            found.extend(types.map(|line| line.trim_end_matches(" {").to_owned()));
        }
    }
}
