//! Conversion of an image: kiln from an OCI layout to layer files, against `umoci unpack`, and
//! against `umoci unpack` followed by `mkfs.erofs` on its tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::{kiln, pairs};
use crate::cache;
use crate::run::{announce, measured, run as complete};
use crate::setup::{self, Purpose};

/// Debian's packages for arm64, unpacked without their scripts: some 150 MB. The image's tests use
/// the same tar.
const PACKAGES: &str = "nginx-light,python3-minimal,redis-server,perl-base,libc6,bash";

/// The most of umoci's time that is promised. (The aim is a third.)
const LIMIT: f64 = 1.0;

pub(super) fn run(count: usize) -> Result<()> {
    setup::ensure(&[Purpose::Test])?;
    if !rustix::process::geteuid().is_root() {
        bail!("umoci unpack makes files of any owner: run this as root");
    }
    let place = tempfile::tempdir()?;
    let image = layout(place.path(), &tar()?)?;
    let kiln = kiln()?;
    let bundle = place.path().join("bundle");
    let ours = || {
        let home = tempfile::tempdir_in(place.path())?;
        let mut command = measured(&kiln);
        command.env("KILN_HOME", home.path()).args(["pull", "--quiet"]);
        command.arg(format!("oci-layout:{image}")).stdout(std::process::Stdio::null());
        timed(|| complete(&mut command))
    };
    let unpack = || complete(measured("umoci").args(["unpack", "--image", &image]).arg(&bundle));
    let clear = || -> Result<()> { Ok(fs::remove_dir_all(&bundle)?) };
    let ratio = pairs("image against umoci unpack", count, ours, || {
        let time = timed(unpack)?;
        clear()?;
        Ok(time)
    })?;
    pairs("image against umoci unpack and mkfs.erofs", count, ours, || {
        let time = timed(|| {
            unpack()?;
            let mut mkfs = measured("mkfs.erofs");
            mkfs.arg("--quiet").arg(place.path().join("image.erofs")).arg(bundle.join("rootfs"));
            complete(&mut mkfs)
        })?;
        clear()?;
        Ok(time)
    })?;
    ensure!(
        ratio <= LIMIT,
        "it takes {ratio:.2} times as long as umoci unpack; the limit is {LIMIT}"
    );
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// The packages as one tar, made once.
fn tar() -> Result<PathBuf> {
    let directory = cache::directory()?.join("test-images");
    fs::create_dir_all(&directory)?;
    let tar = directory.join(format!("bookworm-{PACKAGES}.tar"));
    if !tar.exists() {
        announce("unpacking Debian packages");
        let new = tempfile::Builder::new().suffix(".tar").tempfile_in(&directory)?;
        let include = format!("--include={PACKAGES}");
        let arguments = ["--architectures=arm64", "--variant=extract", &include, "bookworm"];
        complete(Command::new("mmdebstrap").args(arguments).arg(new.path()))?;
        new.persist(&tar)?;
    }
    Ok(tar)
}

/// An OCI layout of one gzip layer, as umoci names it.
fn layout(place: &Path, tar: &Path) -> Result<String> {
    let layout = place.join("layout").display().to_string();
    let image = format!("{layout}:t");
    complete(Command::new("umoci").args(["init", "--layout", &layout]))?;
    complete(Command::new("umoci").args(["new", "--image", &image]))?;
    complete(Command::new("umoci").args(["config", "--image", &image, "--architecture", "arm64"]))?;
    complete(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(tar))?;
    Ok(image)
}
