//! Entries, one after the other.

use std::io::{self, Read};

use super::header::{BLOCK, Header, until_nul};
use super::pax::{PAX_MAX, Pax};
use super::sparse::{self, Sparse};
use super::{TarError, Xattr};

/// The most bytes of a GNU long name or long link.
const LONG_NAME_MAX: u64 = 64 << 10;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Sparse(Sparse),
    HardLink,
    Symlink,
    Char { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
    Dir,
    Fifo,
}

/// The metadata of an entry. Its data, if it has any, are read from the reader.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    pub(crate) path: Vec<u8>,
    /// The target of a link.
    pub(crate) link: Vec<u8>,
    /// Bytes of data that are stored.
    pub(crate) size: u64,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) mtime_ns: u32,
    pub(crate) xattrs: Vec<Xattr>,
}

/// Reads an archive from `R`.
pub(crate) struct TarReader<R> {
    input: R,
    /// Data of the current entry not yet read, and the padding after them.
    remaining: u64,
    padding: u64,
    globals: Pax,
    /// The name of the entry being read, as far as it is known: for errors.
    name: Vec<u8>,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, remaining: 0, padding: 0, globals: Pax::default(), name: Vec::new() }
    }

    /// The name of the entry in work, for an error message.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Reads on to the next entry; `None` at the end of the archive.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        // What is missing here is missing from the entry before.
        self.skip_data()?;
        self.name.clear();
        let mut pax = self.globals.clone();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            self.skip_data()?;
            let Some(header) = self.header()? else { return Ok(None) };
            match header.kind() {
                b'x' => pax.add(&self.meta(&header, "pax header", PAX_MAX)?)?,
                b'g' => {
                    let bytes = self.meta(&header, "pax header", PAX_MAX)?;
                    self.globals.add_global(&bytes)?;
                    pax.add(&bytes)?;
                }
                b'L' => long_name = Some(self.meta(&header, "name", LONG_NAME_MAX)?),
                b'K' => long_link = Some(self.meta(&header, "link target", LONG_NAME_MAX)?),
                _ => return self.entry(&header, pax, long_name, long_link).map(Some),
            }
        }
    }

    /// Reads the current entry's stored data; 0 at their end.
    pub(crate) fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let want = buffer.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        loop {
            match self.input.read(&mut buffer[..want]) {
                Ok(0) => return Err(TarError::Truncated),
                Ok(n) => {
                    self.remaining -= n as u64;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// The stream after the archive's end, which counts for the layer's digest too.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    fn entry(
        &mut self,
        header: &Header,
        pax: Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, TarError> {
        let gnu = |long: Option<Vec<u8>>| long.map(|l| until_nul(&l).to_vec());
        let sparse_name = pax.sparse.name.clone();
        let path = sparse_name.or(pax.path).or(gnu(long_name)).unwrap_or_else(|| header.path());
        self.name.clone_from(&path);
        let link = pax.link.or(gnu(long_link)).unwrap_or_else(|| header.link());
        let mut size = pax.size.map_or_else(|| header.size(), Ok)?;
        let kind = match header.kind() {
            // Old archives mark a directory by its name alone.
            b'0' | 0 | b'7' if path.ends_with(b"/") => EntryKind::Dir,
            b'0' | 0 | b'7' => {
                self.set_data(size);
                let mut data = Data(self);
                match sparse::pax(&pax.sparse, &mut data)? {
                    None => EntryKind::File,
                    Some((map, taken)) => {
                        size -= taken;
                        EntryKind::Sparse(map.check(size)?)
                    }
                }
            }
            b'S' => {
                let map = sparse::old_gnu(header, || self.block())?.check(size)?;
                self.set_data(size);
                EntryKind::Sparse(map)
            }
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' | b'4' => {
                let (major, minor) = header.device()?;
                let number =
                    |n| u32::try_from(n).map_err(|_| TarError::Field { field: "device number" });
                let (major, minor) = (number(major)?, number(minor)?);
                match header.kind() {
                    b'3' => EntryKind::Char { major, minor },
                    _ => EntryKind::Block { major, minor },
                }
            }
            b'5' => EntryKind::Dir,
            b'6' => EntryKind::Fifo,
            other => return Err(TarError::Type(other.into())),
        };
        if !matches!(kind, EntryKind::File | EntryKind::Sparse(_)) {
            // POSIX lets a size stand here; only directories (quotas) and links (pax, cpio) may
            // have one, and only the latter data, which Go's reader too takes to be absent.
            size = 0;
        }
        let owner = |n: i64, field| u32::try_from(n).map_err(|_| TarError::Field { field });
        let (mtime, mtime_ns) = match pax.mtime {
            Some(time) => time,
            None => (header.mtime()?, 0),
        };
        Ok(Entry {
            kind,
            path,
            link,
            size,
            mode: (header.mode()? & 0o7777) as u16,
            uid: owner(pax.uid.map_or_else(|| header.uid(), Ok)?, "owner")?,
            gid: owner(pax.gid.map_or_else(|| header.gid(), Ok)?, "group")?,
            mtime,
            mtime_ns,
            xattrs: pax.xattrs,
        })
    }

    fn set_data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn skip_data(&mut self) -> Result<(), TarError> {
        let mut rest = (&mut self.input).take(self.remaining.saturating_add(self.padding));
        io::copy(&mut rest, &mut io::sink())?;
        // Only the last padding may be missing: some writers never finish their archive.
        if rest.limit() > self.padding {
            return Err(TarError::Truncated);
        }
        self.set_data(0);
        Ok(())
    }

    /// The next header; `None` at the end, be it two blocks of zeroes, one, or the stream's end.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut block = Box::new([0; BLOCK]);
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(TarError::Truncated),
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Header::new(block)
    }

    fn block(&mut self) -> Result<Box<[u8; BLOCK]>, TarError> {
        let mut block = Box::new([0; BLOCK]);
        self.input.read_exact(&mut block[..])?;
        Ok(block)
    }

    /// The whole data of a header that describes the next one.
    fn meta(
        &mut self,
        header: &Header,
        field: &'static str,
        limit: u64,
    ) -> Result<Vec<u8>, TarError> {
        let size = header.size()?;
        if size > limit {
            return Err(TarError::TooLong { field, limit });
        }
        self.set_data(size);
        let mut bytes = vec![0; size as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += self.read_data(&mut bytes[filled..])?;
        }
        Ok(bytes)
    }
}

impl<R: Read + io::Seek> TarReader<R> {
    /// Where the current entry's unread data begin.
    pub(crate) fn position(&mut self) -> io::Result<u64> {
        self.input.stream_position()
    }

    /// Leaves the current entry's data without reading them. A later read notices if the archive
    /// ended before.
    pub(crate) fn seek_data(&mut self) -> io::Result<()> {
        let count = i64::try_from(self.remaining.saturating_add(self.padding));
        self.input.seek_relative(count.map_err(|_| io::ErrorKind::UnexpectedEof)?)?;
        self.set_data(0);
        Ok(())
    }
}

/// The current entry's data as a stream.
struct Data<'a, R>(&'a mut TarReader<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_data(buffer).map_err(|e| match e {
            TarError::Read(e) => e,
            other => io::Error::new(io::ErrorKind::UnexpectedEof, other),
        })
    }
}
