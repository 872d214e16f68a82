//! Entries applied to a tree, in the archive's order.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::rc::Rc;

use super::lower::{Below, Merged};
use super::path::{Marker, PATH_MAX, components, split};
use super::{EntryProblem, LayerError, LayerLimits, Lower, copy};
use crate::erofs::{
    Attributes, BLOCK, DataWriter, Kind, NodeId, ROOT, SparseMap, Tree, XattrError, encode_device,
    encode_xattrs,
};
use crate::tar::{Entry, EntryKind, TarError, TarReader};
use crate::text::clip_bytes;

/// Linux's `MAXSYMLINKS`.
const SYMLINKS_MAX: usize = 40;
/// What the notes on one directory take, besides its name; an upper estimate.
const NOTES_BYTES: usize = 3 * size_of::<DirNotes>();

/// What is known of a directory besides its inode.
#[derive(Default)]
pub(super) struct DirNotes {
    pub(super) name: Box<[u8]>,
    /// The layer hides everything that the layers below have in it.
    pub(super) opaque: bool,
    /// Names that the layer hides.
    pub(super) whiteouts: BTreeSet<Box<[u8]>>,
    /// The same directory below; `None` until it was looked for.
    pub(super) below: Option<Option<Rc<Merged>>>,
}

/// A layer in the making.
pub(super) struct Builder<'a> {
    pub(super) tree: Tree,
    pub(super) data: DataWriter,
    limits: LayerLimits,
    /// Bytes that hard links may still copy from below: as many as a tar may have.
    copy_left: u64,
    /// Told of nought bytes while it copies; may stop it.
    read: &'a (dyn Fn(u64) -> io::Result<()> + Sync),
    pub(super) notes: HashMap<NodeId, DirNotes>,
    /// Files taken from below as targets of hard links, by layer and inode number.
    copies: HashMap<(usize, u64), NodeId>,
    /// Those of their names that the layer has not stated itself.
    unstated: HashSet<(NodeId, Box<[u8]>)>,
    pub(super) open_lower: &'a mut dyn FnMut() -> io::Result<Lower>,
    pub(super) lower: Option<Rc<Lower>>,
    root_stated: bool,
    buffer: Vec<u8>,
}

/// A layer whose entries have all been applied.
pub(super) struct Built {
    pub(super) tree: Tree,
    pub(super) data: DataWriter,
    pub(super) stands_alone: bool,
    pub(super) root_stated: bool,
}

/// A failure before the entry's name is added to it.
pub(super) enum Failure {
    Entry(EntryProblem),
    Layer(LayerError),
}

impl Failure {
    /// The failure of the entry with that name.
    pub(super) fn of(self, name: &[u8]) -> LayerError {
        match self {
            Self::Layer(error) => error,
            Self::Entry(problem) => LayerError::Entry { entry: clip_bytes(name), problem },
        }
    }
}

impl From<EntryProblem> for Failure {
    fn from(problem: EntryProblem) -> Self {
        Self::Entry(problem)
    }
}

impl From<TarError> for Failure {
    fn from(problem: TarError) -> Self {
        Self::Entry(problem.into())
    }
}

pub(super) fn output(error: io::Error) -> Failure {
    Failure::Layer(LayerError::Output(error))
}

pub(super) fn lower(error: io::Error) -> Failure {
    Failure::Layer(LayerError::Lower(error))
}

pub(super) type Outcome<T> = Result<T, Failure>;

/// Of directories that nobody states.
fn default_dir() -> Attributes {
    Attributes { permissions: 0o755, ..Attributes::default() }
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        data: DataWriter,
        limits: &LayerLimits,
        open_lower: &'a mut dyn FnMut() -> io::Result<Lower>,
        read: &'a (dyn Fn(u64) -> io::Result<()> + Sync),
    ) -> Self {
        Self {
            tree: Tree::new(default_dir()),
            data,
            limits: *limits,
            copy_left: limits.tar_bytes,
            read,
            notes: HashMap::from([(ROOT, DirNotes::default())]),
            copies: HashMap::new(),
            unstated: HashSet::new(),
            open_lower,
            lower: None,
            root_stated: false,
            buffer: vec![0; 128 << 10],
        }
    }

    /// Applies one entry and reads its data.
    pub(super) fn add<R: io::Read>(
        &mut self,
        entry: &Entry,
        tar: &mut TarReader<R>,
    ) -> Result<(), LayerError> {
        let outcome = self.apply(entry, tar).and_then(|()| self.check_memory());
        outcome.map_err(|failure| failure.of(&entry.path))
    }

    /// To be asked after each step whose number the archive or the layers below choose.
    pub(super) fn check_memory(&self) -> Outcome<()> {
        let limit = self.limits.metadata_bytes;
        match self.tree.bytes() > limit {
            true => Err(Failure::Layer(LayerError::Metadata { limit })),
            false => Ok(()),
        }
    }

    /// Turns the marks into what overlayfs reads.
    pub(super) fn finish(mut self) -> Result<Built, LayerError> {
        super::marks::apply(&mut self)?;
        Ok(Built {
            tree: self.tree,
            data: self.data,
            stands_alone: self.lower.is_none(),
            root_stated: self.root_stated,
        })
    }

    fn apply<R: io::Read>(&mut self, entry: &Entry, tar: &mut TarReader<R>) -> Outcome<()> {
        let parts = components(&entry.path, self.limits.absolute_names)?;
        let Some((name, parents)) = parts.split_last() else {
            return self.root(entry);
        };
        match Marker::of(name)? {
            Marker::Bookkeeping => return Ok(()),
            Marker::Opaque => {
                if let Some(dir) = self.resolve(parents, false)? {
                    self.notes.entry(dir).or_default().opaque = true;
                }
                return Ok(());
            }
            Marker::Whiteout(gone) => {
                if let Some(dir) = self.resolve(parents, false)?
                    && self.notes.entry(dir).or_default().whiteouts.insert(gone.into())
                {
                    self.tree.reserve(gone.len());
                }
                return Ok(());
            }
            Marker::None => {}
        }
        if parents.iter().any(|part| part.starts_with(b".wh..wh.")) {
            return Ok(());
        }
        let Some(dir) = self.resolve(parents, true)? else { return Ok(()) };
        if let Some(known) = self.tree.child(dir, name) {
            if entry.kind == EntryKind::Dir && self.tree.node(known).is_dir() {
                let attributes = self.attributes(entry)?;
                self.tree.set_attributes(known, attributes);
                return Ok(());
            }
            if !self.unstated.remove(&(dir, (*name).into())) {
                return Err(EntryProblem::Duplicate.into());
            }
            self.tree.unlink(dir, name);
        }
        if entry.kind == EntryKind::HardLink {
            return self.hard_link(dir, name, &entry.link);
        }
        let attributes = self.attributes(entry)?;
        let kind = match &entry.kind {
            EntryKind::Dir => {
                self.add_dir(dir, name, attributes);
                return Ok(());
            }
            EntryKind::HardLink => return Ok(()),
            EntryKind::File => {
                let block = self.data.align().map_err(output)?;
                self.copy_data(entry.size, tar)?;
                Kind::File { block, size: entry.size }
            }
            EntryKind::Sparse(map) => self.sparse(&map.extents, map.size, tar)?,
            EntryKind::Symlink => Kind::Symlink(symlink_target(&entry.link)?),
            EntryKind::Fifo => Kind::Fifo,
            EntryKind::Char { major: 0, minor: 0 } => {
                return Err(EntryProblem::WhiteoutDevice.into());
            }
            EntryKind::Char { major, minor } => Kind::Char(device(*major, *minor)?),
            EntryKind::Block { major, minor } => Kind::Block(device(*major, *minor)?),
        };
        self.tree.add(dir, name, kind, attributes);
        Ok(())
    }

    fn root(&mut self, entry: &Entry) -> Outcome<()> {
        if entry.kind != EntryKind::Dir {
            return Err(EntryProblem::Root.into());
        }
        let attributes = self.attributes(entry)?;
        self.tree.set_attributes(ROOT, attributes);
        self.root_stated = true;
        Ok(())
    }

    fn attributes(&self, entry: &Entry) -> Outcome<Attributes> {
        let permissions = match entry.kind {
            // Linux has no permissions of symbolic links.
            EntryKind::Symlink => 0o777,
            _ => entry.mode,
        };
        let mut xattrs = Vec::with_capacity(entry.xattrs.len());
        for (name, value) in &entry.xattrs {
            let name = match name.strip_prefix(super::lower::OVERLAY_PREFIX) {
                // overlayfs shows `trusted.overlay.overlay.x` as `trusted.overlay.x`
                // (`overlayfs.rst`, "Nesting overlayfs mounts") and does not obey it.
                Some(rest) => [super::lower::OVERLAY_PREFIX, b"overlay.", rest].concat().into(),
                None => name.clone(),
            };
            match encode_xattrs(&[(name.clone(), value.clone())]) {
                Ok(_) => xattrs.push((name, value.clone())),
                Err(XattrError::Namespace) => tracing::warn!(
                    entry = clip_bytes(&entry.path),
                    attribute = clip_bytes(&name),
                    "left out: Linux has no such namespace of extended attributes"
                ),
                Err(_) => return Err(EntryProblem::Xattr.into()),
            }
        }
        Ok(Attributes {
            permissions,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            mtime_ns: entry.mtime_ns,
            xattrs: encode_xattrs(&xattrs).map_err(|_| EntryProblem::Xattr)?,
        })
    }

    fn copy_data<R: io::Read>(&mut self, mut size: u64, tar: &mut TarReader<R>) -> Outcome<()> {
        while size > 0 {
            let want = self.buffer.len().min(usize::try_from(size).unwrap_or(usize::MAX));
            let n = tar.read_data(&mut self.buffer[..want])?;
            if n == 0 {
                return Err(TarError::Truncated.into());
            }
            self.data.write(&self.buffer[..n]).map_err(output)?;
            size -= n as u64;
        }
        Ok(())
    }

    fn sparse<R: io::Read>(
        &mut self,
        extents: &[(u64, u64)],
        size: u64,
        tar: &mut TarReader<R>,
    ) -> Outcome<Kind> {
        let first = self.data.align().map_err(output)?;
        let (map, taken) =
            SparseMap::lay_out(size, extents, first).ok_or(EntryProblem::TooLarge)?;
        let mut at = u64::from(first) * BLOCK;
        for (offset, length) in extents {
            let mut offset = *offset;
            let end = offset + length;
            while offset < end {
                // Chunks are stored in the file's order, so the output only moves forward.
                let chunk_end = (offset / map.chunk_bytes() + 1) * map.chunk_bytes();
                let piece = end.min(chunk_end) - offset;
                let position = map.position(offset).ok_or(EntryProblem::TooLarge)?;
                self.data.zeroes(position - at).map_err(output)?;
                self.copy_data(piece, tar)?;
                at = position + piece;
                offset += piece;
            }
        }
        let end = (u64::from(first) + u64::from(taken)) * BLOCK;
        self.data.zeroes(end - at).map_err(output)?;
        Ok(Kind::Sparse(Box::new(map)))
    }

    /// Another name for a file of this layer, or of a layer below. The latter is taken into this
    /// layer, under its own name too, so that all its names are one inode again.
    fn hard_link(&mut self, dir: NodeId, name: &[u8], target: &[u8]) -> Outcome<()> {
        let parts = components(target, self.limits.absolute_names)?;
        let missing = || EntryProblem::LinkTarget(clip_bytes(target));
        let is_dir = || EntryProblem::LinkToDirectory(clip_bytes(target));
        let (target_name, parents) = parts.split_last().ok_or_else(is_dir)?;
        let target_dir = self.resolve(parents, false)?.ok_or_else(missing)?;
        if let Some(id) = self.tree.child(target_dir, target_name) {
            if self.tree.node(id).is_dir() {
                return Err(is_dir().into());
            }
            return self.link_new(dir, name, id, missing());
        }
        let (layer, found) = match self.lower_child(target_dir, target_name)? {
            None => return Err(missing().into()),
            Some(Below::Dir(..)) => return Err(is_dir().into()),
            Some(Below::Other(layer, found)) => (layer, found),
        };
        let id = match self.copies.get(&(layer, found.nid)) {
            Some(id) => {
                self.tree.link(target_dir, target_name, *id);
                *id
            }
            None => {
                let layers = self.lower()?;
                let limit = self.limits.tar_bytes;
                let (left, step) = (&mut self.copy_left, &|| (self.read)(0));
                let mut copier = copy::Copier::new(&mut self.data, limit, left, step);
                let kind = copier.kind(layers.layer(layer), &found.kind)?;
                let attributes = copy::attributes(&found).map_err(lower)?;
                let id = self.tree.add(target_dir, target_name, kind, attributes);
                self.copies.insert((layer, found.nid), id);
                id
            }
        };
        if self.unstated.insert((target_dir, (*target_name).into())) {
            self.tree.charge((NOTES_BYTES + target_name.len()) as u64);
        }
        self.link_new(dir, name, id, missing())
    }

    /// Links under a name that was free before the target was looked up. It is not any more if it is
    /// part of the target: the link takes the place of what it would lead to.
    fn link_new(
        &mut self,
        dir: NodeId,
        name: &[u8],
        id: NodeId,
        missing: EntryProblem,
    ) -> Outcome<()> {
        if self.tree.child(dir, name).is_some() {
            return Err(missing.into());
        }
        self.tree.link(dir, name, id);
        Ok(())
    }

    /// The directory that the components lead to, through symbolic links, never above the root.
    /// Directories on the way that this layer does not state are taken from below; those that do
    /// not exist at all are made if `create`, otherwise there is no result.
    fn resolve(&mut self, parts: &[&[u8]], create: bool) -> Outcome<Option<NodeId>> {
        let mut queue: VecDeque<Box<[u8]>> = parts.iter().map(|part| (*part).into()).collect();
        let mut at = ROOT;
        let mut links = 0;
        while let Some(part) = queue.pop_front() {
            if *part == *b".." {
                at = self.tree.parent(at);
                continue;
            }
            let target = match self.tree.child(at, &part) {
                Some(id) => match &self.tree.node(id).kind {
                    Kind::Dir { .. } => {
                        at = id;
                        continue;
                    }
                    Kind::Symlink(target) => target.clone(),
                    _ => return Err(EntryProblem::NotADirectory(clip_bytes(&part)).into()),
                },
                None => match self.lower_child(at, &part)? {
                    Some(Below::Dir(merged, found)) => {
                        let attributes = copy::attributes(&found).map_err(lower)?;
                        at = self.imply(at, &part, attributes, Some(merged))?;
                        continue;
                    }
                    Some(Below::Other(_, found)) => match copy::symlink(found) {
                        Some(target) => target,
                        None => return Err(EntryProblem::NotADirectory(clip_bytes(&part)).into()),
                    },
                    None if create => {
                        at = self.imply(at, &part, default_dir(), None)?;
                        continue;
                    }
                    None => return Ok(None),
                },
            };
            links += 1;
            if links > SYMLINKS_MAX {
                return Err(EntryProblem::Loop.into());
            }
            if target.starts_with(b"/") {
                at = ROOT;
            }
            for part in split(&target).collect::<Vec<_>>().into_iter().rev() {
                queue.push_front(part.into());
            }
        }
        Ok(Some(at))
    }

    /// A directory that this layer does not state, and where it is below.
    fn imply(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: Attributes,
        below: Option<Rc<Merged>>,
    ) -> Outcome<NodeId> {
        let id = self.add_dir(dir, name, attributes);
        self.set_below(id, below)?;
        Ok(id)
    }

    fn add_dir(&mut self, dir: NodeId, name: &[u8], attributes: Attributes) -> NodeId {
        let id = self.tree.add_dir(dir, name, attributes);
        self.tree.charge((NOTES_BYTES + name.len()) as u64);
        self.notes.insert(id, DirNotes { name: name.into(), ..DirNotes::default() });
        id
    }

    /// The name of a directory, from the root.
    pub(super) fn path(&self, mut dir: NodeId) -> Vec<u8> {
        let mut names = Vec::new();
        while dir != ROOT {
            names.extend(self.notes.get(&dir).map(|notes| &*notes.name));
            dir = self.tree.parent(dir);
        }
        names.reverse();
        names.join(&b'/')
    }
}

fn symlink_target(target: &[u8]) -> Result<Box<[u8]>, EntryProblem> {
    match target {
        _ if target.contains(&0) => Err(EntryProblem::Nul),
        [] => Err(EntryProblem::SymlinkTarget),
        _ if target.len() > PATH_MAX => Err(EntryProblem::SymlinkTarget),
        _ => Ok(target.into()),
    }
}

fn device(major: u32, minor: u32) -> Result<u32, EntryProblem> {
    encode_device(major, minor).ok_or(EntryProblem::Device(major, minor))
}
