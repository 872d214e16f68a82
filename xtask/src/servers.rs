//! An image of servers, from Debian's packages for arm64: nginx, a Python with its HTTP server, redis.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use crate::cache::{Cache, Key};
use crate::oci::Layout;
use crate::run::{announce, run};

/// Unpacked without their scripts.
const PACKAGES: &str = "--include=nginx-light,python3,redis-server,busybox-static,bash";
const RELEASE: &str = "bookworm";

/// One process that answers on port 80 with a line.
const NGINX: &str = "user root;
daemon off;
pid /run/nginx.pid;
worker_processes 1;
error_log stderr;
events {}
http {
    access_log off;
    server {
        listen 80;
        location / { return 200 \"kiln\\n\"; }
    }
}
";

/// The path of an OCI layout with the image `latest`. It runs nginx on port 80 unless told otherwise.
pub(crate) fn layout() -> Result<PathBuf> {
    let cache = Cache::open("servers-image")?;
    let key = Key::new()
        .add("recipe", include_str!("servers.rs"))
        .add("layout", include_str!("oci.rs"))
        .finish();
    if let Some(directory) = cache.get(&key) {
        return Ok(directory);
    }
    announce("unpacking Debian packages");
    let workshop = cache.workshop()?;
    let tar = workshop.path().join("packages.tar");
    let arguments = ["--architectures=arm64", "--variant=extract", PACKAGES, RELEASE];
    run(Command::new("mmdebstrap").args(arguments).arg(&tar))?;
    let mut layout = Layout::create(&workshop.path().join("layout"))?;
    layout.layer(File::open(&tar)?)?;
    layout.layer(settings(&tar)?.as_slice())?;
    layout.finish(&json!({
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["nginx", "-c", "/etc/nginx/kiln.conf"],
    }))?;
    fs::remove_file(tar)?;
    cache.put(&key, layout.path())
}

/// The layers' tars, the lowest first.
pub(crate) fn layers() -> Result<Vec<PathBuf>> {
    let layout = layout()?;
    Layout::layers(&layout)
}

/// What the packages' scripts would have made, and our settings.
fn settings(packages: &Path) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/nginx/kiln.conf", NGINX),
        ("srv/index.html", "kiln\n"),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_bytes())?;
    }
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "bin/sh", "bash")?;
    // Compiled modules, which any Python of the same version reads, of any age of the source.
    let tree = tempfile::tempdir()?;
    let modules = "usr/lib/python3.11";
    let member = format!("./{modules}");
    run(Command::new("tar").arg("-C").arg(tree.path()).arg("-xf").arg(packages).arg(member))?;
    let modules_here = tree.path().join(modules);
    let compile = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"];
    run(Command::new("python3").args(compile).arg(&modules_here))?;
    archive.follow_symlinks(false);
    archive.append_dir_all(modules, &modules_here)?;
    Ok(archive.into_inner()?)
}
