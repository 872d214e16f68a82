//! Other people's tools.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program to its end; its output on success, a panic with all it said otherwise.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; run `cargo xtask setup`"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Trees with owners, devices and capabilities can only be made and compared as root.
pub(crate) fn need_root() {
    assert!(rustix::process::geteuid().is_root(), "this test makes device nodes: run it as root");
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A directory that outlives the tests, for what is slow to make.
pub(crate) fn cache(name: &str) -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .expect("HOME is set");
    let dir = base.join("kiln").join(name);
    std::fs::create_dir_all(&dir).expect("the cache directory can be made");
    dir
}

/// An OCI layout made by umoci from plain tars, lowest first, tagged `t`, for linux/arm64.
pub(crate) fn layout(dir: &Path, tars: &[&Path]) -> String {
    let layout = dir.join("layout");
    let image = format!("{}:t", text(&layout));
    if !layout.exists() {
        run("umoci", &["init", "--layout", text(&layout)]);
        run("umoci", &["new", "--image", &image]);
        run("umoci", &["config", "--image", &image, "--architecture", "arm64"]);
    }
    for tar in tars {
        run("umoci", &["raw", "add-layer", "--image", &image, text(tar)]);
    }
    format!("oci-layout:{image}")
}
