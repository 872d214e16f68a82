//! Makes a snapshot.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{
    Error, Fingerprint, MemorySource, PAGE, Saved, Snapshot,
    directory::{self, Directory},
    memory::{self, MAX_MEMORY},
    sparse,
    state::{self, Disk, Preamble, Record, State},
};

/// A snapshot that is being made. Nothing of it is visible before [`Writer::commit`]; dropped, it is gone.
#[derive(Debug)]
pub struct Writer {
    directory: Directory,
    state: State,
    bytes: u64,
}

/// What a finished snapshot came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes written; holes are not counted.
    pub bytes: u64,
}

impl Writer {
    /// Starts a snapshot that will stand at `path`, made on `host`.
    ///
    /// # Errors
    /// [`Error::Exists`], or an error of the file system.
    pub fn create(path: &Path, host: &Fingerprint) -> Result<Self, Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| Error::io("name", path)(e.into()))?;
        let preamble = Preamble { host: host.clone(), ..Preamble::default() };
        let state = State { id, preamble, records: Vec::new() };
        Ok(Self { directory: Directory::create(path)?, state, bytes: 0 })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`Error::Name`] for a name that is taken or cannot be one.
    pub fn put<T: Saved>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        state::check_name(name)?;
        if self.state.records.iter().any(|record| record.name == name) {
            return Err(Error::Name(name.into()));
        }
        self.state.records.push(Record {
            name: name.into(),
            kind: T::KIND.into(),
            version: T::VERSION,
            payload: state::to_cbor(name, value)?,
        });
        Ok(())
    }

    /// Copies guest RAM. Pages of zeros become holes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for RAM that is no multiple of [`PAGE`] or beyond 1 TiB; I/O errors.
    pub fn memory(&mut self, source: &mut dyn MemorySource) -> Result<(), Error> {
        let len = source.len();
        if !len.is_multiple_of(PAGE) || len > MAX_MEMORY {
            return Err(Error::TooLarge { what: "guest RAM".into(), len, limit: MAX_MEMORY });
        }
        let file = self.directory.file(directory::MEMORY)?;
        let path = self.directory.path(directory::MEMORY);
        let (sums, written) =
            memory::write(&file, &self.state.id, source).map_err(Error::io("write", path))?;
        let sums_path = self.directory.path(directory::SUMS);
        let sums_file = self.directory.file(directory::SUMS)?;
        sums_file.write_all_at(&sums, 0).map_err(Error::io("write", sums_path))?;
        self.state.preamble.memory_len = len;
        self.state.preamble.sums = *blake3::hash(&sums).as_bytes();
        self.bytes += written + sums.len() as u64;
        Ok(())
    }

    /// Copies a writable disk, leaving out its holes.
    ///
    /// # Errors
    /// [`Error::Name`] for a name that is taken or cannot be one; I/O errors.
    pub fn disk(&mut self, name: &str, disk: &File) -> Result<(), Error> {
        state::check_name(name)?;
        let disks = &mut self.state.preamble.disks;
        if disks.iter().any(|disk| disk.name == name) {
            return Err(Error::Name(name.into()));
        }
        let file_name = directory::disk_file(name);
        let path = self.directory.path(&file_name);
        let to = self.directory.file(&file_name)?;
        let mut copy = || {
            let (len, written) = sparse::copy(disk, &to)?;
            let hash = sparse::hash(&to, len)?;
            disks.push(Disk { name: name.into(), len, hash });
            Ok(written)
        };
        self.bytes += copy().map_err(Error::io("write", path))?;
        Ok(())
    }

    /// Takes over the layers that another snapshot carries, without a copy where the file system can do that.
    ///
    /// # Errors
    /// Those of [`Snapshot::layers`], or an I/O error.
    pub fn layers_of(&mut self, other: &Snapshot) -> Result<(), Error> {
        for (index, path) in other.layers()?.iter().enumerate() {
            let to = self.directory.path(&directory::layer_file(index + 1));
            fs::hard_link(path, &to)
                .or_else(|_| fs::copy(path, &to).map(drop))
                .map_err(Error::io("copy", path))?;
        }
        self.state.preamble.layers.clone_from(&other.state.preamble.layers);
        Ok(())
    }

    /// Makes the snapshot durable, then visible.
    ///
    /// # Errors
    /// [`Error::Exists`] when another took the name meanwhile; I/O errors.
    pub fn commit(self) -> Result<Written, Error> {
        let Self { directory, state, bytes } = self;
        let encoded = state.encode()?;
        let path = directory.path(directory::STATE);
        let file = directory.file(directory::STATE)?;
        file.write_all_at(&encoded, 0).map_err(Error::io("write", path))?;
        Ok(Written { path: directory.commit()?, bytes: bytes + encoded.len() as u64 })
    }
}
