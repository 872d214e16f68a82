//! Signals by name and number, as Linux on aarch64 counts them: the guest is Linux whatever the host is.

use anyhow::bail;

/// Linux's names, the index being the number; see signal(7).
const NAMES: [&str; 32] = [
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// SIGKILL.
pub(crate) const KILL: i32 = 9;
/// SIGTERM.
pub(crate) const TERM: i32 = 15;

/// The number of a signal written as `TERM`, `SIGTERM`, `term`, `15`, `RTMIN+3` or `SIGRTMAX-1`.
///
/// # Errors
/// When no such signal exists.
pub(crate) fn parse(text: &str) -> anyhow::Result<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |rest: &str, base: i32| rest.parse::<i32>().map(|n| base + n).unwrap_or(0);
    let number = match name {
        "RTMIN" => 34,
        "RTMAX" => 64,
        "CLD" => 17,
        "IOT" => 6,
        "POLL" => 29,
        _ => {
            if let Some(rest) = name.strip_prefix("RTMIN+") {
                real_time(rest, 34)
            } else if let Some(rest) = name.strip_prefix("RTMAX-") {
                64 - real_time(rest, 0)
            } else if let Ok(number) = name.parse() {
                number
            } else {
                let index = NAMES.iter().skip(1).position(|&known| known == name);
                index.map_or(0, |index| index as i32 + 1)
            }
        }
    };
    if (1..=64).contains(&number) {
        return Ok(number);
    }
    bail!("{text:?} is no signal; use a name such as TERM or a number from 1 to 64")
}

/// What Linux calls the host's signal of this number.
pub(crate) fn linux_number(host: i32) -> i32 {
    let name = signal_hook::low_level::signal_name(host).unwrap_or("SIGTERM");
    parse(name).unwrap_or(TERM)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers_are_linuxs() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigkill", 9),
            ("9", 9),
            ("USR1", 10),
            ("SIGUSR2", 12),
            ("SIGCHLD", 17),
            ("SIGSTOP", 19),
            ("SIGWINCH", 28),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("SIGSYS", 31),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in ["", "0", "65", "-1", "SIGNOPE", "SIG", "RTMIN+99", "RTMIN+x"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
