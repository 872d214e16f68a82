//! The coverage table, and what failed.

use std::collections::BTreeMap;
use std::time::Duration;

use hv_soft::decode;

use crate::classes::Class;
use crate::compare;
use crate::instance::Instance;
use crate::layout::Record;
use crate::options::Options;

/// Mismatches of a class that are shown in full.
const SHOWN: u64 = 2;
/// Decoder classes that EL0 cannot execute: bare-metal programs cover them.
const PRIVILEGED: &[&str] = &["eret", "msr (immediate)"];

/// One class.
pub(crate) struct Row {
    name: String,
    pub drawn: u64,
    /// Draws that the oracle did not find UNDEFINED.
    pub executed: u64,
    pub undefined: u64,
    /// Those that ended in a memory or alignment fault, or a trap.
    pub faults: u64,
    pub mismatches: u64,
}

impl Row {
    pub(crate) fn new(name: &str) -> Self {
        Row { name: name.to_owned(), drawn: 0, executed: 0, undefined: 0, faults: 0, mismatches: 0 }
    }
}

pub(crate) struct Report {
    run: u64,
    verbose: bool,
    /// The run covers every class, so that the decoder's table can be checked for gaps.
    complete: bool,
    wanted: u64,
    pub rows: Vec<Row>,
    pub elapsed: Duration,
    /// Executed instances by class of the decoder.
    decoded: BTreeMap<&'static str, u64>,
    /// Instances to which a deviation of the oracle applied.
    deviations: BTreeMap<&'static str, u64>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Report {
            run: options.run,
            verbose: options.verbose,
            complete: options.class.is_none() && options.seed.is_none(),
            wanted: options.count,
            rows: Vec::new(),
            elapsed: Duration::ZERO,
            decoded: BTreeMap::new(),
            deviations: BTreeMap::new(),
        }
    }

    /// Notes that hv-soft executed the word.
    pub(crate) fn executed(&mut self, word: u32) {
        if let Some(pattern) = decode::class_of(word) {
            *self.decoded.entry(pattern.name).or_default() += 1;
        }
    }

    /// Notes that a deviation of the oracle was taken into account.
    pub(crate) fn deviation(&mut self, name: &'static str) {
        *self.deviations.entry(name).or_default() += 1;
    }

    /// Shows a mismatch, if not enough of its class have been seen.
    pub(crate) fn mismatch(
        &self,
        class: &Class,
        instance: &Instance,
        before: &Record,
        differences: &str,
        nth: u64,
    ) {
        if nth <= SHOWN || self.verbose {
            println!(
                "MISMATCH {:?}: --class {:?} --seed {:x}\n{}{differences}",
                class.name,
                class.name,
                instance.seed,
                compare::describe(instance, before)
            );
        }
    }

    /// Classes of the decoder that no instance reached.
    fn unreached(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = decode::patterns()
            .map(|p| p.name)
            .filter(|name| !self.decoded.contains_key(name) && !PRIVILEGED.contains(name))
            .collect();
        names.dedup();
        names
    }

    /// Classes of which too few instances were executed.
    fn thin(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|r| {
            r.executed < self.wanted
                && r.executed + r.undefined < 4 * self.wanted
                && r.undefined < r.drawn
        })
    }

    pub(crate) fn passed(&self) -> bool {
        self.rows.iter().all(|r| r.mismatches == 0)
            && (!self.complete || self.unreached().is_empty())
    }

    pub(crate) fn print(&self) {
        println!(
            "{:<50} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "class", "drawn", "executed", "undefined", "faults", "mismatch"
        );
        for row in &self.rows {
            println!(
                "{:<50} {:>9} {:>9} {:>9} {:>9} {:>9}",
                row.name, row.drawn, row.executed, row.undefined, row.faults, row.mismatches
            );
        }
        if self.complete {
            for row in self.thin() {
                println!("few instances of {:?}: {}", row.name, row.executed);
            }
            for name in self.unreached() {
                println!("the decoder's class {name:?} was never executed");
            }
        }
        for (name, count) in &self.deviations {
            println!("oracle corrected by the manual, {count} times: {name}");
        }
        let failed = self.rows.iter().filter(|r| r.mismatches > 0);
        println!(
            "{} classes, {} instances, {} executed; mismatches in {} classes: {:?}; run {:x}, {:.1} s",
            self.rows.len(),
            self.rows.iter().map(|r| r.drawn).sum::<u64>(),
            self.rows.iter().map(|r| r.executed).sum::<u64>(),
            failed.clone().count(),
            failed.map(|r| r.name.as_str()).collect::<Vec<_>>(),
            self.run,
            self.elapsed.as_secs_f64()
        );
    }
}
