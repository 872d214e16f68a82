//! Images of real programs, for the tests of `kiln run`.
//!
//! They are made of Debian's arm64 packages, installed by apt and dpkg as on any Debian machine, and put
//! into an OCI layout by umoci: a base that all share, and a layer and a configuration for each program,
//! the latter like that of Docker's official image. apt and dpkg are the host's own; only the packages'
//! maintainer scripts run as arm64 programs, in QEMU.

mod apt;
mod binfmt;
mod layout;
mod recipes;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::cache::{Cache, Key};
use crate::run::{announce, line};
use crate::setup::{self, Purpose};
use apt::Apt;
use layout::Layout;
use recipes::{BASE, PROGRAMS, Recipe};

/// Makes the images unless they are there, and makes them the current ones:
/// `test-images/current/layout` in the cache, each image under its own tag.
pub(crate) fn build() -> Result<()> {
    let cache = Cache::open("test-images")?;
    let key = Key::new()
        .add("recipes", include_str!("recipes.rs"))
        .add("apt", include_str!("apt.rs"))
        .add("layout", include_str!("layout.rs"))
        .finish();
    if cache.get(&key).is_none() {
        setup::ensure(&[Purpose::Test])?;
        if !rustix::process::geteuid().is_root() {
            bail!(
                "the test images are made in a chroot; run `cargo xtask test-images` as root once"
            );
        }
        binfmt::ensure_arm64()?;
        let workshop = cache.workshop()?;
        let product = workshop.path().join("product");
        make(workshop.path(), &product)?;
        cache.put(&key, &product)?;
    }
    cache.select(&key)
}

fn make(workshop: &Path, product: &Path) -> Result<()> {
    fs::create_dir(product)?;
    let apt = Apt::new(workshop)?;
    announce("test image debian, the base of the others");
    let layout = Layout::new(&product.join("layout"), BASE.tag)?;
    let bundle = workshop.join(BASE.tag);
    let root = layout.unpack(&bundle)?;
    apt.bootstrap(&root, BASE.packages)?;
    // What dpkg installed, told by the host's dpkg: a test compares the guest's answers with it.
    let packages = quietly(
        Command::new("dpkg-query")
            .arg(format!("--admindir={}", root.join("var/lib/dpkg").display()))
            .args(["--show", "--showformat", "${Package} ${Version} ${Architecture}\n"]),
    )?;
    fs::write(product.join("debian.packages"), packages)?;
    layout.pack(&bundle, BASE.tag, BASE.config)?;

    let queue = Mutex::new(PROGRAMS.iter());
    let next = || queue.lock().expect("nothing panics under it").next();
    let work = || {
        while let Some(recipe) = next() {
            announce(&format!("test image {}", recipe.tag));
            program(recipe, &layout, &apt, &workshop.join(recipe.tag))
                .with_context(|| format!("cannot make the test image {}", recipe.tag))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from).min(PROGRAMS.len());
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("workers do not panic"))
    })
}

/// Makes one image on top of the base, in a directory of its own.
fn program(recipe: &Recipe, layout: &Layout, apt: &Apt, bundle: &Path) -> Result<()> {
    let root = layout.unpack(bundle)?;
    for (path, content) in recipe.files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a path in the image"))?;
        fs::write(path, content)?;
    }
    apt.install(&root, recipe.packages)?;
    quietly(with_mounts(&root).arg("chroot").arg(&root).args(["sh", "-euc", recipe.script]))?;
    layout.pack(bundle, recipe.tag, recipe.config)?;
    Ok(fs::remove_dir_all(bundle)?)
}

/// The beginning of a command that finds the root's /proc and /dev mounted. The mounts end with it.
fn with_mounts(root: &Path) -> Command {
    let mount = "mount -t proc proc \"$0/proc\"; mount --rbind /dev \"$0/dev\"; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", mount]).arg(root);
    command
}

/// Runs a command that has much to say, which is of interest if it fails only.
fn quietly(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {line}"))?;
    if !output.status.success() {
        bail!(
            "{line} failed with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
