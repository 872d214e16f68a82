//! A home of its own, and the real program.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// kiln with a home that goes away with it.
pub(crate) struct Kiln {
    home: tempfile::TempDir,
}

impl Kiln {
    pub(crate) fn new() -> Self {
        // The control sockets' paths must stay short.
        Self { home: tempfile::Builder::new().prefix("kiln").tempdir_in("/tmp").unwrap() }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.home.path().into()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.env("KILN_HOME", self.home.path()).env_remove("KILN_LOG").args(args);
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs it with this standard input.
    pub(crate) fn feed(&self, args: &[&str], input: &[u8]) -> Output {
        self.finish(self.command(args), input)
    }

    /// The same for a command that needs more than arguments.
    pub(crate) fn finish(&self, mut command: Command, input: &[u8]) -> Output {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // The command may end without reading all of it.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    /// Standard output of a call that must succeed, without the white space around it.
    pub(crate) fn text(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().into()
    }
}

impl Drop for Kiln {
    fn drop(&mut self) {
        let ids = self.output(&["ps", "-aq"]);
        let ids = String::from_utf8_lossy(&ids.stdout).into_owned();
        for id in ids.lines() {
            self.output(&["rm", "--force", id]);
        }
    }
}

/// What `cargo xtask test` made and keeps in the user's cache.
pub(crate) fn product(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty());
    let cache =
        cache.map(PathBuf::from).unwrap_or_else(|| std::env::home_dir().unwrap().join(".cache"));
    let product = cache.join("kiln").join(name).join("current").canonicalize();
    product.unwrap_or_else(|_| panic!("`cargo xtask test` makes the {name} that this test needs"))
}

/// The image that `cargo xtask test` makes from Debian's busybox.
pub(crate) fn image() -> String {
    format!("oci-layout:{}:latest", layout().display())
}

/// Directory of that image.
pub(crate) fn layout() -> PathBuf {
    product("demo-image")
}

/// Whether to run at the counts that take long (`cargo xtask soak`).
pub(crate) fn soak() -> bool {
    std::env::var_os("KILN_SOAK").is_some()
}
