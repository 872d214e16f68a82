//! Products that are slow to make, kept under the user's cache directory.
//!
//! `<cache>/kiln/<product>/<key>/` holds the files of one product; `<product>/current` is a
//! symbolic link to the key that was made or found last, which is where kiln looks.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// A family of products, e.g. all kernels.
pub(crate) struct Cache {
    directory: PathBuf,
    _lock: File,
}

impl Cache {
    /// Opens the family and waits until no other process makes one of its products.
    pub(crate) fn open(product: &str) -> Result<Cache> {
        let directory = directory()?.join(product);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let path = directory.join("lock");
        let lock =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(Cache { directory, _lock: lock })
    }

    /// The product of this key, if it was made before.
    pub(crate) fn get(&self, key: &str) -> Option<PathBuf> {
        let path = self.directory.join(key);
        path.is_dir().then_some(path)
    }

    /// An empty directory beside the products, for making one. Goes away when dropped.
    pub(crate) fn workshop(&self) -> Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix(".making-").tempdir_in(&self.directory)?)
    }

    /// Moves a finished directory to its place in one step.
    pub(crate) fn put(&self, key: &str, finished: &Path) -> Result<PathBuf> {
        let path = self.directory.join(key);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::rename(finished, &path)
            .with_context(|| format!("cannot move the product to {}", path.display()))?;
        Ok(path)
    }

    /// Makes a product the one that kiln uses.
    pub(crate) fn select(&self, key: &str) -> Result<()> {
        let new = self.directory.join(".current");
        let _ = fs::remove_file(&new);
        symlink(key, &new)?;
        fs::rename(&new, self.directory.join("current"))?;
        Ok(())
    }
}

/// `$XDG_CACHE_HOME/kiln`, else `~/.cache/kiln`.
pub(crate) fn directory() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => match std::env::home_dir() {
            Some(home) => home.join(".cache"),
            None => bail!("there is no home directory; set XDG_CACHE_HOME"),
        },
    };
    Ok(base.join("kiln"))
}

/// Collects the inputs of a product into its key.
pub(crate) struct Key(Sha256);

impl Key {
    pub(crate) fn new() -> Key {
        Key(Sha256::new())
    }

    /// Adds an input under a name, so that no two sets of inputs run together.
    pub(crate) fn add(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Key {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds every file of a tree with its relative path, in a fixed order.
    pub(crate) fn add_tree(&mut self, tree: &Path) -> Result<&mut Key> {
        let mut files = Vec::new();
        list(tree, &mut files)?;
        files.sort();
        for path in files {
            let name = path.strip_prefix(tree)?.to_string_lossy().into_owned();
            if path.is_symlink() {
                self.add(&name, fs::read_link(&path)?.as_os_str().as_encoded_bytes());
            } else {
                self.add(&name, digest(&path)?);
            }
        }
        Ok(self)
    }

    /// The key: the first 16 hexadecimal digits are plenty for a directory of a few dozen.
    pub(crate) fn finish(&mut self) -> String {
        hex(&self.0.finalize_reset())[..16].to_owned()
    }
}

/// SHA-256 of a file in hexadecimal digits.
pub(crate) fn digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if entry.file_name() != ".git" {
                list(&entry.path(), files)?;
            }
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_the_standard_s_example() {
        // FIPS 180-4's one-block example: SHA-256 of "abc".
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        assert_eq!(
            digest(file.path()).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_key_tells_its_inputs_apart() {
        let one = Key::new().add("a", "bc").finish();
        let other = Key::new().add("ab", "c").finish();
        assert_ne!(one, other);
        assert_eq!(one, Key::new().add("a", "bc").finish());
    }

    #[test]
    fn a_tree_s_key_sees_names_and_contents_and_not_the_place() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for tree in [&one, &other] {
            fs::create_dir(tree.path().join("src")).unwrap();
            fs::write(tree.path().join("src/lib.rs"), "x").unwrap();
        }
        let key = |tree: &Path| Key::new().add_tree(tree).unwrap().finish();
        assert_eq!(key(one.path()), key(other.path()));
        fs::write(other.path().join("src/lib.rs"), "y").unwrap();
        assert_ne!(key(one.path()), key(other.path()));
    }
}
