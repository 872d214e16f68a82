//! `cargo xtask test`: every check and test, in the order that fails soonest.

use anyhow::Result;

use crate::run::{announce, cargo, run};
use crate::setup::{self, Purpose};
use crate::{demo, guest_agent, kernel, macos, test_images};

/// Makes what the tests find in the cache.
pub(crate) fn prepare() -> Result<()> {
    setup::ensure(&[Purpose::Kernel, Purpose::Rust, Purpose::Test])?;
    guest_agent::build()?;
    kernel::build(None, false)?;
    demo::layout()?;
    test_images::build()
}

pub(crate) fn run_all() -> Result<()> {
    setup::ensure(&[Purpose::Rust])?;
    announce("formatting");
    run(cargo().args(["fmt", "--all", "--check"]))?;
    announce("lints");
    run(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-Dwarnings"]))?;
    macos::check()?;
    prepare()?;
    announce("tests");
    run(cargo().args(["test", "--workspace", "--no-fail-fast"]))
}
