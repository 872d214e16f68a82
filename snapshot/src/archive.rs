//! A snapshot as one file: a tar stream in zstd.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    Error, Snapshot,
    directory::{self, Directory},
    memory::{CHUNK, HASH_LEN, HEADER_LEN},
    sparse,
    state::{Layer, MAX_STATE, State},
};

impl Snapshot {
    /// Writes the snapshot into one file at `path`, which must not exist. With it go `layers`, what the guest's read-only
    /// disk is made of, unless the snapshot carries that already.
    ///
    /// # Errors
    /// [`Error::Exists`] or an I/O error; nothing is left behind then.
    pub fn export(&self, path: &Path, layers: &[PathBuf]) -> Result<(), Error> {
        // It holds the guest's memory, which is nobody else's business.
        let create = File::options().write(true).create_new(true).mode(0o600).open(path);
        let file = create.map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists(path.into()),
            _ => Error::io("create", path)(e),
        })?;
        self.export_into(&file, layers).inspect_err(|_| {
            // The error that is reported is the first one.
            let _ = std::fs::remove_file(path);
        })
    }

    fn export_into(&self, file: &File, layers: &[PathBuf]) -> Result<(), Error> {
        let own = self.layers()?;
        let layers = if own.is_empty() { layers } else { &own };
        let mut state = self.state.clone();
        state.preamble.layers = layers.iter().map(|path| layer(path)).collect::<Result<_, _>>()?;
        let state = state.encode()?;
        let here = |name: &str| self.path().join(name);
        let failed = |e| Error::io("export", self.path())(e);
        let zstd = zstd::Encoder::new(file, 3).map_err(failed)?;
        let mut tar = tar::Builder::new(zstd);
        let disks: Vec<String> = self.disks().map(directory::disk_file).collect();
        let fixed = [directory::SUMS, directory::MEMORY].map(str::to_owned);
        let files = fixed.into_iter().chain(disks).map(|name| (here(&name), name));
        let layers = layers.iter().enumerate();
        let layers = layers.map(|(index, path)| (path.clone(), directory::layer_file(index + 1)));
        let header = |len: u64| {
            let mut header = tar::Header::new_gnu();
            header.set_size(len);
            header.set_mode(0o600);
            header
        };
        let mut head = header(state.len() as u64);
        tar.append_data(&mut head, directory::STATE, state.as_slice()).map_err(failed)?;
        for (path, name) in files.chain(layers) {
            let source = File::open(&path).map_err(Error::io("open", &path))?;
            let mut header = header(source.metadata().map_err(failed)?.len());
            tar.append_data(&mut header, name, source).map_err(failed)?;
        }
        let zstd = tar.into_inner().map_err(failed)?;
        zstd.finish().and_then(|file| file.sync_all()).map_err(failed)
    }

    /// Unpacks an exported file into a new snapshot at `path`, and verifies all of it.
    ///
    /// # Errors
    /// [`Error::Archive`], or whatever [`Snapshot::open`] and [`Snapshot::verify`] say; nothing is left behind.
    pub fn import(archive: &Path, path: &Path) -> Result<Self, Error> {
        let bad = |what: String| Error::Archive { path: archive.into(), what };
        let unreadable = |e: io::Error| bad(format!("it cannot be read ({e})"));
        let file = File::open(archive).map_err(Error::io("open", archive))?;
        let zstd = zstd::Decoder::new(file).map_err(unreadable)?;
        let mut tar = tar::Archive::new(zstd);
        let directory = Directory::create(path)?;
        let mut expected: Vec<(String, u64)> = Vec::new();
        // Raw: what extends a name is held in memory at any length, and our names need no extension.
        let mut entries = tar.entries().map_err(unreadable)?.raw(true);
        let mut state_seen = false;
        while !state_seen || !expected.is_empty() {
            let Some(entry) = entries.next() else {
                return Err(bad("it ends early".into()));
            };
            let mut entry = entry.map_err(unreadable)?;
            let name = entry.path().map_err(unreadable)?.to_string_lossy().into_owned();
            let size = entry.size();
            if !state_seen {
                // The state comes first: it says how long everything else may be.
                if name != directory::STATE || size > MAX_STATE {
                    return Err(bad("it does not start with a snapshot's state".into()));
                }
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(unreadable)?;
                let state = State::decode(&bytes, archive)?;
                let file = directory.file(directory::STATE)?;
                let state_path = directory.path(directory::STATE);
                file.write_all_at(&bytes, 0).map_err(Error::io("write", state_path))?;
                expected = parts(&state);
                state_seen = true;
                continue;
            }
            let known = expected.iter().position(|(known, len)| *known == name && *len == size);
            let Some(index) = known else {
                return Err(bad(format!("{name:?} of {size} bytes does not belong to it")));
            };
            expected.swap_remove(index);
            unpack(&mut entry, size, &directory, &name)?;
        }
        // Verified before it gets its name, so that a bad import leaves nothing.
        Self::open(&directory.path(""))?.verify()?;
        Self::open(&directory.commit()?)
    }
}

/// Length and hash of a layer.
fn layer(path: &Path) -> Result<Layer, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let len = file.metadata().map_err(Error::io("read", path))?.len();
    Ok(Layer { len, hash: sparse::hash(&file, len).map_err(Error::io("read", path))? })
}

/// Every file beside the state, with its length.
fn parts(state: &State) -> Vec<(String, u64)> {
    let len = state.preamble.memory_len;
    let mut parts = vec![
        (directory::SUMS.into(), len.div_ceil(CHUNK) * HASH_LEN as u64),
        (directory::MEMORY.into(), HEADER_LEN + len),
    ];
    let layers = state.preamble.layers.iter().enumerate();
    parts.extend(layers.map(|(index, layer)| (directory::layer_file(index + 1), layer.len)));
    parts.extend(state.preamble.disks.iter().map(|d| (directory::disk_file(&d.name), d.len)));
    parts
}

fn unpack(from: &mut impl Read, len: u64, to: &Directory, name: &str) -> Result<(), Error> {
    let file = to.file(name)?;
    let path = to.path(name);
    let mut buffer = vec![0; CHUNK as usize];
    let mut copy = || {
        file.set_len(len)?;
        let mut at = 0;
        while at < len {
            let filled = sparse::read_full(from, &mut buffer)?;
            if filled == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            sparse::write_nonzero(&file, at, &buffer[..filled])?;
            at += filled as u64;
        }
        Ok(())
    };
    copy().map_err(Error::io("unpack", path))
}
