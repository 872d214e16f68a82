//! Blobs by digest.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::{FileLock, Store, blob_key, files};
use crate::error::on;
use crate::manifest::CONFIG_BYTES_MAX;
use crate::source::{check_digest, read_bounded};
use crate::{Digest, Error};

impl Store {
    /// A manifest or a configuration; `None` when it is not there, or not as it was stored.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let path = self.blob_path(digest);
        let read = File::open(&path).and_then(|file| read_bounded(file, CONFIG_BYTES_MAX));
        match read {
            Ok(bytes) if check_digest(&bytes, digest).is_ok() => Ok(Some(bytes)),
            Ok(_) => {
                tracing::warn!(?path, "the file is damaged; pull the image again to repair it");
                Ok(None)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(on("read", &path)(e)),
        }
    }

    /// Stores bytes whose digest was checked.
    pub(crate) fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        if self.blob(digest)?.is_some() {
            return Ok(());
        }
        let mut file = self.temp_file()?;
        file.write_all(bytes)?;
        file.publish(&self.blob_path(digest))
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path(&blob_key(digest))
    }

    /// Where a blob gathers while it is fetched. Whoever writes it holds its lock.
    pub(crate) fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.path(&format!("partial/{}/{}", digest.algorithm().name(), digest.hex()))
    }

    /// Makes a partial blob, complete and checked, a blob.
    pub(crate) fn publish_partial(&self, digest: &Digest, partial: &File) -> Result<(), Error> {
        let from = self.partial_path(digest);
        let to = self.blob_path(digest);
        partial.sync_all().map_err(on("written", &from))?;
        fs::rename(&from, &to).map_err(on("written", &to))?;
        files::sync_parent(&to)
    }

    /// Removes a layer blob that is not needed any more.
    pub(crate) fn remove_blob(&self, digest: &Digest) -> Result<(), Error> {
        files::remove(&self.blob_path(digest)).map(drop)
    }

    /// The lock of whoever fetches a blob or converts a layer.
    pub(crate) fn work_lock(&self, work: &str, digest: &Digest) -> Result<FileLock, Error> {
        FileLock::exclusive(&self.path(&format!("locks/{work}-{}", digest.hex())))
    }
}
