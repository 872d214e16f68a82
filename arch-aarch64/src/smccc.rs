//! SMC Calling Convention (DEN 0028G): function identifiers and the two calls of its own that a
//! guest may make.

/// Returned in X0/W0 for a function that does not exist (5.2, `NOT_SUPPORTED`).
pub const NOT_SUPPORTED: i64 = -1;
/// Returned for an argument out of range (7.1, `INVALID_PARAMETER`).
pub const INVALID_PARAMETER: i64 = -3;

/// `SMCCC_VERSION` (7.2).
pub const VERSION: u32 = 0x8000_0000;
/// `SMCCC_ARCH_FEATURES` (7.3).
pub const ARCH_FEATURES: u32 = 0x8000_0001;
/// The version that is implemented: 1.1, major in bits 30:16.
pub const VERSION_1_1: i64 = 0x1_0001;

/// A function identifier taken apart (2.5, table 2-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionId(pub u32);

/// Who owns a service (table 6-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Arm Architecture Calls.
    Architecture,
    /// Standard Secure Service Calls, which hold PSCI and TRNG.
    StandardSecure,
    /// Standard Hypervisor Service Calls.
    StandardHypervisor,
    /// Any other range.
    Other(u8),
}

impl FunctionId {
    /// A fast (atomic) call, rather than a yielding one.
    pub const fn is_fast(self) -> bool {
        self.0 >> 31 == 1
    }

    /// The 64-bit convention: arguments are X registers. Otherwise they are W registers and the
    /// upper halves are to be ignored.
    pub const fn is_64bit(self) -> bool {
        self.0 >> 30 & 1 == 1
    }

    /// The owning entity number.
    pub const fn owner(self) -> Owner {
        match (self.0 >> 24) as u8 & 0x3f {
            0 => Owner::Architecture,
            4 => Owner::StandardSecure,
            5 => Owner::StandardHypervisor,
            other => Owner::Other(other),
        }
    }

    /// The function number within the owner's range.
    pub const fn number(self) -> u16 {
        self.0 as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_identifiers_come_apart() {
        let cpu_on_64 = FunctionId(0xc400_0003);
        assert!(cpu_on_64.is_fast() && cpu_on_64.is_64bit());
        assert_eq!(cpu_on_64.owner(), Owner::StandardSecure);
        assert_eq!(cpu_on_64.number(), 3);
        assert_eq!(FunctionId(VERSION).owner(), Owner::Architecture);
        assert!(!FunctionId(VERSION).is_64bit());
    }
}
