//! What can go wrong, in the framework's terms and in ours.

use hv_sys::hv_error_t;

/// Why a call into the hypervisor, or the preparation of one, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The framework answered with an error code.
    #[error("{call} failed: {code}")]
    Call {
        /// The C function.
        call: &'static str,
        /// Its answer.
        code: Code,
    },
    /// The VM could not be created, most likely for want of the entitlement.
    #[error(
        "the hypervisor refuses to create a virtual machine ({code}); sign the program with the \
         entitlement com.apple.security.hypervisor: codesign --force --sign - --entitlements \
         cli/kiln.entitlements <program>"
    )]
    Denied {
        /// The framework's answer.
        code: Code,
    },
    /// This process has a VM already.
    #[error(
        "this process already has a virtual machine and can hold only one; use one process a machine"
    )]
    VmExists,
    /// A configuration object could not be allocated.
    #[error("{call} returned no object; the host is out of memory")]
    NoObject {
        /// The C function.
        call: &'static str,
    },
    /// An address or size that is not a multiple of [`GRANULE`](crate::GRANULE).
    #[error("{what} {value:#x} is not a multiple of 16 KiB; round it")]
    Unaligned {
        /// Which value.
        what: &'static str,
        /// The value.
        value: u64,
    },
    /// A guest-physical range that overlaps mapped memory.
    #[error("guest memory {base:#x}+{size:#x} overlaps a mapping; choose another address")]
    Overlap {
        /// First guest-physical address.
        base: u64,
        /// Length in bytes.
        size: u64,
    },
    /// A guest-physical range that is not (entirely) mapped.
    #[error("guest memory {base:#x}+{size:#x} is not part of one mapping; name mapped memory")]
    NotMapped {
        /// First guest-physical address.
        base: u64,
        /// Length in bytes.
        size: u64,
    },
    /// The host has no memory or address space for the guest.
    #[error("the host cannot provide {size} bytes of guest memory; ask for less")]
    HostMemory {
        /// Length in bytes.
        size: u64,
        /// The host's answer.
        source: std::io::Error,
    },
    /// A saved vCPU names a register that this build does not restore.
    #[error(
        "the saved vCPU holds register {encoding:#06x}, which this host cannot restore; boot afresh"
    )]
    UnknownRegister {
        /// The register's encoding.
        encoding: u32,
    },
    /// A saved vCPU was taken from another affinity.
    #[error(
        "the saved vCPU has affinity {saved:#x} but this one is {actual:#x}; restore each to its own"
    )]
    WrongAffinity {
        /// MPIDR in the state.
        saved: u64,
        /// MPIDR of the vCPU.
        actual: u64,
    },
    /// The GIC refused a saved state.
    #[error(
        "the interrupt controller refuses the saved state ({code}); it was taken on another host \
         or before a software update: boot afresh"
    )]
    GicState {
        /// The framework's answer.
        code: Code,
    },
}

/// An error code of the framework (`hv_error_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Code {
    /// `HV_ERROR`.
    #[error("HV_ERROR (unspecified)")]
    Error,
    /// `HV_BUSY`.
    #[error("HV_BUSY (the owner is another thread, or the resource is in use)")]
    Busy,
    /// `HV_BAD_ARGUMENT`.
    #[error("HV_BAD_ARGUMENT (an argument is not valid)")]
    BadArgument,
    /// `HV_ILLEGAL_GUEST_STATE`.
    #[error("HV_ILLEGAL_GUEST_STATE (the guest's state is not valid)")]
    IllegalGuestState,
    /// `HV_NO_RESOURCES`.
    #[error("HV_NO_RESOURCES (the host is out of resources)")]
    NoResources,
    /// `HV_NO_DEVICE`.
    #[error("HV_NO_DEVICE (there is no virtual machine or device)")]
    NoDevice,
    /// `HV_DENIED`.
    #[error("HV_DENIED (not permitted)")]
    Denied,
    /// `HV_FAULT`.
    #[error("HV_FAULT (a pointer is not valid)")]
    Fault,
    /// `HV_UNSUPPORTED`.
    #[error("HV_UNSUPPORTED (not supported on this host)")]
    Unsupported,
    /// A code that the framework's header does not list.
    #[error("error {0:#x}")]
    Other(u32),
}

impl Code {
    /// Decodes a result; `None` is success.
    pub(crate) fn from_return(value: hv_sys::hv_return_t) -> Option<Self> {
        const fn code(error: hv_error_t) -> u32 {
            error as u32
        }
        let value = value as u32;
        Some(match value {
            _ if value == code(hv_error_t::HV_SUCCESS) => return None,
            _ if value == code(hv_error_t::HV_ERROR) => Self::Error,
            _ if value == code(hv_error_t::HV_BUSY) => Self::Busy,
            _ if value == code(hv_error_t::HV_BAD_ARGUMENT) => Self::BadArgument,
            _ if value == code(hv_error_t::HV_ILLEGAL_GUEST_STATE) => Self::IllegalGuestState,
            _ if value == code(hv_error_t::HV_NO_RESOURCES) => Self::NoResources,
            _ if value == code(hv_error_t::HV_NO_DEVICE) => Self::NoDevice,
            _ if value == code(hv_error_t::HV_DENIED) => Self::Denied,
            _ if value == code(hv_error_t::HV_FAULT) => Self::Fault,
            _ if value == code(hv_error_t::HV_UNSUPPORTED) => Self::Unsupported,
            other => Self::Other(other),
        })
    }
}

/// Turns a result of `call` into ours.
pub(crate) fn chk(call: &'static str, value: hv_sys::hv_return_t) -> Result<(), Error> {
    match Code::from_return(value) {
        None => Ok(()),
        Some(code) => Err(Error::Call { call, code }),
    }
}
