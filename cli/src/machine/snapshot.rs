//! Snapshots of a machine that runs an image: what a guest's state alone does not say.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use ::snapshot::{HEADER_LEN, Invalid, Saved, Snapshot, Writer};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use vmm::{DiskConfig, DiskSource, MachineConfig, MachineState, MemoryFile, Resources};

use super::supervisor::Supervisor;
use crate::{
    control::SnapshotReply,
    record::{Origin, Spec},
};

/// The record of the guest's state.
const MACHINE: &str = "machine";
/// The record of what the guest runs.
const WORKLOAD: &str = "workload";

/// What the guest of a snapshot runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Workload {
    /// As it was asked for; id, name, origin and ports are those of the machine that was captured.
    pub(crate) spec: Spec,
}

impl Saved for Workload {
    const KIND: &'static str = "kiln-workload";
    const VERSION: u32 = 1;

    fn validate(&self) -> Result<(), Invalid> {
        if self.spec.digest.parse::<image::Digest>().is_err() {
            let what = format!("its image's digest is {:?}", self.spec.digest);
            return Err(Invalid { kind: Self::KIND, what });
        }
        Ok(())
    }
}

impl Workload {
    /// What the guest of this snapshot runs.
    pub(crate) fn read(snapshot: &Snapshot) -> Result<Self, ::snapshot::Error> {
        snapshot.get(WORKLOAD)
    }
}

/// Writes a snapshot of the guest to `path`. The guest stands still meanwhile, and runs again when this returns.
pub(super) fn take(supervisor: &Supervisor, path: &Path) -> anyhow::Result<SnapshotReply> {
    if let Origin::Boot { writable: Some(disk), .. } = &supervisor.spec().origin {
        bail!(
            "a snapshot does not hold the machine's disk {}; take one of a machine without --writable",
            disk.display()
        );
    }
    let machine = supervisor.guest().machine();
    let mut writer = Writer::create(path, &vmm::fingerprint()?)?;
    writer.put(WORKLOAD, &Workload { spec: supervisor.spec().clone() })?;
    if let Origin::Snapshot { path, layers, .. } = &supervisor.spec().origin
        && layers.iter().any(|layer| layer.starts_with(path))
    {
        let from = Snapshot::open(path)
            .context("the layers of the image are in the snapshot that the machine came from")?;
        writer.layers_of(&from)?;
    }
    let paused = Instant::now();
    // When it is dropped the guest goes on, whether or not the snapshot came to be.
    let mut pause = machine.pause()?;
    let saving = Instant::now();
    let state = pause.capture()?;
    writer.put(MACHINE, &state)?;
    writer.memory(&mut pause.captured_memory())?;
    let save = saving.elapsed();
    pause.resume()?;
    let pause = paused.elapsed();
    let written = writer.commit()?;
    Ok(SnapshotReply {
        bytes: written.bytes,
        pause_ms: pause.as_secs_f64() * 1e3,
        save_ms: save.as_secs_f64() * 1e3,
    })
}

/// How long it took to load a snapshot, without building the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loading {
    pub(super) state: Duration,
    pub(super) copy: Duration,
}

/// Builds the machine that goes on where the snapshot at `path` was taken.
///
/// Every file and socket of the host is the one that `config` names: a snapshot may come from anybody, so of what it says
/// itself only the shape of the machine counts, and that must be a shape that kiln makes.
pub(super) fn restore(
    path: &Path,
    copy: bool,
    config: MachineConfig,
    resources: Resources,
) -> anyhow::Result<(vmm::Machine, Loading)> {
    let began = Instant::now();
    let snapshot = Snapshot::open(path)?;
    snapshot.fits(&vmm::fingerprint()?)?;
    let mut state: MachineState = snapshot.get(MACHINE)?;
    let MachineConfig { memory, vcpus, .. } = state.config;
    let parts = |config: &MachineConfig| match config.disks.as_slice() {
        [DiskConfig { source: DiskSource::Composite { parts }, .. }] => Some(parts.len()),
        _ => None,
    };
    if parts(&state.config) != parts(&config) || state.config.vsock.is_none() {
        bail!(
            "the snapshot's machine has other devices than one that runs its image; make it again"
        );
    }
    state.config = MachineConfig { memory, vcpus, ..config };
    let loaded = Instant::now();
    let file = if copy { in_memory(&snapshot)? } else { snapshot.memory_file().try_clone()? };
    let memory = MemoryFile { file: Arc::new(file), offset: HEADER_LEN };
    let loading = Loading { state: loaded - began, copy: loaded.elapsed() };
    Ok((vmm::Machine::restore(&state, &memory, resources)?, loading))
}

/// A copy of the RAM file that nobody else can reach or change.
fn in_memory(snapshot: &Snapshot) -> anyhow::Result<std::fs::File> {
    let mut from = snapshot.memory_file();
    let mut copy =
        tempfile::tempfile().context("cannot make a temporary file for the guest's memory")?;
    std::io::copy(&mut from, &mut copy).context("cannot copy the guest's memory")?;
    Ok(copy)
}
