//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FlockOperation;

use super::Store;
use super::lock::{FileLock, is_free, lock};
use crate::Error;
use crate::error::on;

/// A file in `tmp`, removed when dropped unless it was published.
pub(crate) struct TempFile {
    path: PathBuf,
    file: File,
}

impl TempFile {
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(on("written", &self.path))
    }

    /// Syncs the file and gives it its name, replacing what was there.
    pub(crate) fn publish(self, to: &Path) -> Result<(), Error> {
        self.file.sync_all().map_err(on("written", &self.path))?;
        fs::rename(&self.path, to).map_err(on("written", to))?;
        sync_parent(to)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // Gone already when it was published.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a rename or a removal in the file's directory last.
pub(super) fn sync_parent(path: &Path) -> Result<(), Error> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(on("synced", parent))
}

/// A name that no other thread or process uses.
pub(super) fn unique_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |d| d.as_nanos());
    format!("{}-{nanos:x}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

impl Store {
    /// A new file in `tmp`, which whoever cleans up leaves alone while this process lives.
    pub(crate) fn temp_file(&self) -> Result<TempFile, Error> {
        let (path, file) = self.locked_file("tmp", FlockOperation::LockExclusive)?;
        Ok(TempFile { path, file })
    }

    /// A new file with a unique name in `dir`, locked before anyone can take it for an orphan.
    pub(super) fn locked_file(
        &self,
        dir: &str,
        operation: FlockOperation,
    ) -> Result<(PathBuf, File), Error> {
        let _adding = FileLock::shared(&self.path("lock"))?;
        let path = self.path(dir).join(unique_name());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(on("created", &path))?;
        lock(&file, operation).map_err(on("locked", &path))?;
        Ok((path, file))
    }

    /// Removes files in `dir` whose makers have died. The caller holds the store's exclusive lock.
    pub(super) fn remove_orphans(&self, dir: &str) -> Result<u64, Error> {
        let mut freed = 0;
        for path in list(&self.path(dir))? {
            let Ok(file) = File::open(&path) else { continue };
            if is_free(&file) {
                freed += remove(&path)?;
            }
        }
        Ok(freed)
    }
}

/// The files in a directory, sorted.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    };
    read().map_err(on("listed", dir))
}

/// Removes a file and returns how many bytes of the disk it took; nought if it was gone.
pub(super) fn remove(path: &Path) -> Result<u64, Error> {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(0) };
    match fs::remove_file(path) {
        Ok(()) => Ok(metadata.blocks() * 512),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(on("removed", path)(e)),
    }
}
