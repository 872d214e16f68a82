//! What a machine is asked to be.

use std::path::PathBuf;

use arch_aarch64::fdt;
use arch_aarch64::layout::Layout;
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
    /// What the guest reads as the disk's serial, unique among the machine's disks; at most 20 bytes
    /// are shown.
    pub name: String,
    /// Where its bytes are.
    pub source: DiskSource,
}

/// Where a disk's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskSource {
    /// A raw image.
    Raw {
        /// The file.
        path: PathBuf,
        /// The guest cannot write.
        read_only: bool,
        /// What a flush reaches.
        durability: Durability,
    },
    /// Several files as the partitions of one read-only disk.
    Composite {
        /// The partitions, in order.
        parts: Vec<PartConfig>,
    },
}

/// What a guest's flush reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Durability {
    /// The medium: data survives a power cut.
    #[default]
    Medium,
    /// The host's cache: data survives the machine's end.
    HostCache,
}

/// A partition of a composite disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartConfig {
    /// The file.
    pub path: PathBuf,
    /// The partition's name, at most 36 UTF-16 units.
    pub label: String,
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
        Layout::check_ram(self.memory)?;
        fdt::check_command_line(&self.command_line)?;
        Ok(())
    }
}
