//! System registers by their encoding (Arm ARM C5.1, D24).

/// A system register or system instruction: op0, op1, CRn, CRm, op2 packed in 16 bits the way the
/// MRS instruction and the framework's `hv_sys_reg_t` have them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysReg(u16);

impl SysReg {
    /// The register with that encoding; excess bits are dropped.
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self(
            (op0 as u16 & 0b11) << 14
                | (op1 as u16 & 0b111) << 11
                | (crn as u16 & 0xf) << 7
                | (crm as u16 & 0xf) << 3
                | (op2 as u16 & 0b111),
        )
    }

    /// The register with that packed encoding.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The packed encoding.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// op0: 3 for registers, 2 for debug registers, 1 for system instructions.
    pub const fn op0(self) -> u8 {
        (self.0 >> 14) as u8
    }

    /// op1.
    pub const fn op1(self) -> u8 {
        (self.0 >> 11) as u8 & 0b111
    }

    /// CRn.
    pub const fn crn(self) -> u8 {
        (self.0 >> 7) as u8 & 0xf
    }

    /// CRm.
    pub const fn crm(self) -> u8 {
        (self.0 >> 3) as u8 & 0xf
    }

    /// op2.
    pub const fn op2(self) -> u8 {
        self.0 as u8 & 0b111
    }

    /// Breakpoint value register `n`.
    pub const fn dbgbvr(n: u8) -> Self {
        Self::new(2, 0, 0, n, 4)
    }

    /// Breakpoint control register `n`.
    pub const fn dbgbcr(n: u8) -> Self {
        Self::new(2, 0, 0, n, 5)
    }

    /// Watchpoint value register `n`.
    pub const fn dbgwvr(n: u8) -> Self {
        Self::new(2, 0, 0, n, 6)
    }

    /// Watchpoint control register `n`.
    pub const fn dbgwcr(n: u8) -> Self {
        Self::new(2, 0, 0, n, 7)
    }

    /// The architectural name, where this crate knows it.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(register, _)| *register == self).map(|(_, name)| *name)
    }
}

/// Declares the named registers once, as constants and in the table of names.
macro_rules! registers {
    ($($name:ident = $op0:literal $op1:literal $crn:literal $crm:literal $op2:literal;)*) => {
        impl SysReg {
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                pub const $name: Self = Self::new($op0, $op1, $crn, $crm, $op2);
            )*
        }

        const NAMES: &[(SysReg, &str)] = &[$((SysReg::$name, stringify!($name)),)*];
    };
}

registers! {
    // name             op0 op1 CRn CRm op2
    MIDR_EL1          = 3 0 0 0 0;
    MPIDR_EL1         = 3 0 0 0 5;
    REVIDR_EL1        = 3 0 0 0 6;
    ID_AA64PFR0_EL1   = 3 0 0 4 0;
    ID_AA64PFR1_EL1   = 3 0 0 4 1;
    ID_AA64ZFR0_EL1   = 3 0 0 4 4;
    ID_AA64SMFR0_EL1  = 3 0 0 4 5;
    ID_AA64DFR0_EL1   = 3 0 0 5 0;
    ID_AA64DFR1_EL1   = 3 0 0 5 1;
    ID_AA64AFR0_EL1   = 3 0 0 5 4;
    ID_AA64AFR1_EL1   = 3 0 0 5 5;
    ID_AA64ISAR0_EL1  = 3 0 0 6 0;
    ID_AA64ISAR1_EL1  = 3 0 0 6 1;
    ID_AA64ISAR2_EL1  = 3 0 0 6 2;
    ID_AA64MMFR0_EL1  = 3 0 0 7 0;
    ID_AA64MMFR1_EL1  = 3 0 0 7 1;
    ID_AA64MMFR2_EL1  = 3 0 0 7 2;
    SCTLR_EL1         = 3 0 1 0 0;
    ACTLR_EL1         = 3 0 1 0 1;
    CPACR_EL1         = 3 0 1 0 2;
    TTBR0_EL1         = 3 0 2 0 0;
    TTBR1_EL1         = 3 0 2 0 1;
    TCR_EL1           = 3 0 2 0 2;
    APIAKEYLO_EL1     = 3 0 2 1 0;
    APIAKEYHI_EL1     = 3 0 2 1 1;
    APIBKEYLO_EL1     = 3 0 2 1 2;
    APIBKEYHI_EL1     = 3 0 2 1 3;
    APDAKEYLO_EL1     = 3 0 2 2 0;
    APDAKEYHI_EL1     = 3 0 2 2 1;
    APDBKEYLO_EL1     = 3 0 2 2 2;
    APDBKEYHI_EL1     = 3 0 2 2 3;
    APGAKEYLO_EL1     = 3 0 2 3 0;
    APGAKEYHI_EL1     = 3 0 2 3 1;
    SPSR_EL1          = 3 0 4 0 0;
    ELR_EL1           = 3 0 4 0 1;
    SP_EL0            = 3 0 4 1 0;
    SP_EL1            = 3 4 4 1 0;
    SPSEL             = 3 0 4 2 0;
    CURRENTEL         = 3 0 4 2 2;
    PAN               = 3 0 4 2 3;
    UAO               = 3 0 4 2 4;
    ICC_PMR_EL1       = 3 0 4 6 0;
    AFSR0_EL1         = 3 0 5 1 0;
    AFSR1_EL1         = 3 0 5 1 1;
    ESR_EL1           = 3 0 5 2 0;
    FAR_EL1           = 3 0 6 0 0;
    PAR_EL1           = 3 0 7 4 0;
    PMCNTENSET_EL0    = 3 3 9 12 1;
    PMCR_EL0          = 3 3 9 12 0;
    PMUSERENR_EL0     = 3 3 9 14 0;
    MAIR_EL1          = 3 0 10 2 0;
    AMAIR_EL1         = 3 0 10 3 0;
    VBAR_EL1          = 3 0 12 0 0;
    ISR_EL1           = 3 0 12 1 0;
    ICC_IAR0_EL1      = 3 0 12 8 0;
    ICC_EOIR0_EL1     = 3 0 12 8 1;
    ICC_HPPIR0_EL1    = 3 0 12 8 2;
    ICC_BPR0_EL1      = 3 0 12 8 3;
    ICC_AP0R0_EL1     = 3 0 12 8 4;
    ICC_AP1R0_EL1     = 3 0 12 9 0;
    ICC_DIR_EL1       = 3 0 12 11 1;
    ICC_RPR_EL1       = 3 0 12 11 3;
    ICC_SGI1R_EL1     = 3 0 12 11 5;
    ICC_ASGI1R_EL1    = 3 0 12 11 6;
    ICC_SGI0R_EL1     = 3 0 12 11 7;
    ICC_IAR1_EL1      = 3 0 12 12 0;
    ICC_EOIR1_EL1     = 3 0 12 12 1;
    ICC_HPPIR1_EL1    = 3 0 12 12 2;
    ICC_BPR1_EL1      = 3 0 12 12 3;
    ICC_CTLR_EL1      = 3 0 12 12 4;
    ICC_SRE_EL1       = 3 0 12 12 5;
    ICC_IGRPEN0_EL1   = 3 0 12 12 6;
    ICC_IGRPEN1_EL1   = 3 0 12 12 7;
    CONTEXTIDR_EL1    = 3 0 13 0 1;
    TPIDR_EL1         = 3 0 13 0 4;
    SCXTNUM_EL1       = 3 0 13 0 7;
    CNTKCTL_EL1       = 3 0 14 1 0;
    CCSIDR_EL1        = 3 1 0 0 0;
    CLIDR_EL1         = 3 1 0 0 1;
    AIDR_EL1          = 3 1 0 0 7;
    CSSELR_EL1        = 3 2 0 0 0;
    CTR_EL0           = 3 3 0 0 1;
    DCZID_EL0         = 3 3 0 0 7;
    NZCV              = 3 3 4 2 0;
    DAIF              = 3 3 4 2 1;
    FPCR              = 3 3 4 4 0;
    FPSR              = 3 3 4 4 1;
    TPIDR_EL0         = 3 3 13 0 2;
    TPIDRRO_EL0       = 3 3 13 0 3;
    SCXTNUM_EL0       = 3 3 13 0 7;
    CNTFRQ_EL0        = 3 3 14 0 0;
    CNTPCT_EL0        = 3 3 14 0 1;
    CNTVCT_EL0        = 3 3 14 0 2;
    CNTP_TVAL_EL0     = 3 3 14 2 0;
    CNTP_CTL_EL0      = 3 3 14 2 1;
    CNTP_CVAL_EL0     = 3 3 14 2 2;
    CNTV_TVAL_EL0     = 3 3 14 3 0;
    CNTV_CTL_EL0      = 3 3 14 3 1;
    CNTV_CVAL_EL0     = 3 3 14 3 2;
    OSDTRRX_EL1       = 2 0 0 0 2;
    MDCCINT_EL1       = 2 0 0 2 0;
    MDSCR_EL1         = 2 0 0 2 2;
    OSDTRTX_EL1       = 2 0 0 3 2;
    OSECCR_EL1        = 2 0 0 6 2;
    MDRAR_EL1         = 2 0 1 0 0;
    OSLAR_EL1         = 2 0 1 0 4;
    OSLSR_EL1         = 2 0 1 1 4;
    OSDLR_EL1         = 2 0 1 3 4;
    DBGPRCR_EL1       = 2 0 1 4 4;
    DBGCLAIMSET_EL1   = 2 0 7 8 6;
    DBGCLAIMCLR_EL1   = 2 0 7 9 6;
    DBGAUTHSTATUS_EL1 = 2 0 7 14 6;
}

impl core::fmt::Debug for SysReg {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

impl core::fmt::Display for SysReg {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(
                f,
                "S{}_{}_C{}_C{}_{}",
                self.op0(),
                self.op1(),
                self.crn(),
                self.crm(),
                self.op2()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_those_of_the_framework() {
        // From Apple's `hv_sys_reg_t`.
        for (register, bits) in [
            (SysReg::MPIDR_EL1, 0xc005),
            (SysReg::SP_EL1, 0xe208),
            (SysReg::CNTV_CVAL_EL0, 0xdf1a),
            (SysReg::MDSCR_EL1, 0x8012),
            (SysReg::dbgwcr(15), 0x807f),
            (SysReg::ICC_SRE_EL1, 0xc665),
        ] {
            assert_eq!(register.bits(), bits, "{register}");
            assert_eq!(SysReg::from_bits(bits), register);
        }
    }

    #[test]
    fn unnamed_registers_print_their_encoding() {
        assert_eq!(SysReg::new(3, 0, 0, 3, 7).to_string(), "S3_0_C0_C3_7");
        assert_eq!(SysReg::MIDR_EL1.to_string(), "MIDR_EL1");
    }
}
