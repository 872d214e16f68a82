//! Inodes of a lower layer, taken into the layer in work.

use std::io;
use std::os::unix::fs::FileExt;

use super::lower::copied_xattrs;
use crate::erofs::{Attributes, DataWriter, Found, FoundKind, Kind, Reader, SparseMap};

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

/// Its kind, its data copied to the output; `None` when they do not fit there, or for a directory.
pub(super) fn kind(
    layer: &Reader,
    kind: &FoundKind,
    data: &mut DataWriter,
) -> io::Result<Option<Kind>> {
    Ok(Some(match kind {
        FoundKind::Dir { .. } => return Ok(None),
        FoundKind::File { size, position } => {
            let block = data.align()?;
            copy(layer, *position, *size, data)?;
            Kind::File { block, size: *size }
        }
        FoundKind::Sparse(map) => {
            let Some(copied) = sparse(layer, map, data)? else { return Ok(None) };
            Kind::Sparse(Box::new(copied))
        }
        FoundKind::Symlink(target) => Kind::Symlink(target.clone()),
        FoundKind::Char(device) => Kind::Char(*device),
        FoundKind::Block(device) => Kind::Block(*device),
        FoundKind::Fifo => Kind::Fifo,
    }))
}

fn sparse(layer: &Reader, map: &SparseMap, data: &mut DataWriter) -> io::Result<Option<SparseMap>> {
    let chunk = map.chunk_bytes();
    let stored = (0..map.chunks().len() as u64).map(|n| n * chunk).filter_map(|offset| {
        let position = map.position(offset)?;
        Some((offset, chunk.min(map.size() - offset), position))
    });
    let stored: Vec<_> = stored.collect();
    let extents: Vec<_> = stored.iter().map(|(offset, length, _)| (*offset, *length)).collect();
    let Some((copied, _)) = SparseMap::lay_out(map.size(), &extents, data.align()?) else {
        return Ok(None);
    };
    for (_, length, position) in stored {
        copy(layer, position, length, data)?;
        data.align()?;
    }
    Ok(Some(copied))
}

fn copy(layer: &Reader, mut position: u64, mut size: u64, data: &mut DataWriter) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    while size > 0 {
        let want = buffer.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        layer.file().read_exact_at(&mut buffer[..want], position)?;
        data.write(&buffer[..want])?;
        position += want as u64;
        size -= want as u64;
    }
    Ok(())
}
