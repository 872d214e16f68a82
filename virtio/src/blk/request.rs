//! One request of a block driver (virtio 1.2, 5.2.6).

use virtio_bindings::virtio_blk::*;

use super::disk::{Disk, SECTOR};
use crate::Memory;
use crate::once::log_once;
use crate::span::{BadAddress, Chain, Span};

/// Most sectors of one discard or write-zeroes segment, and most segments of one request.
pub(super) const MAX_RANGE_SECTORS: u32 = 1 << 22;
pub(super) const MAX_RANGES: u32 = 16;
/// Longest serial (5.2.6: 20 bytes, padded with zeros).
const ID_LEN: usize = VIRTIO_BLK_ID_BYTES as usize;
const HEADER_LEN: u32 = 16;
const RANGE_LEN: usize = 16;
/// Data is copied in pieces of this size.
const PIECE: u32 = 256 * 1024;

/// Why a request fails, as its status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Io,
    Unsupported,
}

impl From<BadAddress> for Failure {
    fn from(_: BadAddress) -> Self {
        Failure::Io
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Flush,
    Id,
    Discard,
    WriteZeroes,
    Other(u32),
}

/// A request taken apart.
#[derive(Debug)]
pub(super) struct Request {
    kind: Kind,
    sector: u64,
    /// What the device reads after the header.
    input: Span,
    /// What the device writes before the status.
    output: Span,
    status: Span,
}

impl Request {
    /// `None` if there is no header or no room for a status: then there is no way to answer.
    pub(super) fn parse(chain: &Chain, memory: &Memory) -> Option<Self> {
        if chain.malformed {
            return None;
        }
        let mut header = [0; HEADER_LEN as usize];
        if chain.readable.read(memory, 0, &mut header) != Ok(header.len()) {
            return None;
        }
        let mut output = chain.writable.clone();
        let status = output.split_off_end(1);
        if status.is_empty() {
            return None;
        }
        let kind = match u32::from_le_bytes(header[..4].try_into().ok()?) {
            VIRTIO_BLK_T_IN => Kind::Read,
            VIRTIO_BLK_T_OUT => Kind::Write,
            VIRTIO_BLK_T_FLUSH => Kind::Flush,
            VIRTIO_BLK_T_GET_ID => Kind::Id,
            VIRTIO_BLK_T_DISCARD => Kind::Discard,
            VIRTIO_BLK_T_WRITE_ZEROES => Kind::WriteZeroes,
            other => Kind::Other(other),
        };
        Some(Self {
            kind,
            sector: u64::from_le_bytes(header[8..].try_into().ok()?),
            input: chain.readable.slice(HEADER_LEN, u32::MAX),
            output,
            status,
        })
    }

    /// Does a read whose data is at hand, or what takes no I/O; the number of bytes written to the
    /// driver if it did.
    pub(super) fn try_at_once(
        &self,
        disk: &Disk,
        memory: &Memory,
        buf: &mut Vec<u8>,
    ) -> Option<u32> {
        match self.kind {
            Kind::Read if self.output.len() <= PIECE => {
                let offset = self.range(disk, self.output.len()).ok()?;
                buf.resize(self.output.len() as usize, 0);
                if !disk.read_cached(offset, buf) {
                    return None;
                }
                let result = self.output.write(memory, 0, buf);
                Some(self.finish(memory, result.map(|n| n as u32).map_err(Failure::from)))
            }
            Kind::Id | Kind::Other(_) => Some(self.execute(disk, memory, buf, false)),
            _ => None,
        }
    }

    /// Does the request and writes its status; the number of bytes written to the driver.
    /// `write_through` makes every write durable at once.
    pub(super) fn execute(
        &self,
        disk: &Disk,
        memory: &Memory,
        buf: &mut Vec<u8>,
        write_through: bool,
    ) -> u32 {
        let result = match self.kind {
            Kind::Read => self.read(disk, memory, buf),
            Kind::Id => self.id(disk, memory),
            Kind::Flush => flush(disk),
            Kind::Write | Kind::Discard | Kind::WriteZeroes if disk.read_only => Err(Failure::Io),
            Kind::Write => self.write(disk, memory, buf),
            Kind::Discard | Kind::WriteZeroes => self.ranges(disk, memory),
            Kind::Other(kind) => {
                tracing::debug!(kind, "block request of unknown type");
                Err(Failure::Unsupported)
            }
        };
        let changes = matches!(self.kind, Kind::Write | Kind::Discard | Kind::WriteZeroes);
        let result = match result {
            Ok(_) if changes && write_through => flush(disk),
            result => result,
        };
        self.finish(memory, result)
    }

    fn finish(&self, memory: &Memory, result: Result<u32, Failure>) -> u32 {
        let (written, status) = match result {
            Ok(written) => (written, VIRTIO_BLK_S_OK),
            Err(Failure::Io) => (0, VIRTIO_BLK_S_IOERR),
            Err(Failure::Unsupported) => (0, VIRTIO_BLK_S_UNSUPP),
        };
        match self.status.write(memory, 0, &[status as u8]) {
            // The length covers the first bytes in order; a failed request promises none of them.
            Ok(_) if status == VIRTIO_BLK_S_OK => written + 1,
            Ok(_) => 1,
            Err(BadAddress) => 0,
        }
    }

    /// Offset of the data in bytes, if all of it is on the disk.
    fn range(&self, disk: &Disk, len: u32) -> Result<u64, Failure> {
        byte_range(disk, self.sector, len.into())
    }

    fn read(&self, disk: &Disk, memory: &Memory, buf: &mut Vec<u8>) -> Result<u32, Failure> {
        let len = self.output.len();
        let start = self.range(disk, len)?;
        for at in (0..len).step_by(PIECE as usize) {
            buf.resize(PIECE.min(len - at) as usize, 0);
            disk.read(start + u64::from(at), buf).map_err(|e| io_error(disk, "read", &e))?;
            self.output.write(memory, at, buf)?;
        }
        Ok(len)
    }

    fn write(&self, disk: &Disk, memory: &Memory, buf: &mut Vec<u8>) -> Result<u32, Failure> {
        let len = self.input.len();
        let start = self.range(disk, len)?;
        for at in (0..len).step_by(PIECE as usize) {
            buf.resize(PIECE.min(len - at) as usize, 0);
            self.input.read(memory, at, buf)?;
            disk.write(start + u64::from(at), buf).map_err(|e| io_error(disk, "write", &e))?;
        }
        Ok(0)
    }

    fn id(&self, disk: &Disk, memory: &Memory) -> Result<u32, Failure> {
        let mut serial = [0; ID_LEN];
        for (to, from) in serial.iter_mut().zip(disk.id.bytes()) {
            *to = from;
        }
        Ok(self.output.write(memory, 0, &serial)? as u32)
    }

    /// Discard and write-zeroes: segments of sector, count and flags. All are checked before any
    /// is carried out (5.2.6.2).
    fn ranges(&self, disk: &Disk, memory: &Memory) -> Result<u32, Failure> {
        let len = self.input.len() as usize;
        if len == 0 || !len.is_multiple_of(RANGE_LEN) || len / RANGE_LEN > MAX_RANGES as usize {
            return Err(Failure::Io);
        }
        let mut bytes = vec![0; len];
        self.input.read(memory, 0, &mut bytes)?;
        let mut ranges = Vec::with_capacity(len / RANGE_LEN);
        for segment in bytes.chunks_exact(RANGE_LEN) {
            let word = |at: usize| {
                u32::from_le_bytes([segment[at], segment[at + 1], segment[at + 2], segment[at + 3]])
            };
            let sector = u64::from(word(4)) << 32 | u64::from(word(0));
            let (count, flags) = (word(8), word(12));
            let unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0;
            let known = match self.kind {
                Kind::Discard => 0,
                _ => VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
            };
            if flags & !known != 0 {
                return Err(Failure::Unsupported);
            }
            if count > MAX_RANGE_SECTORS {
                return Err(Failure::Io);
            }
            let len = u64::from(count) * SECTOR;
            ranges.push((byte_range(disk, sector, len)?, len, unmap));
        }
        for (offset, len, unmap) in ranges.into_iter().filter(|r| r.1 != 0) {
            let result = match self.kind {
                Kind::Discard => disk.discard(offset, len),
                _ => disk.write_zeroes(offset, len, unmap),
            };
            result.map_err(|e| io_error(disk, "discard or zero", &e))?;
        }
        Ok(0)
    }
}

fn flush(disk: &Disk) -> Result<u32, Failure> {
    disk.flush().map(|()| 0).map_err(|e| io_error(disk, "flush", &e))
}

fn byte_range(disk: &Disk, sector: u64, len: u64) -> Result<u64, Failure> {
    let start = sector.checked_mul(SECTOR).ok_or(Failure::Io)?;
    let end = start.checked_add(len).ok_or(Failure::Io)?;
    if end > disk.len() || !len.is_multiple_of(SECTOR) {
        return Err(Failure::Io);
    }
    Ok(start)
}

fn io_error(disk: &Disk, what: &str, error: &std::io::Error) -> Failure {
    let id = &disk.id;
    log_once!(disk.complained, error, disk = id, %error, "the host could not {what} the disk's file");
    Failure::Io
}
