//! Layer files as overlayfs would show them, read by `erofs-rs`: an independent reader, and an
//! independent merge (Linux `Documentation/filesystems/overlayfs.rst`, "Upper and Lower"). The
//! roots are all merged, whatever attributes they have (`ovl_get_root`).

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use erofs_rs::EroFS;
use erofs_rs::backend::SliceImage;
use erofs_rs::types::Inode;
use rustix::fs::FileType;

use super::tree::{Seen, Tree, hash, join};

type Fs<'a> = EroFS<SliceImage<'a>>;

/// Checks each layer with `fsck.erofs`, then merges them, lowest first in `files`.
pub(crate) fn merged(image: &image::Image) -> Tree {
    let bytes: Vec<Vec<u8>> = image
        .layers
        .iter()
        .map(|layer| {
            fsck(&layer.path);
            std::fs::read(&layer.path).expect("a layer file")
        })
        .collect();
    let layers: Vec<Layer<'_>> = bytes.iter().rev().map(|bytes| Layer::read(bytes)).collect();
    let mut tree = Tree::new();
    let root = &image.root;
    let seen = Seen {
        kind: 'd',
        permissions: root.mode.into(),
        uid: root.uid,
        gid: root.gid,
        mtime: (root.mtime, root.mtime_ns.into()),
        xattrs: shown(root.xattrs.iter().cloned()),
        ..Seen::default()
    };
    tree.insert(Vec::new(), seen);
    add(&layers.iter().map(|layer| (layer, &b""[..])).collect::<Vec<_>>(), b"", &mut tree);
    tree
}

pub(crate) fn fsck(layer: &Path) {
    super::run("fsck.erofs", &[super::text(layer)]);
}

/// Merges a directory that these layers have under these paths, highest first.
fn add(dirs: &[(&Layer<'_>, &[u8])], path: &[u8], tree: &mut Tree) {
    let mut names: BTreeMap<&[u8], Vec<(&Layer<'_>, Inode)>> = BTreeMap::new();
    for (layer, dir) in dirs {
        for (name, inode) in layer.dirs.get(*dir).into_iter().flatten() {
            names.entry(name).or_default().push((layer, *inode));
        }
    }
    for (name, found) in names {
        let path = join(path, name);
        let (layer, top) = found[0];
        if top.device() == Some((0, 0)) && top.file_type() == FileType::CharacterDevice {
            // overlayfs hides a whiteout from a listing only where directories are merged.
            assert!(dirs.len() > 1, "{}: a whiteout would be seen", path.escape_ascii());
            continue;
        }
        tree.insert(path.clone(), seen(&layer.fs, top));
        if top.is_dir() {
            let mut merged = Vec::new();
            for (layer, inode) in found {
                if !inode.is_dir() {
                    break;
                }
                merged.push((layer, &path[..]));
                let xattrs = layer.fs.xattrs_inode(inode).expect("attributes");
                if xattrs.contains_key(&b"trusted.overlay.opaque"[..]) {
                    break;
                }
            }
            add(&merged, &path, tree);
        }
    }
}

/// A layer and its directories' entries by path.
struct Layer<'a> {
    fs: EroFS<SliceImage<'a>>,
    dirs: BTreeMap<Vec<u8>, Vec<(Vec<u8>, Inode)>>,
}

impl<'a> Layer<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let fs = EroFS::new(SliceImage::new(bytes)).expect("an EROFS image");
        let mut dirs: BTreeMap<Vec<u8>, Vec<(Vec<u8>, Inode)>> = BTreeMap::new();
        for entry in fs.walk_dir("/").expect("a root") {
            let entry = entry.expect("an entry").dir_entry;
            let path = entry.path();
            let path = path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes());
            let name = entry.file_name().to_vec();
            let dir = path[..path.len() - name.len()].strip_suffix(b"/").unwrap_or_default();
            let inode = fs.get_inode(entry.nid()).expect("an inode");
            dirs.entry(dir.to_vec()).or_default().push((name, inode));
        }
        for names in dirs.values() {
            assert!(names.is_sorted_by_key(|(name, _)| name), "the kernel searches by halving");
        }
        Self { fs, dirs }
    }
}

fn seen(layer: &Fs<'_>, inode: Inode) -> Seen {
    let (seconds, nanoseconds) = inode.modified_unix();
    let mut seen = Seen {
        permissions: inode.permissions().mode() & 0o7777,
        uid: inode.uid(),
        gid: inode.gid(),
        mtime: (seconds, nanoseconds.into()),
        xattrs: shown(layer.xattrs_inode(inode).expect("attributes")),
        links: inode.nlink().into(),
        ..Seen::default()
    };
    match inode.file_type() {
        FileType::Directory => (seen.kind, seen.links) = ('d', 0),
        FileType::RegularFile => {
            seen.kind = 'f';
            seen.size = inode.data_size();
            seen.content = hash(Contents { layer, inode, at: 0 });
        }
        FileType::Symlink => {
            seen.kind = 'l';
            seen.target = layer.read_link_inode(inode).expect("a target").as_bytes().to_vec();
        }
        FileType::CharacterDevice => seen.kind = 'c',
        FileType::BlockDevice => seen.kind = 'b',
        _ => seen.kind = 'p',
    }
    seen.device = inode.device().unwrap_or_default();
    seen
}

/// Attributes as overlayfs shows them: escapes undone, its own hidden.
fn shown(stored: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let shown = stored.into_iter().filter_map(|(name, value)| {
        match name.strip_prefix(b"trusted.overlay.") {
            None => Some((name, value)),
            Some(own) => {
                let rest = own.strip_prefix(b"overlay.")?;
                Some(([b"trusted.overlay.", rest].concat(), value))
            }
        }
    });
    shown.collect()
}

struct Contents<'a> {
    layer: &'a Fs<'a>,
    inode: Inode,
    at: u64,
}

impl std::io::Read for Contents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let file = self.layer.open_inode_file(self.inode).map_err(std::io::Error::other)?;
        let n = file.read_at(buffer, self.at).map_err(std::io::Error::other)?;
        self.at += n as u64;
        Ok(n)
    }
}
