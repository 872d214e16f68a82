//! Where images come from.

mod docker_archive;
mod layout;
mod section;
mod tar_index;

use std::io::Read;

use crate::digest::Hasher;
use crate::manifest::Descriptor;
use crate::reference::{LocalKind, Reference};
use crate::registry::{Registry, RegistryOptions};
use crate::{Digest, Error};

pub(crate) use section::Section;

/// A blob on its way.
pub(crate) struct Body {
    pub(crate) reader: Box<dyn Read + Send>,
    /// The byte that it really starts at: the one that was asked for, or 0.
    pub(crate) from: u64,
    /// Which of the source's places it comes from.
    pub(crate) place: usize,
}

impl Body {
    /// Of a source that is one file or directory.
    pub(crate) fn local(section: Section, from: u64) -> Self {
        Self { reader: Box::new(section), from, place: 0 }
    }
}

/// A place, or several that should have the same, of manifests and blobs.
pub(crate) trait Source: Sync {
    /// The document that the reference leads to, and its media type if the source knows it.
    fn top(&self) -> Result<(Vec<u8>, Option<String>), Error>;

    /// The manifest of that descriptor, which an index named. The caller checks its digest.
    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error>;

    /// A blob from a byte on.
    fn blob(&self, blob: &Descriptor, from: u64) -> Result<Body, Error>;

    /// Told when what came from a place was at fault: whether there is another place, which is
    /// asked from now on.
    fn leave(&self, _place: usize, _error: &Error) -> bool {
        false
    }

    /// A blob that lies in a file of this machine, all of it.
    fn local(&self, _blob: &Descriptor) -> Result<Option<Section>, Error> {
        Ok(None)
    }

    /// Whether reading may fail now and succeed later.
    fn is_remote(&self) -> bool {
        false
    }

    /// A digest that the reference itself demands of the top document.
    fn demanded(&self) -> Option<&Digest> {
        None
    }
}

/// The source of a reference.
pub(crate) fn open(
    reference: &Reference,
    options: &RegistryOptions,
) -> Result<Box<dyn Source>, Error> {
    Ok(match reference {
        Reference::Registry(name) => Box::new(Registry::new(name, options)?),
        Reference::Local(local) => match local.kind {
            LocalKind::OciLayout => Box::new(layout::Layout::open_dir(local)?),
            LocalKind::OciArchive => Box::new(layout::Layout::open_archive(local)?),
            LocalKind::DockerArchive => Box::new(docker_archive::DockerArchive::open(local)?),
        },
    })
}

/// Reads a whole small document; one byte over the limit is enough to refuse it.
pub(crate) fn read_bounded(reader: impl Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(std::io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// Checks a whole document against its digest.
pub(crate) fn check_digest(bytes: &[u8], expected: &Digest) -> Result<(), Error> {
    let mut hasher = Hasher::new(expected.algorithm());
    hasher.update(bytes);
    let (actual, expected) = (hasher.finish(), expected.clone());
    match actual == expected {
        true => Ok(()),
        false => Err(Error::WrongDigest { what: format!("blob {expected}"), expected, actual }),
    }
}

/// Checks a whole document against its descriptor.
pub(crate) fn check(bytes: &[u8], descriptor: &Descriptor) -> Result<(), Error> {
    check_digest(bytes, &descriptor.digest)?;
    let (expected, actual) = (descriptor.size, bytes.len() as u64);
    match expected == actual {
        true => Ok(()),
        false => Err(Error::WrongSize { digest: descriptor.digest.clone(), expected, actual }),
    }
}
