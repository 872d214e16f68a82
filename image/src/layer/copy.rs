//! Inodes of a lower layer, taken into the layer in work.

use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::builder::{Failure, Outcome, lower, output};
use super::lower::copied_xattrs;
use super::{EntryProblem, LayerError};
use crate::erofs::{Attributes, DataWriter, Found, FoundKind, Kind, Reader, SparseMap, damaged};

/// Its attributes, without the marks that belong to its layer.
pub(super) fn attributes(found: &Found) -> io::Result<Attributes> {
    Ok(Attributes { xattrs: copied_xattrs(found)?, ..found.attributes.clone() })
}

/// The target, if it is a symbolic link.
pub(super) fn symlink(found: Found) -> Option<Box<[u8]>> {
    match found.kind {
        FoundKind::Symlink(target) => Some(target),
        _ => None,
    }
}

/// Copies data of files to the output. Holes cost nothing, and stay holes.
pub(super) struct Copier<'a> {
    data: &'a mut DataWriter,
    limit: u64,
    /// Bytes that may still be copied.
    left: &'a mut u64,
    /// Called for each piece; may stop it.
    step: &'a dyn Fn() -> io::Result<()>,
    buffer: Vec<u8>,
}

impl<'a> Copier<'a> {
    /// With `left` bytes to go of a limit.
    pub(super) fn new(
        data: &'a mut DataWriter,
        limit: u64,
        left: &'a mut u64,
        step: &'a dyn Fn() -> io::Result<()>,
    ) -> Self {
        Self { data, limit, left, step, buffer: vec![0; 128 << 10] }
    }

    /// The kind of an inode, its data copied.
    pub(super) fn kind(&mut self, layer: &Reader, kind: &FoundKind) -> Outcome<Kind> {
        Ok(match kind {
            FoundKind::Dir { .. } => return Err(EntryProblem::TooLarge.into()),
            FoundKind::File { size, position } => {
                let block = self.data.align().map_err(output)?;
                self.copy(layer, *position, *size)?;
                Kind::File { block, size: *size }
            }
            FoundKind::Sparse(map) => Kind::Sparse(Box::new(self.sparse(layer, map)?)),
            FoundKind::Symlink(target) => Kind::Symlink(target.clone()),
            FoundKind::Char(device) => Kind::Char(*device),
            FoundKind::Block(device) => Kind::Block(*device),
            FoundKind::Fifo => Kind::Fifo,
        })
    }

    fn sparse(&mut self, layer: &Reader, map: &SparseMap) -> Outcome<SparseMap> {
        let chunk = map.chunk_bytes();
        let stored = (0..map.chunks().len() as u64).map(|n| n * chunk).filter_map(|offset| {
            let position = map.position(offset)?;
            Some((offset, chunk.min(map.size() - offset), position))
        });
        let stored: Vec<_> = stored.collect();
        let extents: Vec<_> = stored.iter().map(|(offset, length, _)| (*offset, *length)).collect();
        let first = self.data.align().map_err(output)?;
        let (copied, _) =
            SparseMap::lay_out(map.size(), &extents, first).ok_or(EntryProblem::TooLarge)?;
        for (_, length, position) in stored {
            self.copy(layer, position, length)?;
            self.data.align().map_err(output)?;
        }
        Ok(copied)
    }

    fn copy(&mut self, layer: &Reader, mut position: u64, size: u64) -> Outcome<()> {
        let end = position.checked_add(size).ok_or(EntryProblem::TooLarge)?;
        if end > layer.size() {
            return Err(lower(damaged("a file's data lie beyond its end")));
        }
        while position < end {
            let (data, data_end) = next_data(layer, position, end).map_err(lower)?;
            self.data.zeroes(data - position).map_err(output)?;
            position = data;
            while position < data_end {
                (self.step)().map_err(output)?;
                let want = (data_end - position).min(self.buffer.len() as u64);
                let Some(left) = self.left.checked_sub(want) else {
                    return Err(Failure::Layer(LayerError::Bomb { limit: self.limit }));
                };
                *self.left = left;
                let piece = &mut self.buffer[..want as usize];
                layer.file().read_exact_at(piece, position).map_err(lower)?;
                self.data.write(piece).map_err(output)?;
                position += want;
            }
        }
        Ok(())
    }
}

/// Where the next bytes that are not a hole begin and end, up to `end`.
fn next_data(layer: &Reader, position: u64, end: u64) -> io::Result<(u64, u64)> {
    let seek = |from| rustix::io::retry_on_intr(|| rustix::fs::seek(layer.file(), from));
    let data = match seek(SeekFrom::Data(position)) {
        Ok(data) => data.clamp(position, end),
        // There are no more.
        Err(Errno::NXIO) => return Ok((end, end)),
        // A file system that has no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok((position, end)),
        Err(e) => return Err(e.into()),
    };
    match data < end {
        true => Ok((data, seek(SeekFrom::Hole(data))?.clamp(data, end))),
        false => Ok((end, end)),
    }
}
