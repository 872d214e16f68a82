//! Atomic updates and the order of memory accesses.

use crate::machine::pass;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("counters_on_1", || pass("counters", 2000, 1)),
    ("counters_on_2", || pass("counters", 2000, 2)),
    ("counters_on_4", || pass("counters", 500, 4)),
    ("litmus_on_2", || pass("litmus", 100, 2)),
    ("litmus_on_4", || pass("litmus", 20, 4)),
];
