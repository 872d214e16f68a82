//! An OCI layout that umoci makes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::Result;

use super::quietly;

/// A layout whose images all begin with one base.
pub(super) struct Layout {
    path: PathBuf,
    base: &'static str,
    /// umoci rewrites the layout's index without a lock of its own.
    turn: Mutex<()>,
}

impl Layout {
    /// Makes a layout with an empty base.
    pub(super) fn new(path: &Path, base: &'static str) -> Result<Layout> {
        quietly(Command::new("umoci").args(["init", "--layout"]).arg(path))?;
        let layout = Layout { path: path.into(), base, turn: Mutex::new(()) };
        layout.umoci::<&str>("new", base, &[])?;
        layout.umoci("config", base, &["--architecture", "arm64", "--os", "linux"])?;
        Ok(layout)
    }

    /// Unpacks the base as it is now, and returns the path of the root.
    pub(super) fn unpack(&self, bundle: &Path) -> Result<PathBuf> {
        self.umoci("unpack", self.base, &[bundle])?;
        Ok(bundle.join("rootfs"))
    }

    /// Makes a layer of what changed since the bundle was unpacked, and an image of the base and that
    /// layer, with this configuration.
    pub(super) fn pack(&self, bundle: &Path, tag: &str, config: &[&str]) -> Result<()> {
        if tag != self.base {
            self.umoci("tag", self.base, &[tag])?;
        }
        self.umoci("repack", tag, &[bundle])?;
        self.umoci("config", tag, config)
    }

    fn umoci<A: AsRef<OsStr>>(&self, verb: &str, tag: &str, arguments: &[A]) -> Result<()> {
        let image = format!("{}:{tag}", self.path.display());
        let _turn = self.turn.lock().expect("nothing panics under it");
        quietly(Command::new("umoci").args([verb, "--image", &image]).args(arguments)).map(drop)
    }
}
