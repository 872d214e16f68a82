//! The tree of one image before it is written: names and inodes, but no file data.

use std::collections::BTreeMap;

use super::data::SparseMap;
use super::format::mode;

/// An index into [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

/// The root directory.
pub(crate) const ROOT: NodeId = NodeId(0);

/// What every inode has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission bits with set-user-ID, set-group-ID and sticky; no type bits.
    pub(crate) permissions: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since the epoch, and nanoseconds after that second.
    pub(crate) mtime: i64,
    pub(crate) mtime_ns: u32,
    /// The encoded area of [`super::encode_xattrs`]; empty when there are none.
    pub(crate) xattrs: Box<[u8]>,
}

/// What an inode is.
#[derive(Debug)]
pub(crate) enum Kind {
    Dir {
        parent: NodeId,
        children: BTreeMap<Box<[u8]>, NodeId>,
    },
    /// Bytes in a row from `block` on.
    File {
        block: u32,
        size: u64,
    },
    Sparse(Box<SparseMap>),
    Symlink(Box<[u8]>),
    Char(u32),
    Block(u32),
    Fifo,
}

/// An inode.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) attributes: Attributes,
    /// Names that lead to it; kept for everything but directories.
    pub(crate) links: u32,
}

impl Node {
    pub(crate) fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Dir { .. })
    }

    /// Type and permissions.
    pub(crate) fn mode(&self) -> u16 {
        let kind = match self.kind {
            Kind::Dir { .. } => mode::DIR,
            Kind::File { .. } | Kind::Sparse(_) => mode::FILE,
            Kind::Symlink(_) => mode::SYMLINK,
            Kind::Char(_) => mode::CHAR,
            Kind::Block(_) => mode::BLOCK,
            Kind::Fifo => mode::FIFO,
        };
        kind | self.attributes.permissions & 0o7777
    }
}

/// All inodes; index 0 is the root.
pub(crate) struct Tree {
    nodes: Vec<Node>,
    bytes: u64,
}

/// Estimates of what an inode and a name take in memory, without their variable parts.
const NODE_BYTES: u64 = 192;
const NAME_BYTES: u64 = 64;

impl Tree {
    pub(crate) fn new(root: Attributes) -> Self {
        let kind = Kind::Dir { parent: ROOT, children: BTreeMap::new() };
        Self { nodes: vec![Node { kind, attributes: root, links: 0 }], bytes: NODE_BYTES }
    }

    /// An upper estimate of the memory that the tree takes, and what was charged to it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts memory that is kept beside the tree and grows with it.
    pub(crate) fn charge(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Counts an inode with a name of so many bytes, which is going to be added.
    pub(crate) fn reserve(&mut self, name: usize) {
        self.bytes += NODE_BYTES + 2 * (NAME_BYTES + name as u64);
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn set_attributes(&mut self, id: NodeId, attributes: Attributes) {
        self.bytes += attributes.xattrs.len() as u64;
        self.nodes[id.0 as usize].attributes = attributes;
    }

    pub(crate) fn child(&self, dir: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.node(dir).kind {
            Kind::Dir { children, .. } => children.get(name).copied(),
            _ => None,
        }
    }

    pub(crate) fn parent(&self, dir: NodeId) -> NodeId {
        match &self.node(dir).kind {
            Kind::Dir { parent, .. } => *parent,
            _ => ROOT,
        }
    }

    /// The children of `dir`, sorted by name; nothing when it is not a directory.
    pub(crate) fn children(&self, dir: NodeId) -> impl Iterator<Item = (&[u8], NodeId)> {
        let children = match &self.node(dir).kind {
            Kind::Dir { children, .. } => Some(children),
            _ => None,
        };
        children.into_iter().flatten().map(|(name, id)| (&**name, *id))
    }

    /// Adds an inode as `name` in `dir`; the caller has made sure that the name is free.
    pub(crate) fn add(&mut self, dir: NodeId, name: &[u8], kind: Kind, at: Attributes) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let extra = match &kind {
            Kind::Symlink(target) => target.len(),
            Kind::Sparse(map) => map.chunks().len() * 4,
            _ => 0,
        };
        self.bytes += NODE_BYTES + (extra + at.xattrs.len()) as u64;
        self.nodes.push(Node { kind, attributes: at, links: 0 });
        self.link(dir, name, id);
        id
    }

    /// Adds an empty directory.
    pub(crate) fn add_dir(&mut self, dir: NodeId, name: &[u8], at: Attributes) -> NodeId {
        self.add(dir, name, Kind::Dir { parent: dir, children: BTreeMap::new() }, at)
    }

    /// Takes a name away; an inode without one is not written.
    pub(crate) fn unlink(&mut self, dir: NodeId, name: &[u8]) {
        if let Kind::Dir { children, .. } = &mut self.nodes[dir.0 as usize].kind
            && let Some(id) = children.remove(name)
        {
            self.nodes[id.0 as usize].links -= 1;
        }
    }

    /// Gives an inode one more name.
    pub(crate) fn link(&mut self, dir: NodeId, name: &[u8], id: NodeId) {
        self.bytes += NAME_BYTES + name.len() as u64;
        self.nodes[id.0 as usize].links += 1;
        if let Kind::Dir { children, .. } = &mut self.nodes[dir.0 as usize].kind {
            children.insert(name.into(), id);
        }
    }
}

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}
