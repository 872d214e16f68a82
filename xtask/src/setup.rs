//! The packages that the build and the tests need.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::busybox;
use crate::run::{announce, find, line, output, run};

/// What a set of packages is for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Building the guest's kernel.
    Kernel,
    /// Building the guest's agent, and typechecking for macOS.
    Rust,
    /// Peers and tools of the tests and benchmarks.
    Test,
}

impl Purpose {
    fn packages(self) -> &'static [&'static str] {
        match self {
            Purpose::Kernel => &[
                "bc",
                "bison",
                "flex",
                "gcc",
                "gcc-aarch64-linux-gnu",
                "libc6-dev",
                "linux-source-6.12",
                "make",
                "perl",
                "xz-utils",
            ],
            Purpose::Rust => &[
                "gcc-aarch64-linux-gnu",
                "libc6-dev-arm64-cross",
                "libstd-rust-web-dev:arm64",
                "rust-web-src",
                "rustc-web",
            ],
            Purpose::Test => &[
                "apache2-utils",
                "buildah",
                "debian-archive-keyring",
                "docker-registry",
                "erofs-utils",
                "gcc",
                "gcc-aarch64-linux-gnu",
                "mmdebstrap",
                "openssl",
                "python3",
                "qemu-system-arm",
                "qemu-user-static",
                "skopeo",
                "umoci",
            ],
        }
    }
}

/// `cargo xtask setup`.
pub(crate) fn everything() -> Result<()> {
    ensure(&[Purpose::Kernel, Purpose::Rust, Purpose::Test])?;
    busybox::program()?;
    println!("everything that kiln needs is installed");
    Ok(())
}

/// Sees to it that the packages are there: installs what is missing if we are root, else says what
/// to run.
pub(crate) fn ensure(purposes: &[Purpose]) -> Result<()> {
    if cfg!(target_os = "macos") {
        return on_macos();
    }
    if find("dpkg-query").is_none() || find("apt-get").is_none() {
        return without_apt(purposes);
    }
    let mut missing: Vec<&str> = purposes
        .iter()
        .flat_map(|purpose| purpose.packages())
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let foreign = missing.iter().any(|package| package.ends_with(":arm64")) && !knows_arm64()?;
    if !rustix::process::geteuid().is_root() {
        let architecture = if foreign { "sudo dpkg --add-architecture arm64; " } else { "" };
        bail!(
            "{} packages are missing; run: {architecture}sudo apt-get update && sudo apt-get \
             install -y --no-install-recommends {}",
            missing.len(),
            missing.join(" ")
        );
    }
    announce(&format!("installing {}", missing.join(" ")));
    if foreign {
        run(Command::new("dpkg").args(["--add-architecture", "arm64"]))?;
    }
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(missing);
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    run(&mut command)
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Status}\n", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).lines().any(|status| status == "installed")
        })
}

/// Whether apt knows arm64 packages: it is told so, or this is an arm64 machine.
fn knows_arm64() -> Result<bool> {
    let foreign = output(Command::new("dpkg").arg("--print-foreign-architectures"))?;
    let native = output(Command::new("dpkg").arg("--print-architecture"))?;
    Ok(foreign.lines().chain(native.lines()).any(|architecture| architecture == "arm64"))
}

/// Sees to it that arm64 packages can be downloaded.
pub(crate) fn ensure_arm64_packages() -> Result<()> {
    if knows_arm64()? {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("run: sudo dpkg --add-architecture arm64; sudo apt-get update");
    }
    run(Command::new("dpkg").args(["--add-architecture", "arm64"]))?;
    apt(&["update", "-qq"])
}

fn on_macos() -> Result<()> {
    let sdk = Command::new("xcrun").args(["--show-sdk-version"]).output();
    if !sdk.is_ok_and(|output| output.status.success()) {
        bail!(
            "the macOS SDK is missing; run: {}",
            line(Command::new("xcode-select").arg("--install"))
        );
    }
    Ok(())
}

fn without_apt(purposes: &[Purpose]) -> Result<()> {
    let mut names: Vec<&str> =
        purposes.iter().flat_map(|purpose| purpose.packages()).copied().collect();
    names.sort_unstable();
    names.dedup();
    println!(
        "this is not Debian, so nothing was installed; what Debian calls {} must be there",
        names.join(", ")
    );
    Ok(())
}
