//! `ESR_ELx`, the exception syndrome (Arm ARM D24.2.40): decoding for whoever handles an exit,
//! encoding for whoever produces one.

use crate::sysreg::SysReg;

/// Exception classes, `ESR_ELx.EC`.
pub mod ec {
    /// Unknown reason.
    pub const UNKNOWN: u8 = 0x00;
    /// Trapped WFI or WFE.
    pub const WFX: u8 = 0x01;
    /// SIMD and floating-point access trapped by CPACR.
    pub const FP_ACCESS: u8 = 0x07;
    /// Illegal execution state.
    pub const ILLEGAL_STATE: u8 = 0x0e;
    /// SVC in AArch64.
    pub const SVC64: u8 = 0x15;
    /// HVC in AArch64.
    pub const HVC64: u8 = 0x16;
    /// SMC in AArch64.
    pub const SMC64: u8 = 0x17;
    /// Trapped MSR, MRS or system instruction in AArch64.
    pub const SYSREG: u8 = 0x18;
    /// Instruction abort from a lower exception level.
    pub const INSTRUCTION_ABORT_LOWER: u8 = 0x20;
    /// Instruction abort without a change of exception level.
    pub const INSTRUCTION_ABORT_SAME: u8 = 0x21;
    /// Misaligned PC.
    pub const PC_ALIGNMENT: u8 = 0x22;
    /// Data abort from a lower exception level.
    pub const DATA_ABORT_LOWER: u8 = 0x24;
    /// Data abort without a change of exception level.
    pub const DATA_ABORT_SAME: u8 = 0x25;
    /// Misaligned SP.
    pub const SP_ALIGNMENT: u8 = 0x26;
    /// Trapped floating-point exception in AArch64.
    pub const FP_EXCEPTION: u8 = 0x2c;
    /// SError.
    pub const SERROR: u8 = 0x2f;
    /// Breakpoint from a lower exception level.
    pub const BREAKPOINT_LOWER: u8 = 0x30;
    /// Breakpoint without a change of exception level.
    pub const BREAKPOINT_SAME: u8 = 0x31;
    /// Software step from a lower exception level.
    pub const STEP_LOWER: u8 = 0x32;
    /// Software step without a change of exception level.
    pub const STEP_SAME: u8 = 0x33;
    /// Watchpoint from a lower exception level.
    pub const WATCHPOINT_LOWER: u8 = 0x34;
    /// Watchpoint without a change of exception level.
    pub const WATCHPOINT_SAME: u8 = 0x35;
    /// BRK in AArch64.
    pub const BRK64: u8 = 0x3c;
}

/// An exception syndrome value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Esr(u64);

/// A syndrome, decoded as far as a hypervisor needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syndrome {
    /// WFI or WFE.
    WaitFor(WaitFor),
    /// HVC with its immediate.
    Hvc(u16),
    /// SMC with its immediate.
    Smc(u16),
    /// MSR, MRS or a system instruction.
    SysReg(SysRegAccess),
    /// Data abort from a lower exception level.
    DataAbort(DataAbort),
    /// Instruction abort from a lower exception level.
    InstructionAbort(InstructionAbort),
    /// Anything else, by class.
    Other(u8),
}

/// Which instruction waits (`TI`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// WFI.
    Interrupt,
    /// WFE.
    Event,
    /// WFIT.
    InterruptTimeout,
    /// WFET.
    EventTimeout,
}

/// A trapped system register access (ISS encoding of EC 0x18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SysRegAccess {
    /// The register.
    pub register: SysReg,
    /// General register transferred; 31 is XZR.
    pub rt: u8,
    /// MRS (the guest reads), rather than MSR.
    pub read: bool,
}

/// A data abort (ISS encoding of EC 0x24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataAbort {
    /// The access, when the hardware describes it (`ISV`). Pairs, SIMD and write-back forms come
    /// without.
    pub access: Option<Access>,
    /// A write (`WnR`). For cache maintenance it is set as well.
    pub write: bool,
    /// A cache maintenance instruction or AT caused it (`CM`).
    pub cache_maintenance: bool,
    /// A fault on a stage-2 fault of a stage-1 walk (`S1PTW`).
    pub stage1_walk: bool,
    /// The FAR does not hold a valid address (`FnV`).
    pub far_invalid: bool,
    /// Data fault status code (`DFSC`).
    pub status: u8,
}

/// The load or store that a valid data-abort syndrome describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// 1, 2, 4 or 8.
    pub bytes: u8,
    /// General register transferred; 31 is XZR, never SP.
    pub register: u8,
    /// The loaded value is sign-extended.
    pub sign_extend: bool,
    /// The register is 64 bits wide; otherwise 32, with the upper half cleared by a load.
    pub is_64bit: bool,
}

/// An instruction abort (ISS encoding of EC 0x20).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstructionAbort {
    /// Instruction fault status code (`IFSC`).
    pub status: u8,
    /// A fault on a stage-2 fault of a stage-1 walk (`S1PTW`).
    pub stage1_walk: bool,
}

const EC_SHIFT: u32 = 26;
/// `IL`: the instruction is 32 bits long.
pub const IL: u64 = 1 << 25;
const ISV: u64 = 1 << 24;
const SSE: u64 = 1 << 21;
const SF: u64 = 1 << 15;
const FNV: u64 = 1 << 10;
const CM: u64 = 1 << 8;
const S1PTW: u64 = 1 << 7;
const WNR: u64 = 1 << 6;

impl Esr {
    /// A syndrome of that class with `IL` set.
    pub const fn new(class: u8, iss: u32) -> Self {
        Self((class as u64) << EC_SHIFT | IL | (iss as u64 & 0x1ff_ffff))
    }

    /// The register value.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Exception class, one of [`ec`].
    pub const fn class(self) -> u8 {
        (self.0 >> EC_SHIFT) as u8 & 0x3f
    }

    /// Instruction-specific syndrome, 25 bits.
    pub const fn iss(self) -> u32 {
        self.0 as u32 & 0x1ff_ffff
    }

    /// Takes the syndrome apart. Total: every value decodes to something.
    pub const fn decode(self) -> Syndrome {
        let iss = self.0 & 0x1ff_ffff;
        match self.class() {
            ec::WFX => Syndrome::WaitFor(match iss & 0b11 {
                0 => WaitFor::Interrupt,
                1 => WaitFor::Event,
                2 => WaitFor::InterruptTimeout,
                _ => WaitFor::EventTimeout,
            }),
            ec::HVC64 => Syndrome::Hvc(iss as u16),
            ec::SMC64 => Syndrome::Smc(iss as u16),
            ec::SYSREG => Syndrome::SysReg(SysRegAccess {
                register: SysReg::new(
                    (iss >> 20) as u8 & 0b11,
                    (iss >> 14) as u8 & 0b111,
                    (iss >> 10) as u8 & 0xf,
                    (iss >> 1) as u8 & 0xf,
                    (iss >> 17) as u8 & 0b111,
                ),
                rt: (iss >> 5) as u8 & 0x1f,
                read: iss & 1 == 1,
            }),
            ec::DATA_ABORT_LOWER => Syndrome::DataAbort(DataAbort {
                access: if iss & ISV != 0 {
                    Some(Access {
                        bytes: 1 << (iss >> 22 & 0b11),
                        register: (iss >> 16) as u8 & 0x1f,
                        sign_extend: iss & SSE != 0,
                        is_64bit: iss & SF != 0,
                    })
                } else {
                    None
                },
                write: iss & WNR != 0,
                cache_maintenance: iss & CM != 0,
                stage1_walk: iss & S1PTW != 0,
                far_invalid: iss & FNV != 0,
                status: iss as u8 & 0x3f,
            }),
            ec::INSTRUCTION_ABORT_LOWER => Syndrome::InstructionAbort(InstructionAbort {
                status: iss as u8 & 0x3f,
                stage1_walk: iss & S1PTW != 0,
            }),
            other => Syndrome::Other(other),
        }
    }
}

impl From<u64> for Esr {
    fn from(bits: u64) -> Self {
        Self(bits)
    }
}

impl From<SysRegAccess> for Esr {
    fn from(access: SysRegAccess) -> Self {
        let SysRegAccess { register, rt, read } = access;
        let iss = u32::from(register.op0()) << 20
            | u32::from(register.op2()) << 17
            | u32::from(register.op1()) << 14
            | u32::from(register.crn()) << 10
            | u32::from(rt & 0x1f) << 5
            | u32::from(register.crm()) << 1
            | u32::from(read);
        Self::new(ec::SYSREG, iss)
    }
}

impl From<DataAbort> for Esr {
    fn from(abort: DataAbort) -> Self {
        let DataAbort { access, write, cache_maintenance, stage1_walk, far_invalid, status } =
            abort;
        let mut iss = u64::from(status & 0x3f);
        for (set, bit) in
            [(write, WNR), (cache_maintenance, CM), (stage1_walk, S1PTW), (far_invalid, FNV)]
        {
            if set {
                iss |= bit;
            }
        }
        if let Some(Access { bytes, register, sign_extend, is_64bit }) = access {
            iss |= ISV
                | u64::from(bytes.trailing_zeros() & 0b11) << 22
                | u64::from(register & 0x1f) << 16;
            if sign_extend {
                iss |= SSE;
            }
            if is_64bit {
                iss |= SF;
            }
        }
        Self::new(ec::DATA_ABORT_LOWER, iss as u32)
    }
}

impl core::fmt::Debug for Esr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Esr({:#010x}: {:?})", self.0, self.decode())
    }
}

impl core::fmt::LowerHex for Esr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::LowerHex::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Values written by hand from the ISS tables of Arm ARM D24.2.40.

    #[test]
    fn signed_byte_load() {
        // ISV, SAS=0, SSE, SRT=3, SF, DFSC=translation fault level 3.
        let esr = Esr::from(0x24 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 3 << 16 | 1 << 15 | 0b111);
        let Syndrome::DataAbort(abort) = esr.decode() else { panic!("{esr:?}") };
        assert_eq!(
            abort.access,
            Some(Access { bytes: 1, register: 3, sign_extend: true, is_64bit: true })
        );
        assert!(!abort.write);
        assert_eq!(abort.status, 7);
        assert_eq!(Esr::from(abort), esr);
    }

    #[test]
    fn store_pair_has_no_access() {
        let Syndrome::DataAbort(abort) = Esr::from(0x9200_0046).decode() else { panic!() };
        assert_eq!(abort.access, None);
        assert!(abort.write);
    }

    #[test]
    fn sysreg_access_round_trips() {
        // MRS X5, CNTV_CTL_EL0: op0=3 op1=3 CRn=14 CRm=3 op2=1.
        let esr = Esr::from(
            0x18 << 26 | 1 << 25 | 3 << 20 | 1 << 17 | 3 << 14 | 14 << 10 | 5 << 5 | 3 << 1 | 1,
        );
        let Syndrome::SysReg(access) = esr.decode() else { panic!("{esr:?}") };
        assert_eq!(access.register, SysReg::CNTV_CTL_EL0);
        assert_eq!((access.rt, access.read), (5, true));
        assert_eq!(Esr::from(access), esr);
    }

    #[test]
    fn hypercall_immediate() {
        assert_eq!(Esr::new(ec::HVC64, 0x1234).decode(), Syndrome::Hvc(0x1234));
    }
}
