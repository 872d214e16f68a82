//! `cargo xtask guest-agent`: PID 1 of the guest as a static arm64 Linux program, and the initramfs
//! that holds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::cache::{Cache, Key};
use crate::cpio::Archive;
use crate::run::{announce, cargo, find, output, root, run};
use crate::setup::{self, Purpose};

/// The agent's size is part of every machine's memory.
const LARGEST: u64 = 1_500_000;

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const LINKER: &str = "aarch64-linux-gnu-gcc";

/// Builds agent and initramfs, or finds them in the cache, makes them current and returns the path
/// of the initramfs.
pub(crate) fn build() -> Result<PathBuf> {
    let compiler = Compiler::find()?;
    let cache = Cache::open("guest-agent")?;
    let key = key(&compiler)?;
    let directory = match cache.get(&key) {
        Some(directory) => directory,
        None => {
            let workshop = cache.workshop()?;
            let product = workshop.path().join("product");
            fs::create_dir(&product)?;
            let agent = compiler.compile()?;
            fs::write(product.join("initramfs.cpio"), initramfs(&fs::read(&agent)?))?;
            fs::copy(&agent, product.join("agent"))?;
            cache.put(&key, &product)?
        }
    };
    cache.select(&key)?;
    let size = fs::metadata(directory.join("agent"))?.len();
    if size > LARGEST {
        bail!("the guest agent has {size} bytes, more than the {LARGEST} it may have");
    }
    let path = directory.join("initramfs.cpio");
    println!("guest agent {key}: {size} bytes, {}", path.display());
    Ok(path)
}

/// A compiler with a standard library for arm64 Linux.
struct Compiler {
    rustc: PathBuf,
    target: &'static str,
}

impl Compiler {
    fn find() -> Result<Compiler> {
        if let Some(compiler) = Compiler::installed() {
            return Ok(compiler);
        }
        setup::ensure(&[Purpose::Rust])?;
        if let Some(compiler) = Compiler::installed() {
            return Ok(compiler);
        }
        bail!(
            "no Rust standard library for arm64 Linux was found; run: rustup target add \
             aarch64-unknown-linux-musl"
        );
    }

    fn installed() -> Option<Compiler> {
        let own = std::env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
        let musl = ("aarch64-unknown-linux-musl", true);
        let gnu = ("aarch64-unknown-linux-gnu", find(LINKER).is_some() && has_libc());
        [own, PathBuf::from(DEBIAN_RUSTC)].into_iter().find_map(|rustc| {
            [musl, gnu]
                .into_iter()
                .find(|&(target, linkable)| linkable && has_library(&rustc, target))
                .map(|(target, _)| Compiler { rustc: rustc.clone(), target })
        })
    }

    fn flags(&self) -> Vec<String> {
        let mut flags = vec![
            "-Ctarget-feature=+crt-static".to_owned(),
            "-Crelocation-model=static".to_owned(),
            format!("--remap-path-prefix={}=.", root().display()),
        ];
        if let Some(home) = std::env::home_dir() {
            flags.push(format!("--remap-path-prefix={}=~", home.display()));
        }
        if find(LINKER).is_some() {
            flags.push(format!("-Clinker={LINKER}"));
            // The guest's kernel has pages of 4 KiB: no need to pad for larger ones.
            flags.push("-Clink-arg=-Wl,-z,max-page-size=4096".to_owned());
        } else {
            flags.extend(["-Clinker=rust-lld".to_owned(), "-Clink-self-contained=yes".to_owned()]);
        }
        flags
    }

    fn compile(&self) -> Result<PathBuf> {
        announce(&format!("compiling the guest agent for {}", self.target));
        let directory = root().join("target/guest");
        run(cargo()
            .args([
                "build",
                "--quiet",
                "--package",
                "agent",
                "--bin",
                "agent",
                "--profile",
                "guest",
            ])
            .args(["--target", self.target])
            .env("CARGO_TARGET_DIR", &directory)
            .env("RUSTC", &self.rustc)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags().join("\x1f")))?;
        Ok(directory.join(self.target).join("guest/agent"))
    }
}

/// Whether there is a static C library to link with.
fn has_libc() -> bool {
    output(Command::new(LINKER).arg("-print-file-name=libc.a"))
        .is_ok_and(|path| Path::new(path.trim()).is_absolute())
}

fn has_library(rustc: &Path, target: &str) -> bool {
    output(Command::new(rustc).args(["--print", "target-libdir", "--target", target])).is_ok_and(
        |path| fs::read_dir(path.trim()).is_ok_and(|mut entries| entries.next().is_some()),
    )
}

fn key(compiler: &Compiler) -> Result<String> {
    let mut key = Key::new();
    key.add("compiler", output(Command::new(&compiler.rustc).arg("-vV"))?)
        .add("target", compiler.target)
        .add("manifest", fs::read(root().join("agent/Cargo.toml"))?)
        .add("workspace", fs::read(root().join("Cargo.toml"))?)
        .add("lock", fs::read(root().join("Cargo.lock"))?)
        .add("recipe", include_str!("guest_agent.rs"))
        .add("archive", include_str!("cpio.rs"))
        .add_tree(&root().join("agent/src"))?;
    Ok(key.finish())
}

/// The agent as `/init`, and the one device that the kernel opens before it runs.
fn initramfs(agent: &[u8]) -> Vec<u8> {
    Archive::new()
        .directory("dev", 0o755)
        .character_device("dev/console", 0o600, (5, 1))
        .directory("proc", 0o555)
        .directory("sys", 0o555)
        .directory("run", 0o755)
        .file("init", 0o755, agent)
        .finish()
}
