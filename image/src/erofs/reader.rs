//! Reads what the writer writes: for hard links into lower layers, and to verify a store. The
//! file may have been damaged since, so every offset is checked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::data::SparseMap;
use super::format::{
    BLOCK, CHUNK_BITS_MAX, DIRENT_SIZE, INODE_SIZE, Inode, Layout, SLOT, Superblock, mode,
};
use super::tree::Attributes;

/// An image opened for reading.
pub(crate) struct Reader {
    file: File,
    superblock: Superblock,
}

/// An inode that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) nid: u64,
    pub(crate) attributes: Attributes,
    pub(crate) links: u32,
    pub(crate) kind: FoundKind,
}

/// What it is, and where its data are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FoundKind {
    /// Bytes of entries, from a byte of the image on.
    Dir {
        size: u64,
        position: u64,
    },
    File {
        size: u64,
        position: u64,
    },
    Sparse(SparseMap),
    Symlink(Box<[u8]>),
    Char(u32),
    Block(u32),
    Fifo,
}

impl Found {
    /// overlayfs's mark that a lower name is gone: a character device 0:0.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.kind == FoundKind::Char(0)
    }
}

/// For a file that is not as it was written.
pub(crate) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the layer file is damaged: {what}"))
}

impl Reader {
    pub(crate) fn open(file: File) -> io::Result<Self> {
        let mut block = vec![0; BLOCK as usize];
        file.read_exact_at(&mut block, 0)?;
        let superblock =
            Superblock::from_block(&block).ok_or_else(|| damaged("its superblock is wrong"))?;
        if file.metadata()?.len() != u64::from(superblock.blocks) * BLOCK {
            return Err(damaged("its length is wrong"));
        }
        Ok(Self { file, superblock })
    }

    /// Bytes of the image.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.superblock.blocks) * BLOCK
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn volume_name(&self) -> [u8; 16] {
        self.superblock.volume_name
    }

    pub(crate) fn inodes(&self) -> u64 {
        self.superblock.inodes
    }

    pub(crate) fn root(&self) -> io::Result<Found> {
        self.inode(self.superblock.root_nid.into())
    }

    fn read(&self, position: u64, size: u64) -> io::Result<Vec<u8>> {
        if position.checked_add(size).is_none_or(|last| last > self.size()) {
            return Err(damaged("something lies beyond its end"));
        }
        let mut bytes = vec![0; size as usize];
        self.file.read_exact_at(&mut bytes, position)?;
        Ok(bytes)
    }

    /// The inode of that number.
    pub(crate) fn inode(&self, nid: u64) -> io::Result<Found> {
        let position = nid
            .checked_mul(SLOT)
            .and_then(|at| at.checked_add(u64::from(self.superblock.meta_block) * BLOCK))
            .ok_or_else(|| damaged("an inode number is too large"))?;
        let raw = self.read(position, INODE_SIZE)?;
        let raw: &[u8; INODE_SIZE as usize] =
            raw[..].try_into().map_err(|_| damaged("an inode is short"))?;
        let inode = Inode::from_bytes(raw).ok_or_else(|| damaged("an inode's format is wrong"))?;
        let behind = position + INODE_SIZE + inode.xattr_size as u64;
        let data = match inode.layout {
            Layout::FlatInline => behind,
            Layout::FlatPlain | Layout::Chunked => u64::from(inode.union) * BLOCK,
        };
        let kind = match (inode.mode & mode::TYPE, inode.layout) {
            (mode::DIR, _) => FoundKind::Dir { size: inode.size, position: data },
            (mode::FILE, Layout::Chunked) => FoundKind::Sparse(self.sparse(&inode, behind)?),
            (mode::FILE, _) => FoundKind::File { size: inode.size, position: data },
            (mode::SYMLINK, _) if inode.size < BLOCK => {
                FoundKind::Symlink(self.read(data, inode.size)?.into())
            }
            (mode::CHAR, _) => FoundKind::Char(inode.union),
            (mode::BLOCK, _) => FoundKind::Block(inode.union),
            (mode::FIFO, _) => FoundKind::Fifo,
            _ => return Err(damaged("an inode's type is unknown")),
        };
        let attributes = Attributes {
            permissions: inode.mode & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            mtime: inode.mtime,
            mtime_ns: inode.mtime_ns,
            xattrs: self.read(position + INODE_SIZE, inode.xattr_size as u64)?.into(),
        };
        Ok(Found { nid, attributes, links: inode.nlink, kind })
    }

    fn sparse(&self, inode: &Inode, position: u64) -> io::Result<SparseMap> {
        let bits = u8::try_from(inode.union).ok().filter(|bits| *bits <= CHUNK_BITS_MAX);
        let bits = bits.ok_or_else(|| damaged("a chunk format is unknown"))?;
        let count = inode.size.div_ceil(BLOCK << bits);
        let bytes = count.checked_mul(4).ok_or_else(|| damaged("a chunk map is too large"))?;
        let map = self.read(position, bytes)?;
        let chunks = map.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok(SparseMap::from_parts(inode.size, bits, chunks.collect()))
    }

    /// Looks a name up in a directory.
    pub(crate) fn lookup(&self, dir: &Found, name: &[u8]) -> io::Result<Option<Found>> {
        let FoundKind::Dir { size, position } = dir.kind else { return Ok(None) };
        // The last block whose first name is not after the one looked for.
        let (mut low, mut high) = (0, size.div_ceil(BLOCK));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let block = self.directory_block(size, position, middle)?;
            match entries(&block)?.first() {
                Some((first, _)) if *first <= name => low = middle,
                _ => high = middle,
            }
        }
        if high == 0 {
            return Ok(None);
        }
        let block = self.directory_block(size, position, low)?;
        let entries = entries(&block)?;
        match entries.binary_search_by_key(&name, |(name, _)| name) {
            Ok(index) => self.inode(entries[index].1).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Hands every name in a directory but `.` and `..` to `each`, with its inode number.
    pub(crate) fn list(
        &self,
        dir: &Found,
        each: &mut dyn FnMut(&[u8], u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let FoundKind::Dir { size, position } = dir.kind else { return Ok(()) };
        for index in 0..size.div_ceil(BLOCK) {
            let block = self.directory_block(size, position, index)?;
            for (name, nid) in entries(&block)? {
                if name != b"." && name != b".." {
                    each(name, nid)?;
                }
            }
        }
        Ok(())
    }

    fn directory_block(&self, size: u64, position: u64, index: u64) -> io::Result<Vec<u8>> {
        let at = index * BLOCK;
        self.read(position.saturating_add(at), (size - at).min(BLOCK))
    }
}

/// The names and inode numbers of one directory block.
fn entries(block: &[u8]) -> io::Result<Vec<(&[u8], u64)>> {
    let bad = || damaged("a directory block is malformed");
    let name_at = |index: usize| -> Option<usize> {
        let entry = block.get(index * DIRENT_SIZE..(index + 1) * DIRENT_SIZE)?;
        Some(u16::from_le_bytes([entry[8], entry[9]]).into())
    };
    let first = name_at(0).ok_or_else(bad)?;
    let count = first / DIRENT_SIZE;
    if count == 0 || first % DIRENT_SIZE != 0 {
        return Err(bad());
    }
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        let start = name_at(index).ok_or_else(bad)?;
        let end = if index + 1 < count { name_at(index + 1).ok_or_else(bad)? } else { block.len() };
        let mut name = block.get(start..end).ok_or_else(bad)?;
        if index + 1 == count {
            // The last name ends at the block's padding.
            name = &name[..name.iter().position(|b| *b == 0).unwrap_or(name.len())];
        }
        if name.is_empty() {
            return Err(bad());
        }
        let entry = &block[index * DIRENT_SIZE..];
        let nid = u64::from_le_bytes(std::array::from_fn(|i| entry[i]));
        all.push((name, nid));
    }
    Ok(all)
}
