//! The snapshots of a home.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileExt},
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, bail};
use hyper::Method;
use image::Store;
use jiff::Timestamp;
use snapshot::{HEADER_LEN, Snapshot};

use crate::{
    Home,
    control::{SnapshotReply, SnapshotRequest},
    guest_files,
    launch::{self, Launched, Life, Process},
    machine::Workload,
    pins,
    record::{Machine, Machines, Origin, PortMapping, SHORT, Spec, check_name, random_id},
};

/// Prefix of snapshots that are being removed.
const GRAVE: &str = ".old-";
/// Prefix of snapshots that last as long as a process.
const PASSING: &str = ".passing-";

/// A snapshot without a name, removed when it is dropped.
pub(crate) struct Passing {
    pub(crate) path: PathBuf,
    /// Its parent, which has nothing else.
    place: PathBuf,
    /// Says that its process lives.
    _lock: fs::File,
}

impl Drop for Passing {
    fn drop(&mut self) {
        // What is left is swept another time.
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// The snapshots of a home, by name.
#[derive(Debug)]
pub(crate) struct Snapshots {
    home: Home,
    directory: PathBuf,
}

/// A snapshot as it is listed.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) snapshot: Snapshot,
    pub(crate) workload: Workload,
    pub(crate) created: Option<Timestamp>,
    /// Bytes that it takes on disk.
    pub(crate) size: u64,
}

/// What of a restored machine differs from the captured one.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// Its name; one is made up if there is none.
    pub name: Option<String>,
    /// Replaces the published ports, if any are given.
    pub ports: Vec<PortMapping>,
    /// Let the host choose a free port for each published one.
    pub free_ports: bool,
    /// Labels besides those of the captured machine.
    pub labels: Vec<(String, String)>,
    /// Remove everything once it has ended.
    pub auto_remove: bool,
    /// Read all memory at once, so that the snapshot may go.
    pub copy: bool,
}

impl Snapshots {
    pub(crate) fn open(home: &Home) -> anyhow::Result<Self> {
        let directory = home.snapshots();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Self { home: home.clone(), directory })
    }

    /// Where the snapshot of this name is or would be.
    pub(crate) fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        check_name(name)?;
        Ok(self.directory.join(name))
    }

    /// Takes a snapshot of a machine that runs.
    pub(crate) fn create(&self, machine: &Machine, name: &str) -> anyhow::Result<SnapshotReply> {
        let path = self.path(name)?;
        self.sweep()?;
        // Before anything stands still.
        if path.exists() {
            return Err(snapshot::Error::Exists(path).into());
        }
        let client = launch::running(machine)?;
        let reply = client.call(Method::POST, "/v1/snapshot", &SnapshotRequest { path })?;
        // The machine itself holds the image until then.
        if Snapshot::open(&self.path(name)?)?.layers()?.is_empty() {
            pins::pin(&self.home, &pins::snapshot(name), &machine.spec.digest)?;
        }
        Ok(reply)
    }

    /// Removes what killed processes left: halves of snapshots, and those that were for one `kiln fork`.
    fn sweep(&self) -> anyhow::Result<()> {
        snapshot::sweep(&self.directory)?;
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let begins = |with: &str| name.as_encoded_bytes().starts_with(with.as_bytes());
            let dead = || fs::File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if begins(GRAVE) || begins(PASSING) && dead() {
                // Another process may be at it as well.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }

    /// Takes a snapshot that lasts as long as the result, and has no name.
    pub(crate) fn passing(&self, machine: &Machine) -> anyhow::Result<Passing> {
        self.sweep()?;
        let client = launch::running(machine)?;
        let passing = loop {
            let place = self.directory.join(format!("{PASSING}{}", &random_id()?[..12]));
            fs::DirBuilder::new().mode(0o700).create(&place)?;
            let lock = match fs::File::open(&place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            lock.lock()?;
            // A sweep may have come between the two.
            if place.exists() {
                break Passing { path: place.join("snapshot"), place, _lock: lock };
            }
        };
        let request = SnapshotRequest { path: passing.path.clone() };
        let _: SnapshotReply = client.call(Method::POST, "/v1/snapshot", &request)?;
        Ok(passing)
    }

    /// All of them by name; what is none is skipped with a warning.
    pub(crate) fn list(&self) -> anyhow::Result<Vec<Listed>> {
        self.sweep()?;
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            match self.get(&name) {
                Ok(listed) => all.push(listed),
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The snapshot of this name.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<Listed> {
        let path = self.path(name)?;
        let snapshot = Snapshot::open(&path)?;
        let workload = Workload::read(&snapshot)?;
        let modified = fs::metadata(path.join("state")).and_then(|state| state.modified());
        let created = modified.ok().and_then(|time| Timestamp::try_from(time).ok());
        Ok(Listed { name: name.into(), workload, created, size: allocated(&path)?, snapshot })
    }

    /// Removes a snapshot. Machines that were restored from it keep what they have mapped.
    pub(crate) fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.path(name)?;
        if !path.exists() {
            bail!("there is no snapshot {name}; `kiln snapshot ls` lists all");
        }
        // Out of sight at once, so that a removal that is cut short leaves no half snapshot.
        let grave = self.directory.join(format!("{GRAVE}{name}-{}", std::process::id()));
        fs::rename(&path, &grave)?;
        fs::remove_dir_all(&grave).with_context(|| format!("cannot remove {}", grave.display()))?;
        pins::unpin(&self.home, &pins::snapshot(name))
    }

    /// The files of the image that a snapshot runs: its own, or the store's.
    ///
    /// Those of an imported snapshot never come into the store, whose files other images share: a digest says what a layer
    /// was converted from, so that what came converted cannot be checked against it.
    fn layers(&self, snapshot: &Snapshot, captured: &Spec) -> anyhow::Result<Vec<PathBuf>> {
        let own = snapshot.layers()?;
        if !own.is_empty() {
            return Ok(own);
        }
        let digest = &captured.digest;
        let image = Store::open(self.home.root())?.image(&digest.parse()?)?;
        let image = image.with_context(|| {
            format!("the image {digest} that the snapshot runs is not here; pull it first")
        })?;
        Ok(image.layers.iter().map(|layer| layer.path.clone()).collect())
    }

    /// Writes a snapshot into one file, with the layers of the image that it runs.
    pub(crate) fn export(&self, name: &str, file: &Path) -> anyhow::Result<()> {
        let Listed { snapshot, workload, .. } = self.get(name)?;
        Ok(snapshot.export(file, &self.layers(&snapshot, &workload.spec)?)?)
    }

    /// Starts the process of one more machine that goes on where the snapshot at `path` was taken, with ports of its own.
    pub(crate) fn fork(&self, path: &Path, auto_remove: bool) -> anyhow::Result<Launched> {
        let options = RestoreOptions { free_ports: true, auto_remove, ..RestoreOptions::default() };
        self.launch(path, &options, Life::Eager, || {})
    }

    /// Starts the process of a machine that goes on where the snapshot at `path` was taken; says when its record is made.
    pub(crate) fn launch(
        &self,
        path: &Path,
        options: &RestoreOptions,
        life: Life,
        recorded: impl FnOnce(),
    ) -> anyhow::Result<Launched> {
        let id = random_id()?;
        // It loads meanwhile.
        let process = Process::start(&self.home.machines().join(&id[..SHORT]), life)?;
        let machine = self.record(path, options, id)?;
        recorded();
        process.launch(machine)
    }

    /// Makes the record of a machine that goes on where the snapshot at `path` was taken.
    fn record(&self, path: &Path, options: &RestoreOptions, id: String) -> anyhow::Result<Machine> {
        // All of it takes a disk some time that has forgotten where the files are.
        let ((captured, layers), kernel, initramfs) = thread::scope(|scope| {
            let guest = thread::Builder::new().spawn_scoped(scope, || {
                (guest_files::kernel(&self.home), guest_files::initramfs(&self.home))
            })?;
            let found = self.captured(path, options.copy);
            let (kernel, initramfs) = guest.join().unwrap_or_else(|panic| resume_unwind(panic));
            anyhow::Ok((found?, kernel?, initramfs?))
        })?;
        let mut ports =
            if options.ports.is_empty() { captured.ports } else { options.ports.clone() };
        for mapping in &mut ports {
            // Only who restores may open a port to the network: the snapshot may be somebody else's.
            if options.ports.is_empty() && !mapping.address.is_loopback() {
                mapping.address = std::net::Ipv4Addr::LOCALHOST.into();
            }
            if options.free_ports {
                mapping.host = 0;
            }
        }
        let mut labels = captured.labels;
        labels.extend(options.labels.iter().cloned());
        let spec = Spec {
            id,
            name: options.name.clone().unwrap_or_default(),
            created: Timestamp::now(),
            origin: Origin::Snapshot {
                path: path.to_path_buf(),
                copy: options.copy,
                kernel,
                initramfs,
                layers,
            },
            ports,
            labels,
            auto_remove: options.auto_remove,
            ..captured
        };
        // No claim on the image is written down: the record is one, and a claim takes the disk longer than all the rest.
        Machines::open(&self.home)?.create(spec)
    }

    /// What was captured, and the files of its image; its memory is on the way from then on, if it is to be mapped.
    fn captured(&self, path: &Path, copy: bool) -> anyhow::Result<(Spec, Vec<PathBuf>)> {
        let snapshot = Snapshot::open(path)?;
        snapshot.fits(&vmm::fingerprint()?)?;
        let Workload { spec } = Workload::read(&snapshot)?;
        let layers = self.layers(&snapshot, &spec)?;
        if !copy {
            // Not before: whatever was looked for until here would have had to wait for it.
            read_ahead(snapshot);
        }
        Ok((spec, layers))
    }
}

/// Has the host read what the next machine of this snapshot needs first, while that machine is made: the program that it is a
/// process of, and what its guest touches.
fn read_ahead(snapshot: Snapshot) {
    /// Few bytes at a time, so that what is read to make the machine does not wait.
    const WINDOW: u64 = 256 << 10;
    let read = move || {
        #[cfg(target_os = "linux")]
        if let Ok(program) = crate::program::find().and_then(|path| Ok(fs::File::open(path)?)) {
            let _ = rustix::fs::fadvise(&program, 0, None, rustix::fs::Advice::WillNeed);
        }
        let known = snapshot.working_set().unwrap_or_default();
        snapshot.read_ahead(&known, WINDOW, |piece| {
            // What cannot be read is found by whoever needs it.
            let _ = snapshot.memory_file().read_at(&mut [0], HEADER_LEN + piece.end - 1);
        });
    };
    // Without the thread it is read when it is touched.
    let _ = thread::Builder::new().name("read ahead".into()).spawn(read);
}

/// Bytes that the files of a directory take on disk.
fn allocated(directory: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        // POSIX counts in units of 512 bytes.
        bytes += entry?.metadata()?.blocks() * 512;
    }
    Ok(bytes)
}
