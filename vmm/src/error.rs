//! What can go wrong with a machine.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hv::GuestFault;

/// Why a machine could not be built, or an operation on it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No vCPU, or too many.
    #[error("a machine cannot have {asked} vCPUs on this host; use 1 to {most}")]
    VcpuCount {
        /// vCPUs asked for.
        asked: u32,
        /// The most there can be.
        most: u32,
    },
    /// More RAM than the host has.
    #[error(
        "{} MiB of memory are more than the {} MiB this host has; ask for less",
        asked >> 20,
        host >> 20
    )]
    MemoryBeyondHost {
        /// Bytes asked for.
        asked: u64,
        /// Bytes of the host.
        host: u64,
    },
    /// A file that the machine needs cannot be opened or read.
    #[error("the {what} {} cannot be {verb}", path.display())]
    File {
        /// What it is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// The host's answer.
        source: io::Error,
    },
    /// The kernel was built for pages that the host's CPUs do not translate.
    #[error(
        "the kernel was built for pages of {page_size} bytes, which this host's CPUs do not have; build it for 4 KiB"
    )]
    PageSize {
        /// Its page size in bytes.
        page_size: u64,
    },
    /// The kernel is not bootable.
    #[error("the kernel {} cannot be booted", path.display())]
    Kernel {
        /// The kernel's path.
        path: PathBuf,
        /// What is wrong with it.
        source: arch_aarch64::linux::ImageError,
    },
    /// Kernel and initramfs are larger than RAM.
    #[error(transparent)]
    DoesNotFit(#[from] arch_aarch64::linux::DoesNotFit),
    /// RAM does not fit into the address space.
    #[error(transparent)]
    Layout(#[from] arch_aarch64::layout::LayoutError),
    /// The device tree cannot be written.
    #[error(transparent)]
    Fdt(#[from] arch_aarch64::fdt::FdtError),
    /// A device cannot be placed.
    #[error(transparent)]
    Device(#[from] devices::Error),
    /// A virtio device or its worker failed.
    #[error(transparent)]
    Virtio(#[from] virtio::Error),
    /// Saved state that cannot be true.
    #[error(transparent)]
    Invalid(#[from] snapshot::Invalid),
    /// The hypervisor refused.
    #[error(transparent)]
    Hypervisor(#[from] hv::Error),
    /// Guest memory could not be accessed where it must be.
    #[error("guest memory at {address:#x} cannot be accessed")]
    Memory {
        /// Guest-physical address.
        address: u64,
        /// Why.
        source: vm_memory::GuestMemoryError,
    },
    /// A thread could not be started.
    #[error("the thread {name} cannot be started; the host is out of resources")]
    Thread {
        /// Its name.
        name: String,
        /// The host's answer.
        source: io::Error,
    },
    /// The host has no randomness.
    #[error("the host's random number generator failed: {0}")]
    Random(getrandom::Error),
    /// The hypervisor does not do what it has to.
    #[error("the hypervisor failed its proof of life: the guest's HVC was seen as {seen}")]
    NoLife {
        /// What the vCPU came back with.
        seen: String,
    },
    /// The file of a restored machine's memory is too short.
    #[error(
        "the saved memory has {has} bytes but the machine needs {needs}; the snapshot is damaged, make it again"
    )]
    MemoryFile {
        /// Bytes from its beginning to the end of the file.
        has: u64,
        /// Bytes of the machine's memory.
        needs: u64,
    },
    /// This host's interrupt controller is another one than that of the captured machine's host.
    #[error(transparent)]
    Host(snapshot::Error),
    /// The guest is between its request for a reset and the reset.
    #[error("the guest is being reset; capture it again in a moment")]
    Resetting,
    /// A vCPU did not come out of the guest.
    #[error(
        "vCPU {vcpu} did not stop within {} s, and the machine goes on; try again when the host has less to do",
        limit.as_secs()
    )]
    Rendezvous {
        /// The vCPU's index.
        vcpu: usize,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A snapshot says nothing of a device that the machine has.
    #[error(
        "the snapshot holds no state of the device {name}; restore it with the devices it was made with, or make it again"
    )]
    NoDeviceState {
        /// The device's name.
        name: String,
    },
    /// A snapshot was made of a machine with more devices.
    #[error(
        "the snapshot holds the state of a device {name}, which this machine does not have; restore it with the devices it was made with"
    )]
    NoDevice {
        /// The device's name.
        name: String,
    },
    /// A vCPU's thread is gone.
    #[error("a vCPU's thread has ended; see how the machine ended")]
    ThreadGone,
    /// The operation needs a machine that has not ended.
    #[error("the machine has ended: {0}")]
    Ended(Outcome),
}

/// An error with its causes, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Outcome {
    /// The guest switched it off.
    #[error("the guest switched the machine off")]
    PoweredOff,
    /// The guest asked for a reset, and the configuration says that this ends the machine.
    #[error("the guest reset the machine")]
    Reset,
    /// The host stopped it.
    #[error("the machine was stopped")]
    Stopped,
    /// The guest did what nobody can carry out.
    #[error("vCPU {vcpu}: {fault}")]
    GuestFault {
        /// The vCPU.
        vcpu: usize,
        /// What it did, with PC and ESR.
        fault: GuestFault,
    },
    /// A thread of the machine failed.
    #[error("the thread {thread} failed: {cause}")]
    ThreadFailed {
        /// Its name.
        thread: String,
        /// Why.
        cause: String,
    },
}
