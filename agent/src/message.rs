//! The messages.

use serde::{Deserialize, Serialize};

use crate::config::{Clock, Config, ProcessSpec, WindowSize};
use crate::{ProtocolError, VERSION};

/// First message of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Always [`Hello::MAGIC`].
    pub magic: String,
    /// The highest protocol version that this side speaks; both use the lower one.
    pub version: u16,
    /// Name and version of the program, for logs.
    pub who: String,
}

impl Hello {
    /// Tells this protocol from others.
    pub const MAGIC: &'static str = "kiln-agent";

    /// Greeting of a program of this version.
    pub fn new(who: &str) -> Hello {
        Hello { magic: Hello::MAGIC.to_owned(), version: VERSION, who: who.to_owned() }
    }
}

/// Names a process for as long as the machine lives. The host chooses it, so that it knows the name
/// even if the reply to the start is lost.
pub type ProcessId = u64;

/// What the host asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Are you there? Answered [`Reply::Done`].
    Ping,
    /// Build the workload's root. Once, before [`Request::Run`]; answered [`Reply::Done`].
    Configure(Config),
    /// Start the workload's own process: PID 1 of its namespace. Once; answered
    /// [`Reply::Started`] when the command runs.
    Run {
        /// Its name from now on.
        id: ProcessId,
        /// What to run.
        spec: ProcessSpec,
    },
    /// Start one more process in the namespaces of the workload's own; answered [`Reply::Started`].
    Exec {
        /// Its name from now on.
        id: ProcessId,
        /// What to run.
        spec: ProcessSpec,
    },
    /// Take over the stdio of a process; an earlier attachment ends. Answered
    /// [`Reply::Attached`]; then see the crate's documentation.
    Attach {
        /// The process.
        id: ProcessId,
        /// First byte of standard output to send; `None` is the oldest that was not acknowledged.
        stdout: Option<u64>,
        /// The same for standard error.
        stderr: Option<u64>,
    },
    /// Wait for the end of a process; answered [`Reply::Exited`], at once if it has ended.
    Wait {
        /// The process.
        id: ProcessId,
    },
    /// Send a signal to a process by its Linux number; answered [`Reply::Done`].
    Signal {
        /// The process.
        id: ProcessId,
        /// Linux signal number.
        signal: i32,
    },
    /// Set the size of a process's terminal; answered [`Reply::Done`].
    Resize {
        /// The process.
        id: ProcessId,
        /// The new size.
        size: WindowSize,
    },
    /// All processes that were started and not removed; answered [`Reply::Processes`].
    List,
    /// Forget a process that has ended, with its buffered output; answered [`Reply::Done`].
    Remove {
        /// The process.
        id: ProcessId,
    },
    /// What is at this path of the root? Answered [`Reply::File`].
    Stat {
        /// Absolute path; the last component is not followed if it is a symbolic link.
        path: String,
    },
    /// Send a file or directory as a tar stream whose first entry is its base name; answered
    /// [`Reply::File`], then the archive.
    CopyOut {
        /// Absolute path.
        path: String,
        /// Follow the path if it is itself a symbolic link.
        follow: bool,
    },
    /// Unpack a tar stream into a directory; answered [`Reply::Done`] when the agent is ready for
    /// the archive, and again when it has been unpacked.
    CopyIn {
        /// Absolute path of an existing directory.
        path: String,
        /// Keep the numeric owners of the archive; else everything belongs to root.
        owners: bool,
    },
    /// Connect to a TCP port inside the guest; answered [`Reply::Done`], then raw bytes.
    Connect {
        /// Port on the guest's loopback address, tried as IPv4, then as IPv6.
        port: u16,
    },
    /// Wait until something in the guest listens on a TCP port; answered [`Reply::Done`], or
    /// [`FailureKind::TimedOut`].
    AwaitListener {
        /// The port, on any address.
        port: u16,
        /// How long to wait, in milliseconds.
        timeout_ms: u64,
    },
    /// Resource use; answered [`Reply::Stats`].
    Stats,
    /// Stop every process of the workload where it is (cgroup v2 freezer); answered
    /// [`Reply::Done`] when all stand still.
    Freeze,
    /// Undo [`Request::Freeze`], once the clock is right and the randomness fresh; nothing of the workload runs if either
    /// fails. Answered [`Reply::Done`].
    Thaw {
        /// The wall clock to set.
        clock: Option<Clock>,
        /// 32 to 512 bytes from the host's generator, which are mixed into the kernel's random pool and credited; it reseeds
        /// at once.
        #[serde(with = "serde_bytes")]
        entropy: Option<Vec<u8>>,
    },
    /// Set the wall clock; answered [`Reply::Done`].
    SetClock(Clock),
    /// Send the signal to the workload's own process, wait, kill what is left after the grace time,
    /// write disks back and power the machine off; answered [`Reply::Done`] just before the power
    /// goes.
    Shutdown {
        /// Linux number of the stop signal.
        signal: i32,
        /// Milliseconds before SIGKILL.
        grace_ms: u64,
    },
}

/// The agent's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// It could not be done.
    Failed(Failure),
    /// The command runs.
    Started {
        /// Its process id in the guest's first namespace.
        pid: u32,
    },
    /// The connection now carries the stdio of the process.
    Attached(Attached),
    /// The process has ended.
    Exited(Exit),
    /// All known processes, ordered by id.
    Processes(Vec<ProcessInfo>),
    /// The file exists.
    File(FileInfo),
    /// Resource use.
    Stats(Stats),
}

/// Where the streams of an attachment begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attached {
    /// Bytes of stdin that the agent has received in earlier attachments: the next one to send.
    pub stdin: u64,
    /// Bytes of stdin that the process has taken.
    pub stdin_taken: u64,
    /// Offset of the first byte of standard output that will come.
    pub stdout: u64,
    /// Offset of the first byte of standard error that will come.
    pub stderr: u64,
    /// Whether the process has a terminal.
    pub tty: bool,
}

/// From the host, on an attached connection or while it sends an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// No more stdin after the bytes sent so far.
    CloseStdin,
    /// Set the terminal's size.
    Resize(WindowSize),
    /// Send a signal by its Linux number.
    Signal(i32),
    /// Everything before these offsets is safe with the host and may be forgotten.
    Ack {
        /// Of standard output.
        stdout: u64,
        /// Of standard error.
        stderr: u64,
    },
    /// The archive is complete.
    Finished,
}

/// From the guest, on an attached connection or while it sends an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// The process has taken stdin up to this offset; the host may send
    /// [`STDIN_WINDOW`](crate::STDIN_WINDOW) bytes more than that.
    StdinTaken(u64),
    /// The process has ended, and all of its output has been sent.
    Exited(Exit),
    /// The archive is complete, or why it is not.
    Finished(Option<Failure>),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Status or signal.
    pub status: ExitStatus,
    /// Whether the kernel killed it for want of memory; for the workload's own process, whether it killed any of the
    /// workload so.
    pub oom_killed: bool,
    /// Bytes it wrote to standard output.
    pub stdout: u64,
    /// Bytes it wrote to standard error.
    pub stderr: u64,
}

/// How a process ended, as `wait` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It called `exit` with this status.
    Exited(u8),
    /// A signal of this Linux number ended it.
    Signaled(i32),
}

impl ExitStatus {
    /// What a shell, and Docker, make of it: the status, or 128 plus the signal.
    pub fn code(self) -> i32 {
        match self {
            ExitStatus::Exited(status) => i32::from(status),
            ExitStatus::Signaled(signal) => 128 + signal,
        }
    }
}

/// A process the agent knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its name.
    pub id: ProcessId,
    /// Its process id in the guest's first namespace.
    pub pid: u32,
    /// The command and its arguments.
    pub args: Vec<String>,
    /// How it ended, if it did.
    pub exit: Option<Exit>,
}

/// A file of the root.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileInfo {
    /// Base name.
    pub name: String,
    /// Type and permission bits as in `st_mode`.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
    /// Modification time in seconds since the Unix epoch.
    pub mtime: i64,
    /// Target, if it is a symbolic link.
    pub link_target: Option<String>,
}

/// Resource use of the workload since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Processor time in microseconds.
    pub cpu_usec: u64,
    /// Memory in use now, in bytes, without what is only page cache.
    pub memory: u64,
    /// Memory it may use, in bytes.
    pub memory_limit: u64,
    /// Processes and threads now.
    pub pids: u64,
    /// Bytes read from block devices.
    pub block_read: u64,
    /// Bytes written to block devices.
    pub block_written: u64,
    /// Bytes received by network interfaces other than loopback.
    pub network_received: u64,
    /// Bytes sent by them.
    pub network_sent: u64,
    /// Times the kernel killed a process of the workload for want of memory.
    pub oom_kills: u64,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs.
    pub kind: FailureKind,
    /// For people: one sentence.
    pub message: String,
}

/// Kinds of failure that a host treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The request makes no sense, or not now.
    Invalid,
    /// No process has this id.
    NoSuchProcess,
    /// The command does not exist (exit status 127).
    CommandNotFound,
    /// The command exists and cannot be executed (exit status 126).
    CommandNotExecutable,
    /// The user or group is unknown to the image.
    NoSuchUser,
    /// The path does not exist.
    NoSuchFile,
    /// Nobody listens on the port.
    Refused,
    /// The time is over.
    TimedOut,
    /// The workload does not run, or runs no longer.
    NotRunning,
    /// The guest's kernel refused something; the message says what.
    System,
    /// A kind that a newer agent knows and this side does not.
    #[serde(other)]
    Unknown,
}

impl Reply {
    /// `Ok` if this is [`Reply::Done`].
    ///
    /// # Errors
    /// [`ProtocolError::Failed`], or [`ProtocolError::Unexpected`] for any other reply.
    pub fn done(self) -> Result<(), ProtocolError> {
        match self {
            Reply::Done => Ok(()),
            Reply::Failed(failure) => Err(ProtocolError::Failed(failure)),
            other => Err(ProtocolError::Unexpected {
                expected: "the word that it is done",
                got: format!("{other:?}"),
            }),
        }
    }
}
