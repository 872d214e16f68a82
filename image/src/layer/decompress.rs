//! The tar behind a layer blob: decompressed on a thread of its own, hashed and counted.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use flate2::bufread::MultiGzDecoder;

use crate::Digest;
use crate::digest::{Algorithm, Hasher};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How a layer's tar is compressed, whatever its media type says.
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// By the first bytes: no tar begins with these.
    pub(crate) fn of(start: &[u8]) -> Self {
        match start {
            _ if start.starts_with(&GZIP_MAGIC) => Self::Gzip,
            _ if start.starts_with(&ZSTD_MAGIC) => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// A window of 128 MiB at most, zstd's own default.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const CHUNK: usize = 256 << 10;
/// Chunks between the two threads.
const CHUNKS: usize = 8;

/// How the stream ended.
pub(super) enum End {
    Complete(Digest),
    OverLimit,
    Failed(io::Error),
    /// The reader stopped reading.
    Abandoned,
}

/// Starts the thread; the tar comes out of the returned reader. Give the reader up before joining.
pub(super) fn start<'s>(
    scope: &'s Scope<'s, '_>,
    blob: Box<dyn Read + Send>,
    algorithm: Algorithm,
    limit: u64,
    read: &'s (dyn Fn(u64) -> io::Result<()> + Sync),
) -> (ChunkReader, ScopedJoinHandle<'s, End>) {
    let (sender, receiver) = sync_channel(CHUNKS);
    let thread = scope.spawn(move || pump(Counted { blob, read }, algorithm, limit, &sender));
    (ChunkReader { receiver, chunk: Vec::new(), at: 0 }, thread)
}

fn pump(blob: Counted<'_>, algorithm: Algorithm, limit: u64, sender: &SyncSender<Vec<u8>>) -> End {
    let mut tar = match decoder(BufReader::with_capacity(CHUNK, blob)) {
        Ok(tar) => tar,
        Err(e) => return End::Failed(e),
    };
    let mut hasher = Hasher::new(algorithm);
    let mut total = 0;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        match (&mut tar).take(CHUNK as u64).read_to_end(&mut chunk) {
            Ok(0) => return End::Complete(hasher.finish()),
            Ok(n) => total += n as u64,
            Err(e) => return End::Failed(e),
        }
        if total > limit {
            return End::OverLimit;
        }
        hasher.update(&chunk);
        if sender.send(chunk).is_err() {
            return End::Abandoned;
        }
    }
}

fn decoder<'a>(mut blob: BufReader<Counted<'a>>) -> io::Result<Box<dyn Read + 'a>> {
    match Packing::of(blob.fill_buf()?) {
        Packing::Plain => Ok(Box::new(blob)),
        Packing::Gzip => Ok(Box::new(MultiGzDecoder::new(blob))),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(blob)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Ok(Box::new(decoder))
        }
    }
}

/// Tells how much of the blob has been read.
struct Counted<'a> {
    blob: Box<dyn Read + Send>,
    read: &'a (dyn Fn(u64) -> io::Result<()> + Sync),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.blob.read(buffer)?;
        (self.read)(n as u64)?;
        Ok(n)
    }
}

/// The receiving end; its end is the end of the stream, whatever the reason.
pub(super) struct ChunkReader {
    receiver: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            match self.receiver.recv() {
                Ok(chunk) => (self.chunk, self.at) = (chunk, 0),
                Err(_) => return Ok(0),
            }
        }
        let n = buffer.len().min(self.chunk.len() - self.at);
        buffer[..n].copy_from_slice(&self.chunk[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
