//! Copies that leave out zeros.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

use crate::memory::{CHUNK, PAGE};

/// Writes the pages of `bytes` that are not all zero at `offset`; the rest stays a hole.
/// Returns the bytes written.
pub(crate) fn write_nonzero(file: &File, offset: u64, bytes: &[u8]) -> io::Result<u64> {
    let page = PAGE as usize;
    let mut written = 0;
    let mut run: Option<Range<usize>> = None;
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes.len().min(start + page);
        if is_zero(&bytes[start..end]) {
            if let Some(run) = run.take() {
                file.write_all_at(&bytes[run.clone()], offset + run.start as u64)?;
            }
        } else {
            written += (end - start) as u64;
            run = Some(run.map_or(start, |run| run.start)..end);
        }
        start = end;
    }
    if let Some(run) = run {
        file.write_all_at(&bytes[run.clone()], offset + run.start as u64)?;
    }
    Ok(written)
}

/// Whether every byte is zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<64>();
    words.iter().all(|word| word.iter().fold(0, |acc, b| acc | b) == 0)
        && tail.iter().all(|&b| b == 0)
}

/// The next range of `file` at or after `offset` that may hold data, by the file system's word.
/// A file system that keeps no holes calls everything data.
pub(crate) fn next_data(file: &File, offset: u64, len: u64) -> io::Result<Option<Range<u64>>> {
    if offset >= len {
        return Ok(None);
    }
    let start = match seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(_) => return Ok(Some(offset..len)),
    };
    let end = seek(file, SeekFrom::Hole(start)).unwrap_or(len).min(len);
    Ok((start < len).then_some(start..end))
}

/// Copies `from` into the empty file `to` without its zeros; returns its length, and the bytes written.
pub(crate) fn copy(from: &File, to: &File) -> io::Result<(u64, u64)> {
    let len = from.metadata()?.len();
    to.set_len(len)?;
    let mut written = 0;
    let mut buffer = vec![0; CHUNK as usize];
    let mut offset = 0;
    while let Some(data) = next_data(from, offset, len)? {
        let mut at = data.start;
        while at < data.end {
            let bytes = &mut buffer[..CHUNK.min(data.end - at) as usize];
            from.read_exact_at(bytes, at)?;
            written += write_nonzero(to, at, bytes)?;
            at += bytes.len() as u64;
        }
        offset = data.end;
    }
    Ok((len, written))
}

/// Fills `buffer` from `reader`, short only at the end.
pub(crate) fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// BLAKE3 over the data of a sparse file: each 2 MiB chunk that is not all zero adds its offset and bytes.
/// Where the holes are makes no difference.
pub(crate) fn hash(file: &File, len: u64) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&len.to_le_bytes());
    let mut buffer = vec![0; CHUNK as usize];
    let mut offset = 0;
    while let Some(data) = next_data(file, offset, len)? {
        let start = data.start / CHUNK * CHUNK;
        let bytes = &mut buffer[..CHUNK.min(len - start) as usize];
        file.read_exact_at(bytes, start)?;
        if !is_zero(bytes) {
            hasher.update(&start.to_le_bytes());
            hasher.update(bytes);
        }
        offset = start + CHUNK;
    }
    Ok(*hasher.finalize().as_bytes())
}
