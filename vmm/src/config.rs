//! What a machine is asked to be.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A machine, described. Plain data: nothing is opened or checked before
/// [`MachineConfig::check`] and [`Machine::new`](crate::Machine::new).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// RAM in bytes, a multiple of 2 MiB.
    pub memory: u64,
    /// Number of vCPUs.
    pub vcpus: u32,
    /// The kernel, an arm64 `Image`.
    pub kernel: PathBuf,
    /// The initial RAM file system.
    pub initramfs: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
    /// Disks, in the order the guest finds them.
    pub disks: Vec<DiskConfig>,
    /// Sockets between guest and host.
    pub vsock: Option<VsockConfig>,
    /// What happens when the guest asks for a reset, as it does to reboot, and after a panic if its
    /// command line has `panic=`.
    pub on_reset: OnReset,
}

/// What a guest's reset comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnReset {
    /// The guest starts afresh.
    #[default]
    Restart,
    /// The machine ends with [`Outcome::Reset`](crate::Outcome::Reset).
    End,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskConfig {
    /// The raw image.
    pub path: PathBuf,
    /// The guest cannot write.
    pub read_only: bool,
}

/// The vsock device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsockConfig {
    /// The guest's context identifier, 3 or more.
    pub cid: u32,
    /// Unix socket on which the host connects to guest ports; none for use inside the process only.
    pub socket: Option<PathBuf>,
}

/// The memory a machine has unless told otherwise.
pub const DEFAULT_MEMORY: u64 = 512 << 20;

impl MachineConfig {
    /// One vCPU, [`DEFAULT_MEMORY`], that kernel and nothing else.
    pub fn new(kernel: impl Into<PathBuf>) -> Self {
        Self {
            memory: DEFAULT_MEMORY,
            vcpus: 1,
            kernel: kernel.into(),
            initramfs: None,
            command_line: String::new(),
            disks: Vec::new(),
            vsock: None,
            on_reset: OnReset::Restart,
        }
    }

    /// Checks what can be checked without opening anything.
    pub fn check(&self) -> Result<(), Error> {
        let limits = hv::Limits::query()?;
        if self.vcpus == 0 || self.vcpus > limits.vcpus {
            return Err(Error::VcpuCount { asked: self.vcpus, most: limits.vcpus });
        }
        let host = hv::host_memory();
        if self.memory > host {
            return Err(Error::MemoryBeyondHost { asked: self.memory, host });
        }
        Ok(())
    }
}
