//! `kiln logs`

use std::{
    collections::VecDeque,
    io::{self, Write},
    thread,
    time::Duration,
};

use clap::Parser;
use jiff::Timestamp;
use serde_json::json;

use super::Format;
use crate::{
    Home,
    log::{LogReader, Record, Stream},
    record::{Machine, Machines},
    text,
};

/// Print what a machine's process wrote
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Name or id of the machine
    machine: String,
    /// Go on until the process ends
    #[arg(short, long)]
    follow: bool,
    /// Only what was written since then: a time (RFC 3339) or a duration ago such as 10m
    #[arg(long, value_parser = text::parse_time)]
    since: Option<Timestamp>,
    /// Only the last lines, or `all`
    #[arg(short = 'n', long, default_value = "all", value_name = "LINES", value_parser = lines, allow_hyphen_values = true)]
    tail: usize,
    /// Begin each line with its time
    #[arg(short, long)]
    timestamps: bool,
    /// How to show it; JSON is one object a line, with its stream, its time and its text
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// What is no number of lines is all of them, as Docker has it.
fn lines(text: &str) -> Result<usize, std::convert::Infallible> {
    Ok(text.parse().unwrap_or(usize::MAX))
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let machine = Machines::open(&Home::open()?)?.find(&args.machine)?;
    let mut reader = LogReader::open(&machine.directory);
    let mut printer = Printer {
        timestamps: args.timestamps,
        json: args.format == Format::Json,
        at_line_start: [true; 2],
        rest: [Vec::new(), Vec::new()],
    };
    let wanted = |record: &Record| args.since.is_none_or(|since| record.time >= since);
    if args.tail == usize::MAX {
        while let Some(record) = reader.read()? {
            if wanted(&record) {
                printer.print(&record)?;
            }
        }
    } else {
        let mut tail = Tail::new(args.tail);
        while let Some(record) = reader.read()? {
            if wanted(&record) {
                tail.push(record);
            }
        }
        tail.finish().iter().try_for_each(|record| printer.print(record))?;
    }
    if args.follow {
        follow(&machine, &mut reader, &mut printer, wanted)?;
    }
    Ok(0)
}

fn follow(
    machine: &Machine,
    reader: &mut LogReader,
    printer: &mut Printer,
    wanted: impl Fn(&Record) -> bool,
) -> anyhow::Result<()> {
    loop {
        // Asked first: what was written before the end is read after it.
        let over = !machine.is_alive();
        while let Some(record) = reader.read()? {
            if wanted(&record) {
                printer.print(&record)?;
            }
        }
        if over {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Keeps no more records than the last lines need.
struct Tail {
    lines: usize,
    records: VecDeque<Record>,
    /// Line breaks in all of them.
    breaks: usize,
}

impl Tail {
    fn new(lines: usize) -> Self {
        Self { lines, records: VecDeque::new(), breaks: 0 }
    }

    fn push(&mut self, record: Record) {
        let breaks = |record: &Record| record.bytes.iter().filter(|&&b| b == b'\n').count();
        self.breaks += breaks(&record);
        self.records.push_back(record);
        while let Some(first) = self.records.front() {
            let without = self.breaks - breaks(first);
            // One more than asked for: the last line may still be open.
            if without <= self.lines {
                return;
            }
            self.breaks = without;
            self.records.pop_front();
        }
    }

    fn finish(mut self) -> VecDeque<Record> {
        let all: Vec<u8> = self.records.iter().flat_map(|r| r.bytes.iter().copied()).collect();
        let open = usize::from(all.last().is_some_and(|&b| b != b'\n'));
        let total = all.iter().filter(|&&b| b == b'\n').count() + open;
        let mut skip = total.saturating_sub(self.lines);
        while skip > 0 {
            let Some(first) = self.records.front_mut() else { break };
            match first.bytes.iter().position(|&b| b == b'\n') {
                Some(at) => {
                    first.bytes.drain(..=at);
                    skip -= 1;
                }
                None if self.records.len() == 1 && skip == 1 && open == 1 => {
                    self.records.clear();
                    break;
                }
                None => drop(self.records.pop_front()),
            }
        }
        self.records
    }
}

struct Printer {
    timestamps: bool,
    json: bool,
    at_line_start: [bool; 2],
    /// The beginning of a character that ends in a later record, by stream.
    rest: [Vec<u8>; 2],
}

/// Bytes of a character at the end of a text that is not whole yet (Unicode 15, table 3-7): at most three.
fn incomplete(text: &[u8]) -> usize {
    let begins = |&back: &usize| text.len() >= back && text[text.len() - back] >= 0xc0;
    let Some(back) = (1..=3).find(begins) else { return 0 };
    let wants = match text[text.len() - back] {
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    if back < wants { back } else { 0 }
}

impl Printer {
    fn print(&mut self, record: &Record) -> io::Result<()> {
        if self.json {
            let stream = match record.stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            // A character may lie in two records. What is cut at the very end of a log stays out.
            let rest = &mut self.rest[usize::from(stream == "stderr")];
            rest.extend(&record.bytes);
            let whole = rest.len() - incomplete(rest);
            let bytes: Vec<u8> = rest.drain(..whole).collect();
            let text = String::from_utf8_lossy(&bytes);
            return text::say!(
                "{}",
                json!({ "stream": stream, "time": record.time, "text": text })
            );
        }
        match record.stream {
            Stream::Stdout => self.print_to(&mut io::stdout().lock(), 0, record),
            Stream::Stderr => self.print_to(&mut io::stderr().lock(), 1, record),
        }
    }

    fn print_to(&mut self, to: &mut impl Write, stream: usize, record: &Record) -> io::Result<()> {
        if !self.timestamps {
            to.write_all(&record.bytes)?;
            return to.flush();
        }
        for line in record.bytes.split_inclusive(|&b| b == b'\n') {
            if self.at_line_start[stream] {
                // All nine digits, so that the times of a log line up.
                write!(to, "{:.9} ", record.time)?;
            }
            to.write_all(line)?;
            self.at_line_start[stream] = line.ends_with(b"\n");
        }
        to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_in_two_records_is_seen() {
        let text = "aé€😀".as_bytes();
        let cut: Vec<usize> = (0..=text.len()).map(|len| incomplete(&text[..len])).collect();
        assert_eq!(cut, [0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0]);
        assert_eq!(incomplete(b"\x80\x80\x80\x80"), 0, "no character begins so");
    }

    fn tail(lines: usize, pieces: &[&str]) -> String {
        let mut tail = Tail::new(lines);
        for piece in pieces {
            let bytes = piece.as_bytes().to_vec();
            tail.push(Record { stream: Stream::Stdout, time: Timestamp::UNIX_EPOCH, bytes });
        }
        let bytes: Vec<u8> = tail.finish().into_iter().flat_map(|r| r.bytes).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_last_lines_are_counted_across_records() {
        let pieces = ["one\ntw", "o\nthree\n", "four\n"];
        assert_eq!(tail(1, &pieces), "four\n");
        assert_eq!(tail(2, &pieces), "three\nfour\n");
        assert_eq!(tail(3, &pieces), "two\nthree\nfour\n");
        assert_eq!(tail(9, &pieces), "one\ntwo\nthree\nfour\n");
        assert_eq!(tail(0, &pieces), "");
    }

    #[test]
    fn an_open_line_is_a_line() {
        assert_eq!(tail(1, &["one\n", "tw", "o"]), "two");
        assert_eq!(tail(2, &["one\n", "tw", "o"]), "one\ntwo");
        assert_eq!(tail(0, &["tw", "o"]), "");
    }
}
