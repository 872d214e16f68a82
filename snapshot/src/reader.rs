//! Opens a snapshot.

use std::{
    fs::File,
    io,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    Error, Fingerprint, Saved,
    directory::{self},
    memory::{self, CHUNK, HASH_LEN},
    sparse,
    state::{self, Layer, MAX_STATE, State},
};

/// A snapshot whose state was read and checked, and whose RAM file is open.
///
/// The RAM file is opened once: what is checked is what is mapped, whatever happens to its name.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    pub(crate) state: State,
    memory: File,
}

impl Snapshot {
    /// Opens the snapshot at `path`: reads and checks the whole state, and size, identity and header of RAM.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Format`], [`Error::Damaged`], or an I/O error.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let state_path = path.join(directory::STATE);
        let file = File::open(&state_path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Missing(path.into()),
            _ => Error::io("open", &state_path)(e),
        })?;
        let mut bytes = Vec::new();
        let mut limited = file.take(MAX_STATE + 1);
        limited.read_to_end(&mut bytes).map_err(Error::io("read", &state_path))?;
        if bytes.len() as u64 > MAX_STATE {
            return Err(Error::damaged(state_path, "it is larger than any state can be"));
        }
        let state = State::decode(&bytes, &state_path)?;
        let memory_path = path.join(directory::MEMORY);
        let memory = File::open(&memory_path).map_err(Error::part("open", &memory_path))?;
        memory::check_header(&memory, &memory_path, &state.id, state.preamble.memory_len)?;
        Ok(Self { path: path.into(), state, memory })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its own identity, chosen at random when it was made.
    pub fn id(&self) -> [u8; 16] {
        self.state.id
    }

    /// Fails with the first difference between the host that made it and this one.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn fits(&self, here: &Fingerprint) -> Result<(), Error> {
        self.state.preamble.host.fits(here)
    }

    /// Reads, decodes and validates a record.
    ///
    /// # Errors
    /// [`Error::NoRecord`], [`Error::Version`], [`Error::Record`], [`Error::Invalid`].
    pub fn get<T: Saved>(&self, name: &str) -> Result<T, Error> {
        let records = &self.state.records;
        let record = records
            .iter()
            .find(|record| record.name == name)
            .ok_or_else(|| Error::NoRecord(name.into()))?;
        if record.kind != T::KIND || record.version != T::VERSION {
            return Err(Error::Version {
                name: name.into(),
                found_kind: record.kind.clone(),
                found: record.version,
                kind: T::KIND,
                supported: T::VERSION,
            });
        }
        let value: T = state::from_cbor(name, &record.payload)?;
        value.validate()?;
        Ok(value)
    }

    /// Name, kind, version and length in bytes of every record.
    pub fn records(&self) -> impl Iterator<Item = (&str, &str, u32, usize)> {
        let records = self.state.records.iter();
        records.map(|r| (r.name.as_str(), r.kind.as_str(), r.version, r.payload.len()))
    }

    /// Bytes of guest RAM; it starts at [`HEADER_LEN`](crate::HEADER_LEN) of [`Snapshot::memory_file`].
    pub fn memory_len(&self) -> u64 {
        self.state.preamble.memory_len
    }

    /// The open RAM file.
    pub fn memory_file(&self) -> &File {
        &self.memory
    }

    /// Copies the whole RAM file into an empty one, leaving out its holes.
    ///
    /// # Errors
    /// Those of either file.
    pub fn copy_memory(&self, to: &File) -> Result<(), Error> {
        let path = self.path.join(directory::MEMORY);
        sparse::copy(&self.memory, to).map_err(Error::io("copy", path)).map(drop)
    }

    /// Names of the writable disks.
    pub fn disks(&self) -> impl Iterator<Item = &str> {
        self.state.preamble.disks.iter().map(|disk| disk.name.as_str())
    }

    /// The file of a writable disk, its size checked. Copy it; never write to it.
    ///
    /// # Errors
    /// [`Error::NoRecord`], [`Error::Damaged`], or an I/O error.
    pub fn disk_path(&self, name: &str) -> Result<PathBuf, Error> {
        let disks = &self.state.preamble.disks;
        let disk = disks
            .iter()
            .find(|disk| disk.name == name)
            .ok_or_else(|| Error::NoRecord(directory::disk_file(name)))?;
        let path = self.path.join(directory::disk_file(name));
        let len = path.metadata().map_err(Error::part("read", &path))?.len();
        if len != disk.len {
            let what = format!("it is {len} bytes long and {} were written", disk.len);
            return Err(Error::damaged(path, what));
        }
        Ok(path)
    }

    /// What the guest's read-only disk is made of, the lowest layer first, their sizes checked; empty unless the snapshot
    /// carries it, as one that was imported does.
    ///
    /// # Errors
    /// [`Error::Damaged`], or an I/O error.
    pub fn layers(&self) -> Result<Vec<PathBuf>, Error> {
        let check = |(index, layer): (usize, &Layer)| {
            let path = self.path.join(directory::layer_file(index + 1));
            let len = path.metadata().map_err(Error::part("read", &path))?.len();
            if len != layer.len {
                let what = format!("it is {len} bytes long and {} were written", layer.len);
                return Err(Error::damaged(path, what));
            }
            Ok(path)
        };
        self.state.preamble.layers.iter().enumerate().map(check).collect()
    }

    /// Compares all of RAM, every disk and every layer with their hashes. Reads everything.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the first difference, or an I/O error.
    pub fn verify(&self) -> Result<(), Error> {
        let path = self.path.join(directory::SUMS);
        let want = self.memory_len().div_ceil(CHUNK) * HASH_LEN as u64;
        let file = File::open(&path).map_err(Error::part("open", &path))?;
        let mut sums = Vec::new();
        file.take(want + 1).read_to_end(&mut sums).map_err(Error::io("read", &path))?;
        if sums.len() as u64 != want || *blake3::hash(&sums).as_bytes() != self.state.preamble.sums
        {
            return Err(Error::damaged(path, "its checksum does not match"));
        }
        memory::verify(&self.memory, &self.path.join(directory::MEMORY), self.memory_len(), &sums)?;
        for disk in &self.state.preamble.disks {
            let path = self.disk_path(&disk.name)?;
            let file = File::open(&path).map_err(Error::part("open", &path))?;
            if sparse::hash(&file, disk.len).map_err(Error::io("read", &path))? != disk.hash {
                return Err(Error::damaged(path, "its content does not match its hash"));
            }
        }
        for (path, layer) in self.layers()?.into_iter().zip(&self.state.preamble.layers) {
            let file = File::open(&path).map_err(Error::part("open", &path))?;
            if sparse::hash(&file, layer.len).map_err(Error::io("read", &path))? != layer.hash {
                return Err(Error::damaged(path, "its content does not match its hash"));
            }
        }
        Ok(())
    }
}
