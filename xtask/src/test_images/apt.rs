//! apt and dpkg of the host, working on another root of another architecture.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{quietly, with_mounts};

const SUITES: &str = "\
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
";

/// Debian's package lists. What else apt keeps lies beside each root.
pub(super) struct Apt {
    lists: PathBuf,
    sources: PathBuf,
}

impl Apt {
    /// Fetches the package lists into the workshop.
    pub(super) fn new(workshop: &Path) -> Result<Apt> {
        let apt = Apt { lists: workshop.join("lists"), sources: workshop.join("sources.list") };
        fs::create_dir_all(apt.lists.join("partial"))?;
        let signed = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ";
        fs::write(&apt.sources, SUITES.replace("deb ", signed))?;
        let empty = workshop.join("empty/rootfs");
        skeleton(&empty)?;
        apt.get(&empty, &["update"])?;
        Ok(apt)
    }

    /// Makes a Debian of the essential packages and some more.
    pub(super) fn bootstrap(&self, root: &Path, packages: &[&str]) -> Result<()> {
        skeleton(root)?;
        fs::write(root.join("etc/apt/sources.list"), SUITES)?;
        // No service is started while packages are installed.
        let policy = root.join("usr/sbin/policy-rc.d");
        fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(policy, Permissions::from_mode(0o755))?;
        let install = [&["install", "?essential"], packages].concat();
        // Maintainer scripts use what is essential before it is configured: unpack it all first.
        self.get(root, &[&["--download-only"], &install[..]].concat())?;
        for archive in fs::read_dir(cache(root).join("archives"))? {
            let archive = archive?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                quietly(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(root))?;
            }
        }
        for table in ["passwd", "group"] {
            let master = root.join(format!("usr/share/base-passwd/{table}.master"));
            fs::copy(master, root.join("etc").join(table))?;
        }
        self.get(root, &install)
    }

    /// Installs packages and what they depend on.
    pub(super) fn install(&self, root: &Path, packages: &[&str]) -> Result<()> {
        if packages.is_empty() {
            return Ok(());
        }
        self.get(root, &[&["install"], packages].concat())
    }

    fn get(&self, root: &Path, arguments: &[&str]) -> Result<()> {
        fs::create_dir_all(cache(root).join("archives/partial"))?;
        let config = cache(root).join("apt.conf");
        fs::write(&config, self.config(root)?)?;
        quietly(
            with_mounts(root)
                .args(["apt-get", "--yes", "-qq"])
                .args(arguments)
                .env("APT_CONFIG", config)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
        .map(drop)
    }

    fn config(&self, root: &Path) -> Result<String> {
        // How the host reaches the network, e.g. through a proxy.
        let mut config = quietly(Command::new("apt-config").args(["dump", "Acquire"]))?;
        let (cache, root) = (cache(root), root.display());
        let (cache, lists, sources) =
            (cache.display(), self.lists.display(), self.sources.display());
        config.push_str(&format!(
            r#"
            Acquire::Retries "3";
            Dir "{root}";
            Dir::State::status "{root}/var/lib/dpkg/status";
            Dir::State::Lists "{lists}";
            Dir::Cache "{cache}";
            Dir::Etc::SourceList "{sources}";
            Dir::Log "/dev/null";
            APT::Architecture "arm64";
            APT::Architectures {{ "arm64"; }};
            APT::Install-Recommends "false";
            APT::Sandbox::User "root";
            Dpkg::Use-Pty "false";
            Dpkg::Options {{
                "--root={root}";
                "--log=/dev/null";
                # dpkg takes its own architecture for the root's.
                "--force-architecture";
                "--force-depends";
                "--force-confold";
                "--force-unsafe-io";
                "--path-exclude=/usr/share/doc/*";
                "--path-exclude=/usr/share/info/*";
                "--path-exclude=/usr/share/locale/*";
                "--path-exclude=/usr/share/man/*";
                # Scripts handle each certificate in turn, which takes QEMU minutes.
                "--path-exclude=/usr/share/ca-certificates/mozilla/*";
                "--path-include=/usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt";
            }};
            "#
        ));
        Ok(config)
    }
}

/// Where apt keeps downloads for a root.
fn cache(root: &Path) -> PathBuf {
    root.with_file_name("apt")
}

/// The directories that apt and dpkg expect, with /bin, /lib and /sbin in /usr.
fn skeleton(root: &Path) -> Result<()> {
    for directory in ["bin", "lib", "sbin"] {
        fs::create_dir_all(root.join("usr").join(directory))?;
        symlink(Path::new("usr").join(directory), root.join(directory))?;
    }
    for directory in [
        "dev",
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "etc/apt/sources.list.d",
        "proc",
        "var/lib/apt/lists/partial",
        "var/lib/dpkg/info",
        "var/lib/dpkg/triggers",
        "var/lib/dpkg/updates",
    ] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    Ok(())
}
