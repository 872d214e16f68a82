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

/// A place that has manifests and blobs.
pub(crate) trait Source: Sync {
    /// The document that the reference leads to, and its media type if the source knows it.
    fn top(&self) -> Result<(Vec<u8>, Option<String>), Error>;

    /// The manifest of that descriptor, which an index named. The caller checks its digest.
    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error>;

    /// A blob from a byte on, and the byte that it really starts at: that one, or 0.
    fn blob(&self, blob: &Descriptor, from: u64) -> Result<(Box<dyn Read + Send>, u64), Error>;

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

/// Checks a whole document against its descriptor.
pub(crate) fn check(bytes: &[u8], descriptor: &Descriptor) -> Result<(), Error> {
    let expected = &descriptor.digest;
    let mut hasher = Hasher::new(expected.algorithm());
    hasher.update(bytes);
    let actual = hasher.finish();
    if actual != *expected {
        let what = format!("blob {expected}");
        return Err(Error::WrongDigest { what, expected: expected.clone(), actual });
    }
    let (expected, actual) = (descriptor.size, bytes.len() as u64);
    match expected == actual {
        true => Ok(()),
        false => Err(Error::WrongSize { digest: descriptor.digest.clone(), expected, actual }),
    }
}
