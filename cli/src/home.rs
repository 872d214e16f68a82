//! Where kiln keeps its things.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// kiln's home directory: `KILN_HOME`, else `kiln` in the platform's data directory. Only its owner may enter it.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Finds the home directory and makes it if it does not exist.
    ///
    /// # Errors
    /// When there is no home directory, it belongs to somebody else, or cannot be made.
    pub fn open() -> anyhow::Result<Self> {
        let root = match std::env::var_os("KILN_HOME") {
            Some(root) if !root.is_empty() => std::path::absolute(root)?,
            _ => directories::ProjectDirs::from("", "", "kiln")
                .context("no home directory is known; set KILN_HOME")?
                .data_dir()
                .to_path_buf(),
        };
        Self::at(root)
    }

    /// Uses this directory and makes it if it does not exist.
    ///
    /// # Errors
    /// When it belongs to somebody else or cannot be made.
    pub fn at(root: PathBuf) -> anyhow::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).with_context(|| {
            format!("cannot create {}; set KILN_HOME to a directory of yours", root.display())
        })?;
        let owner = fs::metadata(&root)?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            bail!(
                "{} belongs to user {owner}; set KILN_HOME to a directory of yours",
                root.display()
            );
        }
        Ok(Self { root })
    }

    /// The home that the directory of a machine is in.
    pub(crate) fn of_machine(directory: &Path) -> anyhow::Result<Self> {
        let root = directory.ancestors().nth(2).context("a machine's directory is in a home")?;
        Self::at(root.to_path_buf())
    }

    /// The directory itself; the image store lives in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// One directory a machine, running or ended.
    pub fn machines(&self) -> PathBuf {
        self.root.join("machines")
    }

    /// One directory a snapshot.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }
}
