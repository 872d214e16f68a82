//! Resource use, from the workload's control group and the kernel's own files.

use std::fs;

use agent::Stats;

use super::cgroup::{self, field};

/// What is known now; what a kernel does not tell is zero.
pub(crate) fn collect() -> Stats {
    let file = |name: &str| cgroup::read(name).unwrap_or_default();
    let number = |name: &str| file(name).trim().parse::<u64>().ok();
    let cpu = file("cpu.stat");
    let memory_stat = file("memory.stat");
    let used = number("memory.current").unwrap_or(0);
    let cache = field(&memory_stat, "inactive_file").unwrap_or(0);
    let (block_read, block_written) = block_bytes(&file("io.stat"));
    let (network_received, network_sent) =
        network_bytes(&fs::read_to_string("/proc/net/dev").unwrap_or_default());
    Stats {
        cpu_usec: field(&cpu, "usage_usec").unwrap_or(0),
        memory: used.saturating_sub(cache),
        memory_limit: number("memory.max").unwrap_or_else(total_memory),
        pids: number("pids.current").unwrap_or(0),
        block_read,
        block_written,
        network_received,
        network_sent,
        oom_kills: cgroup::oom_kills(),
    }
}

fn total_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|n| n.parse().ok());
    kib.map_or(0, |kib: u64| kib * 1024)
}

/// Sums of `rbytes=` and `wbytes=` over all devices (cgroup-v2.rst, "io.stat").
fn block_bytes(io_stat: &str) -> (u64, u64) {
    let sum = |key: &str| {
        io_stat
            .split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
            .sum()
    };
    (sum("rbytes="), sum("wbytes="))
}

/// Sums over all interfaces but loopback of /proc/net/dev.
fn network_bytes(table: &str) -> (u64, u64) {
    table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim() != "lo")
        .filter_map(|(_, counters)| {
            let mut counters = counters.split_ascii_whitespace().map(str::parse::<u64>);
            Some((counters.next()?.ok()?, counters.nth(7)?.ok()?))
        })
        .fold((0, 0), |(received, sent), (r, s)| (received + r, sent + s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_bytes_are_summed_over_devices() {
        // The example of the kernel's cgroup-v2.rst.
        let text = "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n\
                    8:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=50331648\n";
        assert_eq!(block_bytes(text), (91_889_664, 613_781_504));
    }

    #[test]
    fn loopback_is_not_the_network() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs\n\
                    lo: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n\
                  eth0:1000 9 0 0 0 0 0 0 70 1 0 0 0 0 0 0\n";
        assert_eq!(network_bytes(text), (1000, 70));
    }
}
