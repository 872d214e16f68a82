//! Pins: images that a container or a snapshot needs, whether or not a process lives.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::lock::FileLock;
use super::{Store, files};
use crate::error::on;
use crate::image::Image;
use crate::{Digest, Error};

/// A named claim on images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Who claims: letters, digits, `.`, `_` and `-`, at most 200; for example `container-4f1c`.
    pub owner: String,
    /// The manifests of the images.
    pub manifests: Vec<Digest>,
}

impl Store {
    /// Keeps `images` until [`Store::unpin`] is called for `owner`, whose earlier pin it replaces.
    pub fn pin(&self, owner: &str, images: &[&Image]) -> Result<(), Error> {
        let path = self.pin_path(owner)?;
        let manifests = images.iter().map(|image| image.digest.clone()).collect();
        let pin = Pin { owner: owner.to_owned(), manifests };
        let json = serde_json::to_vec(&pin).map_err(|e| on("written", &path)(e.into()))?;
        let mut file = self.temp_file()?;
        file.write_all(&json)?;
        let _adding = FileLock::shared(&self.path("lock"))?;
        file.publish(&path)
    }

    /// Takes a pin back; nothing happens when there is none.
    pub fn unpin(&self, owner: &str) -> Result<(), Error> {
        files::remove(&self.pin_path(owner)?).map(drop)
    }

    /// All pins, by owner.
    pub fn pins(&self) -> Result<Vec<Pin>, Error> {
        let mut pins = Vec::new();
        for path in files::list(&self.path("pins"))? {
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(on("read", &path)(e)),
            };
            pins.push(serde_json::from_slice(&bytes).map_err(|e| on("read", &path)(e.into()))?);
        }
        Ok(pins)
    }

    fn pin_path(&self, owner: &str) -> Result<PathBuf, Error> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if owner.is_empty() || owner.len() > 200 || !owner.bytes().all(word) {
            let path = self.path("pins").join(crate::text::clip(owner));
            return Err(on("named", &path)(io::ErrorKind::InvalidInput.into()));
        }
        Ok(self.path(&format!("pins/{owner}.json")))
    }
}
