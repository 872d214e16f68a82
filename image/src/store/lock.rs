//! Advisory locks on files (`flock`): they go away with the process that holds them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::Error;
use crate::error::on;

/// A lock, released when dropped.
#[derive(Debug)]
pub(crate) struct FileLock(#[allow(dead_code, reason = "held, not read")] File);

impl FileLock {
    /// Waits until nobody else has an exclusive lock.
    pub(crate) fn shared(path: &Path) -> Result<Self, Error> {
        Self::take(path, FlockOperation::LockShared)
    }

    /// Waits until nobody else has any lock.
    pub(crate) fn exclusive(path: &Path) -> Result<Self, Error> {
        Self::take(path, FlockOperation::LockExclusive)
    }

    /// The exclusive lock if nobody has any.
    pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Self>, Error> {
        match Self::take(path, FlockOperation::NonBlockingLockExclusive) {
            Err(Error::Store { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<Self, Error> {
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)
                .map_err(on("opened", path))?;
            lock(&file, operation).map_err(on("locked", path))?;
            // A clean-up may have removed the file before the lock was there.
            let locked = file.metadata().map_err(on("locked", path))?.ino();
            if std::fs::metadata(path).is_ok_and(|named| named.ino() == locked) {
                return Ok(Self(file));
            }
        }
    }
}

/// Waits for the lock.
pub(super) fn lock(file: &File, operation: FlockOperation) -> io::Result<()> {
    rustix::io::retry_on_intr(|| flock(file, operation)).map_err(Into::into)
}

/// Whether nobody holds a lock on the file.
pub(super) fn is_free(file: &File) -> bool {
    rustix::io::retry_on_intr(|| flock(file, FlockOperation::NonBlockingLockExclusive)).is_ok()
}
