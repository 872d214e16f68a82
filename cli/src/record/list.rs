//! All machines of a home.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

use super::{
    Spec, State, Status, check_name, random_name,
    state::{read_json, write_json},
};
use crate::{Home, pins};

/// Hexadecimal digits of an id that name its directory and that people see.
pub(crate) const SHORT: usize = 12;

/// The machines of a home.
#[derive(Debug, Clone)]
pub(crate) struct Machines {
    directory: PathBuf,
}

/// One machine as its directory tells.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Its directory.
    pub directory: PathBuf,
    /// What was asked for.
    pub spec: Spec,
    /// What became of it; already corrected if its process was killed.
    pub state: State,
}

impl Machines {
    /// The machines of `home`.
    ///
    /// # Errors
    /// When their directory cannot be made.
    pub(crate) fn open(home: &Home) -> anyhow::Result<Self> {
        let directory = home.machines();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// Makes a machine's directory; gives `spec` a name if it has none.
    ///
    /// # Errors
    /// When the name is taken or cannot be one.
    pub(crate) fn create(&self, mut spec: Spec) -> anyhow::Result<Machine> {
        if !spec.name.is_empty() {
            check_name(&spec.name)?;
        }
        // Held until the directory has its name, so that two machines cannot take the same one.
        let guard = self.lock()?;
        self.sweep()?;
        let machines = self.list()?;
        let taken = |name: &str| machines.iter().find(|machine| machine.spec.name == name);
        if spec.name.is_empty() {
            spec.name = random_name()?;
            while taken(&spec.name).is_some() {
                spec.name = random_name()?;
            }
        } else if let Some(other) = taken(&spec.name) {
            bail!(
                "the name {:?} is in use by machine {}; remove it with `kiln rm {}` or choose another name",
                spec.name,
                &other.spec.id[..SHORT],
                spec.name
            );
        }
        let directory = self.directory.join(&spec.id[..SHORT]);
        let work = self.directory.join(format!(".new-{}", &spec.id[..SHORT]));
        fs::DirBuilder::new().mode(0o700).create(&work).with_context(|| {
            format!("cannot make {}; see whether the disk is full", work.display())
        })?;
        write_json(&work.join("spec.json"), &spec)?;
        let state = State::created();
        write_json(&work.join("state.json"), &state)?;
        fs::rename(&work, &directory)?;
        drop(guard);
        Ok(Machine { directory, spec, state })
    }

    /// All machines, the newest first. What is no machine is skipped with a warning, and one that nobody can start any more
    /// is removed.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn list(&self) -> anyhow::Result<Vec<Machine>> {
        let mut machines = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let directory = entry?.path();
            if directory.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.') {
                continue;
            }
            match Machine::read(&directory) {
                // Somebody else may be at it as well.
                Ok(machine) if machine.is_orphan() => drop(machine.bury()),
                Ok(machine) => machines.push(machine),
                // Removed while we looked.
                Err(_) if !directory.exists() => {}
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
        machines.sort_by_key(|machine| std::cmp::Reverse(machine.spec.created));
        Ok(machines)
    }

    /// The machine with this name, id, or unique beginning of an id.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(crate) fn find(&self, name: &str) -> anyhow::Result<Machine> {
        let machines = self.list()?;
        if let Some(machine) = machines.iter().find(|m| m.spec.name == name || m.spec.id == name) {
            return Ok(machine.clone());
        }
        let mut matching = machines
            .into_iter()
            .filter(|machine| !name.is_empty() && machine.spec.id.starts_with(name));
        match (matching.next(), matching.next()) {
            (Some(machine), None) => Ok(machine),
            (None, _) => bail!("no such machine: {name}; `kiln ps -a` lists all"),
            (Some(_), Some(_)) => {
                bail!("more than one machine's id starts with {name}; give more of it")
            }
        }
    }

    /// Removes what killed processes left: halves of machines, and machines that were to remove themselves.
    fn sweep(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if [".new-", ".old-"]
                .iter()
                .any(|half| name.as_encoded_bytes().starts_with(half.as_bytes()))
            {
                // Another process may be at it as well.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        for machine in self.list()? {
            let over = machine.state.status == Status::Exited;
            if machine.spec.auto_remove && over && !machine.is_alive() {
                machine.remove()?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> anyhow::Result<File> {
        let file = File::create(self.directory.join(".lock"))?;
        file.lock()?;
        Ok(file)
    }
}

impl Machine {
    /// The machine of this directory.
    ///
    /// # Errors
    /// When it is gone or damaged.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        Self::read(directory)
    }

    fn read(directory: &Path) -> anyhow::Result<Self> {
        let spec: Spec = read_json(&directory.join("spec.json"))?;
        // Looked at first: a process that ends between the two has written its last state by then.
        let alive = is_locked(&directory.join("lock"))?;
        let state: State = read_json(&directory.join("state.json"))?;
        let started = matches!(state.status, Status::Running | Status::Paused);
        let state = if started && !alive { state.abandoned() } else { state };
        let directory = directory.to_path_buf();
        Ok(Self { directory, spec, state })
    }

    /// The first digits of its id.
    pub(crate) fn short_id(&self) -> &str {
        &self.spec.id[..SHORT]
    }

    /// Whether its process lives.
    pub(crate) fn is_alive(&self) -> bool {
        is_locked(&self.directory.join("lock")).unwrap_or(false)
    }

    /// Whether whoever made it went before they started it.
    fn is_orphan(&self) -> bool {
        let maker = self.state.pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let gone = maker.is_none_or(|maker| test_kill_process(maker) == Err(Errno::SRCH));
        self.state.status == Status::Created && gone && !self.is_alive()
    }

    /// Whether the guest's process runs or stands still.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state.status, Status::Running | Status::Paused)
    }

    /// Waits until its process has ended; false if it still lives after `limit`.
    pub(crate) fn wait_gone(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.is_alive() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Removes its directory.
    ///
    /// # Errors
    /// When its process lives, or the file system refuses.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        /// How long a machine whose guest has ended may take to be off.
        const OFF: Duration = Duration::from_secs(15);
        if self.state.status == Status::Exited {
            self.wait_gone(OFF);
        }
        if self.is_alive() {
            bail!("machine {} is running; stop it first or use --force", self.spec.name);
        }
        // Held meanwhile, so that a process that is about to be this machine does not begin.
        let _lock = match self.claim() {
            Err(_) if !self.directory.exists() => return Ok(()),
            other => other?,
        };
        self.bury()
    }

    /// Removes its directory although its process lives: it is the one that asks.
    pub(crate) fn bury(&self) -> anyhow::Result<()> {
        // Out of sight at once, so that a removal that is cut short leaves no half machine.
        let grave = self.directory.with_file_name(format!(".old-{}", self.short_id()));
        match fs::rename(&self.directory, &grave) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        match fs::remove_dir_all(&grave) {
            // Somebody who swept was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.with_context(|| format!("cannot remove {}", grave.display()))?,
        }
        pins::unpin(&Home::of_machine(&self.directory)?, &pins::machine(&self.spec.id))
    }

    /// Writes down that the machine never came to run, and why.
    pub(crate) fn record_failure(&self, error: &anyhow::Error) -> anyhow::Result<()> {
        let state = State {
            status: Status::Exited,
            pid: None,
            finished: Some(jiff::Timestamp::now()),
            exit_code: Some(crate::KILN_FAILED.into()),
            error: Some(format!("{error:#}")),
            ..self.state.clone()
        };
        state.write(&self.directory.join("state.json"))
    }

    /// Takes the lock that says that this machine's process lives.
    ///
    /// # Errors
    /// When another process holds it, or the machine has been removed.
    pub(crate) fn claim(&self) -> anyhow::Result<File> {
        /// Whoever looks whether the machine lives holds the lock for a moment.
        const LOOK: Duration = Duration::from_secs(1);
        let file = File::create(self.directory.join("lock"))?;
        let deadline = Instant::now() + LOOK;
        loop {
            match file.try_lock() {
                Ok(()) if is_at(&file, &self.directory.join("lock"))? => return Ok(file),
                Ok(()) => bail!("machine {} has been removed", self.spec.name),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => bail!("machine {} already runs", self.spec.name),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }
}

/// Whether an open file is the one of this name now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Ok(found) => Ok(of(found) == of(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    // Shared, so that two that look do not take each other for the machine.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
