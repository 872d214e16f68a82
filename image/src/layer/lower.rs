//! The layers below, seen as overlayfs would merge them.

use std::io;
use std::rc::Rc;

use crate::erofs::{Found, FoundKind, Reader, Xattr, decode_xattrs, encode_xattrs};

pub(super) const OVERLAY_PREFIX: &[u8] = b"trusted.overlay.";
pub(super) const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// The layers below a layer, highest first.
pub(crate) struct Lower {
    layers: Vec<Reader>,
}

/// A directory of the merged view: the same directory in each layer that takes part.
pub(super) struct Merged(Vec<(usize, Found)>);

/// What a name in the merged view is.
pub(super) enum Below {
    Dir(Rc<Merged>, Found),
    Other(usize, Found),
}

impl Merged {
    /// The memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        let xattrs: usize = self.0.iter().map(|(_, found)| found.attributes.xattrs.len()).sum();
        (size_of_val(&self.0[..]) + xattrs) as u64
    }
}

impl Lower {
    pub(crate) fn new(layers: Vec<Reader>) -> Self {
        Self { layers }
    }

    pub(super) fn layer(&self, index: usize) -> &Reader {
        &self.layers[index]
    }

    pub(super) fn root(&self) -> io::Result<Rc<Merged>> {
        let roots = self.layers.iter().enumerate().map(|(i, layer)| Ok((i, layer.root()?)));
        Ok(Rc::new(Merged(roots.collect::<io::Result<_>>()?)))
    }

    /// Hands every name that a layer has in the directory to `each`: one of several layers several
    /// times, and also what a higher layer hides.
    pub(super) fn list(
        &self,
        dir: &Merged,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut layers = dir.0.iter();
        layers.try_for_each(|(layer, dir)| self.layers[*layer].list(dir, &mut |name, _| each(name)))
    }

    /// Looks a name up as overlayfs does (`ovl_lookup`): the highest layer wins; directories are
    /// merged down to the first that is opaque, a whiteout, or no directory.
    pub(super) fn lookup(&self, dir: &Merged, name: &[u8]) -> io::Result<Option<Below>> {
        let mut merged: Vec<(usize, Found)> = Vec::new();
        for (index, layer_dir) in &dir.0 {
            let Some(found) = self.layers[*index].lookup(layer_dir, name)? else { continue };
            if found.is_whiteout() {
                break;
            }
            if !matches!(found.kind, FoundKind::Dir { .. }) {
                if merged.is_empty() {
                    return Ok(Some(Below::Other(*index, found)));
                }
                break;
            }
            let opaque = xattrs_of(&found)?.iter().any(|(name, _)| **name == *OPAQUE);
            merged.push((*index, found));
            if opaque {
                break;
            }
        }
        let top = merged.first().map(|(_, found)| found.clone());
        Ok(top.map(|top| Below::Dir(Rc::new(Merged(merged)), top)))
    }
}

fn xattrs_of(found: &Found) -> io::Result<Vec<Xattr>> {
    decode_xattrs(&found.attributes.xattrs).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "a layer file's attributes are damaged")
    })
}

/// The attributes without overlayfs's own, for a copy in another layer. Those that an image
/// brought, which are kept escaped, stay.
pub(super) fn copied_xattrs(found: &Found) -> io::Result<Box<[u8]>> {
    let mut xattrs = xattrs_of(found)?;
    xattrs.retain(|(name, _)| **name != *OPAQUE);
    encode_xattrs(&xattrs).map_err(|_| io::ErrorKind::InvalidData.into())
}
