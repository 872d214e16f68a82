//! `hv_return_t` and what its values stand for.

/// `hv_return_t`: [`code::SUCCESS`] or one of the framework's error codes.
pub type HvReturn = i32;

/// Values of [`HvReturn`] (`hv_error_t`).
pub mod code {
    use super::HvReturn;

    /// `HV_SUCCESS`
    pub const SUCCESS: HvReturn = 0;
    /// `HV_ERROR`
    pub const ERROR: HvReturn = 0xfae9_4001_u32 as HvReturn;
    /// `HV_BUSY`
    pub const BUSY: HvReturn = 0xfae9_4002_u32 as HvReturn;
    /// `HV_BAD_ARGUMENT`
    pub const BAD_ARGUMENT: HvReturn = 0xfae9_4003_u32 as HvReturn;
    /// `HV_NO_RESOURCES`
    pub const NO_RESOURCES: HvReturn = 0xfae9_4005_u32 as HvReturn;
    /// `HV_NO_DEVICE`
    pub const NO_DEVICE: HvReturn = 0xfae9_4006_u32 as HvReturn;
    /// `HV_DENIED`
    pub const DENIED: HvReturn = 0xfae9_4007_u32 as HvReturn;
    /// `HV_UNSUPPORTED`
    pub const UNSUPPORTED: HvReturn = 0xfae9_400f_u32 as HvReturn;
}

/// Why a call was refused. The framework documents the codes but not all of their uses; where it is
/// silent, the choice is noted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Guest-physical memory that is mapped already, or is not mapped; a redistributor asked for
    /// before its vCPU has an affinity.
    #[error("HV_ERROR: the operation does not fit the state of the virtual machine")]
    Failed,
    /// A second VM; a second vCPU on a thread; a VM with vCPUs being destroyed; a GIC when there is
    /// one, or a vCPU; a GIC state or a change of topology after a vCPU has run.
    #[error("HV_BUSY: what the operation needs is in use")]
    Busy,
    /// A value outside its range, a null pointer, a stale object, a vCPU of another thread.
    #[error("HV_BAD_ARGUMENT: an argument is not valid")]
    BadArgument,
    /// More vCPUs than there may be; the host is out of memory or threads.
    #[error("HV_NO_RESOURCES: the host cannot provide what is needed")]
    NoResources,
    /// There is no VM, or no GIC.
    #[error("HV_NO_DEVICE: there is no virtual machine or no interrupt controller")]
    NoDevice,
    /// Host memory whose protection does not allow what the guest shall do with it.
    #[error("HV_DENIED: the host does not permit this")]
    Denied,
    /// EL2 and everything that needs it; registers of features that this machine lacks; the physical
    /// timer without a GIC.
    #[error("HV_UNSUPPORTED: this machine cannot do this")]
    Unsupported,
}

impl Error {
    /// The framework's code.
    pub fn code(self) -> HvReturn {
        match self {
            Error::Failed => code::ERROR,
            Error::Busy => code::BUSY,
            Error::BadArgument => code::BAD_ARGUMENT,
            Error::NoResources => code::NO_RESOURCES,
            Error::NoDevice => code::NO_DEVICE,
            Error::Denied => code::DENIED,
            Error::Unsupported => code::UNSUPPORTED,
        }
    }
}

/// The answer to the C caller.
pub(super) fn answer(result: Result<(), Error>) -> HvReturn {
    result.map_or_else(Error::code, |()| code::SUCCESS)
}
