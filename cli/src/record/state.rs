//! What became of a machine.

use std::{fs, io::Write, path::Path};

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PortMapping;

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It exists and its process has not started.
    Created,
    /// Its process runs.
    Running,
    /// It stands still until it is resumed.
    Paused,
    /// It has ended.
    Exited,
}

/// What a machine's process last wrote about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// What it is doing.
    pub status: Status,
    /// Process id of the machine's process on the host; of who made it, as long as it was only created.
    pub pid: Option<u32>,
    /// When the guest's process started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Its exit status: 0 to 255, 128 + n after signal n.
    pub exit_code: Option<i32>,
    /// Whether the guest ran out of memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// Why it could not start or ended early, for people.
    #[serde(default)]
    pub error: Option<String>,
    /// The published ports, with the host's choice in place of 0.
    #[serde(default)]
    pub ports: Vec<PortMapping>,
    /// How long each step of its start took, in milliseconds.
    #[serde(default)]
    pub timings: Vec<(String, f64)>,
    /// How long each step of its restore took, if it was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoreReport>,
}

/// How long each step of a restore took, in milliseconds, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct RestoreReport {
    /// The snapshot's state read, checked and decoded.
    pub state_ms: f64,
    /// Memory mapped, or copied with `--ram copy`.
    pub memory_ms: f64,
    /// Files and sockets of the host opened.
    pub resources_ms: f64,
    /// The virtual machine made.
    pub vm_ms: f64,
    /// The interrupt controller made and its state loaded.
    pub gic_ms: f64,
    /// Devices built from their states.
    pub devices_ms: f64,
    /// vCPUs made and their registers loaded.
    pub vcpus_ms: f64,
    /// The timers of all vCPUs set.
    pub timer_ms: f64,
    /// From the order to run until the first vCPU enters the guest.
    pub first_instruction_ms: f64,
    /// Control socket and published ports opened.
    pub endpoints_ms: f64,
    /// Randomness reseeded, clock set, processes thawed.
    pub thaw_ms: f64,
}

impl RestoreReport {
    /// Every step with its name for people.
    pub(crate) fn steps(&self) -> [(&'static str, f64); 11] {
        let Self {
            state_ms,
            memory_ms,
            resources_ms,
            vm_ms,
            gic_ms,
            devices_ms,
            vcpus_ms,
            timer_ms,
            first_instruction_ms,
            endpoints_ms,
            thaw_ms,
        } = *self;
        [
            ("state load", state_ms),
            ("memory map or copy", memory_ms),
            ("files and sockets", resources_ms),
            ("virtual machine", vm_ms),
            ("interrupt controller", gic_ms),
            ("devices", devices_ms),
            ("vCPUs", vcpus_ms),
            ("timer", timer_ms),
            ("first guest instruction", first_instruction_ms),
            ("endpoints", endpoints_ms),
            ("reseed, clock, thaw", thaw_ms),
        ]
    }
}

impl State {
    /// A machine that was just created.
    pub(crate) fn created() -> Self {
        Self {
            status: Status::Created,
            pid: Some(std::process::id()),
            started: None,
            finished: None,
            exit_code: None,
            oom_killed: false,
            error: None,
            ports: Vec::new(),
            timings: Vec::new(),
            restored: None,
        }
    }

    /// What a process that was killed would have written.
    pub(super) fn abandoned(self) -> Self {
        Self {
            status: Status::Exited,
            pid: None,
            exit_code: Some(137),
            error: Some("the machine's process was killed".into()),
            ..self
        }
    }

    /// Replaces the file at `path`: a reader sees the old state or the new one.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_json(path, self)
    }
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let directory = path.parent().context("a file has a directory")?;
    let write = || -> anyhow::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new").tempfile_in(directory)?;
        let mut bytes = serde_json::to_vec_pretty(value)?;
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write()
        .with_context(|| format!("cannot write {}; see whether the disk is full", path.display()))
}

pub(super) fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> anyhow::Result<T> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!("{} is damaged; remove its directory if the machine is gone", path.display())
    })
}
