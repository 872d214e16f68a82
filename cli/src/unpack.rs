//! Unpacks the archive that a machine sends: every byte of it is the machine's word, and no path of it leaves the
//! destination.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read},
    os::unix::{
        ffi::OsStringExt,
        fs::{PermissionsExt, lchown, symlink},
    },
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use tar::{Entry, EntryType, Header};

/// Longest name of a file or target of a link, in bytes; no file system takes a longer one.
const NAME_LIMIT: u64 = 64 << 10;

/// Unpacks the archive `from` into `directory`, each entry under the name that `rename` makes of its own; an empty one is
/// the directory itself.
///
/// With `exactly`, numeric owners and the set-user-ID, set-group-ID and sticky bits are kept.
pub(crate) fn unpack(
    from: impl Read,
    directory: &Path,
    exactly: bool,
    rename: impl Fn(&Path) -> PathBuf,
) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(from);
    let mut unpacker = Unpacker { directory, exactly, directories: Vec::new() };
    // What precedes an entry whose name or target does not fit into a header (GNU tar).
    let (mut long_name, mut long_target) = (None, None);
    // Raw: the crate would hold long names of any length.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::GNULongName => long_name = Some(long(&mut entry)?),
            EntryType::GNULongLink => long_target = Some(long(&mut entry)?),
            _ => {
                let header = entry.header().clone();
                let name = long_name.take().unwrap_or_else(|| header.path_bytes().into_owned());
                let target = long_target
                    .take()
                    .or_else(|| header.link_name_bytes().map(|target| target.into_owned()));
                let target = target.map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes)));
                let name = rename(Path::new(&std::ffi::OsString::from_vec(name)));
                unpacker.entry(&mut entry, &header, &name, target.as_deref())?;
            }
        }
    }
    unpacker.finish()
}

/// The content of an entry that is the name of the next one.
fn long(entry: &mut Entry<'_, impl Read>) -> anyhow::Result<Vec<u8>> {
    let mut name = Vec::new();
    entry.take(NAME_LIMIT + 1).read_to_end(&mut name)?;
    if name.len() as u64 > NAME_LIMIT {
        bail!("the machine sent a file name of more than {NAME_LIMIT} bytes");
    }
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

struct Unpacker<'a> {
    directory: &'a Path,
    exactly: bool,
    /// Directories, whose attributes are set when nothing more is written into them.
    directories: Vec<(PathBuf, Header)>,
}

impl Unpacker<'_> {
    fn entry(
        &mut self,
        entry: &mut impl Read,
        header: &Header,
        name: &Path,
        target: Option<&Path>,
    ) -> anyhow::Result<()> {
        let path = self.place(name)?;
        if path == self.directory && header.entry_type().is_dir() {
            return Ok(());
        }
        self.make(&path, entry, header, target)
            .with_context(|| format!("cannot write {}", path.display()))?;
        if header.entry_type().is_dir() {
            self.directories.push((path, header.clone()));
        }
        Ok(())
    }

    fn make(
        &self,
        path: &Path,
        content: &mut impl Read,
        header: &Header,
        target: Option<&Path>,
    ) -> anyhow::Result<()> {
        let kind = header.entry_type();
        let found = path.symlink_metadata().ok();
        if found.as_ref().is_some_and(|found| !found.is_dir()) {
            fs::remove_file(path)?;
        }
        match kind {
            EntryType::Directory if found.is_some_and(|found| found.is_dir()) => return Ok(()),
            EntryType::Directory => return Ok(fs::create_dir(path)?),
            EntryType::Regular | EntryType::Continuous => {
                io::copy(content, &mut File::create_new(path)?)?;
            }
            EntryType::Symlink => symlink(target.context("it is a link without a target")?, path)?,
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                tracing::warn!("{} is a device or a FIFO and was not copied", path.display());
                return Ok(());
            }
            other => bail!("the machine sent an entry of the kind {other:?}"),
        }
        self.attributes(path, header)
    }

    /// Where an entry goes; makes the directories above it.
    fn place(&self, name: &Path) -> anyhow::Result<PathBuf> {
        if !name.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
            bail!("the machine sent a file named {}, which leaves the destination", name.display());
        }
        // A link that the machine sent before must not lead a later file elsewhere.
        let mut parent = self.directory.to_path_buf();
        for component in name.parent().into_iter().flat_map(Path::components) {
            parent.push(component);
            match parent.symlink_metadata() {
                Ok(found) if found.is_dir() => {}
                Ok(_) => bail!("{} is no directory", parent.display()),
                Err(_) => fs::create_dir(&parent)?,
            }
        }
        Ok(match name.file_name() {
            Some(last) => parent.join(last),
            None => self.directory.to_path_buf(),
        })
    }

    fn attributes(&self, path: &Path, header: &Header) -> anyhow::Result<()> {
        if self.exactly {
            let id = |id: io::Result<u64>| anyhow::Ok(u32::try_from(id?)?);
            lchown(path, Some(id(header.uid())?), Some(id(header.gid())?))
                .context("cannot give it its owner; leave out --archive")?;
        }
        if !header.entry_type().is_symlink() {
            let bits = if self.exactly { 0o7777 } else { 0o777 };
            fs::set_permissions(path, Permissions::from_mode(header.mode()? & bits))?;
        }
        let modified = Timespec { tv_sec: i64::try_from(header.mtime()?)?, tv_nsec: 0 };
        let times = Timestamps { last_access: modified, last_modification: modified };
        Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The last directory first: its parents' times and permissions do not matter to it yet.
    fn finish(self) -> anyhow::Result<()> {
        for (path, header) in self.directories.iter().rev() {
            self.attributes(path, header)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: EntryType, size: u64, mode: u32) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header
    }

    fn into(directory: &Path, archive: &[u8]) -> anyhow::Result<()> {
        unpack(archive, directory, false, Path::to_path_buf)
    }

    #[test]
    fn an_archive_cannot_leave_its_destination() {
        let home = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut link = header(EntryType::Symlink, 0, 0o777);
        builder.append_link(&mut link, "d/link", outside.path()).unwrap();
        let mut file = header(EntryType::Regular, 1, 0o644);
        builder.append_data(&mut file, "d/link/file", &b"x"[..]).unwrap();
        assert!(into(home.path(), &builder.into_inner().unwrap()).is_err());
        assert_eq!(fs::read_link(home.path().join("d/link")).unwrap(), outside.path());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        for name in ["../up", "/absolute"] {
            let mut file = header(EntryType::Regular, 0, 0o644);
            file.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            file.set_cksum();
            let mut archive = file.as_bytes().to_vec();
            archive.extend([0; 1024]);
            let error = into(home.path(), &archive).unwrap_err().to_string();
            assert!(error.contains("leaves the destination"), "{error}");
        }
    }

    #[test]
    fn directories_that_nobody_may_write_get_their_content() {
        let home = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut directory = header(EntryType::Directory, 0, 0o555);
        builder.append_data(&mut directory, "closed", io::empty()).unwrap();
        let mut file = header(EntryType::Regular, 2, 0o4755);
        let long = format!("closed/{}", "n".repeat(200));
        builder.append_data(&mut file, &long, &b"in"[..]).unwrap();
        into(home.path(), &builder.into_inner().unwrap()).unwrap();
        let closed = home.path().join("closed").metadata().unwrap();
        assert_eq!(closed.permissions().mode() & 0o7777, 0o555);
        let modified = closed.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(modified.as_secs(), 1_000_000_000);
        let file = home.path().join(&long);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(fs::read(file).unwrap(), b"in");
        fs::set_permissions(home.path().join("closed"), Permissions::from_mode(0o755)).unwrap();
    }

    /// A machine that sends nothing but a name, as long as it is read.
    #[test]
    fn a_name_without_end_is_not_held() {
        struct Endless<'a>(&'a mut u64);
        impl Read for Endless<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                into.fill(b'n');
                *self.0 += into.len() as u64;
                Ok(into.len())
            }
        }
        let home = tempfile::tempdir().unwrap();
        for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
            let mut long = header(kind, 1 << 40, 0o644);
            long.set_cksum();
            let mut read = 0;
            let archive = long.as_bytes().chain(Endless(&mut read));
            assert!(unpack(archive, home.path(), false, Path::to_path_buf).is_err());
            assert!(read <= 4 * NAME_LIMIT, "{read} bytes of {kind:?}");
        }
    }
}
