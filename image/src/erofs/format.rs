//! The on-disk format: Linux 6.12, `fs/erofs/erofs_fs.h` and `Documentation/filesystems/erofs.rst`.
//!
//! Only what these images use: uncompressed, 4 KiB blocks, extended inodes, the data layouts
//! "flat plain", "flat inline" and "chunk-based", and inline extended attributes. All integers
//! are little-endian.

/// Bytes of a block.
pub(crate) const BLOCK: u64 = 4096;
pub(crate) const BLOCK_BITS: u8 = 12;
/// Where the superblock is.
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
/// `EROFS_FEATURE_COMPAT_SB_CHKSUM`.
const COMPAT_CHECKSUM: u32 = 1;
/// `EROFS_FEATURE_INCOMPAT_CHUNKED_FILE`.
const INCOMPAT_CHUNKED: u32 = 4;

/// An inode number (nid) counts slots of this many bytes from the start of the metadata.
pub(crate) const SLOT: u64 = 32;
/// Bytes of an extended inode.
pub(crate) const INODE_SIZE: u64 = 64;
/// Bytes of a directory entry without its name.
pub(crate) const DIRENT_SIZE: usize = 12;
/// Bytes of the header before the extended attributes of an inode.
pub(crate) const XATTR_HEADER: usize = 12;
/// Bytes of the header of one extended attribute.
pub(crate) const XATTR_ENTRY: usize = 4;
/// The largest attribute area: `i_xattr_icount` is 16 bits and counts words after the header.
pub(crate) const XATTR_AREA_MAX: usize = XATTR_HEADER + 4 * (u16::MAX as usize - 1);
/// A chunk that is not stored reads as zeroes (`EROFS_NULL_ADDR`).
pub(crate) const HOLE: u32 = u32::MAX;
/// The largest chunk is 2^31 blocks (`EROFS_CHUNK_FORMAT_BLKBITS_MASK`).
pub(crate) const CHUNK_BITS_MAX: u8 = 31;

/// Prefixes of extended attributes and their indexes.
pub(crate) const XATTR_PREFIXES: [(&[u8], u8); 5] = [
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// How an inode's data are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All blocks in a row.
    FlatPlain,
    /// Whole blocks in a row, the rest behind the inode.
    FlatInline,
    /// A map of chunks behind the inode.
    Chunked,
}

/// The superblock, as far as it is not constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) root_nid: u16,
    pub(crate) inodes: u64,
    pub(crate) blocks: u32,
    pub(crate) meta_block: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) volume_name: [u8; 16],
}

/// The extended inode, as far as it is not constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) layout: Layout,
    /// Bytes of the extended attributes behind the inode, header included; a multiple of 4.
    pub(crate) xattr_size: usize,
    pub(crate) mode: u16,
    pub(crate) size: u64,
    /// First block, device number or chunk format, by mode and layout.
    pub(crate) union: u32,
    pub(crate) ino: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) mtime_ns: u32,
    pub(crate) nlink: u32,
}

fn le16(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

fn le32(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn le64(b: &[u8], at: usize) -> u64 {
    u64::from(le32(b, at)) | u64::from(le32(b, at + 4)) << 32
}

impl Superblock {
    /// The first block of the file: the superblock in its place, its checksum filled in.
    pub(crate) fn to_block(self) -> Vec<u8> {
        let mut block = vec![0; BLOCK as usize];
        let sb = &mut block[SUPERBLOCK_OFFSET as usize..];
        sb[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        sb[8..12].copy_from_slice(&COMPAT_CHECKSUM.to_le_bytes());
        sb[12] = BLOCK_BITS;
        sb[14..16].copy_from_slice(&self.root_nid.to_le_bytes());
        sb[16..24].copy_from_slice(&self.inodes.to_le_bytes());
        // build_time and build_time_nsec (24..36) stay zero: the same layer gives the same bytes.
        sb[36..40].copy_from_slice(&self.blocks.to_le_bytes());
        sb[40..44].copy_from_slice(&self.meta_block.to_le_bytes());
        sb[48..64].copy_from_slice(&self.uuid);
        sb[64..80].copy_from_slice(&self.volume_name);
        sb[80..84].copy_from_slice(&INCOMPAT_CHUNKED.to_le_bytes());
        let checksum = checksum(sb);
        sb[4..8].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// Reads the first block of a file; `None` when it is not a superblock that we write.
    pub(crate) fn from_block(block: &[u8]) -> Option<Self> {
        let sb = block.get(SUPERBLOCK_OFFSET as usize..BLOCK as usize)?;
        let mut zeroed = sb.to_vec();
        zeroed[4..8].fill(0);
        let ours = le32(sb, 0) == MAGIC
            && le32(sb, 4) == checksum(&zeroed)
            && sb[12] == BLOCK_BITS
            && le32(sb, 80) == INCOMPAT_CHUNKED;
        ours.then(|| Self {
            root_nid: le16(sb, 14),
            inodes: le64(sb, 16),
            blocks: le32(sb, 36),
            meta_block: le32(sb, 40),
            uuid: std::array::from_fn(|i| sb[48 + i]),
            volume_name: std::array::from_fn(|i| sb[64 + i]),
        })
    }
}

/// `crc32c(~0, …)` without the final inversion, over the rest of the block from the superblock on,
/// its checksum field zero (`erofs_superblock_csum_verify`).
fn checksum(from_superblock: &[u8]) -> u32 {
    !crc32c::crc32c(from_superblock)
}

impl Inode {
    pub(crate) fn to_bytes(self) -> [u8; INODE_SIZE as usize] {
        let layout = match self.layout {
            Layout::FlatPlain => 0,
            Layout::FlatInline => 2,
            Layout::Chunked => 4u16,
        };
        let words = match self.xattr_size {
            0 => 0,
            n => (n - XATTR_HEADER) / 4 + 1,
        };
        let mut b = [0; INODE_SIZE as usize];
        b[0..2].copy_from_slice(&(layout << 1 | 1).to_le_bytes());
        b[2..4].copy_from_slice(&(words as u16).to_le_bytes());
        b[4..6].copy_from_slice(&self.mode.to_le_bytes());
        b[8..16].copy_from_slice(&self.size.to_le_bytes());
        b[16..20].copy_from_slice(&self.union.to_le_bytes());
        b[20..24].copy_from_slice(&self.ino.to_le_bytes());
        b[24..28].copy_from_slice(&self.uid.to_le_bytes());
        b[28..32].copy_from_slice(&self.gid.to_le_bytes());
        b[32..40].copy_from_slice(&self.mtime.to_le_bytes());
        b[40..44].copy_from_slice(&self.mtime_ns.to_le_bytes());
        b[44..48].copy_from_slice(&self.nlink.to_le_bytes());
        b
    }

    /// `None` when it is not an inode that we write.
    pub(crate) fn from_bytes(b: &[u8; INODE_SIZE as usize]) -> Option<Self> {
        let layout = match le16(b, 0) {
            0b0_0001 => Layout::FlatPlain,
            0b0_0101 => Layout::FlatInline,
            0b0_1001 => Layout::Chunked,
            _ => return None,
        };
        let xattr_size = match usize::from(le16(b, 2)) {
            0 => 0,
            words => XATTR_HEADER + 4 * (words - 1),
        };
        Some(Self {
            layout,
            xattr_size,
            mode: le16(b, 4),
            size: le64(b, 8),
            union: le32(b, 16),
            ino: le32(b, 20),
            uid: le32(b, 24),
            gid: le32(b, 28),
            mtime: le64(b, 32) as i64,
            mtime_ns: le32(b, 40),
            nlink: le32(b, 44),
        })
    }
}

/// A device number as the kernel encodes it (`new_encode_dev`): 12 bits of major, 20 of minor.
pub(crate) fn encode_device(major: u32, minor: u32) -> Option<u32> {
    (major < 1 << 12 && minor < 1 << 20)
        .then_some(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

/// Bits of a mode that say the type (`S_IFMT`) and its values (POSIX `sys/stat.h`, Linux).
pub(crate) mod mode {
    pub(crate) const TYPE: u16 = 0o170000;
    pub(crate) const FIFO: u16 = 0o010000;
    pub(crate) const CHAR: u16 = 0o020000;
    pub(crate) const DIR: u16 = 0o040000;
    pub(crate) const BLOCK: u16 = 0o060000;
    pub(crate) const FILE: u16 = 0o100000;
    pub(crate) const SYMLINK: u16 = 0o120000;

    /// The file type of a directory entry (`FT_*`, `include/linux/fs_types.h`).
    pub(crate) fn dirent_type(mode: u16) -> u8 {
        match mode & TYPE {
            FILE => 1,
            DIR => 2,
            CHAR => 3,
            BLOCK => 4,
            FIFO => 5,
            SYMLINK => 7,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers() {
        // Linux include/linux/kdev_t.h: makedev(8, 1) is 0x801; makedev(259, 300) keeps the low
        // byte of the minor below the major and moves the rest above it.
        assert_eq!(encode_device(8, 1), Some(0x801));
        assert_eq!(encode_device(259, 300), Some(0x11_032c));
        assert_eq!(encode_device(4096, 0), None);
        assert_eq!(encode_device(0, 1 << 20), None);
    }

    #[test]
    fn structures_read_back() {
        let sb = Superblock {
            root_nid: 7,
            inodes: 9,
            blocks: 11,
            meta_block: 3,
            uuid: [5; 16],
            volume_name: *b"kiln layer\0\0\0\0\0\0",
        };
        assert_eq!(Superblock::from_block(&sb.to_block()), Some(sb));
        let mut broken = sb.to_block();
        broken[1100] ^= 1;
        assert_eq!(Superblock::from_block(&broken), None);
        let inode = Inode {
            layout: Layout::Chunked,
            xattr_size: 28,
            mode: mode::FILE | 0o6755,
            size: 1 << 40,
            union: 3,
            ino: 4,
            uid: u32::MAX,
            gid: 6,
            mtime: -7,
            mtime_ns: 999_999_999,
            nlink: 9,
        };
        assert_eq!(Inode::from_bytes(&inode.to_bytes()), Some(inode));
    }
}
