//! Which system registers `hv_vcpu_get_sys_reg` and `hv_vcpu_set_sys_reg` know (`hv_sys_reg_t`).

use arch_aarch64::sysreg::SysReg;

/// What the framework does with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// State of the core or of the timers.
    Yes,
    /// An identification register: what the guest reads is for the host to choose.
    Identification,
    /// A physical timer register: the framework offers it with a GIC only.
    WithGic,
    /// A register of EL2, or of pointer authentication.
    Unsupported,
    /// No register of the framework.
    No,
}

/// Looks a register up.
pub(super) fn lookup(register: SysReg) -> Known {
    if is_debug(register) {
        return Known::Yes;
    }
    match register {
        SysReg::MPIDR_EL1
        | SysReg::MDCCINT_EL1
        | SysReg::MDSCR_EL1
        | SysReg::SCTLR_EL1
        | SysReg::ACTLR_EL1
        | SysReg::CPACR_EL1
        | SysReg::TTBR0_EL1
        | SysReg::TTBR1_EL1
        | SysReg::TCR_EL1
        | SysReg::SPSR_EL1
        | SysReg::ELR_EL1
        | SysReg::SP_EL0
        | SysReg::SP_EL1
        | SysReg::AFSR0_EL1
        | SysReg::AFSR1_EL1
        | SysReg::ESR_EL1
        | SysReg::FAR_EL1
        | SysReg::PAR_EL1
        | SysReg::MAIR_EL1
        | SysReg::AMAIR_EL1
        | SysReg::VBAR_EL1
        | SysReg::CONTEXTIDR_EL1
        | SysReg::TPIDR_EL1
        | SysReg::TPIDR_EL0
        | SysReg::TPIDRRO_EL0
        | SysReg::CNTKCTL_EL1
        | SysReg::CSSELR_EL1
        | SysReg::CNTV_CTL_EL0
        | SysReg::CNTV_CVAL_EL0 => Known::Yes,
        SysReg::MIDR_EL1
        | SysReg::ID_AA64PFR0_EL1
        | SysReg::ID_AA64PFR1_EL1
        | SysReg::ID_AA64DFR0_EL1
        | SysReg::ID_AA64DFR1_EL1
        | SysReg::ID_AA64ISAR0_EL1
        | SysReg::ID_AA64ISAR1_EL1
        | SysReg::ID_AA64MMFR0_EL1
        | SysReg::ID_AA64MMFR1_EL1
        | SysReg::ID_AA64MMFR2_EL1 => Known::Identification,
        SysReg::APIAKEYLO_EL1
        | SysReg::APIAKEYHI_EL1
        | SysReg::APIBKEYLO_EL1
        | SysReg::APIBKEYHI_EL1
        | SysReg::APDAKEYLO_EL1
        | SysReg::APDAKEYHI_EL1
        | SysReg::APDBKEYLO_EL1
        | SysReg::APDBKEYHI_EL1
        | SysReg::APGAKEYLO_EL1
        | SysReg::APGAKEYHI_EL1 => Known::Unsupported,
        SysReg::CNTP_TVAL_EL0 | SysReg::CNTP_CTL_EL0 | SysReg::CNTP_CVAL_EL0 => Known::WithGic,
        _ if EL2.contains(&register.bits()) => Known::Unsupported,
        _ => Known::No,
    }
}

/// `DBGBVR<n>_EL1`, `DBGBCR<n>_EL1`, `DBGWVR<n>_EL1`, `DBGWCR<n>_EL1` (op2 4 to 7).
fn is_debug(register: SysReg) -> bool {
    (register.op0(), register.op1(), register.crn()) == (2, 0, 0) && register.op2() >= 4
}

/// Registers that the framework offers with EL2 only.
const EL2: [u16; 25] = [
    0xe000, // VPIDR_EL2
    0xe005, // VMPIDR_EL2
    0xe019, // MDCR_EL2
    0xe080, // SCTLR_EL2
    0xe088, // HCR_EL2
    0xe08a, // CPTR_EL2
    0xe100, // TTBR0_EL2
    0xe101, // TTBR1_EL2
    0xe102, // TCR_EL2
    0xe108, // VTTBR_EL2
    0xe10a, // VTCR_EL2
    0xe200, // SPSR_EL2
    0xe201, // ELR_EL2
    0xe290, // ESR_EL2
    0xe300, // FAR_EL2
    0xe304, // HPFAR_EL2
    0xe510, // MAIR_EL2
    0xe600, // VBAR_EL2
    0xe682, // TPIDR_EL2
    0xe703, // CNTVOFF_EL2
    0xe708, // CNTHCTL_EL2
    0xe710, // CNTHP_TVAL_EL2
    0xe711, // CNTHP_CTL_EL2
    0xe712, // CNTHP_CVAL_EL2
    0xf208, // SP_EL2
];
