//! `cargo xtask guest-kernel`: Linux for the guest, from source, the same bytes everywhere.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cache::{self, Cache, Key};
use crate::run::{announce, find, line, output, root, run, run_quietly};
use crate::setup::{self, Purpose};

/// Where Debian's package `linux-source-6.12` puts its tarball.
const DEBIAN_SOURCE: &str = "/usr/src/linux-source-6.12.tar.xz";
/// What is used where Debian is absent, and its SHA-256.
const RELEASE_URL: &str = "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.12.tar.xz";
const RELEASE_SHA256: &str = "b1a2562be56e42afb3f8489d4c2a7ac472ac23098f1ef1c1e40da601f54625eb";

/// Raised when the way of building changes without a change of the inputs.
const RECIPE: &str = "2";
const PREFIX: &str = "aarch64-linux-gnu-";

/// Builds the kernel, or finds it in the cache, makes it the current one and returns its path.
pub(crate) fn build(source: Option<&Path>, rebuild: bool) -> Result<PathBuf> {
    if cfg!(target_os = "macos") {
        return on_macos();
    }
    if source.is_none() || find("aarch64-linux-gnu-gcc").is_none() {
        setup::ensure(&[Purpose::Kernel])?;
    }
    let source = Source::find(source)?;
    let fragment = fs::read_to_string(root().join("guest/kernel.fragment"))?;
    let cache = Cache::open("guest-kernel")?;
    let key = key(&source, &fragment)?;
    let directory = match cache.get(&key) {
        Some(directory) if !rebuild => directory,
        earlier => {
            let workshop = cache.workshop()?;
            let product = compile(&source, &fragment, workshop.path())?;
            if let Some(earlier) = earlier {
                let (old, new) = (earlier.join("Image"), product.join("Image"));
                if fs::read(&old)? != fs::read(&new)? {
                    bail!("{} is not what the same inputs gave now", old.display());
                }
                println!("the same bytes as before");
            }
            cache.put(&key, &product)?
        }
    };
    cache.select(&key)?;
    let image = directory.join("Image");
    println!("guest kernel {key}: {} bytes, {}", fs::metadata(&image)?.len(), image.display());
    Ok(image)
}

/// Where the kernel's source comes from.
enum Source {
    Tarball(PathBuf),
    Tree(PathBuf),
}

impl Source {
    fn find(asked: Option<&Path>) -> Result<Source> {
        match asked {
            Some(path) if path.join("Kconfig").is_file() => Ok(Source::Tree(path.to_owned())),
            Some(path) if path.is_file() => Ok(Source::Tarball(path.to_owned())),
            Some(path) => bail!(
                "{} is neither a kernel tree nor a tarball of one; give --source one of these",
                path.display()
            ),
            None if Path::new(DEBIAN_SOURCE).is_file() => Ok(Source::Tarball(DEBIAN_SOURCE.into())),
            None => release().map(Source::Tarball),
        }
    }

    fn unpack(&self, into: &Path) -> Result<()> {
        fs::create_dir(into)?;
        let mut command = match self {
            Source::Tarball(path) => {
                let mut command = Command::new("tar");
                command.arg("-xf").arg(path).args(["--strip-components=1", "-C"]).arg(into);
                command
            }
            Source::Tree(path) => {
                let mut command = Command::new("cp");
                command.args(["-a", "--"]).arg(path.join(".")).arg(into);
                command
            }
        };
        run(&mut command)
    }
}

/// The pinned release, downloaded once.
fn release() -> Result<PathBuf> {
    let directory = cache::directory()?.join("download");
    fs::create_dir_all(&directory)?;
    let path = directory.join("linux-6.12.tar.xz");
    if !path.is_file() {
        announce(&format!("downloading {RELEASE_URL}"));
        let partial = directory.join("linux-6.12.tar.xz.partial");
        run(Command::new("curl")
            .args(["-fL", "--retry", "3", "-C", "-", "-o"])
            .arg(&partial)
            .arg(RELEASE_URL))
        .context("the kernel's source is neither installed nor downloadable; give --source")?;
        let digest = cache::digest(&partial)?;
        if digest != RELEASE_SHA256 {
            fs::remove_file(&partial)?;
            bail!(
                "{RELEASE_URL} has SHA-256 {digest} instead of {RELEASE_SHA256}; it was thrown away"
            );
        }
        fs::rename(&partial, &path)?;
    }
    Ok(path)
}

fn key(source: &Source, fragment: &str) -> Result<String> {
    let mut key = Key::new();
    key.add("recipe", RECIPE).add("fragment", fragment);
    for tool in ["gcc", "ld"] {
        let version = output(Command::new(format!("{PREFIX}{tool}")).arg("--version"))?;
        key.add(tool, version);
    }
    match source {
        Source::Tarball(path) => key.add("source", cache::digest(path)?),
        Source::Tree(path) => key.add_tree(path)?,
    };
    Ok(key.finish())
}

/// Builds in `workshop` and returns the directory with `Image` and `config`.
fn compile(source: &Source, fragment: &str, workshop: &Path) -> Result<PathBuf> {
    announce("unpacking the kernel's source");
    let tree = workshop.join("linux");
    source.unpack(&tree)?;
    // Without libelf or a tool that this configuration does not need, the kernel's makefiles talk of errors that are none.
    run_quietly(make(&tree).arg("mrproper"))?;

    announce("configuring");
    run_quietly(make(&tree).arg("tinyconfig"))?;
    let path = tree.join(".config");
    let wanted = settings(fragment);
    let tiny = fs::read_to_string(&path)?;
    let mut merged: String = tiny
        .lines()
        .filter(|line| {
            setting(line).is_none_or(|(name, _)| !wanted.iter().any(|(n, _)| *n == name))
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    merged.push_str(fragment);
    fs::write(&path, merged)?;
    run_quietly(make(&tree).arg("olddefconfig"))?;
    check_config(&fs::read_to_string(&path)?, &wanted)?;

    announce("compiling (some minutes)");
    let jobs = std::thread::available_parallelism()?;
    let log = workshop.join("log");
    follow(make(&tree).arg(format!("-j{jobs}")).arg("Image"), &log)?;

    let product = workshop.join("product");
    fs::create_dir(&product)?;
    fs::copy(tree.join("arch/arm64/boot/Image"), product.join("Image"))?;
    fs::copy(&path, product.join("config"))?;
    Ok(product)
}

/// `make` in the kernel's tree with everything that could leak the place or time of the build fixed
/// (Documentation/kbuild/reproducible-builds.rst).
fn make(tree: &Path) -> Command {
    let mut command = Command::new("make");
    command
        .current_dir(tree)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"))
        .envs([
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970"),
            ("KBUILD_BUILD_USER", "kiln"),
            ("KBUILD_BUILD_HOST", "kiln"),
            ("KBUILD_BUILD_VERSION", "1"),
            // Set, it keeps the state of a tree's version control out of the kernel's name.
            ("LOCALVERSION", ""),
        ])
        .args(["ARCH=arm64", &format!("CROSS_COMPILE={PREFIX}")]);
    let map = format!("-ffile-prefix-map={0}=. -fdebug-prefix-map={0}=.", tree.display());
    command.arg(format!("KCFLAGS={map}")).arg(format!("KAFLAGS={map}"));
    command
}

/// Runs a build, keeps its output in a log and shows how far it is.
fn follow(command: &mut Command, log: &Path) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(File::create(log)?)
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    let stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let terminal = std::io::stdout().is_terminal();
    let interval = Duration::from_secs(if terminal { 1 } else { 30 });
    let begin = Instant::now();
    let mut shown = begin;
    let mut steps = 0;
    for step in stdout.lines() {
        let step = step?;
        steps += 1;
        if shown.elapsed() >= interval {
            shown = Instant::now();
            let (start, end) = if terminal { ("\r\x1b[K", "") } else { ("", "\n") };
            print!(
                "{start}    {steps} steps, {} s: {}{end}",
                begin.elapsed().as_secs(),
                step.trim()
            );
            std::io::stdout().flush()?;
        }
    }
    if terminal {
        println!("\r\x1b[K    {steps} steps, {} s", begin.elapsed().as_secs());
    }
    let status = child.wait()?;
    if !status.success() {
        let text = fs::read_to_string(log)?;
        let tail: Vec<&str> = text.lines().rev().take(30).collect();
        for line in tail.into_iter().rev() {
            eprintln!("{line}");
        }
        bail!("the kernel's build failed with {status}; its last errors are above");
    }
    Ok(())
}

/// The names and values that a configuration sets; `n` for what it switches off.
fn settings(config: &str) -> Vec<(&str, &str)> {
    config.lines().filter_map(setting).collect()
}

fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if let Some(name) = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set")) {
        return Some((name, "n"));
    }
    line.split_once('=').filter(|(name, _)| name.starts_with("CONFIG_"))
}

/// Every line of the fragment must have survived the kernel's dependency rules.
fn check_config(config: &str, wanted: &[(&str, &str)]) -> Result<()> {
    let have = settings(config);
    for (name, value) in wanted {
        let now = have.iter().find(|(n, _)| n == name).map_or("n", |(_, value)| value);
        if now != *value {
            bail!(
                "the kernel turned {name}={value} of guest/kernel.fragment into {now}; see what it depends on"
            );
        }
    }
    Ok(())
}

/// On macOS the same recipe runs inside a container engine.
fn on_macos() -> Result<PathBuf> {
    let Some(engine) = ["docker", "podman"].into_iter().find(|engine| find(engine).is_some())
    else {
        bail!(
            "building Linux needs Linux: install a container engine (docker or podman), or copy guest-kernel/current from the cache of a Linux machine"
        );
    };
    let cache = cache::directory()?;
    fs::create_dir_all(&cache)?;
    let mount = |from: &Path, to: &str| format!("{}:{to}", from.display());
    run(Command::new(engine)
        .args(["run", "--rm", "-e", "XDG_CACHE_HOME=/cache", "-v"])
        .arg(mount(root(), "/src:ro"))
        .arg("-v")
        .arg(mount(&cache, "/cache/kiln"))
        .args(["-e", "CARGO_TARGET_DIR=/tmp/target", "-w", "/src", "rust:1-bookworm", "sh", "-c"])
        .arg("apt-get update -qq && cargo run --package xtask -- guest-kernel"))?;
    Ok(cache.join("guest-kernel/current/Image"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_in_both_spellings() {
        let config = "# a comment\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x=y\"\n";
        assert_eq!(
            settings(config),
            [("CONFIG_A", "y"), ("CONFIG_B", "n"), ("CONFIG_C", "\"x=y\"")]
        );
    }

    #[test]
    fn a_dropped_line_is_named() {
        let wanted = [("CONFIG_A", "y"), ("CONFIG_GONE", "n")];
        check_config("CONFIG_A=y\n", &wanted).unwrap();
        let error = check_config("# CONFIG_A is not set\n", &wanted).unwrap_err();
        assert!(error.to_string().contains("CONFIG_A=y"), "{error}");
    }
}
