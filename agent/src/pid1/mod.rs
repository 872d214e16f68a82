//! The program: one binary in three roles, told apart by its name.
//!
//! - `/init`: PID 1. Mounts what it needs, listens, serves requests, owns all processes.
//! - `kiln-stage`: the short life between `clone` and `execve` of a workload's process, in its new
//!   namespaces. Being a program of its own, it may allocate and fail with words, which a forked
//!   child of a threaded process must not.
//! - `kiln-archive`: reads or writes a tar stream with the workload's root as its own.

mod archive;
mod attach;
mod boot;
mod buffer;
mod cgroup;
mod control;
mod failure;
mod forward;
mod identity;
mod kernel;
mod power;
mod process;
mod pump;
mod reaper;
mod root;
mod server;
mod spawn;
mod stage;
mod stats;
mod threads;
mod transport;

/// Where the workload's root is mounted, as PID 1 sees it.
const ROOT: &str = "/run/root";

/// `argv[0]` of the second role.
const STAGE: &str = "kiln-stage";
/// `argv[0]` of the third role.
const ARCHIVE: &str = "kiln-archive";

pub(crate) fn main() {
    match std::env::args().next().as_deref() {
        Some(STAGE) => stage::main(),
        Some(ARCHIVE) => archive::main(),
        _ => boot::main(),
    }
}
