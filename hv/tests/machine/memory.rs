//! Translation: faults of every kind, and shootdown of cached translations and instructions.

use crate::machine::pass;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("faults_on_1", || pass("faults", 0, 1)),
    ("faults_on_2", || pass("faults", 0, 2)),
    ("faults_on_4", || pass("faults", 0, 4)),
    ("tlb_shootdown_on_1", || pass("tlb", 200, 1)),
    ("tlb_shootdown_on_2", || pass("tlb", 200, 2)),
    ("tlb_shootdown_on_4", || pass("tlb", 50, 4)),
    ("code_on_1", || pass("code", 1000, 1)),
    ("code_on_2", || pass("code", 400, 2)),
    ("code_on_4", || pass("code", 50, 4)),
];
