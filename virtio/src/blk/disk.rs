//! What is behind a block device: a raw file, or several files as partitions of one disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::gpt;
use crate::Error;
use crate::once::Once;

/// Bytes of a sector as virtio counts them, whatever the block size (virtio 1.2, 5.2.4).
pub(super) const SECTOR: u64 = 512;

/// How much a guest's flush is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A flush is done when the data is on the medium: it survives a power cut. On macOS this is
    /// `F_FULLFSYNC`.
    #[default]
    Medium,
    /// A flush does nothing: data survives the machine's end, and not the host's.
    HostCache,
}

/// One file of a composite disk.
#[derive(Debug, Clone)]
pub struct Part {
    /// The file; it is padded with zeros to whole sectors.
    pub path: PathBuf,
    /// Partition name, at most 36 UTF-16 units.
    pub label: String,
}

/// The host side of one block device.
#[derive(Debug)]
pub struct Disk {
    pub(super) id: String,
    pub(super) read_only: bool,
    pub(super) durability: Durability,
    pub(super) complained: Once,
    len: u64,
    extents: Vec<Extent>,
}

/// A stretch of a disk. What no extent covers reads as zero.
#[derive(Debug)]
struct Extent {
    start: u64,
    len: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Bytes(Vec<u8>),
    File(File),
}

impl Disk {
    /// A raw image. `id` is what the guest reads as the disk's serial, cut to 20 bytes. The file is
    /// locked as long as the disk exists: alone if it is writable, with other readers if not.
    ///
    /// # Errors
    /// If the file is missing, not readable or writable, locked by another process, or writable
    /// and not a whole number of 512-byte sectors.
    pub fn raw(
        id: &str,
        path: &Path,
        read_only: bool,
        durability: Durability,
    ) -> Result<Self, Error> {
        let (file, len) = open(path, read_only)?;
        if !read_only && !len.is_multiple_of(SECTOR) {
            return Err(Error::DiskLayout {
                id: id.to_owned(),
                what: format!(
                    "{} has {len} bytes, which are no whole 512-byte sectors; extend it or attach it read-only",
                    path.display()
                ),
            });
        }
        let extents = vec![Extent { start: 0, len, source: Source::File(file) }];
        let len = len.next_multiple_of(SECTOR);
        Ok(Self {
            id: id.to_owned(),
            read_only,
            durability,
            complained: Once::default(),
            len,
            extents,
        })
    }

    /// A read-only disk with a GUID partition table and one partition a file, in the given order.
    ///
    /// # Errors
    /// If a file cannot be opened, there is none, or there are more than Linux can number.
    pub fn composite(id: &str, parts: &[Part]) -> Result<Self, Error> {
        let mut files = Vec::with_capacity(parts.len());
        for part in parts {
            files.push(open(&part.path, true)?);
        }
        let sizes: Vec<_> =
            parts.iter().zip(&files).map(|(part, (_, len))| (part.label.as_str(), *len)).collect();
        let table = gpt::Table::new(id, &sizes)
            .map_err(|what| Error::DiskLayout { id: id.to_owned(), what })?;
        let mut extents = vec![Extent {
            start: 0,
            len: table.primary.len() as u64,
            source: Source::Bytes(table.primary),
        }];
        for (start, (file, len)) in table.starts.iter().zip(files) {
            extents.push(Extent { start: *start, len, source: Source::File(file) });
        }
        extents.push(Extent {
            start: table.backup_start,
            len: table.backup.len() as u64,
            source: Source::Bytes(table.backup),
        });
        Ok(Self {
            id: id.to_owned(),
            read_only: true,
            durability: Durability::Medium,
            complained: Once::default(),
            len: table.len,
            extents,
        })
    }

    /// Length in bytes, a whole number of sectors.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the disk has no sector.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads; the range lies within the disk.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read_with(offset, buf, |file, at, piece| {
            let mut done = 0;
            while done < piece.len() {
                match file.read_at(&mut piece[done..], at + done as u64) {
                    // The file has become shorter since it was opened.
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(n) => done += n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(())
        })
    }

    /// Reads if that takes no waiting for a device; whether it did.
    #[cfg(target_os = "linux")]
    pub(super) fn read_cached(&self, offset: u64, buf: &mut [u8]) -> bool {
        use rustix::io::{ReadWriteFlags, preadv2};
        self.read_with(offset, buf, |file, at, piece| {
            let len = piece.len();
            let mut slices = [io::IoSliceMut::new(piece)];
            match preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT) {
                Ok(n) if n == len => Ok(()),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            }
        })
        .is_ok()
    }

    /// Reads if that takes no waiting for a device; whether it did. Cannot be asked here.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read_cached(&self, _offset: u64, _buf: &mut [u8]) -> bool {
        false
    }

    fn read_with(
        &self,
        offset: u64,
        buf: &mut [u8],
        mut read_file: impl FnMut(&File, u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = offset + buf.len() as u64;
        let first = self.extents.partition_point(|e| e.start + e.len <= offset);
        let mut at = offset;
        for extent in &self.extents[first..] {
            if extent.start >= end {
                break;
            }
            let from = at.max(extent.start);
            let to = end.min(extent.start + extent.len);
            buf[(at - offset) as usize..(from - offset) as usize].fill(0);
            let piece = &mut buf[(from - offset) as usize..(to - offset) as usize];
            let inner = from - extent.start;
            match &extent.source {
                Source::Bytes(bytes) => {
                    piece.copy_from_slice(&bytes[inner as usize..][..piece.len()]);
                }
                Source::File(file) => read_file(file, inner, piece)?,
            }
            at = to;
        }
        buf[(at - offset) as usize..].fill(0);
        Ok(())
    }

    /// Writes; the disk is writable and the range lies within it.
    pub(super) fn write(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.file()?.write_all_at(buf, offset)
    }

    /// Makes all completed writes durable.
    pub(super) fn flush(&self) -> io::Result<()> {
        match (self.read_only, self.durability) {
            (true, _) | (_, Durability::HostCache) => Ok(()),
            // The standard library uses F_FULLFSYNC on Apple systems.
            (false, Durability::Medium) => self.file()?.sync_data(),
        }
    }

    /// Gives the range's storage back if the host can; it reads as zero or as before.
    pub(super) fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        match punch(self.file()?, offset, len) {
            Err(e) if is_unsupported(&e) => Ok(()),
            result => result,
        }
    }

    /// Makes the range read as zero, giving its storage back if `unmap`.
    pub(super) fn write_zeroes(&self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        let file = self.file()?;
        let quick = if unmap { punch(file, offset, len) } else { zero(file, offset, len) };
        match quick {
            Err(e) if is_unsupported(&e) => {}
            result => return result,
        }
        let zeros = vec![0; 64 * 1024];
        let mut at = offset;
        while at < offset + len {
            let count = (offset + len - at).min(zeros.len() as u64);
            file.write_all_at(&zeros[..count as usize], at)?;
            at += count;
        }
        Ok(())
    }

    fn file(&self) -> io::Result<&File> {
        match &self.extents[..] {
            [Extent { source: Source::File(file), .. }] => Ok(file),
            _ => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }
}

#[cfg(test)]
impl Disk {
    /// A disk whose reads panic.
    pub(super) fn that_panics() -> Self {
        let len = 1 << 20;
        Self {
            id: "bad".to_owned(),
            read_only: true,
            durability: Durability::Medium,
            complained: Once::default(),
            len,
            extents: vec![Extent { start: 0, len, source: Source::Bytes(Vec::new()) }],
        }
    }
}

#[cfg(target_os = "linux")]
fn punch(file: &File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, flags, offset, len)?)
}

#[cfg(target_os = "linux")]
fn zero(file: &File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, flags, offset, len)?)
}

#[cfg(not(target_os = "linux"))]
fn punch(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn zero(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn is_unsupported(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::Unsupported
}

fn open(path: &Path, read_only: bool) -> Result<(File, u64), Error> {
    let error = |what| move |source| Error::Disk { path: path.to_owned(), what, source };
    let mut file = OpenOptions::new().read(true).write(!read_only).open(path).map_err(error(
        if read_only {
            "cannot be read; check its name and permissions"
        } else {
            "cannot be opened for writing; check its name and permissions, or attach it read-only"
        },
    ))?;
    let lock = if read_only {
        FlockOperation::NonBlockingLockShared
    } else {
        FlockOperation::NonBlockingLockExclusive
    };
    flock(&file, lock).map_err(io::Error::from).map_err(error(
        "is in use by another machine; stop it, or attach the disk read-only to both",
    ))?;
    // The end rather than the metadata: a block device has no length there.
    let len = io::Seek::seek(&mut file, io::SeekFrom::End(0))
        .map_err(error("has no length; attach a file or a block device"))?;
    Ok((file, len))
}
