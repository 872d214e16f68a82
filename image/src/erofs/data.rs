//! File data, written to the output as they arrive.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::format::{BLOCK, BLOCK_BITS, CHUNK_BITS_MAX, HOLE};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;
/// The most chunks of one sparse file: bounds the map in memory to 256 KiB.
const CHUNKS_MAX: u64 = 1 << 16;

/// Appends bytes to a file, block by block. A block that is all zeroes is left out, so the file
/// has a hole there if its file system can have one.
pub(crate) struct DataWriter {
    file: File,
    /// Where the buffer's first byte goes; a multiple of the block size.
    offset: u64,
    buffer: Vec<u8>,
}

impl DataWriter {
    /// Starts at `block` of `file`.
    pub(crate) fn new(file: File, block: u32) -> Self {
        Self { file, offset: u64::from(block) * BLOCK, buffer: Vec::with_capacity(BUFFER) }
    }

    /// Bytes from the start of the file to where the next byte goes.
    fn position(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = bytes.len().min(BUFFER - self.buffer.len());
            self.buffer.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if self.buffer.len() == BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes `count` zeroes.
    pub(crate) fn zeroes(&mut self, count: u64) -> io::Result<()> {
        let in_block = self.position().next_multiple_of(BLOCK) - self.position();
        if count <= in_block {
            self.buffer.resize(self.buffer.len() + count as usize, 0);
            return if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) };
        }
        self.align()?;
        self.flush()?;
        let rest = count - in_block;
        self.offset += rest / BLOCK * BLOCK;
        self.buffer.resize((rest % BLOCK) as usize, 0);
        Ok(())
    }

    /// Pads to the next block and returns its number.
    pub(crate) fn align(&mut self) -> io::Result<u32> {
        let padded = self.buffer.len().next_multiple_of(BLOCK as usize);
        self.buffer.resize(padded, 0);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        block_number(self.position())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut start = 0;
        let block = BLOCK as usize;
        while start < self.buffer.len() {
            let is_zero = |at: usize| {
                self.buffer[at..self.buffer.len().min(at + block)].iter().all(|b| *b == 0)
            };
            if is_zero(start) {
                start += block;
                continue;
            }
            let mut end = start + block;
            while end < self.buffer.len() && !is_zero(end) {
                end += block;
            }
            let end = end.min(self.buffer.len());
            self.file.write_all_at(&self.buffer[start..end], self.offset + start as u64)?;
            start = end;
        }
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Pads to the next block, sets the file's length to it and gives the file back.
    pub(crate) fn finish(mut self) -> io::Result<File> {
        self.align()?;
        self.flush()?;
        self.file.set_len(self.offset)?;
        Ok(self.file)
    }
}

fn block_number(position: u64) -> io::Result<u32> {
    u32::try_from(position / BLOCK).ok().filter(|n| *n != HOLE).ok_or_else(|| {
        io::Error::new(io::ErrorKind::FileTooLarge, "an EROFS image has at most 2^32 blocks")
    })
}

/// The chunks of a sparse file and where they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SparseMap {
    size: u64,
    /// A chunk is `BLOCK << bits` bytes.
    bits: u8,
    /// First block of each chunk, or [`HOLE`].
    chunks: Vec<u32>,
}

impl SparseMap {
    /// Lays out a file of `size` bytes that has data in `extents` (offset and length, ascending,
    /// within the size) from `first_block` on; also returns how many blocks they take. `None` when
    /// they do not fit the address space of the format.
    pub(crate) fn lay_out(
        size: u64,
        extents: &[(u64, u64)],
        first_block: u32,
    ) -> Option<(Self, u32)> {
        let blocks = size.div_ceil(BLOCK);
        let bits = (0..=CHUNK_BITS_MAX).find(|bits| blocks.div_ceil(1 << bits) <= CHUNKS_MAX)?;
        let shift = u32::from(bits) + u32::from(BLOCK_BITS);
        let mut chunks = vec![HOLE; blocks.div_ceil(1 << bits) as usize];
        let mut next = u64::from(first_block);
        for (offset, length) in extents.iter().filter(|(_, length)| *length > 0) {
            for chunk in offset >> shift..=(offset + length - 1) >> shift {
                let entry = chunks.get_mut(chunk as usize)?;
                if *entry == HOLE {
                    *entry = u32::try_from(next).ok().filter(|n| *n != HOLE)?;
                    next += (1u64 << bits).min(blocks - (chunk << bits));
                }
            }
        }
        let taken = u32::try_from(next.checked_sub(first_block.into())?).ok()?;
        Some((Self { size, bits, chunks }, taken))
    }

    /// Puts a map together that was read from an image.
    pub(crate) fn from_parts(size: u64, bits: u8, chunks: Vec<u32>) -> Self {
        Self { size, bits, chunks }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    pub(crate) fn chunks(&self) -> &[u32] {
        &self.chunks
    }

    /// Where the byte at `offset` of the file is in the image; `None` in a hole.
    pub(crate) fn position(&self, offset: u64) -> Option<u64> {
        let shift = u32::from(self.bits) + u32::from(BLOCK_BITS);
        let chunk = *self.chunks.get((offset >> shift) as usize)?;
        let within = offset & ((1 << shift) - 1);
        (chunk != HOLE).then(|| u64::from(chunk) * BLOCK + within)
    }

    /// Bytes of a chunk.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        BLOCK << self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_blocks_become_holes_and_bytes_stay() {
        let file = tempfile::tempfile().unwrap();
        let mut w = DataWriter::new(file.try_clone().unwrap(), 1);
        w.write(&[7; 5000]).unwrap();
        assert_eq!(w.align().unwrap(), 3);
        w.zeroes(3 << 20).unwrap();
        w.write(b"end").unwrap();
        let file2 = w.finish().unwrap();
        let mut all = vec![0; file2.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut all, 0).unwrap();
        assert_eq!(all.len() as u64, 4 * BLOCK + (3 << 20));
        assert!(all[..4096].iter().all(|b| *b == 0));
        assert!(all[4096..9096].iter().all(|b| *b == 7));
        let end = 3 * 4096 + (3 << 20);
        assert!(all[9096..end].iter().all(|b| *b == 0));
        assert_eq!(&all[end..end + 3], b"end");
    }

    #[test]
    fn sparse_layout() {
        let (map, taken) =
            SparseMap::lay_out(10 * BLOCK, &[(0, 1), (BLOCK * 4 + 5, BLOCK)], 100).unwrap();
        assert_eq!((map.bits, taken), (0, 3));
        assert_eq!(map.chunks[..7], [100, HOLE, HOLE, HOLE, 101, 102, HOLE]);
        assert_eq!(map.position(BLOCK * 5 + 9), Some(102 * BLOCK + 9));
        assert_eq!(map.position(BLOCK * 9), None);

        let terabyte = 1 << 40;
        let (map, taken) = SparseMap::lay_out(terabyte + 1, &[(terabyte, 1)], 1).unwrap();
        assert!(map.chunks.len() as u64 <= CHUNKS_MAX);
        assert_eq!(taken, 1, "only the blocks within the file are stored");
        assert!(SparseMap::lay_out(1 << 62, &[(0, 1 << 62)], 1).is_none());
    }
}
