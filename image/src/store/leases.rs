//! Leases: what a living process needs.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;

use rustix::fs::FlockOperation;

use super::lock::{FileLock, is_free};
use super::{Store, files};
use crate::Error;
use crate::error::on;

/// Keeps content from being removed while it lives. It ends with the process at the latest.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    path: PathBuf,
    file: File,
}

impl Lease {
    /// Keeps these keys from now on, those too that are not there yet.
    pub(crate) fn add(&mut self, keys: &[String]) -> Result<(), Error> {
        let _adding = FileLock::shared(&self.store.path("lock"))?;
        let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
        self.file.write_all(lines.as_bytes()).map_err(on("written", &self.path))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A lease file that stays is an orphan, which the next clean-up removes.
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    pub(crate) fn lease(&self) -> Result<Lease, Error> {
        let (path, file) = self.locked_file("leases", FlockOperation::LockExclusive)?;
        Ok(Lease { store: self.clone(), path, file })
    }

    /// All keys that living processes keep. The caller holds the store's exclusive lock.
    pub(super) fn leased(&self) -> Result<HashSet<String>, Error> {
        let mut keys = HashSet::new();
        for path in files::list(&self.path("leases"))? {
            let Ok(mut file) = File::open(&path) else { continue };
            if is_free(&file) {
                continue;
            }
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(on("read", &path))?;
            keys.extend(text.lines().map(str::to_owned));
        }
        Ok(keys)
    }
}
