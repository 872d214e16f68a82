//! Blobs on their way into the store: verified while they stream, resumed where they broke off.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::Error;
use crate::digest::Hasher;
use crate::error::on;
use crate::manifest::Descriptor;
use crate::registry::{ATTEMPTS, back_off};
use crate::source::{Section, Source};
use crate::store::Store;

/// What a fetch tells and asks; an error stops it.
pub(crate) trait Watch {
    fn fetched(&self, bytes: u64) -> Result<(), Error>;
    fn retrying(&self, error: &Error, wait: std::time::Duration) -> Result<(), Error>;
}

/// Fetches a whole small blob into memory, checked.
pub(crate) fn small(source: &dyn Source, blob: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
    if blob.size > limit {
        let reason = format!("blob {} is larger than {limit} bytes", blob.digest);
        return Err(Error::BadManifest { what: "the image".into(), reason });
    }
    let mut attempt = 0;
    loop {
        match small_once(source, blob) {
            Ok(bytes) => return Ok(bytes),
            Err((Some(place), error)) if source.leave(place, &error) => attempt = 0,
            Err((_, error)) if error.is_transient() && attempt + 1 < ATTEMPTS => {
                std::thread::sleep(back_off(attempt, &error));
                attempt += 1;
            }
            Err((_, error)) => return Err(error),
        }
    }
}

/// One attempt; the place with an error is the one that answered.
fn small_once(source: &dyn Source, blob: &Descriptor) -> Result<Vec<u8>, (Option<usize>, Error)> {
    let body = source.blob(blob, 0).map_err(|e| (None, e))?;
    let mut bytes = Vec::new();
    let read = body.reader.take(blob.size + 1).read_to_end(&mut bytes);
    let have = bytes.len() as u64;
    let whole = match read {
        Err(e) => Err(broken(source, blob, 0, &e)),
        Ok(_) if have < blob.size => {
            Err(broken(source, blob, have, &io::ErrorKind::UnexpectedEof.into()))
        }
        Ok(_) => crate::source::check(&bytes, blob),
    };
    whole.map(|()| bytes).map_err(|e| (Some(body.place), e))
}

/// Opens a layer's blob: where it lies if that is a file of this machine, else in the store, where
/// it is made sure to be. The caller holds the blob's lock and a lease on it.
pub(crate) fn layer(
    store: &Store,
    source: &dyn Source,
    blob: &Descriptor,
    watch: &dyn Watch,
) -> Result<Section, Error> {
    if let Some(section) = source.local(blob)? {
        return verified(section, blob, watch);
    }
    let path = store.blob_path(&blob.digest);
    match File::open(&path) {
        Ok(file) => return Ok(Section::new(file, 0, blob.size)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(on("read", &path)(e)),
    }
    match Partial::open(store, blob).and_then(|partial| partial.fetch(source, watch)) {
        // Not opened again: another process that had the same blob may remove it any moment.
        Ok(file) => Ok(Section::new(file, 0, blob.size)),
        Err(error) => {
            // What is worth resuming is kept: a connection that broke. All else leaves nothing
            // behind.
            if !error.is_transient() && !matches!(error, Error::Stopped) {
                let _ = std::fs::remove_file(store.partial_path(&blob.digest));
            }
            Err(error)
        }
    }
}

/// Reads a local blob once to check it; there is no need to copy it.
fn verified(section: Section, blob: &Descriptor, watch: &dyn Watch) -> Result<Section, Error> {
    let (expected, actual) = (blob.size, section.len());
    if actual != expected {
        return Err(Error::WrongSize { digest: blob.digest.clone(), expected, actual });
    }
    let mut hasher = Hasher::new(blob.digest.algorithm());
    hasher.copy(&mut section.clone(), &mut io::sink()).map_err(|e| Error::Connection {
        url: format!("blob {}", blob.digest),
        reason: e.to_string(),
        transient: false,
    })?;
    watch.fetched(expected)?;
    let (expected, actual) = (blob.digest.clone(), hasher.finish());
    match actual == expected {
        true => Ok(section),
        false => Err(Error::WrongDigest { what: format!("blob {expected}"), expected, actual }),
    }
}

/// A blob of which the first `have` bytes are there, and hashed.
struct Partial<'a> {
    store: &'a Store,
    blob: &'a Descriptor,
    file: File,
    hasher: Hasher,
    have: u64,
    /// The bytes do not all come from one place and this process: if they are wrong, the last
    /// place need not be at fault. (An earlier process may have been of a machine that lost power.)
    mixed: bool,
    /// The place that answered last.
    place: Option<usize>,
}

impl<'a> Partial<'a> {
    fn open(store: &'a Store, blob: &'a Descriptor) -> Result<Self, Error> {
        let path = store.partial_path(&blob.digest);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(on("opened", &path))?;
        let mut hasher = Hasher::new(blob.digest.algorithm());
        let mut have = hasher.copy(&mut file, &mut io::sink()).map_err(on("read", &path))?;
        if have > blob.size {
            file.set_len(0).map_err(on("written", &path))?;
            hasher = Hasher::new(blob.digest.algorithm());
            have = 0;
        }
        Ok(Self { store, blob, file, hasher, have, mixed: have > 0, place: None })
    }

    fn fetch(mut self, source: &dyn Source, watch: &dyn Watch) -> Result<File, Error> {
        loop {
            self.complete(source, watch)?;
            watch.fetched(self.have)?;
            let expected = self.blob.digest.clone();
            let actual = self.hasher.clone().finish();
            if actual == expected {
                self.store.publish_partial(&expected, &self.file)?;
                return Ok(self.file);
            }
            let wrong = Error::WrongDigest { what: format!("blob {expected}"), expected, actual };
            if !self.mixed && !self.leave(source, &wrong) {
                return Err(wrong);
            }
            self.start_again()?;
        }
    }

    /// Receives until all bytes are there.
    fn complete(&mut self, source: &dyn Source, watch: &dyn Watch) -> Result<(), Error> {
        let mut attempt = 0;
        while self.have < self.blob.size {
            let before = self.have;
            self.place = None;
            let Err(error) = self.receive(source, watch) else { continue };
            if !error.is_of_source() {
                return Err(error);
            }
            let resumable = error.is_transient() && self.have > before;
            if !resumable && self.leave(source, &error) {
                (attempt, self.mixed) = (0, self.have > 0);
                continue;
            }
            if !error.is_transient() {
                return Err(error);
            }
            attempt = if resumable { 0 } else { attempt + 1 };
            if attempt >= ATTEMPTS {
                return Err(error);
            }
            let wait = back_off(attempt, &error);
            watch.retrying(&error, wait)?;
            std::thread::sleep(wait);
        }
        Ok(())
    }

    /// Whether another place than the one that answered is to be asked from now on.
    fn leave(&self, source: &dyn Source, error: &Error) -> bool {
        self.place.is_some_and(|place| source.leave(place, error))
    }

    /// Reads one answer to its end.
    fn receive(&mut self, source: &dyn Source, watch: &dyn Watch) -> Result<(), Error> {
        let mut body = source.blob(self.blob, self.have)?;
        self.place = Some(body.place);
        if body.from != self.have {
            self.start_again()?;
        }
        let path = self.store.partial_path(&self.blob.digest);
        self.file.seek(SeekFrom::Start(self.have)).map_err(on("written", &path))?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let n = match body.reader.read(&mut buffer) {
                Ok(0) if self.have < self.blob.size => {
                    let early = io::ErrorKind::UnexpectedEof.into();
                    return Err(broken(source, self.blob, self.have, &early));
                }
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(broken(source, self.blob, self.have, &e)),
            };
            let have = self.have + n as u64;
            if have > self.blob.size {
                return Err(Error::WrongSize {
                    digest: self.blob.digest.clone(),
                    expected: self.blob.size,
                    actual: have,
                });
            }
            self.file.write_all(&buffer[..n]).map_err(on("written", &path))?;
            self.hasher.update(&buffer[..n]);
            self.have = have;
            watch.fetched(have)?;
        }
    }

    fn start_again(&mut self) -> Result<(), Error> {
        let path = self.store.partial_path(&self.blob.digest);
        self.file.set_len(0).map_err(on("written", &path))?;
        self.hasher = Hasher::new(self.blob.digest.algorithm());
        (self.have, self.mixed) = (0, false);
        Ok(())
    }
}

/// A body that could not be read to its end, of which `have` bytes came.
fn broken(source: &dyn Source, blob: &Descriptor, have: u64, error: &io::Error) -> Error {
    let early = error.kind() == io::ErrorKind::UnexpectedEof;
    if early && !source.is_remote() {
        return Error::WrongSize { digest: blob.digest.clone(), expected: blob.size, actual: have };
    }
    let reason = match early {
        true => "it ended early".to_owned(),
        false => crate::text::clip(&error.to_string()),
    };
    let url = format!("blob {}", blob.digest);
    Error::Connection { url, reason, transient: source.is_remote() }
}
