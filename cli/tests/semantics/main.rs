//! `kiln` behaves as Docker's documentation says of `docker`: tables of cases, each with its expected values, and
//! scenarios around signals, terminals and streams. Every group names the page that its values come from.

#[path = "../common/mod.rs"]
mod common;

mod copies;
mod execs;
mod images;
mod lists;
mod logs;
mod many;
mod refusals;
mod runs;
mod signals;
mod streams;
mod table;
mod terminal;

/// The tables together hold at least the cases that were promised.
#[test]
fn the_tables_are_long_enough() {
    let tables = [
        ("runs", runs::CASES.len()),
        ("refusals", refusals::CASES.len()),
        ("execs", execs::CASES.len()),
        ("copies", copies::CASES.len()),
    ];
    let total: usize = tables.iter().map(|(_, cases)| cases).sum();
    println!("{total} cases: {tables:?}");
    assert!(total >= 60, "{total} cases: {tables:?}");
}
