//! Why a vCPU came out of the guest, decoded.

use arch_aarch64::esr::{Access, Esr, WaitFor};
use arch_aarch64::sysreg::SysReg;

/// Why [`Vcpu::run`](crate::Vcpu::run) returned.
///
/// When an exit stands for an instruction that the caller carries out, the program counter is already
/// behind it, except for the two reads, which are finished by handing their value to
/// [`Vcpu::complete_mmio_read`](crate::Vcpu::complete_mmio_read) and
/// [`Vcpu::complete_sys_reg_read`](crate::Vcpu::complete_sys_reg_read).
#[derive(Debug, PartialEq, Eq)]
pub enum Exit {
    /// A [`VcpuHandle`](crate::VcpuHandle) forced the exit.
    Canceled,
    /// A load from an address that is not memory.
    MmioRead(MmioRead),
    /// A store to an address that is not memory.
    MmioWrite {
        /// Guest-physical address.
        address: u64,
        /// Width in bytes: 1, 2, 4 or 8.
        bytes: u8,
        /// The value, in the low `bytes`; the rest is zero.
        value: u64,
    },
    /// HVC with its immediate.
    Hvc(u16),
    /// SMC with its immediate.
    Smc(u16),
    /// MRS of a register that the framework does not handle.
    SysRegRead(SysRegRead),
    /// MSR to a register that the framework does not handle.
    SysRegWrite {
        /// The register.
        register: SysReg,
        /// What the guest wrote.
        value: u64,
    },
    /// WFI or WFE. Comes only without a GIC.
    WaitFor(WaitFor),
    /// The virtual timer fired and is masked now. Comes only without a GIC.
    VtimerActivated,
    /// The guest did what nobody can carry out. The program counter is at the instruction.
    Fault(GuestFault),
}

/// A load that waits for its value.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the guest repeats the load until it is completed"]
pub struct MmioRead {
    /// Guest-physical address.
    pub address: u64,
    pub(crate) access: Access,
}

impl MmioRead {
    /// Width in bytes: 1, 2, 4 or 8.
    pub fn bytes(&self) -> u8 {
        self.access.bytes
    }
}

/// An MRS that waits for its value.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the guest repeats the instruction until it is completed"]
pub struct SysRegRead {
    /// The register.
    pub register: SysReg,
    pub(crate) rt: u8,
}

/// An exit that stands for no instruction a hypervisor could carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the guest faulted at pc {pc:#x}: esr {esr:#010x}, virtual address {virtual_address:#x}, \
     guest-physical address {physical_address:#x}"
)]
pub struct GuestFault {
    /// Program counter.
    pub pc: u64,
    /// Syndrome.
    pub esr: Esr,
    /// Faulting virtual address, where the syndrome has one.
    pub virtual_address: u64,
    /// Faulting guest-physical address, where the syndrome has one.
    pub physical_address: u64,
}

/// What a load puts into its register: the low bytes of `value`, extended as the instruction says.
pub(crate) fn extend(access: &Access, value: u64) -> u64 {
    let unused = 64 - 8 * u32::from(access.bytes);
    let value = if access.sign_extend {
        ((value << unused) as i64 >> unused) as u64
    } else {
        value << unused >> unused
    };
    if access.is_64bit { value } else { value & 0xffff_ffff }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(bytes: u8, sign_extend: bool, is_64bit: bool) -> Access {
        Access { bytes, register: 0, sign_extend, is_64bit }
    }

    #[test]
    fn loads_extend_as_the_instruction_says() {
        // LDRB, LDRSB W, LDRSB X, LDRSH W, LDRSW, LDR W, LDR X: Arm ARM C6.2.
        assert_eq!(extend(&access(1, false, false), 0x1ff), 0xff);
        assert_eq!(extend(&access(1, true, false), 0x80), 0xffff_ff80);
        assert_eq!(extend(&access(1, true, true), 0x80), 0xffff_ffff_ffff_ff80);
        assert_eq!(extend(&access(2, true, false), 0x7fff), 0x7fff);
        assert_eq!(extend(&access(4, true, true), 0x8000_0000), 0xffff_ffff_8000_0000);
        assert_eq!(extend(&access(4, false, false), u64::MAX), 0xffff_ffff);
        assert_eq!(extend(&access(8, false, true), u64::MAX), u64::MAX);
    }
}
