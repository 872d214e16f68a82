//! `cargo xtask soak`: the tests again at the counts that take hours.

use anyhow::Result;

use crate::run::{announce, cargo, run};
use crate::{kernel, suite};

/// Tests that repeat something read this: set, they repeat it as often as the specification of the
/// project asks, not as often as fits a coffee break.
pub(crate) const VARIABLE: &str = "KILN_SOAK";

/// Runs the tests whose name contains one of the filters, or all.
pub(crate) fn soak(filters: &[String]) -> Result<()> {
    suite::prepare()?;
    if filters.is_empty() {
        announce("building the kernel again, in a different place");
        kernel::build(None, true)?;
    }
    announce("tests, at length");
    run(cargo()
        .args(["test", "--workspace", "--no-fail-fast", "--"])
        .args(filters)
        .env(VARIABLE, "1"))
}
