//! Random access to the files in an uncompressed tar.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::section::Section;
use crate::Error;
use crate::tar::{EntryKind, TarReader};
use crate::text::clip_bytes;

/// The most files an archive of an image may have.
const FILES_MAX: usize = 1 << 16;
/// Symbolic links that lead from one to the next.
const LINKS_MAX: usize = 8;

/// An archive and where its files are.
pub(super) struct TarIndex {
    path: PathBuf,
    file: File,
    members: HashMap<String, Member>,
}

enum Member {
    File { position: u64, size: u64 },
    Link(String),
}

impl TarIndex {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let bad = |reason: String| Error::BadArchive { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|e| bad(e.to_string()))?;
        let mut members = HashMap::new();
        let input = file.try_clone().map_err(|e| bad(e.to_string()))?;
        let mut tar = TarReader::new(BufReader::new(input));
        loop {
            let entry = match tar.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(e) => {
                    let name = clip_bytes(tar.name());
                    return Err(bad(format!(
                        "entry {name:?}: {e}; an archive of an image is an uncompressed tar"
                    )));
                }
            };
            let Some(name) = std::str::from_utf8(&entry.path).ok().and_then(normal) else {
                continue;
            };
            let member = match entry.kind {
                EntryKind::File => {
                    let position = tar.position().map_err(|e| bad(e.to_string()))?;
                    tar.seek_data().map_err(|e| bad(e.to_string()))?;
                    Member::File { position, size: entry.size }
                }
                // `docker save` of old writes a layer that it has written already as a link.
                EntryKind::Symlink | EntryKind::HardLink => {
                    let Ok(target) = std::str::from_utf8(&entry.link) else { continue };
                    let base = match entry.kind {
                        EntryKind::Symlink => name.rsplit_once('/').map_or("", |(dir, _)| dir),
                        _ => "",
                    };
                    let Some(target) = normal(&format!("{base}/{target}")) else { continue };
                    Member::Link(target)
                }
                _ => continue,
            };
            if members.len() >= FILES_MAX {
                return Err(bad(format!("it has more than {FILES_MAX} files")));
            }
            members.insert(name, member);
        }
        Ok(Self { path: path.to_owned(), file, members })
    }

    /// Where a file is and how long; symbolic links within the archive are followed.
    pub(super) fn find(&self, name: &str) -> Result<(u64, u64), Error> {
        let mut at = normal(name);
        for _ in 0..LINKS_MAX {
            match at.as_ref().and_then(|at| self.members.get(at)) {
                Some(Member::File { position, size }) => return Ok((*position, *size)),
                Some(Member::Link(target)) => at = Some(target.clone()),
                None => break,
            }
        }
        Err(self.bad(format!("it has no file {:?}", crate::text::clip(name))))
    }

    /// A part of a file, to its end.
    pub(super) fn reader(&self, position: u64, size: u64, from: u64) -> Result<Section, Error> {
        let file = self.file.try_clone().map_err(|e| self.bad(e.to_string()))?;
        let from = from.min(size);
        Ok(Section::new(file, position + from, size - from))
    }

    pub(super) fn bad(&self, reason: String) -> Error {
        Error::BadArchive { path: self.path.clone(), reason }
    }
}

/// A name without `.` and empty components, `..` resolved; `None` when it leads out.
fn normal(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}
