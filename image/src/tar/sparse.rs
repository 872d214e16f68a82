//! Maps of sparse files: old GNU headers and the pax formats 0.0, 0.1 and 1.0.

use std::io::Read;

use super::TarError;
use super::header::{BLOCK, Header, number};
use super::pax::{PaxSparse, decimal};

/// The most extents of one file.
pub(super) const EXTENTS_MAX: usize = 1 << 20;

/// Where a sparse file has data, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// Offsets and lengths, ascending, not overlapping.
    pub(crate) extents: Vec<(u64, u64)>,
    /// Bytes of the file.
    pub(crate) size: u64,
}

const BAD: TarError = TarError::Field { field: "sparse map" };

/// The map in an old GNU header, of type `S`, and in the blocks after it.
pub(super) fn old_gnu(
    header: &Header,
    mut next_block: impl FnMut() -> Result<Box<[u8; BLOCK]>, TarError>,
) -> Result<Sparse, TarError> {
    let (entries, mut more, size) = header.gnu_sparse();
    let mut extents = Vec::new();
    add_entries(entries, &mut extents)?;
    while more {
        let block = next_block()?;
        add_entries(&block[..504], &mut extents)?;
        more = block[504] != 0;
    }
    let size = size.ok().and_then(|n| u64::try_from(n).ok()).ok_or(BAD)?;
    Ok(Sparse { extents, size })
}

fn add_entries(entries: &[u8], extents: &mut Vec<(u64, u64)>) -> Result<(), TarError> {
    for entry in entries.chunks_exact(24) {
        if entry[0] == 0 && entry[12] == 0 {
            return Ok(());
        }
        let field = |bytes| number(bytes).and_then(|n| u64::try_from(n).ok()).ok_or(BAD);
        push(extents, (field(&entry[..12])?, field(&entry[12..])?))?;
    }
    Ok(())
}

fn push(extents: &mut Vec<(u64, u64)>, extent: (u64, u64)) -> Result<(), TarError> {
    if extents.len() >= EXTENTS_MAX {
        return Err(TarError::TooLong { field: "sparse map", limit: EXTENTS_MAX as u64 });
    }
    extents.push(extent);
    Ok(())
}

/// The map in pax records (0.0, 0.1) or at the start of the data (1.0); `data` is limited to the
/// entry. Returns also how many bytes of the data the map took.
pub(super) fn pax(
    records: &PaxSparse,
    data: &mut dyn Read,
) -> Result<Option<(Sparse, u64)>, TarError> {
    if !records.seen {
        return Ok(None);
    }
    let size = records.real_size.ok_or(BAD)?;
    if records.major != Some(1) {
        let pairs = records.numbers.chunks(2);
        let mut extents = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let &[offset, length] = pair else { return Err(BAD) };
            push(&mut extents, (offset, length))?;
        }
        return Ok(Some((Sparse { extents, size }, 0)));
    }
    let mut lines = Lines { data, block: [0; BLOCK], at: BLOCK, taken: 0 };
    let count = lines.next()?;
    let mut extents = Vec::new();
    for _ in 0..count {
        push(&mut extents, (lines.next()?, lines.next()?))?;
    }
    Ok(Some((Sparse { extents, size }, lines.taken)))
}

/// Decimal numbers, each ended by a newline, read block by block.
struct Lines<'a> {
    data: &'a mut dyn Read,
    block: [u8; BLOCK],
    at: usize,
    taken: u64,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<u64, TarError> {
        let mut line = Vec::with_capacity(20);
        loop {
            if self.at == BLOCK {
                self.data.read_exact(&mut self.block)?;
                self.taken += BLOCK as u64;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => return decimal(&line).ok_or(BAD),
                _ if line.len() >= 20 => return Err(BAD),
                _ => line.push(byte),
            }
        }
    }
}

impl Sparse {
    /// Checks the map against the bytes that are stored for it.
    pub(super) fn check(mut self, stored: u64) -> Result<Self, TarError> {
        let mut end = 0;
        let mut total = 0u64;
        for (offset, length) in &self.extents {
            let last = offset.checked_add(*length).ok_or(BAD)?;
            if *offset < end || last > self.size {
                return Err(BAD);
            }
            end = last;
            total += length;
        }
        if total != stored {
            return Err(BAD);
        }
        self.extents.retain(|(_, length)| *length > 0);
        Ok(self)
    }
}
