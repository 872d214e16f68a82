//! The whole store, read and checked.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{BLOBS, LAYERS, Store, files};
use crate::Error;
use crate::digest::{Algorithm, Hasher};
use crate::erofs::{FoundKind, Reader, decode_xattrs};
use crate::error::on;

/// What was checked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    /// Blobs whose digest was computed.
    pub blobs: usize,
    /// Layer files whose every inode was read.
    pub layers: usize,
    /// What is wrong.
    pub damage: Vec<Damage>,
}

/// A file that is not what it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl Store {
    /// Hashes every blob, walks every layer file and looks up every tagged image.
    pub fn verify(&self) -> Result<Verified, Error> {
        let mut result = Verified::default();
        for (dir, algorithm) in BLOBS.into_iter().zip([Algorithm::Sha256, Algorithm::Sha512]) {
            for path in files::list(&self.path(dir))? {
                result.blobs += 1;
                let actual = hash(&path, algorithm).map_err(on("read", &path))?;
                if path.file_name().and_then(|n| n.to_str()) != Some(actual.as_str()) {
                    let reason = format!("its digest is {actual}");
                    result.damage.push(Damage { path, reason });
                }
            }
        }
        for dir in LAYERS {
            for path in files::list(&self.path(dir))? {
                result.layers += 1;
                let walked = File::open(&path).and_then(Reader::open).and_then(|l| walk(&l));
                if let Err(e) = walked {
                    result.damage.push(Damage { path, reason: e.to_string() });
                }
            }
        }
        for tag in self.tags()? {
            let path = self.path("tags");
            let reason = match self.image(&tag.manifest) {
                Ok(Some(_)) => continue,
                Ok(None) => format!("{} is incomplete", tag.reference),
                Err(e) => format!("{}: {e}", tag.reference),
            };
            result.damage.push(Damage { path, reason });
        }
        Ok(result)
    }
}

fn hash(path: &Path, algorithm: Algorithm) -> io::Result<String> {
    let mut hasher = Hasher::new(algorithm);
    hasher.copy(&mut File::open(path)?, &mut io::sink())?;
    Ok(hasher.finish().hex().to_owned())
}

/// Reads every inode once and counts links.
pub(crate) fn walk(layer: &Reader) -> io::Result<()> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let end = layer.file().metadata()?.len();
    let root = layer.root()?;
    let mut seen = HashSet::from([root.nid]);
    let mut links = std::collections::HashMap::new();
    let mut queue = vec![root];
    while let Some(dir) = queue.pop() {
        layer.list(&dir, &mut |_, nid| {
            let found = layer.inode(nid)?;
            if decode_xattrs(&found.attributes.xattrs).is_none() {
                return Err(damaged("extended attributes are damaged"));
            }
            let fits = |position: u64, size: u64| {
                size == 0 || position.checked_add(size).is_some_and(|last| last <= end)
            };
            match &found.kind {
                FoundKind::File { size, position } if !fits(*position, *size) => {
                    return Err(damaged("a file's data lie beyond the end"));
                }
                FoundKind::Dir { .. } => {
                    if !seen.insert(nid) {
                        return Err(damaged("a directory has two names"));
                    }
                    queue.push(found);
                    return Ok(());
                }
                _ => {}
            }
            seen.insert(nid);
            let entry = links.entry(nid).or_insert((0, found.links));
            entry.0 += 1;
            Ok(())
        })?;
    }
    if seen.len() as u64 != layer.inodes() {
        return Err(damaged("its number of inodes is wrong"));
    }
    match links.values().all(|(counted, stated)| counted == stated) {
        true => Ok(()),
        false => Err(damaged("a link count is wrong")),
    }
}
