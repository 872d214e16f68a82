//! The RAM file: a header page, then guest RAM as it was, with one hash a chunk beside it.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path};

use crate::{Error, sparse};

/// Bytes of guest RAM under one hash.
pub const CHUNK: u64 = 2 << 20;
/// Alignment of everything that is mapped, in bytes: the largest page size of a supported host.
pub const PAGE: u64 = 16 << 10;
/// Where guest RAM starts in the RAM file, in bytes.
pub const HEADER_LEN: u64 = PAGE;

/// Largest guest RAM of a snapshot, in bytes.
pub(crate) const MAX_MEMORY: u64 = 1 << 40;
pub(crate) const HASH_LEN: usize = blake3::OUT_LEN;
const MAGIC: &[u8; 8] = b"KILNRAM\0";
/// What stands for a chunk of zeros, which is a hole in the file.
const ZERO: [u8; HASH_LEN] = [0; HASH_LEN];

/// Guest RAM that can be copied out.
pub trait MemorySource {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether there is no RAM at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` with the bytes at `offset`.
    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// The next range at or after `offset` that may hold something other than zeros.
    fn next_data(&mut self, offset: u64) -> Option<Range<u64>> {
        (offset < self.len()).then(|| offset..self.len())
    }
}

impl MemorySource for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(into.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(bytes);
        Ok(())
    }
}

/// Writes the RAM file; returns the hashes and the bytes that were not zero.
pub(crate) fn write(
    file: &File,
    id: &[u8; 16],
    source: &mut dyn MemorySource,
) -> io::Result<(Vec<u8>, u64)> {
    let len = source.len();
    file.set_len(HEADER_LEN + len)?;
    file.write_all_at(&header(id, len), 0)?;
    let chunks = len.div_ceil(CHUNK);
    let mut sums = vec![0; chunks as usize * HASH_LEN];
    let mut buffer = vec![0; CHUNK as usize];
    let mut written = 0;
    let mut offset = 0;
    while let Some(data) = source.next_data(offset) {
        let start = data.start.max(offset) / CHUNK * CHUNK;
        let bytes = &mut buffer[..CHUNK.min(len - start) as usize];
        source.read_at(start, bytes)?;
        let data = sparse::write_nonzero(file, HEADER_LEN + start, bytes)?;
        if data > 0 {
            let at = (start / CHUNK) as usize * HASH_LEN;
            sums[at..at + HASH_LEN].copy_from_slice(blake3::hash(bytes).as_bytes());
        }
        written += data;
        offset = start + CHUNK;
    }
    Ok((sums, written))
}

/// Checks size, identity and header: all that a restore can afford.
pub(crate) fn check_header(file: &File, path: &Path, id: &[u8; 16], len: u64) -> Result<(), Error> {
    let found = file.metadata().map_err(Error::io("read", path))?.len();
    if found != HEADER_LEN + len {
        let what = format!("it is {found} bytes long and {} were written", HEADER_LEN + len);
        return Err(Error::damaged(path, what));
    }
    let want = header(id, len);
    let mut head = [0; 32];
    file.read_exact_at(&mut head, 0).map_err(Error::io("read", path))?;
    if head != want {
        return Err(Error::damaged(path, "its header belongs to another snapshot"));
    }
    Ok(())
}

/// Reads all of it and compares every chunk with its hash.
pub(crate) fn verify(file: &File, path: &Path, len: u64, sums: &[u8]) -> Result<(), Error> {
    let mut buffer = vec![0; CHUNK as usize];
    for (index, sum) in sums.chunks_exact(HASH_LEN).enumerate() {
        let start = index as u64 * CHUNK;
        let bytes = &mut buffer[..CHUNK.min(len - start) as usize];
        file.read_exact_at(bytes, HEADER_LEN + start).map_err(Error::io("read", path))?;
        let good = if sum == ZERO {
            sparse::is_zero(bytes)
        } else {
            blake3::hash(bytes).as_bytes() == sum
        };
        if !good {
            let what = format!("guest RAM at offset {start:#x} does not match its hash");
            return Err(Error::damaged(path, what));
        }
    }
    Ok(())
}

fn header(id: &[u8; 16], len: u64) -> [u8; 32] {
    let mut head = [0; 32];
    head[..8].copy_from_slice(MAGIC);
    head[8..24].copy_from_slice(id);
    head[24..].copy_from_slice(&len.to_le_bytes());
    head
}
