//! System registers that the core owns (Arm ARM D17).

use crate::clock;
use crate::cpu::id as ident;
use crate::cpu::{Cpu, pstate};

/// Number of a system register: op0, op1, CRn, CRm and op2 packed as `hv_sys_reg_t` has them.
pub const fn encode(op0: u16, op1: u16, crn: u16, crm: u16, op2: u16) -> u16 {
    op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

pub(crate) const SCTLR_M: u64 = 1 << 0;
pub(crate) const SCTLR_A: u64 = 1 << 1;
pub(crate) const SCTLR_WXN: u64 = 1 << 19;

macro_rules! registers {
    ($($name:ident = $op0:literal $op1:literal $crn:literal $crm:literal $op2:literal;)*) => {
        /// Numbers of the registers, by their names in the Arm ARM.
        #[allow(missing_docs, reason = "the names are the Arm ARM's")]
        pub mod id {
            $(pub const $name: u16 = super::encode($op0, $op1, $crn, $crm, $op2);)*
        }
    };
}

registers! {
    MIDR_EL1 = 3 0 0 0 0;
    MPIDR_EL1 = 3 0 0 0 5;
    REVIDR_EL1 = 3 0 0 0 6;
    ID_AA64PFR0_EL1 = 3 0 0 4 0;
    ID_AA64PFR1_EL1 = 3 0 0 4 1;
    ID_AA64DFR0_EL1 = 3 0 0 5 0;
    ID_AA64DFR1_EL1 = 3 0 0 5 1;
    ID_AA64ISAR0_EL1 = 3 0 0 6 0;
    ID_AA64ISAR1_EL1 = 3 0 0 6 1;
    ID_AA64MMFR0_EL1 = 3 0 0 7 0;
    ID_AA64MMFR1_EL1 = 3 0 0 7 1;
    ID_AA64MMFR2_EL1 = 3 0 0 7 2;
    SCTLR_EL1 = 3 0 1 0 0;
    ACTLR_EL1 = 3 0 1 0 1;
    CPACR_EL1 = 3 0 1 0 2;
    TTBR0_EL1 = 3 0 2 0 0;
    TTBR1_EL1 = 3 0 2 0 1;
    TCR_EL1 = 3 0 2 0 2;
    SPSR_EL1 = 3 0 4 0 0;
    ELR_EL1 = 3 0 4 0 1;
    SP_EL0 = 3 0 4 1 0;
    SP_EL1 = 3 4 4 1 0;
    SPSEL = 3 0 4 2 0;
    CURRENTEL = 3 0 4 2 2;
    PAN = 3 0 4 2 3;
    AFSR0_EL1 = 3 0 5 1 0;
    AFSR1_EL1 = 3 0 5 1 1;
    ESR_EL1 = 3 0 5 2 0;
    FAR_EL1 = 3 0 6 0 0;
    PAR_EL1 = 3 0 7 4 0;
    MAIR_EL1 = 3 0 10 2 0;
    AMAIR_EL1 = 3 0 10 3 0;
    VBAR_EL1 = 3 0 12 0 0;
    RVBAR_EL1 = 3 0 12 0 1;
    ISR_EL1 = 3 0 12 1 0;
    CONTEXTIDR_EL1 = 3 0 13 0 1;
    TPIDR_EL1 = 3 0 13 0 4;
    CNTKCTL_EL1 = 3 0 14 1 0;
    CCSIDR_EL1 = 3 1 0 0 0;
    CLIDR_EL1 = 3 1 0 0 1;
    AIDR_EL1 = 3 1 0 0 7;
    CSSELR_EL1 = 3 2 0 0 0;
    CTR_EL0 = 3 3 0 0 1;
    DCZID_EL0 = 3 3 0 0 7;
    NZCV = 3 3 4 2 0;
    DAIF = 3 3 4 2 1;
    FPCR = 3 3 4 4 0;
    FPSR = 3 3 4 4 1;
    TPIDR_EL0 = 3 3 13 0 2;
    TPIDRRO_EL0 = 3 3 13 0 3;
    CNTFRQ_EL0 = 3 3 14 0 0;
    CNTPCT_EL0 = 3 3 14 0 1;
    CNTVCT_EL0 = 3 3 14 0 2;
    CNTP_TVAL_EL0 = 3 3 14 2 0;
    CNTP_CTL_EL0 = 3 3 14 2 1;
    CNTP_CVAL_EL0 = 3 3 14 2 2;
    CNTV_TVAL_EL0 = 3 3 14 3 0;
    CNTV_CTL_EL0 = 3 3 14 3 1;
    CNTV_CVAL_EL0 = 3 3 14 3 2;
    DBGBVR0_EL1 = 2 0 0 0 4;
    DBGBCR0_EL1 = 2 0 0 0 5;
    DBGWVR0_EL1 = 2 0 0 0 6;
    DBGWCR0_EL1 = 2 0 0 0 7;
    DBGBVR1_EL1 = 2 0 0 1 4;
    DBGBCR1_EL1 = 2 0 0 1 5;
    DBGWVR1_EL1 = 2 0 0 1 6;
    DBGWCR1_EL1 = 2 0 0 1 7;
    MDCCINT_EL1 = 2 0 0 2 0;
    MDSCR_EL1 = 2 0 0 2 2;
    OSDTRRX_EL1 = 2 0 0 0 2;
    OSDTRTX_EL1 = 2 0 0 3 2;
    OSECCR_EL1 = 2 0 0 6 2;
    MDRAR_EL1 = 2 0 1 0 0;
    OSLAR_EL1 = 2 0 1 0 4;
    OSLSR_EL1 = 2 0 1 1 4;
    OSDLR_EL1 = 2 0 1 3 4;
    DBGPRCR_EL1 = 2 0 1 4 4;
    DBGCLAIMSET_EL1 = 2 0 7 8 6;
    DBGCLAIMCLR_EL1 = 2 0 7 9 6;
    DBGAUTHSTATUS_EL1 = 2 0 7 14 6;
    MDCCSR_EL0 = 2 3 0 1 0;
    DBGDTR_EL0 = 2 3 0 4 0;
    DBGDTRRX_EL0 = 2 3 0 5 0;
}

/// Values of the registers. Fields that are not implemented are never set.
#[derive(Clone, Debug)]
pub(crate) struct SysRegs {
    pub(crate) mpidr: u64,
    pub(crate) sctlr: u64,
    pub(crate) cpacr: u64,
    pub(crate) ttbr0: u64,
    pub(crate) ttbr1: u64,
    pub(crate) tcr: u64,
    pub(crate) mair: u64,
    pub(crate) amair: u64,
    pub(crate) vbar: u64,
    pub(crate) spsr: u64,
    pub(crate) elr: u64,
    pub(crate) esr: u64,
    pub(crate) far: u64,
    pub(crate) par: u64,
    pub(crate) afsr0: u64,
    pub(crate) afsr1: u64,
    pub(crate) contextidr: u64,
    pub(crate) tpidr_el0: u64,
    pub(crate) tpidrro_el0: u64,
    pub(crate) tpidr_el1: u64,
    pub(crate) csselr: u64,
    pub(crate) cntkctl: u64,
    /// Subtracted from the physical count to give CNTVCT_EL0 (CNTVOFF_EL2).
    pub(crate) cntvoff: u64,
    pub(crate) mdscr: u64,
    pub(crate) mdccint: u64,
    pub(crate) os_locked: bool,
    pub(crate) osdlr: u64,
    pub(crate) claim: u64,
}

/// SCTLR_EL1 bits that are one on reset: those that are RES1 without the features that define them.
const SCTLR_RES1: u64 = 1 << 29 | 1 << 28 | 1 << 22 | 1 << 20 | 1 << 11 | 1 << 8 | 1 << 7;
/// SCTLR_EL1 bits that are implemented: UCI, SPAN, WXN, nTWE, nTWI, UCT, DZE, I, UMA, SA0, SA, C, A, M.
const SCTLR_MASK: u64 = 1 << 26
    | 1 << 23
    | 1 << 19
    | 1 << 18
    | 1 << 16
    | 1 << 15
    | 1 << 14
    | 1 << 12
    | 1 << 9
    | 1 << 4
    | 1 << 3
    | 1 << 2
    | 1 << 1
    | 1;
/// TCR_EL1 bits that are implemented: all of Armv8.0 and E0PD.
const TCR_MASK: u64 = 3 << 55 | 3 << 37 | 1 << 36 | 7 << 32 | 0xffff_ffbf;
/// MDSCR_EL1 bits that software may set: MDE, KDE, TDCC, SS (and those it saves for a debugger).
const MDSCR_MASK: u64 = 1 << 31
    | 3 << 29
    | 3 << 26
    | 1 << 21
    | 1 << 20
    | 3 << 22
    | 1 << 19
    | 1 << 15
    | 1 << 14
    | 1 << 13
    | 1 << 12
    | 1 << 6
    | 1;

impl SysRegs {
    pub(crate) fn reset(mpidr: u64) -> SysRegs {
        SysRegs {
            mpidr,
            sctlr: SCTLR_RES1 | 1 << 23 | 1 << 18 | 1 << 16,
            cpacr: 0,
            ttbr0: 0,
            ttbr1: 0,
            tcr: 0,
            mair: 0,
            amair: 0,
            vbar: 0,
            spsr: 0,
            elr: 0,
            esr: 0,
            far: 0,
            par: 0,
            afsr0: 0,
            afsr1: 0,
            contextidr: 0,
            tpidr_el0: 0,
            tpidrro_el0: 0,
            tpidr_el1: 0,
            csselr: 0,
            cntkctl: 0,
            cntvoff: 0,
            mdscr: 0,
            mdccint: 0,
            os_locked: true,
            osdlr: 0,
            claim: 0,
        }
    }

    /// The current ASID.
    pub(crate) fn asid(&self) -> u16 {
        let ttbr = if self.tcr >> 22 & 1 != 0 { self.ttbr1 } else { self.ttbr0 };
        let asid = (ttbr >> 48) as u16;
        if self.tcr >> 36 & 1 != 0 { asid } else { asid & 0xff }
    }
}

/// Whether a write to the register may change how the instructions that follow execute. The
/// registers for which it cannot are the ones that every exception and context switch writes.
pub(crate) const fn changes_context(reg: u16) -> bool {
    !matches!(
        reg,
        id::ELR_EL1
            | id::SPSR_EL1
            | id::SP_EL0
            | id::TPIDR_EL0
            | id::TPIDRRO_EL0
            | id::TPIDR_EL1
            | id::ESR_EL1
            | id::FAR_EL1
            | id::NZCV
            | id::FPCR
            | id::FPSR
    )
}

impl Cpu {
    /// Reads a register of the core; `None` if the core does not own it or it cannot be read.
    pub fn sysreg(&self, reg: u16) -> Option<u64> {
        let s = &self.sys;
        Some(match reg {
            id::MPIDR_EL1 => s.mpidr,
            id::SCTLR_EL1 => s.sctlr,
            id::ACTLR_EL1 | id::RVBAR_EL1 => 0,
            id::CPACR_EL1 => s.cpacr,
            id::TTBR0_EL1 => s.ttbr0,
            id::TTBR1_EL1 => s.ttbr1,
            id::TCR_EL1 => s.tcr,
            id::SPSR_EL1 => s.spsr,
            id::ELR_EL1 => s.elr,
            id::SP_EL0 => self.sp_of(0),
            id::SP_EL1 => self.sp_of(1),
            id::SPSEL => self.pstate.spsel.into(),
            id::CURRENTEL => u64::from(self.pstate.el) << 2,
            id::PAN => u64::from(self.pstate.pan) << 22,
            id::AFSR0_EL1 => s.afsr0,
            id::AFSR1_EL1 => s.afsr1,
            id::ESR_EL1 => s.esr,
            id::FAR_EL1 => s.far,
            id::PAR_EL1 => s.par,
            id::MAIR_EL1 => s.mair,
            id::AMAIR_EL1 => s.amair,
            id::VBAR_EL1 => s.vbar,
            id::ISR_EL1 => self.isr(),
            id::CONTEXTIDR_EL1 => s.contextidr,
            id::TPIDR_EL0 => s.tpidr_el0,
            id::TPIDRRO_EL0 => s.tpidrro_el0,
            id::TPIDR_EL1 => s.tpidr_el1,
            id::CNTKCTL_EL1 => s.cntkctl,
            id::CSSELR_EL1 => s.csselr,
            id::CCSIDR_EL1 => match s.csselr {
                0 | 1 => ident::CCSIDR,
                _ => 0,
            },
            id::NZCV => u64::from(self.nzcv()) << 28,
            id::DAIF => u64::from(self.pstate.daif) << 6,
            id::FPCR => self.fpcr,
            id::FPSR => self.fpsr,
            id::CNTFRQ_EL0 => clock::FREQUENCY,
            id::CNTPCT_EL0 => clock::counter(),
            id::CNTVCT_EL0 => clock::counter().wrapping_sub(s.cntvoff),
            id::MDSCR_EL1 => s.mdscr,
            id::MDCCINT_EL1 => s.mdccint,
            id::OSLSR_EL1 => 1 << 3 | u64::from(s.os_locked) << 1,
            id::OSDLR_EL1 => s.osdlr,
            id::DBGCLAIMSET_EL1 => 0xff,
            id::DBGCLAIMCLR_EL1 => s.claim,
            // Non-secure invasive debug implemented and enabled.
            id::DBGAUTHSTATUS_EL1 => 0b1111,
            id::MDRAR_EL1
            | id::DBGPRCR_EL1
            | id::OSDTRRX_EL1
            | id::OSDTRTX_EL1
            | id::OSECCR_EL1
            | id::MDCCSR_EL0
            | id::DBGDTR_EL0
            | id::DBGDTRRX_EL0 => 0,
            _ => return self.debug.register(reg).or_else(|| self.identification(reg)),
        })
    }

    /// Writes a register of the core. Returns whether the core owns it and it can be written; bits
    /// that are not implemented are ignored.
    pub fn set_sysreg(&mut self, reg: u16, value: u64) -> bool {
        let s = &mut self.sys;
        match reg {
            id::MPIDR_EL1 => s.mpidr = value,
            id::SCTLR_EL1 => {
                let new = value & SCTLR_MASK | SCTLR_RES1;
                if new != s.sctlr {
                    s.sctlr = new;
                    self.tlb.drop_all();
                }
            }
            id::ACTLR_EL1 => {}
            id::CPACR_EL1 => s.cpacr = value & (3 << 20),
            id::TTBR0_EL1 | id::TTBR1_EL1 => {
                let old = s.asid();
                match reg {
                    id::TTBR0_EL1 => s.ttbr0 = value & !1,
                    _ => s.ttbr1 = value & !1,
                }
                // The upper half is cached as if it were global.
                if s.asid() != old && self.upper_nonglobal {
                    self.upper_nonglobal = false;
                    self.tlb.drop_all();
                }
            }
            id::TCR_EL1 => {
                let new = value & TCR_MASK;
                if new != s.tcr {
                    s.tcr = new;
                    self.tlb.drop_all();
                }
            }
            id::SPSR_EL1 => s.spsr = value & 0xffff_ffff,
            id::ELR_EL1 => s.elr = value,
            id::SP_EL0 => self.set_sp_of(0, value),
            id::SP_EL1 => self.set_sp_of(1, value),
            id::SPSEL => {
                let new = pstate::Pstate { spsel: value & 1 != 0, ..self.pstate };
                self.set_pstate(new);
            }
            id::PAN => self.pstate.pan = value >> 22 & 1 != 0,
            id::AFSR0_EL1 => s.afsr0 = value,
            id::AFSR1_EL1 => s.afsr1 = value,
            id::ESR_EL1 => s.esr = value & 0xffff_ffff,
            id::FAR_EL1 => s.far = value,
            id::PAR_EL1 => s.par = value,
            id::MAIR_EL1 => {
                if value != s.mair {
                    s.mair = value;
                    self.tlb.drop_all();
                }
            }
            id::AMAIR_EL1 => s.amair = value,
            id::VBAR_EL1 => s.vbar = value & !0x7ff,
            id::CONTEXTIDR_EL1 => s.contextidr = value & 0xffff_ffff,
            id::TPIDR_EL0 => s.tpidr_el0 = value,
            id::TPIDRRO_EL0 => s.tpidrro_el0 = value,
            id::TPIDR_EL1 => s.tpidr_el1 = value,
            id::CNTKCTL_EL1 => s.cntkctl = value & 0x3ff,
            id::CSSELR_EL1 => s.csselr = value & 0xf,
            id::NZCV => self.set_nzcv((value >> 28) as u8),
            id::DAIF => self.pstate.daif = (value >> 6 & 15) as u8,
            id::FPCR => self.fpcr = value & FPCR_MASK,
            id::FPSR => self.fpsr = value & FPSR_MASK,
            id::MDSCR_EL1 => {
                s.mdscr = value & MDSCR_MASK;
                self.tlb.drop_all();
            }
            id::MDCCINT_EL1 => s.mdccint = value & (3 << 29),
            id::OSLAR_EL1 => s.os_locked = value & 1 != 0,
            id::OSDLR_EL1 => s.osdlr = value & 1,
            id::DBGCLAIMSET_EL1 => s.claim |= value & 0xff,
            id::DBGCLAIMCLR_EL1 => s.claim &= !value,
            id::DBGPRCR_EL1
            | id::OSDTRRX_EL1
            | id::OSDTRTX_EL1
            | id::OSECCR_EL1
            | id::DBGDTR_EL0
            | id::DBGDTRRX_EL0 => {}
            _ => {
                if !self.debug.set_register(reg, value) {
                    return false;
                }
                self.tlb.drop_all();
            }
        }
        if changes_context(reg) {
            self.refresh();
        }
        true
    }

    /// ISR_EL1: pending physical interrupts, masked or not.
    fn isr(&self) -> u64 {
        let lines = self.lines.attention();
        u64::from(lines & super::lines::IRQ != 0) << 7
            | u64::from(lines & super::lines::FIQ != 0) << 6
    }
}

/// FPCR bits that are implemented: AHP, DN, FZ, RMode.
const FPCR_MASK: u64 = 0x07c0_0000;
/// FPSR bits that are implemented: QC and the cumulative exception bits.
const FPSR_MASK: u64 = 0x0800_009f;
