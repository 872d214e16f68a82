//! Power State Coordination Interface (DEN 0022F, version 1.1): function identifiers, return codes
//! and the decoding of a call.

use crate::smccc::FunctionId;

/// `PSCI_VERSION` result: 1.1, major in the upper half (5.1.1).
pub const VERSION_1_1: u32 = 0x1_0001;

/// A PSCI function (5.1, with identifiers from table 6-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `PSCI_VERSION` (5.1.1).
    Version,
    /// `CPU_SUSPEND` (5.1.2).
    CpuSuspend,
    /// `CPU_OFF` (5.1.3).
    CpuOff,
    /// `CPU_ON` (5.1.4).
    CpuOn,
    /// `AFFINITY_INFO` (5.1.5).
    AffinityInfo,
    /// `MIGRATE_INFO_TYPE` (5.1.7).
    MigrateInfoType,
    /// `SYSTEM_OFF` (5.1.9).
    SystemOff,
    /// `SYSTEM_RESET` (5.1.11).
    SystemReset,
    /// `PSCI_FEATURES` (5.1.15).
    Features,
}

impl Function {
    /// The function with that identifier, in either calling convention where both exist; `None` for
    /// functions that this interface does not offer.
    pub const fn from_id(id: FunctionId) -> Option<Self> {
        Some(match id.0 {
            0x8400_0000 => Self::Version,
            0x8400_0001 | 0xc400_0001 => Self::CpuSuspend,
            0x8400_0002 => Self::CpuOff,
            0x8400_0003 | 0xc400_0003 => Self::CpuOn,
            0x8400_0004 | 0xc400_0004 => Self::AffinityInfo,
            0x8400_0006 => Self::MigrateInfoType,
            0x8400_0008 => Self::SystemOff,
            0x8400_0009 => Self::SystemReset,
            0x8400_000a => Self::Features,
            _ => return None,
        })
    }
}

/// A PSCI return code (5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Return {
    /// The call succeeded.
    Success = 0,
    /// The function is not implemented.
    NotSupported = -1,
    /// An argument, or the target, does not exist.
    InvalidParameters = -2,
    /// The operation is refused.
    Denied = -3,
    /// The target of `CPU_ON` is running.
    AlreadyOn = -4,
    /// Another `CPU_ON` for the target is in progress.
    OnPending = -5,
    /// The target could not be started.
    InternalFailure = -6,
    /// The entry point is known to be invalid.
    InvalidAddress = -9,
}

impl Return {
    /// The value for X0. PSCI returns `int32`; a 64-bit caller sees it sign-extended, a 32-bit one
    /// looks at W0 only.
    pub const fn register(self) -> u64 {
        self as i32 as i64 as u64
    }
}

/// `AFFINITY_INFO` results (5.1.5).
pub mod affinity_info {
    /// At least one core of the affinity instance is on.
    pub const ON: u64 = 0;
    /// Every core of the affinity instance is off.
    pub const OFF: u64 = 1;
    /// A `CPU_ON` is in progress.
    pub const ON_PENDING: u64 = 2;
}

/// `MIGRATE_INFO_TYPE` result: there is no trusted OS to migrate (5.1.7).
pub const MIGRATE_NOT_REQUIRED: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_without_a_64_bit_form_have_none() {
        assert_eq!(Function::from_id(FunctionId(0xc400_0003)), Some(Function::CpuOn));
        assert_eq!(Function::from_id(FunctionId(0xc400_0008)), None);
        assert_eq!(Function::from_id(FunctionId(0xc400_0002)), None);
    }

    #[test]
    fn return_codes_are_sign_extended() {
        assert_eq!(Return::NotSupported.register(), u64::MAX);
        assert_eq!(Return::AlreadyOn.register() as i64, -4);
    }
}
