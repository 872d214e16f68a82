//! The metadata, written behind the file data: blocks of large directories first, then inodes,
//! each followed by its attributes and its inline data, the superblock last.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::data::DataWriter;
use super::format::{BLOCK, DIRENT_SIZE, INODE_SIZE, Inode, Layout, SLOT, Superblock, mode};
use super::tree::{Kind, NodeId, ROOT, Tree};

/// Names and small directories up to this size sit behind their inode; larger ones would waste
/// more of the inode blocks than a block of their own wastes.
const INLINE_MAX: u64 = BLOCK / 2;
/// Inode numbers start here, so that none is 0.
const FIRST_NID: u64 = 2;

/// What the superblock says about an image.
pub(crate) struct Label {
    /// The file system's identifier.
    pub(crate) uuid: [u8; 16],
    /// Sixteen bytes for people and tools.
    pub(crate) name: [u8; 16],
}

/// Writes the tree behind the data and returns the file, complete but not synced.
pub(crate) fn emit(tree: &Tree, mut data: DataWriter, label: Label) -> io::Result<File> {
    let plan = Plan::new(tree, data.align()?)?;
    for id in &plan.order {
        if plan.is_inline(*id) {
            continue;
        }
        match &tree.node(*id).kind {
            Kind::Dir { .. } => data.write(&plan.directory(tree, *id))?,
            Kind::Symlink(target) => data.write(target)?,
            _ => continue,
        }
        data.align()?;
    }
    let mut written = 0;
    for (index, id) in plan.order.iter().enumerate() {
        let at = plan.nids[id.index()] * SLOT;
        data.zeroes(at - written)?;
        written = at + plan.write_inode(tree, *id, index as u32 + 1, &mut data)?;
    }
    let blocks = data.align()?;
    let file = data.finish()?;
    let superblock = Superblock {
        root_nid: FIRST_NID as u16,
        inodes: plan.order.len() as u64,
        blocks,
        meta_block: plan.meta_block,
        uuid: label.uuid,
        volume_name: label.name,
    };
    file.write_all_at(&superblock.to_block(), 0)?;
    Ok(file)
}

/// Where everything goes.
struct Plan {
    /// Inodes in the order they are written, each directory before what is in it.
    order: Vec<NodeId>,
    /// Inode numbers by node.
    nids: Vec<u64>,
    /// Data sizes of directories and symbolic links by node.
    sizes: Vec<u64>,
    /// First blocks of those of them that are not inline.
    blocks: Vec<u32>,
    meta_block: u32,
}

impl Plan {
    fn new(tree: &Tree, first_block: u32) -> io::Result<Self> {
        let order = walk(tree);
        let mut plan = Self {
            nids: vec![0; tree.len()],
            sizes: vec![0; tree.len()],
            blocks: vec![0; tree.len()],
            meta_block: first_block,
            order,
        };
        for id in &plan.order {
            plan.sizes[id.index()] = match &tree.node(*id).kind {
                Kind::Dir { .. } => directory_size(tree, *id),
                Kind::Symlink(target) => target.len() as u64,
                _ => continue,
            };
            if plan.sizes[id.index()] > INLINE_MAX {
                plan.blocks[id.index()] = plan.meta_block;
                let blocks = u32::try_from(plan.sizes[id.index()].div_ceil(BLOCK));
                plan.meta_block = blocks
                    .ok()
                    .and_then(|n| plan.meta_block.checked_add(n))
                    .ok_or(io::ErrorKind::FileTooLarge)?;
            }
        }
        let mut at = FIRST_NID * SLOT;
        for id in &plan.order {
            let node = tree.node(*id);
            let head = INODE_SIZE + node.attributes.xattrs.len() as u64;
            let tail = match &node.kind {
                Kind::Sparse(map) => map.chunks().len() as u64 * 4,
                _ if plan.is_inline(*id) => {
                    let tail = plan.sizes[id.index()];
                    // Inline data must not cross a block boundary.
                    let room = BLOCK - (at + head) % BLOCK;
                    if tail > room {
                        at = (at + room).next_multiple_of(SLOT);
                    }
                    tail
                }
                _ => 0,
            };
            plan.nids[id.index()] = at / SLOT;
            at = (at + head + tail).next_multiple_of(SLOT);
        }
        Ok(plan)
    }

    fn is_inline(&self, id: NodeId) -> bool {
        (1..=INLINE_MAX).contains(&self.sizes[id.index()])
    }

    /// Returns the number of bytes written.
    fn write_inode(
        &self,
        tree: &Tree,
        id: NodeId,
        ino: u32,
        data: &mut DataWriter,
    ) -> io::Result<u64> {
        let node = tree.node(id);
        let mut tail = Vec::new();
        let mut nlink = node.links;
        let inline = if self.is_inline(id) { Layout::FlatInline } else { Layout::FlatPlain };
        let (layout, size, union) = match &node.kind {
            Kind::Dir { .. } => {
                nlink =
                    2 + tree.children(id).filter(|(_, c)| tree.node(*c).is_dir()).count() as u32;
                if inline == Layout::FlatInline {
                    tail = self.directory(tree, id);
                }
                (inline, self.sizes[id.index()], self.blocks[id.index()])
            }
            Kind::Symlink(target) => {
                if inline == Layout::FlatInline {
                    tail = target.to_vec();
                }
                (inline, target.len() as u64, self.blocks[id.index()])
            }
            Kind::File { block, size } => (Layout::FlatPlain, *size, *block),
            Kind::Sparse(map) => {
                tail = map.chunks().iter().flat_map(|block| block.to_le_bytes()).collect();
                (Layout::Chunked, map.size(), map.bits().into())
            }
            Kind::Char(device) | Kind::Block(device) => (Layout::FlatPlain, 0, *device),
            Kind::Fifo => (Layout::FlatPlain, 0, 0),
        };
        let at = &node.attributes;
        let inode = Inode {
            layout,
            xattr_size: at.xattrs.len(),
            mode: node.mode(),
            size,
            union,
            ino,
            uid: at.uid,
            gid: at.gid,
            mtime: at.mtime,
            mtime_ns: at.mtime_ns,
            nlink,
        };
        data.write(&inode.to_bytes())?;
        data.write(&at.xattrs)?;
        data.write(&tail)?;
        Ok(INODE_SIZE + (at.xattrs.len() + tail.len()) as u64)
    }

    /// A directory's data: blocks of entries followed by their names.
    fn directory(&self, tree: &Tree, id: NodeId) -> Vec<u8> {
        let mut out = Vec::new();
        let entries = entries(tree, id);
        let mut rest = &entries[..];
        while !rest.is_empty() {
            out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
            let count = entries_in_block(rest);
            let mut name_at = count * DIRENT_SIZE;
            for (name, child) in &rest[..count] {
                out.extend(self.nids[child.index()].to_le_bytes());
                out.extend((name_at as u16).to_le_bytes());
                out.push(mode::dirent_type(tree.node(*child).mode()));
                out.push(0);
                name_at += name.len();
            }
            for (name, _) in &rest[..count] {
                out.extend_from_slice(name);
            }
            rest = &rest[count..];
        }
        out
    }
}

/// All inodes that have a name, breadth first, each once.
fn walk(tree: &Tree) -> Vec<NodeId> {
    let mut seen = vec![false; tree.len()];
    seen[ROOT.index()] = true;
    let mut order = vec![ROOT];
    let mut next = 0;
    while let Some(dir) = order.get(next).copied() {
        next += 1;
        for (_, child) in tree.children(dir) {
            if !std::mem::replace(&mut seen[child.index()], true) {
                order.push(child);
            }
        }
    }
    order
}

/// The entries of a directory, `.` and `..` among them, sorted bytewise as the kernel's binary
/// search wants them.
fn entries(tree: &Tree, id: NodeId) -> Vec<(&[u8], NodeId)> {
    let mut entries: Vec<(&[u8], NodeId)> = tree.children(id).collect();
    entries.push((b".", id));
    entries.push((b"..", tree.parent(id)));
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries
}

/// How many of the entries fit the next block, and no more than that.
fn entries_in_block(entries: &[(&[u8], NodeId)]) -> usize {
    let mut used = 0;
    let fits = |(name, _): &&(&[u8], NodeId)| {
        used += DIRENT_SIZE + name.len();
        used <= BLOCK as usize
    };
    entries.iter().take_while(fits).count()
}

fn directory_size(tree: &Tree, id: NodeId) -> u64 {
    let entries = entries(tree, id);
    let mut rest = &entries[..];
    let mut full_blocks = 0;
    loop {
        let count = entries_in_block(rest);
        if count == rest.len() {
            let last: usize = rest.iter().map(|(name, _)| DIRENT_SIZE + name.len()).sum();
            return full_blocks * BLOCK + last as u64;
        }
        full_blocks += 1;
        rest = &rest[count..];
    }
}
