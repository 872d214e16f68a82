//! Numbers, times and tables for people.

use std::io::{self, Write};

use anyhow::{Context, bail};
use jiff::Timestamp;

/// Bytes of `64`, `64b`, `64k`, `64m`, `64g` or `64t`, in either case, with an optional `b` or `ib` behind: powers of 1024.
///
/// # Errors
/// A sentence that says how to write a size.
pub(crate) fn parse_size(text: &str) -> anyhow::Result<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => bail!("{text:?} is no size; write a number and a unit, such as 512m or 2g"),
    };
    let number: u64 = digits.parse().with_context(|| {
        format!("{text:?} is no size; write a number and a unit, such as 512m or 2g")
    })?;
    let size = number.checked_mul(1 << shift).filter(|&size| size <= i64::MAX as u64);
    size.with_context(|| format!("{text:?} is too large"))
}

/// Whole processors for `2` or Docker's `1.5`, rounded up: a virtual one cannot be shared out.
///
/// # Errors
/// A sentence that says how to write a number of processors.
pub(crate) fn parse_cpus(text: &str) -> anyhow::Result<u32> {
    let cpus: f64 = text.parse().unwrap_or(f64::NAN);
    // More than fits is refused by whoever builds the machine.
    if cpus >= 0.0 {
        Ok(cpus.ceil() as u32)
    } else {
        bail!("{text:?} is no number of processors; write one such as 2")
    }
}

/// `1.5GB` in powers of 1000, as Docker shows sizes.
pub(crate) fn size(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"])
}

/// `1.5GiB` in powers of 1024, as Docker shows memory.
pub(crate) fn memory(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

fn scaled(bytes: u64, base: f64, units: &[&str]) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{}", units[unit])
}

/// `5 minutes`, as Docker shows how long something took or is ago.
pub(crate) fn duration(seconds: i64) -> String {
    let plural = |n: i64, unit: &str| format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
    match seconds {
        ..1 => "Less than a second".into(),
        1..60 => plural(seconds, "second"),
        60..120 => "About a minute".into(),
        120..3600 => plural(seconds / 60, "minute"),
        3600..7200 => "About an hour".into(),
        7200..172_800 => plural(seconds / 3600, "hour"),
        172_800..1_209_600 => plural(seconds / 86_400, "day"),
        1_209_600..5_184_000 => plural(seconds / 604_800, "week"),
        5_184_000..63_072_000 => plural(seconds / 2_592_000, "month"),
        _ => plural(seconds / 31_536_000, "year"),
    }
}

/// `5 minutes` since then.
pub(crate) fn since(then: Timestamp) -> String {
    duration(Timestamp::now().as_second() - then.as_second())
}

/// A time as people and scripts write it: RFC 3339, a date or a date and time of the local zone, seconds since the
/// epoch with or without a fraction, or a duration ago such as `10m`.
///
/// # Errors
/// A sentence that says how to write a time.
pub(crate) fn parse_time(text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if let Ok(local) = text.parse::<jiff::civil::DateTime>() {
        return Ok(local.to_zoned(jiff::tz::TimeZone::system())?.timestamp());
    }
    if let Some(nanoseconds) = since_epoch(text) {
        return Ok(Timestamp::from_nanosecond(nanoseconds)?);
    }
    parse_duration(text).ok().and_then(|ago| (Timestamp::now() - ago).into()).with_context(|| {
        format!(
            "{text:?} is no time; write one like 2030-01-31T12:00:00Z or a duration such as 10m"
        )
    })
}

/// Nanoseconds of `seconds[.fraction]`.
fn since_epoch(text: &str) -> Option<i128> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i128 = format!("{fraction:0<9}").parse().ok()?;
    Some(i128::from(seconds.parse::<u64>().ok()?) * 1_000_000_000 + nanoseconds)
}

/// A duration such as `1500ms`, `10s`, `5m`, `1h30m`, or a number of seconds.
///
/// # Errors
/// A sentence that says how to write a duration.
pub(crate) fn parse_duration(text: &str) -> anyhow::Result<std::time::Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(std::time::Duration::from_secs(seconds));
    }
    let signed: jiff::SignedDuration = text
        .parse()
        .with_context(|| format!("{text:?} is no duration; write one such as 1500ms, 10s or 5m"))?;
    signed.try_into().with_context(|| format!("{text:?} is negative"))
}

/// `println!` that returns the error of a reader that has gone, as in `kiln ps | head -1`, instead of panicking.
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write;
        writeln!(std::io::stdout(), $($arg)*)
    }};
}
pub(crate) use say;

/// Prints rows in columns, three spaces apart.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = io::stdout().lock();
    let header: Vec<String> = header.iter().map(|&cell| cell.into()).collect();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}   "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("64", 64),
            ("64k", 65_536),
            ("512m", 536_870_912),
            ("2G", 2_147_483_648),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "m", "-1", "1x", "1.5g", "99999999999t", "18446744073709551615"] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn fractions_of_processors_are_whole_ones() {
        for (text, cpus) in [("0", 0), ("1", 1), ("1.5", 2), ("0.01", 1), ("3.0", 3)] {
            assert_eq!(parse_cpus(text).unwrap(), cpus, "{text}");
        }
        for text in ["", "-1", "many", "NaN"] {
            assert!(parse_cpus(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_are_shown_as_docker_shows_them() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (121, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (86_400 * 3, "3 days"),
            (86_400 * 14, "2 weeks"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn times_and_durations_are_read() {
        assert_eq!(parse_duration("1500ms").unwrap().as_millis(), 1500);
        assert_eq!(parse_duration("10").unwrap().as_secs(), 10);
        assert_eq!(parse_duration("1h30m").unwrap().as_secs(), 5400);
        assert!(parse_duration("soon").is_err());
        assert_eq!(parse_time("2030-01-31T12:00:00Z").unwrap().as_second(), 1_896_091_200);
        assert_eq!(parse_time("17").unwrap().as_second(), 17);
        assert_eq!(parse_time("1136073845.5").unwrap().as_millisecond(), 1_136_073_845_500);
        let date = parse_time("2030-01-31").unwrap();
        assert_eq!(date, parse_time("2030-01-31T00:00:00").unwrap());
        let utc = parse_time("2030-01-31T00:00:00Z").unwrap();
        assert!((date.as_second() - utc.as_second()).abs() <= 14 * 3600, "{date}");
        assert!(parse_time("1.x").is_err());
        assert!(parse_time("10m").unwrap() < Timestamp::now());
        assert!(parse_time("yesterday").is_err());
    }
}
