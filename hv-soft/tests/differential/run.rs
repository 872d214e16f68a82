//! The run: class by class, in batches, through both sides.

use std::time::Instant;

use crate::classes::{self, Class, Form};
use crate::compare::{self, Fault};
use crate::instance;
use crate::layout::*;
use crate::options::Options;
use crate::oracle::Oracle;
use crate::report::{Report, Row};
use crate::rng::{self, Rng};
use crate::soft::Soft;

/// Draws of a class until enough were not UNDEFINED, as a multiple of what is asked for.
const PATIENCE: u64 = 6;
/// Mismatches of a class after which the rest of it is left out.
const ENOUGH: u64 = 200;

pub(crate) fn run(options: &Options) -> Report {
    let mut arena = vec![0; ARENA_SIZE as usize];
    let mut rng = Rng::new(1);
    arena.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.u64().to_le_bytes()));
    // A branch may reach a slot that no batch has filled yet: UDF.
    let slots = (SLOTS_VA - ARENA_VA) as usize;
    arena[slots..slots + BATCH * SLOT_SIZE as usize].fill(0);
    let mut sides = Sides {
        oracle: Oracle::start(&arena),
        soft: Soft::start(&arena),
        before: vec![Record::zeroed(); BATCH],
        theirs: vec![Record::zeroed(); BATCH],
        ours: vec![Record::zeroed(); BATCH],
    };
    let mut report = Report::new(options);
    let started = Instant::now();
    for class in &classes::all() {
        if options.class.as_ref().is_none_or(|text| class.name.contains(text)) {
            let row = sides.run_class(class, options, &mut report);
            report.rows.push(row);
        }
    }
    report.elapsed = started.elapsed();
    report
}

struct Sides {
    oracle: Oracle,
    soft: Soft,
    before: Vec<Record>,
    theirs: Vec<Record>,
    ours: Vec<Record>,
}

impl Sides {
    fn run_class(&mut self, class: &Class, options: &Options, report: &mut Report) -> Row {
        let mut row = Row::new(&class.name);
        // A random group stands for many classes and gets more draws.
        let wanted = match options.seed {
            Some(_) => 1,
            None if class.form == Form::Random => 4 * options.count,
            None => options.count,
        };
        // A branch ends in a word that is UNDEFINED.
        let any_result_counts =
            matches!(class.form, Form::Random | Form::Branch | Form::BranchRegister)
                || class.is_undefined();
        loop {
            let done = if any_result_counts { row.drawn } else { row.executed };
            if done >= wanted || row.drawn >= PATIENCE * wanted || row.mismatches > ENOUGH {
                return row;
            }
            let count = (wanted - done).min(BATCH as u64) as usize;
            let instances: Vec<_> = (0..count)
                .map(|i| {
                    let draw = row.drawn + i as u64;
                    let seed =
                        options.seed.unwrap_or_else(|| rng::derive(options.run, &class.name, draw));
                    instance::build(class, seed, slot_va(i), &mut self.before[i])
                })
                .collect();
            self.oracle.submit(&self.before[..count]);
            self.soft.run(&self.before[..count], &mut self.ours[..count]);
            if let Err(error) = self.oracle.finish(&mut self.theirs[..count]) {
                for instance in &instances {
                    eprintln!("{} --seed {:x}: {:#010x}", class.name, instance.seed, instance.word);
                }
                panic!("the oracle ended or hung in one of these instances: {error}");
            }
            for (i, instance) in instances.iter().enumerate() {
                let (before, theirs, ours) = (&self.before[i], &self.theirs[i], &self.ours[i]);
                let outcome = compare::compare(class, instance, before, theirs, ours);
                row.drawn += 1;
                match compare::oracle_fault(theirs.flags) {
                    Fault::Undefined => row.undefined += 1,
                    Fault::None => row.executed += 1,
                    _ => {
                        row.executed += 1;
                        row.faults += 1;
                    }
                }
                if outcome.fault != Fault::Undefined {
                    report.executed(instance.word);
                }
                if let Some(deviation) = outcome.deviation {
                    report.deviation(deviation);
                }
                if !outcome.differences.is_empty() {
                    row.mismatches += 1;
                    report.mismatch(class, instance, before, &outcome.differences, row.mismatches);
                }
            }
        }
    }
}
