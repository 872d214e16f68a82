//! A directory that appears whole or not at all.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::Error;

pub(crate) const STATE: &str = "state";
pub(crate) const MEMORY: &str = "memory";
pub(crate) const SUMS: &str = "memory.sums";
pub(crate) const WORKING_SET: &str = "working-set";
pub(crate) const WORKING_SET_PART: &str = "working-set.part";

/// Prefix of directories that were never finished; nothing with this prefix is a snapshot.
const UNFINISHED: &str = ".unfinished-";

pub(crate) fn disk_file(name: &str) -> String {
    format!("disk-{name}")
}

/// The file of a layer, counted from 1.
pub(crate) fn layer_file(number: usize) -> String {
    format!("layer-{number}")
}

/// A snapshot's directory while it is being made; dropped, it takes everything with it.
#[derive(Debug)]
pub(crate) struct Directory {
    target: PathBuf,
    work: Option<PathBuf>,
    /// Says that its writer lives, to [`sweep`].
    _lock: File,
}

/// Removes what writers that were killed have left of snapshots beside each other in `parent`.
///
/// # Errors
/// When the directory cannot be read. What cannot be removed is left to the next time.
pub fn sweep(parent: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(parent).map_err(Error::io("read", parent))? {
        let entry = entry.map_err(Error::io("read", parent))?;
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
            && File::open(entry.path()).is_ok_and(|directory| directory.try_lock().is_ok())
        {
            // Another one may be at it as well.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

impl Directory {
    pub(crate) fn create(target: &Path) -> Result<Self, Error> {
        if target.symlink_metadata().is_ok() {
            return Err(Error::Exists(target.into()));
        }
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Error::Missing(target.into()));
        };
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(|e| Error::io("name", target)(e.into()))?;
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let work = parent.join(format!("{UNFINISHED}{}-{random}", name.to_string_lossy()));
        loop {
            match fs::DirBuilder::new().mode(0o700).create(&work) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map_err(Error::io("create", &work))?,
            }
            let lock = match File::open(&work) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(Error::io("open", &work))?,
            };
            lock.lock().map_err(Error::io("lock", &work))?;
            // A sweep may have come between the two.
            if work.exists() {
                return Ok(Self { target: target.into(), work: Some(work), _lock: lock });
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work.as_deref().unwrap_or(&self.target).join(name)
    }

    pub(crate) fn file(&self, name: &str) -> Result<File, Error> {
        let path = self.path(name);
        File::create_new(&path).map_err(Error::io("create", path))
    }

    /// Makes everything durable and moves it into place.
    pub(crate) fn commit(mut self) -> Result<PathBuf, Error> {
        let Some(work) = self.work.clone() else { return Ok(self.target.clone()) };
        for entry in fs::read_dir(&work).map_err(Error::io("read", &work))? {
            let path = entry.map_err(Error::io("read", &work))?.path();
            sync(&path)?;
        }
        sync(&work)?;
        fs::rename(&work, &self.target).map_err(|e| match e.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                Error::Exists(self.target.clone())
            }
            _ => Error::io("create", &self.target)(e),
        })?;
        self.work = None;
        if let Some(parent) = self.target.parent() {
            sync(parent)?;
        }
        Ok(self.target.clone())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            // Nothing can be done about a failure here; the prefix marks what is left as garbage.
            let _ = fs::remove_dir_all(work);
        }
    }
}

fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|f| f.sync_all()).map_err(Error::io("write", path))
}
