//! Real programs from Debian in machines of their own: what they print is what their documentation, or
//! mathematics, says.
//!
//! The images are those of `cargo xtask test-images`. Each is configured like Docker's official one.

#[path = "../common/mod.rs"]
mod common;

mod languages;
mod servers;
mod systems;

use std::time::{Duration, Instant};

use common::Kiln;

/// The reference of a test image.
fn image(tag: &str) -> String {
    format!("oci-layout:{}:{tag}", common::product("test-images").join("layout").display())
}

/// What the image of this tag prints when it runs a command.
fn run(tag: &str, command: &[&str]) -> String {
    Kiln::new().text(&[&["run", "--rm", &image(tag)], command].concat())
}

/// Tries until there is an answer. The limit is for a machine that hangs; a busy host needs its time.
fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
