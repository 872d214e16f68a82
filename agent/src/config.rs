//! What the host asks the agent to build: the root file system and its processes.

use serde::{Deserialize, Serialize};

/// Most layers of one image: one GPT partition of the composite disk each.
pub const MAX_LAYERS: usize = 127;

/// Size of `/dev/shm` in bytes if the host does not say: Docker's.
pub const DEFAULT_SHM_SIZE: u64 = 64 * 1024 * 1024;

/// The workload's surroundings; sent once, before its first process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Read-only layers, the lowest first. At least one, at most [`MAX_LAYERS`].
    pub layers: Vec<Layer>,
    /// Where changes go.
    pub writable: Writable,
    /// What the root directory looks like while it is unchanged: overlayfs takes that from where
    /// changes go, not from the layers. `None` is root's, 0755, of now.
    pub root: Option<RootAttributes>,
    /// The guest's host name; also written to `/etc/hostname`.
    pub hostname: String,
    /// Content of `/etc/hosts`; `None` writes localhost and the host name.
    pub hosts: Option<String>,
    /// Content of `/etc/resolv.conf`; `None` leaves the image's.
    pub resolv_conf: Option<String>,
    /// The wall clock to set.
    pub clock: Option<Clock>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// Memory limit of the workload's cgroup in bytes.
    pub memory_limit: Option<u64>,
    /// Process limit of the workload's cgroup.
    pub pids_limit: Option<u64>,
    /// Kernel parameters as `("net.core.somaxconn", "1024")`.
    pub sysctls: Vec<(String, String)>,
    /// What the power button sends to the workload's own process; `None` is SIGTERM.
    pub stop_signal: Option<i32>,
    /// Milliseconds between that signal and SIGKILL; `None` is 10 s.
    pub stop_grace_ms: Option<u64>,
    /// Further file systems inside the root that live in memory: path and size in bytes.
    pub tmpfs: Vec<(String, Option<u64>)>,
}

/// The wall clock at a moment that both sides know, so that it is right however late the guest hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Nanoseconds since the Unix epoch at that moment.
    pub unix_nanos: u64,
    /// The guest's virtual counter at that moment (`CNTVCT_EL0`, Arm ARM D12.1.2).
    pub counter: u64,
}

impl Clock {
    /// Nanoseconds since the Unix epoch when the counter, which ticks so often a second, has reached a value.
    pub fn at(self, counter: u64, frequency: u64) -> u64 {
        let ticks = counter.wrapping_sub(self.counter).cast_signed();
        let gone = i128::from(ticks) * 1_000_000_000 / i128::from(frequency.max(1));
        let now = i128::from(self.unix_nanos) + gone;
        u64::try_from(now.max(0)).unwrap_or(u64::MAX)
    }
}

/// One read-only file system on a block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Block device, e.g. `/dev/vda1`.
    pub device: String,
    /// File system, e.g. `erofs`.
    pub fstype: String,
}

/// Attributes of the root directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootAttributes {
    /// Permission bits, with set-user-ID, set-group-ID and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The modification time in seconds since the Unix epoch.
    pub mtime: i64,
    /// Nanoseconds after that second.
    pub mtime_ns: u32,
    /// Extended attributes, full names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where the workload's changes to the root go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Writable {
    /// Guest memory, at most this many bytes; `None` is the kernel's half of the memory.
    Memory {
        /// Limit in bytes.
        size: Option<u64>,
    },
    /// A formatted, writable block device.
    Disk(Layer),
}

impl Default for Writable {
    fn default() -> Self {
        Writable::Memory { size: None }
    }
}

/// One process of the workload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessSpec {
    /// The command and its arguments; the command is looked up in the `PATH` of `env`.
    pub args: Vec<String>,
    /// The whole environment as `NAME=value`; `HOME` is added from the user's entry if absent.
    pub env: Vec<String>,
    /// Working directory; empty is `/`. Made if it does not exist.
    pub cwd: String,
    /// `user`, `uid`, `user:group`, `uid:gid` and mixtures, resolved in the image; empty is root.
    pub user: String,
    /// Further groups by name or number.
    pub groups: Vec<String>,
    /// A terminal of this size instead of three pipes.
    pub tty: Option<WindowSize>,
    /// Whether standard input stays open for the host; else it is `/dev/null`.
    pub stdin: bool,
    /// Limits that differ from the agent's defaults.
    pub rlimits: Vec<Rlimit>,
    /// Nobody will attach: what it writes is thrown away, and it is forgotten once it has ended.
    pub detached: bool,
    /// It becomes [`detached`](Self::detached) when its attachment ends, or before that the connection that started it, and
    /// gets no more stdin.
    pub detaches: bool,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// A resource limit; `u64::MAX` is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Docker's name: `nofile`, `nproc`, `core`, `memlock`, `stack`, …
    pub resource: String,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}
