//! `cargo xtask check-macos`: the code that only a Mac compiles, typechecked anywhere.

use anyhow::{Result, bail};

use crate::run::{announce, cargo, root, run};
use crate::setup::{self, Purpose};

/// The program, and with it every crate that has an Apple side.
const PACKAGES: &[&str] = &["kiln"];

/// Typechecks for arm64 macOS. On another host the standard library is typechecked from its source,
/// which needs Debian's compiler and its source package.
pub(crate) fn check() -> Result<()> {
    announce(&format!("typechecking {} for macOS", PACKAGES.join(", ")));
    let mut command = cargo();
    command.args(["check", "--quiet"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    if !cfg!(target_os = "macos") {
        setup::ensure(&[Purpose::Rust])?;
        if !std::path::Path::new("/usr/bin/rustc").is_file() {
            bail!("this check needs Debian's rustc-web and rust-web-src");
        }
        command
            .args(["-Zbuild-std=std,panic_abort", "--target", "aarch64-apple-darwin"])
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1")
            // C code of dependencies is neither compiled nor needed to check types.
            .env("CC_aarch64_apple_darwin", "true")
            .env("AR_aarch64_apple_darwin", "true")
            .env("CARGO_TARGET_DIR", root().join("target/macos"));
    }
    run(&mut command)?;
    println!("{} typechecks for aarch64-apple-darwin", PACKAGES.join(" and "));
    Ok(())
}
