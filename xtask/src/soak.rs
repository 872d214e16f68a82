//! `cargo xtask soak`: the tests again at the counts that take hours.

use anyhow::Result;

use crate::run::{announce, cargo, run};
use crate::setup::{self, Purpose};
use crate::{busybox, guest_agent, kernel};

/// Tests that repeat something read this: set, they repeat it as often as the specification of the
/// project asks, not as often as fits a coffee break.
pub(crate) const VARIABLE: &str = "KILN_SOAK";

/// Runs the tests whose name contains one of the filters, or all.
pub(crate) fn soak(filters: &[String]) -> Result<()> {
    setup::ensure(&[Purpose::Kernel, Purpose::Rust, Purpose::Test])?;
    guest_agent::build()?;
    busybox::program()?;
    if filters.is_empty() {
        announce("building the kernel twice, in different places");
        kernel::build(None, false)?;
        kernel::build(None, true)?;
    }
    announce("tests, at length");
    run(cargo()
        .args(["test", "--workspace", "--no-fail-fast", "--"])
        .args(filters)
        .env(VARIABLE, "1"))
}
