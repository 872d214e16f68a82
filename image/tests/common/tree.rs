//! A file tree as data, and one of the host's.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Everything that can be seen of a file.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(crate) kind: char,
    pub(crate) permissions: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, i64),
    pub(crate) size: u64,
    pub(crate) content: String,
    pub(crate) target: Vec<u8>,
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of everything but directories.
    pub(crate) links: u64,
}

/// Paths relative to the root, which is the empty path.
pub(crate) type Tree = BTreeMap<Vec<u8>, Seen>;

/// The SHA-256 of everything in `reader`, in hexadecimal.
pub(crate) fn hash(mut reader: impl Read) -> String {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer).expect("readable") {
            0 => return hasher.finalize().iter().map(|b| format!("{b:02x}")).collect(),
            n => hasher.update(&buffer[..n]),
        }
    }
}

pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir.is_empty() {
        true => name.to_vec(),
        false => [dir, b"/", name].concat(),
    }
}

/// A directory of the host.
pub(crate) fn of_host(root: &Path) -> Tree {
    let mut tree = Tree::new();
    add(root, b"", &mut tree).expect("the tree can be read");
    tree
}

fn add(path: &Path, name: &[u8], tree: &mut Tree) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let mut seen = Seen {
        permissions: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        links: metadata.nlink(),
        xattrs: xattrs(path),
        ..Seen::default()
    };
    if kind.is_dir() {
        seen.kind = 'd';
        seen.links = 0;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            add(&entry.path(), &join(name, entry.file_name().as_bytes()), tree)?;
        }
    } else if kind.is_file() {
        seen.kind = 'f';
        seen.size = metadata.size();
        seen.content = hash(fs::File::open(path)?);
    } else if kind.is_symlink() {
        seen.kind = 'l';
        seen.target = fs::read_link(path)?.as_os_str().as_bytes().to_vec();
    } else {
        let device = metadata.rdev();
        seen.kind = match () {
            () if kind.is_fifo() => 'p',
            () if kind.is_char_device() => 'c',
            () => 'b',
        };
        if seen.kind != 'p' {
            seen.device = (rustix::fs::major(device), rustix::fs::minor(device));
        }
    }
    tree.insert(name.to_vec(), seen);
    Ok(())
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let used = rustix::fs::llistxattr(path, &mut names[..]).expect("attributes can be listed");
    let names = names[..used].split(|b| *b == 0).filter(|name| !name.is_empty());
    let read = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let name_c = std::ffi::CString::new(name).expect("no NUL");
        let used = rustix::fs::lgetxattr(path, &name_c, &mut value[..]).expect("readable");
        value[..used].to_vec()
    };
    names.map(|name| (name.to_vec(), read(name))).collect()
}

/// What differs, one line each, at most 40.
pub(crate) fn differences(ours: &Tree, theirs: &Tree) -> String {
    let mut lines = Vec::new();
    for path in ours.keys().chain(theirs.keys().filter(|p| !ours.contains_key(*p))) {
        let (a, b) = (ours.get(path), theirs.get(path));
        if a != b {
            lines.push(format!("{}:\n  ours   {a:?}\n  theirs {b:?}", path.escape_ascii()));
        }
    }
    let count = lines.len();
    lines.truncate(40);
    match count {
        0 => String::new(),
        _ => format!("{count} differences:\n{}", lines.join("\n")),
    }
}
