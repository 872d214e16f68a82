//! The workload's control group (cgroup v2).

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use agent::{Config, FailureKind};

use super::failure::{Explain, Outcome, failure};
use super::kernel::pause;

const WORKLOAD: &str = "/sys/fs/cgroup/workload";

/// Makes the group. Controllers that the kernel lacks are missed only by who sets their limits.
pub(crate) fn prepare() -> Outcome<()> {
    for controller in ["cpu", "cpuset", "io", "memory", "pids"] {
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", format!("+{controller}"));
    }
    fs::create_dir(WORKLOAD).explain("make the workload's control group")
}

/// Sets the limits that were asked for.
pub(crate) fn configure(config: &Config) -> Outcome<()> {
    let limits = [("memory.max", config.memory_limit), ("pids.max", config.pids_limit)];
    for (file, limit) in limits {
        if let Some(limit) = limit {
            write(file, &limit.to_string())?;
        }
    }
    Ok(())
}

/// The group as a descriptor, for `CLONE_INTO_CGROUP`.
pub(crate) fn open() -> io::Result<OwnedFd> {
    File::open(WORKLOAD).map(OwnedFd::from)
}

/// Kills every process of the group.
pub(crate) fn kill() -> Outcome<()> {
    write("cgroup.kill", "1")
}

/// Whether any process is left.
pub(crate) fn is_populated() -> bool {
    event("populated") == Some(1)
}

/// Stops or continues every process of the group, and waits until the kernel says so.
pub(crate) fn set_frozen(frozen: bool) -> Outcome<()> {
    let wanted = u64::from(frozen);
    write("cgroup.freeze", &wanted.to_string())?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while event("frozen") != Some(wanted) {
        if Instant::now() > deadline {
            let word = if frozen { "stand still" } else { "go on" };
            return Err(failure(
                FailureKind::TimedOut,
                format!("the workload did not {word} within 10 s"),
            ));
        }
        pause(1);
    }
    Ok(())
}

/// How often the kernel killed one of the group's processes for want of memory.
pub(crate) fn oom_kills() -> u64 {
    read("memory.events").and_then(|text| field(&text, "oom_kill")).unwrap_or(0)
}

/// The content of one of the group's files.
pub(crate) fn read(file: &str) -> Option<String> {
    fs::read_to_string(format!("{WORKLOAD}/{file}")).ok()
}

/// The value of `name` in a "flat keyed" file of the kernel's cgroup-v2.rst.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn event(name: &str) -> Option<u64> {
    field(&read("cgroup.events")?, name)
}

fn write(file: &str, value: &str) -> Outcome<()> {
    fs::write(format!("{WORKLOAD}/{file}"), value)
        .explain(format_args!("write {value} to the workload's {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_keyed_files_are_read_by_whole_names() {
        let text = "oom 1\noom_kill 3\noom_group_kill 5\n";
        assert_eq!(field(text, "oom_kill"), Some(3));
        assert_eq!(field(text, "oom"), Some(1));
        assert_eq!(field(text, "absent"), None);
    }
}
