//! Snapshots of a machine that runs an image: what a guest's state alone does not say.

use std::{
    fs::File,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use ::snapshot::{HEADER_LEN, Invalid, Saved, Snapshot, Writer};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use vmm::{DiskConfig, DiskSource, MachineConfig, MachineState, MemoryFile, Resources};

use super::{HOST_TELLS, supervisor::Supervisor};
use crate::{
    control::SnapshotReply,
    record::{Origin, Spec},
};

/// The record of the guest's state.
const MACHINE: &str = "machine";
/// The record of what the guest runs.
const WORKLOAD: &str = "workload";

/// What the guest of a snapshot runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A snapshot that is written, and not durable yet.
pub(super) struct Taken {
    writer: Writer,
    save: Duration,
}

impl Taken {
    /// Makes the snapshot durable, and gives it its name. The machine's processes stood still for that long.
    pub(super) fn commit(self, stood: Duration) -> anyhow::Result<SnapshotReply> {
        let bytes = self.writer.commit()?.bytes;
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        Ok(SnapshotReply { bytes, pause_ms: ms(stood), save_ms: ms(self.save) })
    }
}

/// Writes a snapshot of the guest for `path`. The guest stands still meanwhile, and runs again when this returns.
pub(super) fn take(supervisor: &Supervisor, path: &Path) -> anyhow::Result<Taken> {
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
    supervisor.will_be_read();
    // When it is dropped the guest goes on, whether or not the snapshot came to be.
    let mut pause = machine.pause()?;
    let saving = Instant::now();
    let state = pause.capture()?;
    writer.put(MACHINE, &state)?;
    writer.memory(&mut pause.captured_memory())?;
    let save = saving.elapsed();
    pause.resume()?;
    Ok(Taken { writer, save })
}

/// A machine that goes on where a snapshot was taken.
pub(super) struct Restored {
    pub(super) machine: vmm::Machine,
    pub(super) loading: Loading,
    /// Where its memory comes from.
    pub(super) snapshot: Snapshot,
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
) -> anyhow::Result<Restored> {
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
    let file = if copy { private_copy(&snapshot)? } else { snapshot.memory_file().try_clone()? };
    let scattered = !copy && HOST_TELLS;
    let memory = MemoryFile { file: Arc::new(file), offset: HEADER_LEN, scattered };
    let loading = Loading { state: loaded - began, copy: loaded.elapsed() };
    let machine = vmm::Machine::restore(&state, &memory, resources)?;
    Ok(Restored { machine, loading, snapshot })
}

/// A copy of the RAM file that nobody else can reach or change.
fn private_copy(snapshot: &Snapshot) -> anyhow::Result<File> {
    let copy =
        tempfile::tempfile().context("cannot make a temporary file for the guest's memory")?;
    snapshot.copy_memory(&copy).context(
        "cannot copy the guest's memory; free some space, or restore it without --ram copy",
    )?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::PathBuf};

    use ::snapshot::{
        Fingerprint,
        testing::{check_every_field, random},
    };

    use super::*;

    /// Something in every field.
    fn workload() -> Workload {
        let layer =
            |number| agent::Layer { device: format!("/dev/vda{number}"), fstype: "erofs".into() };
        let spec = Spec {
            id: "0123456789abcdef".repeat(4),
            name: "calm_otter".into(),
            created: "2026-01-02T03:04:05Z".parse().unwrap(),
            image: "nginx".into(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            memory: 1 << 29,
            cpus: 2,
            origin: Origin::Boot {
                kernel: "Image".into(),
                initramfs: "initramfs.cpio".into(),
                layers: vec!["one.erofs".into(), "two.erofs".into()],
                writable: None,
            },
            guest: agent::Config {
                layers: vec![layer(1), layer(2)],
                hostname: "box".into(),
                memory_limit: Some(1 << 28),
                sysctls: vec![("net.core.somaxconn".into(), "1024".into())],
                stop_signal: Some(3),
                ..agent::Config::default()
            },
            process: agent::ProcessSpec {
                args: vec!["nginx".into(), "-g".into(), "daemon off;".into()],
                env: vec!["PATH=/usr/sbin:/usr/bin".into()],
                cwd: "/srv".into(),
                user: "www-data".into(),
                stdin: true,
                ..agent::ProcessSpec::default()
            },
            stdin_once: true,
            ports: vec!["127.0.0.1:8080:80".parse().unwrap()],
            labels: BTreeMap::from([("tier".into(), "web".into())]),
            auto_remove: true,
            stop_signal: 3,
            stop_timeout: 10,
            init_timeout: 60,
        };
        Workload { spec }
    }

    #[test]
    fn every_field_comes_back() {
        let mut random = random(1);
        for _ in 0..16 {
            check_every_field(&workload(), &mut random);
        }
    }

    /// A snapshot of the first version says what it ran to every later one.
    ///
    /// With `KILN_GOLDEN=FILE` the present version writes what it makes there, for the next format.
    #[test]
    fn the_first_workload_is_understood() {
        let place = tempfile::tempdir().unwrap();
        if let Some(file) = std::env::var_os("KILN_GOLDEN") {
            let path = place.path().join("made");
            let mut writer = Writer::create(&path, &Fingerprint::default()).unwrap();
            writer.put(WORKLOAD, &workload()).unwrap();
            writer.memory(&mut [0; 16384].as_slice()).unwrap();
            writer.commit().unwrap();
            Snapshot::open(&path).unwrap().export(Path::new(&file), &[]).unwrap();
        }
        let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/workload-1.kiln");
        let snapshot = Snapshot::import(&golden, &place.path().join("imported")).unwrap();
        assert_eq!(Workload::read(&snapshot).unwrap(), workload());
    }
}
