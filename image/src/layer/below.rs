//! What the layers below show in the directories of a layer in the making. They are opened when
//! something of them is needed, not before.

use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use super::Lower;
use super::builder::{Builder, Outcome, lower};
use super::lower::{Below, Merged};
use crate::erofs::{NodeId, ROOT};

impl Builder<'_> {
    /// What the layers below show under that name, unless this layer hides it.
    pub(super) fn lower_child(&mut self, dir: NodeId, name: &[u8]) -> Outcome<Option<Below>> {
        match self.hides(dir, name) {
            true => Ok(None),
            false => self.lookup_below(dir, name),
        }
    }

    /// Whether this layer has a mark that the name below is gone.
    fn hides(&self, dir: NodeId, name: &[u8]) -> bool {
        let notes = self.notes.get(&dir);
        notes.is_some_and(|notes| notes.opaque || notes.whiteouts.contains(name))
    }

    /// What the layers below show under that name.
    pub(super) fn lookup_below(&mut self, dir: NodeId, name: &[u8]) -> Outcome<Option<Below>> {
        let layers = self.lower()?;
        match self.below(dir)? {
            Some(merged) => layers.lookup(&merged, name).map_err(lower),
            None => Ok(None),
        }
    }

    /// The same directory in the layers below.
    pub(super) fn below(&mut self, dir: NodeId) -> Outcome<Option<Rc<Merged>>> {
        let layers = self.lower()?;
        // Up to a directory that is known, and down again: the archive chooses how deep its
        // directories are, so this does not call itself.
        let mut unknown = Vec::new();
        let mut at = dir;
        let mut found = loop {
            if let Some(known) = &self.notes.entry(at).or_default().below {
                break known.clone();
            }
            if at == ROOT {
                let root = Some(layers.root().map_err(lower)?);
                self.set_below(ROOT, root.clone())?;
                break root;
            }
            unknown.push(at);
            at = self.tree.parent(at);
        };
        while let Some(id) = unknown.pop() {
            let name = self.notes.entry(id).or_default().name.clone();
            found = match found {
                Some(merged) if !self.hides(self.tree.parent(id), &name) => {
                    match layers.lookup(&merged, &name).map_err(lower)? {
                        Some(Below::Dir(merged, _)) => Some(merged),
                        _ => None,
                    }
                }
                _ => None,
            };
            self.set_below(id, found.clone())?;
        }
        Ok(found)
    }

    /// Every name in the root that a layer below has, also those that a higher one hides.
    pub(super) fn names_below_root(&mut self) -> Outcome<BTreeSet<Box<[u8]>>> {
        let mut names = BTreeSet::new();
        let Some(root) = self.below(ROOT)? else { return Ok(names) };
        let layers = self.lower()?;
        let listed = layers.list(&root, &mut |name| {
            if !names.contains(name) {
                names.insert(name.into());
                self.tree.reserve(name.len());
            }
            self.check_memory().map_err(|_| io::ErrorKind::OutOfMemory.into())
        });
        self.check_memory()?;
        listed.map_err(lower)?;
        Ok(names)
    }

    pub(super) fn set_below(&mut self, dir: NodeId, below: Option<Rc<Merged>>) -> Outcome<()> {
        self.tree.charge(below.as_ref().map_or(0, |merged| merged.bytes()));
        self.notes.entry(dir).or_default().below = Some(below);
        self.check_memory()
    }

    pub(super) fn lower(&mut self) -> Outcome<Rc<Lower>> {
        if let Some(lower) = &self.lower {
            return Ok(lower.clone());
        }
        let layers = Rc::new((self.open_lower)().map_err(lower)?);
        self.lower = Some(layers.clone());
        Ok(layers)
    }
}
