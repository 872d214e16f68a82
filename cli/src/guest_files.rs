//! The guest's kernel and initramfs on this host.

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::Home;

/// The guest kernel's `Image`: `guest/Image` of the home, else the one in the user's cache.
pub(crate) fn kernel(home: &Home) -> anyhow::Result<PathBuf> {
    find(
        home,
        "Image",
        "guest-kernel/current/Image",
        "the guest's kernel",
        "cargo xtask guest-kernel",
    )
}

/// The initramfs with the agent: `guest/initramfs.cpio` of the home, else the one in the user's cache.
pub(crate) fn initramfs(home: &Home) -> anyhow::Result<PathBuf> {
    find(
        home,
        "initramfs.cpio",
        "guest-agent/current/initramfs.cpio",
        "the guest's agent",
        "cargo xtask guest-agent",
    )
}

fn find(home: &Home, own: &str, cached: &str, what: &str, remedy: &str) -> anyhow::Result<PathBuf> {
    let own = home.root().join("guest").join(own);
    if own.exists() {
        return Ok(own);
    }
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => {
            std::env::home_dir().context("no home directory is known; set HOME")?.join(".cache")
        }
    };
    let cached = cache.join("kiln").join(cached);
    if !cached.exists() {
        bail!(
            "{what} is neither at {} nor at {}; build it with `{remedy}`",
            own.display(),
            cached.display()
        );
    }
    // The link may move on to a newer one while a machine still names this one.
    Ok(cached.canonicalize()?)
}
