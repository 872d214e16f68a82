//! What became of a machine.

use std::{fs, io::Write, path::Path};

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PortMapping;

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
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
pub struct State {
    /// What it is doing.
    pub status: Status,
    /// Process id of the machine's process on the host.
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
}

impl State {
    /// A machine that was just created.
    pub fn created() -> Self {
        Self {
            status: Status::Created,
            pid: None,
            started: None,
            finished: None,
            exit_code: None,
            oom_killed: false,
            error: None,
            ports: Vec::new(),
            timings: Vec::new(),
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
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_json(path, self)
    }
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let directory = path.parent().context("a file has a directory")?;
    let write = || -> anyhow::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new").tempfile_in(directory)?;
        serde_json::to_writer_pretty(&mut file, value)?;
        file.write_all(b"\n")?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> anyhow::Result<T> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!("{} is damaged; remove its directory if the machine is gone", path.display())
    })
}
