//! What a machine's process wrote, kept on disk.
//!
//! A log is a few files of records: `log` is written, `log.1` is older, and so on. A record is
//! a stream (1 byte: 1 stdout, 2 stderr), a time (8 bytes: nanoseconds since the Unix epoch), a length (4 bytes), and
//! that many bytes, all little-endian: what the process wrote, byte for byte. A record that is cut short by a crash
//! is where the log ends.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

/// Bytes after which a file is closed and a new one begun.
const FILE_LIMIT: u64 = 16 << 20;
/// Files kept, the current one included.
const FILES: u32 = 4;
const HEADER: usize = 13;
/// Longest record, in bytes.
const RECORD_LIMIT: usize = 1 << 20;

/// Which stream a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output, or the terminal.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// Some bytes that the process wrote at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where to.
    pub stream: Stream,
    /// When they arrived.
    pub time: Timestamp,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Appends to a log and rotates it.
#[derive(Debug)]
pub(crate) struct LogWriter {
    directory: PathBuf,
    file: File,
    len: u64,
    /// Bytes that could not be written.
    lost: u64,
    /// The end of a record whose beginning was written.
    unfinished: Vec<u8>,
}

impl LogWriter {
    /// Opens the log in a machine's directory for appending.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path(directory, 0))?;
        let len = file.metadata()?.len();
        Ok(Self { directory: directory.into(), file, len, lost: 0, unfinished: Vec::new() })
    }

    /// Appends what the process wrote now.
    ///
    /// A full disk does not stop the process: what cannot be written is left out, and once there is room again, a line
    /// of standard error says how much that was.
    pub(crate) fn append(&mut self, stream: Stream, bytes: &[u8]) {
        for bytes in bytes.chunks(RECORD_LIMIT) {
            if let Err(error) = self.make_up().and_then(|()| self.write(stream, bytes)) {
                if self.lost == 0 {
                    tracing::error!("the log cannot be written, and output is left out: {error}");
                }
                self.lost += bytes.len() as u64;
            }
        }
    }

    /// Ends the record that was cut short, and says what was left out after it.
    fn make_up(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.unfinished);
        if let Err(error) = self.put(&rest) {
            self.unfinished = rest;
            return Err(error);
        }
        if self.lost > 0 && self.unfinished.is_empty() {
            let note = format!("kiln: {} bytes were not logged: the disk was full\n", self.lost);
            self.write(Stream::Stderr, note.as_bytes())?;
            self.lost = 0;
        }
        if self.unfinished.is_empty() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        if self.len >= FILE_LIMIT {
            self.rotate()?;
        }
        let nanos = Timestamp::now().as_nanosecond() as u64;
        let mut record = Vec::with_capacity(HEADER + bytes.len());
        record.push(stream as u8);
        record.extend(nanos.to_le_bytes());
        record.extend((bytes.len() as u32).to_le_bytes());
        record.extend(bytes);
        self.put(&record)
    }

    /// Writes all of it, or nothing; of what was begun the rest is kept, because a reader may have seen the beginning.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(count) => {
                    rest = &rest[count..];
                    self.len += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if rest.len() == bytes.len() => return Err(error),
                Err(_) => {
                    self.unfinished = rest.to_vec();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for index in (0..FILES - 1).rev() {
            match fs::rename(path(&self.directory, index), path(&self.directory, index + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = File::create_new(path(&self.directory, 0))?;
        self.len = 0;
        Ok(())
    }
}

/// Reads a log from its oldest record, across rotations, and goes on when more is written.
#[derive(Debug)]
pub(crate) struct LogReader {
    directory: PathBuf,
    current: Option<BufReader<File>>,
    pending: Vec<u8>,
}

impl LogReader {
    /// Opens the log in a machine's directory; it may not exist yet.
    pub(crate) fn open(directory: &Path) -> Self {
        Self { directory: directory.into(), current: None, pending: Vec::new() }
    }

    /// The next record; `None` at the end of what has been written so far.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn read(&mut self) -> io::Result<Option<Record>> {
        let mut next = None;
        loop {
            if let Some(file) = &mut self.current {
                if let Some(record) = next_record(file, &mut self.pending)? {
                    return Ok(Some(record));
                }
                // A file is complete once it has a successor: what was written before that is read before we go on.
                if next.is_none() {
                    next = self.successor()?;
                    if next.is_none() {
                        return Ok(None);
                    }
                    continue;
                }
                self.pending.clear();
            } else {
                next = self.oldest()?;
            }
            match next.take() {
                Some(file) => self.current = Some(BufReader::with_capacity(64 << 10, file)),
                None => return Ok(None),
            }
        }
    }

    fn oldest(&self) -> io::Result<Option<File>> {
        'again: loop {
            for index in (0..FILES).rev() {
                if let Some(file) = open(&self.directory, index)? {
                    // An older one may have been given its name while we looked below.
                    if index + 1 < FILES && path(&self.directory, index + 1).exists() {
                        continue 'again;
                    }
                    return Ok(Some(file));
                }
            }
            return Ok(None);
        }
    }

    /// The file that was begun after the current one, which may have been renamed any number of times.
    fn successor(&self) -> io::Result<Option<File>> {
        let Some(current) = &self.current else { return Ok(None) };
        // The number stays its own as long as it is open.
        let current = current.get_ref().metadata()?.ino();
        'again: loop {
            let mut newer: Option<File> = None;
            for index in 0..FILES {
                // A name is free between two renames of a rotation.
                let Some(file) = open(&self.directory, index)? else { continue };
                let number = file.metadata()?.ino();
                if number == current {
                    return Ok(newer);
                }
                // One that was renamed while we looked is met twice.
                if newer
                    .map(|newer| newer.metadata())
                    .transpose()?
                    .is_some_and(|n| n.ino() == number)
                {
                    continue 'again;
                }
                newer = Some(file);
            }
            // It is gone, and so is what came between it and the oldest that there is.
            return Ok(newer);
        }
    }
}

fn open(directory: &Path, index: u32) -> io::Result<Option<File>> {
    match File::open(path(directory, index)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads one record; what is there of an unfinished one stays in `pending`.
fn next_record(from: &mut impl Read, pending: &mut Vec<u8>) -> io::Result<Option<Record>> {
    fill(from, pending, HEADER)?;
    let Some((&[kind, ref rest @ ..], _)) = pending.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let (time, len) = rest.split_at(8);
    let nanos = u64::from_le_bytes(time.try_into().unwrap_or_default());
    let len = u32::from_le_bytes(len.try_into().unwrap_or_default()) as usize;
    let stream = match kind {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return Err(damaged()),
    };
    if len > RECORD_LIMIT {
        return Err(damaged());
    }
    fill(from, pending, HEADER + len)?;
    if pending.len() < HEADER + len {
        return Ok(None);
    }
    let bytes = pending.split_off(HEADER);
    pending.clear();
    let time = Timestamp::from_nanosecond(nanos.into()).map_err(|_| damaged())?;
    Ok(Some(Record { stream, time, bytes }))
}

fn fill(from: &mut impl Read, pending: &mut Vec<u8>, upto: usize) -> io::Result<()> {
    if pending.len() < upto {
        from.take((upto - pending.len()) as u64).read_to_end(pending)?;
    }
    Ok(())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the machine's log is damaged; remove the machine")
}

fn path(directory: &Path, index: u32) -> PathBuf {
    directory.join(if index == 0 { "log".into() } else { format!("log.{index}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reader: &mut LogReader) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(record) = reader.read().unwrap() {
            bytes.extend(record.bytes);
        }
        bytes
    }

    #[test]
    fn bytes_come_back_in_order_while_the_log_grows_and_rotates() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(directory.path()).unwrap();
        let mut reader = LogReader::open(directory.path());
        let mut want = Vec::new();
        let mut got = Vec::new();
        for round in 0..70u32 {
            let bytes = vec![round as u8; 1 << 20];
            writer.append(Stream::Stdout, &bytes);
            want.extend(bytes);
            got.extend(all(&mut reader));
        }
        assert!(want == got);
        let late = all(&mut LogReader::open(directory.path()));
        assert!(late.len() >= 3 * FILE_LIMIT as usize && want.ends_with(&late));
        assert!(!path(directory.path(), FILES).exists());
    }

    #[test]
    fn a_log_that_rotates_more_than_once_between_two_looks_is_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(directory.path()).unwrap();
        let mut reader = LogReader::open(directory.path());
        let (mut want, mut got) = (Vec::new(), Vec::new());
        for mebibytes in [20_u8, 40, 1, 30] {
            for number in 0..mebibytes {
                let bytes = vec![mebibytes ^ number; 1 << 20];
                writer.append(Stream::Stdout, &bytes);
                want.extend(bytes);
            }
            got.extend(all(&mut reader));
        }
        assert!(want == got, "{} of {} bytes", got.len(), want.len());
    }

    #[test]
    fn a_record_cut_short_ends_the_log_until_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        LogWriter::open(directory.path()).unwrap().append(Stream::Stderr, b"\xff\0whole");
        let whole = fs::read(path(directory.path(), 0)).unwrap();
        for keep in 0..whole.len() {
            fs::write(path(directory.path(), 0), &whole[..keep]).unwrap();
            let mut reader = LogReader::open(directory.path());
            assert_eq!(reader.read().unwrap(), None);
            let mut file = File::options().append(true).open(path(directory.path(), 0)).unwrap();
            file.write_all(&whole[keep..]).unwrap();
            let record = reader.read().unwrap().unwrap();
            assert_eq!((record.stream, &record.bytes[..]), (Stream::Stderr, &b"\xff\0whole"[..]));
        }
    }

    #[test]
    fn what_a_full_disk_swallowed_is_told_once_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(directory.path()).unwrap();
        writer.append(Stream::Stdout, b"before\n");
        let good = writer.file.try_clone().unwrap();
        let mut reader = LogReader::open(directory.path());
        assert_eq!(all(&mut reader), b"before\n");
        // A record is cut short, and a reader sees its beginning.
        let mut record = vec![1];
        record.extend(0_u64.to_le_bytes());
        record.extend(4_u32.to_le_bytes());
        (&good).write_all(&record).unwrap();
        writer.unfinished = b"cut\n".to_vec();
        assert_eq!(all(&mut reader), b"");
        // Then the disk takes nothing, as a file does that is open for reading only.
        writer.file = File::open(path(directory.path(), 0)).unwrap();
        writer.append(Stream::Stdout, b"lost\n");
        writer.append(Stream::Stdout, b"lost\n");
        writer.file = good;
        writer.append(Stream::Stdout, b"after\n");
        let text = String::from_utf8(all(&mut reader)).unwrap();
        assert_eq!(text, "cut\nkiln: 10 bytes were not logged: the disk was full\nafter\n");
    }
}
