//! Whiteouts and opaque markers, once the whole layer is known.
//!
//! They hide only what lower layers have (image specification, `layer.md`): so a name that this
//! layer also has stays, and nothing is written where there is nothing to hide. overlayfs would
//! show a whiteout in a directory that no layer below shares.

use super::LayerError;
use super::builder::{Builder, Failure};
use super::lower::OPAQUE;
use crate::erofs::{Attributes, Kind, NodeId, ROOT, XattrError, decode_xattrs, encode_xattrs};
use crate::layer::EntryProblem;

pub(super) fn apply(builder: &mut Builder<'_>) -> Result<(), LayerError> {
    let marked = builder.notes.iter().filter(|(_, n)| n.opaque || !n.whiteouts.is_empty());
    let mut marked: Vec<NodeId> = marked.map(|(id, _)| *id).collect();
    // Ascending, so that a directory comes before those in it.
    marked.sort_unstable();
    for id in marked {
        let outcome = apply_in(builder, id).and_then(|()| builder.check_memory());
        outcome.map_err(|failure| failure.of(&builder.path(id)))?;
    }
    Ok(())
}

/// The marks in one directory.
fn apply_in(builder: &mut Builder<'_>, id: NodeId) -> Result<(), Failure> {
    let Some(notes) = builder.notes.get(&id) else { return Ok(()) };
    let gone = match notes.opaque {
        false => notes.whiteouts.clone(),
        // overlayfs merges the layers' roots whatever attributes they have.
        true if id == ROOT => builder.names_below_root()?,
        true => {
            // `below` answers for the directory itself, which its own marker does not hide.
            if builder.below(id)?.is_some() {
                set_opaque(builder, id)?;
            }
            return Ok(());
        }
    };
    for name in gone {
        if builder.lookup_below(id, &name)?.is_none() {
            continue;
        }
        match builder.tree.child(id, &name) {
            Some(child) if builder.tree.node(child).is_dir() => {
                builder.notes.entry(child).or_default().opaque = true;
                set_opaque(builder, child)?;
            }
            Some(_) => {}
            None => {
                builder.tree.add(id, &name, Kind::Char(0), Attributes::default());
            }
        }
        builder.check_memory()?;
    }
    Ok(())
}

fn set_opaque(builder: &mut Builder<'_>, id: NodeId) -> Result<(), Failure> {
    let mut attributes = builder.tree.node(id).attributes.clone();
    let mut xattrs = decode_xattrs(&attributes.xattrs).unwrap_or_default();
    if xattrs.iter().any(|(name, _)| **name == *OPAQUE) {
        return Ok(());
    }
    xattrs.push((OPAQUE.into(), b"y"[..].into()));
    attributes.xattrs = encode_xattrs(&xattrs).map_err(|_: XattrError| EntryProblem::Xattr)?;
    builder.tree.set_attributes(id, attributes);
    Ok(())
}
