//! The complete state of a vCPU as plain data.

use std::collections::BTreeMap;

use arch_aarch64::mpidr::Mpidr;
use hv_sys::{
    hv_gic_icc_reg_t, hv_gic_redistributor_reg_t, hv_reg_t, hv_simd_fp_reg_t, hv_sys_reg_t,
};
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error};
use crate::sys::{call, get};
use crate::vcpu::{GENERAL, Vcpu};

/// Everything that a vCPU holds. Registers other than the general ones are keyed by the encoding the
/// framework uses (system registers as in [`arch_aarch64::sysreg::SysReg`], redistributor registers
/// by offset).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuState {
    /// Affinity.
    pub mpidr: u64,
    /// X0 to X30.
    pub general: [u64; 31],
    /// Program counter.
    pub pc: u64,
    /// PSTATE.
    pub pstate: u64,
    /// Floating-point control.
    pub fpcr: u64,
    /// Floating-point status.
    pub fpsr: u64,
    /// V0 to V31, element 0 in the low bits.
    pub simd: [u128; 32],
    /// EL0 and EL1 system registers.
    pub system: BTreeMap<u32, u64>,
    /// The GIC's CPU interface; empty without a GIC.
    pub icc: BTreeMap<u32, u64>,
    /// Private interrupts in the redistributor; empty without a GIC.
    pub redistributor: BTreeMap<u32, u64>,
    /// `CNTVCT_EL0` at the moment of the capture.
    pub counter: u64,
}

/// What all vCPUs of a machine have to agree on when their state is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VcpuTimer {
    /// `CNTVCT_EL0` is the host's counter less this.
    pub offset: u64,
}

/// System registers that every vCPU has. `MPIDR_EL1` is set at creation, identification registers are
/// the host's.
const SYSTEM: &[hv_sys_reg_t] = {
    use hv_sys_reg_t::*;
    &[
        SCTLR_EL1,
        CPACR_EL1,
        TTBR0_EL1,
        TTBR1_EL1,
        TCR_EL1,
        SPSR_EL1,
        ELR_EL1,
        SP_EL0,
        SP_EL1,
        AFSR0_EL1,
        AFSR1_EL1,
        ESR_EL1,
        FAR_EL1,
        PAR_EL1,
        MAIR_EL1,
        AMAIR_EL1,
        VBAR_EL1,
        CONTEXTIDR_EL1,
        TPIDR_EL1,
        TPIDR_EL0,
        TPIDRRO_EL0,
        CNTKCTL_EL1,
        CSSELR_EL1,
        MDSCR_EL1,
        MDCCINT_EL1,
        CNTV_CVAL_EL0,
        CNTV_CTL_EL0,
    ]
};

/// System registers of optional features, and the physical timer's, which come with the GIC: saved
/// where the host answers.
const OPTIONAL: &[hv_sys_reg_t] = {
    use hv_sys_reg_t::*;
    &[
        ACTLR_EL1,
        CNTP_CVAL_EL0,
        CNTP_CTL_EL0,
        APIAKEYLO_EL1,
        APIAKEYHI_EL1,
        APIBKEYLO_EL1,
        APIBKEYHI_EL1,
        APDAKEYLO_EL1,
        APDAKEYHI_EL1,
        APDBKEYLO_EL1,
        APDBKEYHI_EL1,
        APGAKEYLO_EL1,
        APGAKEYHI_EL1,
    ]
};

/// Breakpoints: value and control. `ID_AA64DFR0_EL1.BRPs` says how many there are.
const BREAKPOINTS: [(hv_sys_reg_t, hv_sys_reg_t); 16] = {
    use hv_sys_reg_t::*;
    [
        (DBGBVR0_EL1, DBGBCR0_EL1),
        (DBGBVR1_EL1, DBGBCR1_EL1),
        (DBGBVR2_EL1, DBGBCR2_EL1),
        (DBGBVR3_EL1, DBGBCR3_EL1),
        (DBGBVR4_EL1, DBGBCR4_EL1),
        (DBGBVR5_EL1, DBGBCR5_EL1),
        (DBGBVR6_EL1, DBGBCR6_EL1),
        (DBGBVR7_EL1, DBGBCR7_EL1),
        (DBGBVR8_EL1, DBGBCR8_EL1),
        (DBGBVR9_EL1, DBGBCR9_EL1),
        (DBGBVR10_EL1, DBGBCR10_EL1),
        (DBGBVR11_EL1, DBGBCR11_EL1),
        (DBGBVR12_EL1, DBGBCR12_EL1),
        (DBGBVR13_EL1, DBGBCR13_EL1),
        (DBGBVR14_EL1, DBGBCR14_EL1),
        (DBGBVR15_EL1, DBGBCR15_EL1),
    ]
};

/// Watchpoints: value and control. `ID_AA64DFR0_EL1.WRPs` says how many there are.
const WATCHPOINTS: [(hv_sys_reg_t, hv_sys_reg_t); 16] = {
    use hv_sys_reg_t::*;
    [
        (DBGWVR0_EL1, DBGWCR0_EL1),
        (DBGWVR1_EL1, DBGWCR1_EL1),
        (DBGWVR2_EL1, DBGWCR2_EL1),
        (DBGWVR3_EL1, DBGWCR3_EL1),
        (DBGWVR4_EL1, DBGWCR4_EL1),
        (DBGWVR5_EL1, DBGWCR5_EL1),
        (DBGWVR6_EL1, DBGWCR6_EL1),
        (DBGWVR7_EL1, DBGWCR7_EL1),
        (DBGWVR8_EL1, DBGWCR8_EL1),
        (DBGWVR9_EL1, DBGWCR9_EL1),
        (DBGWVR10_EL1, DBGWCR10_EL1),
        (DBGWVR11_EL1, DBGWCR11_EL1),
        (DBGWVR12_EL1, DBGWCR12_EL1),
        (DBGWVR13_EL1, DBGWCR13_EL1),
        (DBGWVR14_EL1, DBGWCR14_EL1),
        (DBGWVR15_EL1, DBGWCR15_EL1),
    ]
};

/// The CPU interface, in the order of restoring: SRE opens the others, the group enables come last.
/// The ICH registers exist with EL2 only, which no VM of ours has.
const ICC: &[hv_gic_icc_reg_t] = {
    use hv_gic_icc_reg_t::*;
    &[
        SRE_EL1,
        CTLR_EL1,
        PMR_EL1,
        BPR0_EL1,
        BPR1_EL1,
        AP0R0_EL1,
        AP1R0_EL1,
        IGRPEN0_EL1,
        IGRPEN1_EL1,
    ]
};

/// Registers of the redistributor that clear what is written as ones; used before the ones that set.
const REDISTRIBUTOR_CLEAR: &[hv_gic_redistributor_reg_t] = {
    use hv_gic_redistributor_reg_t::*;
    &[ICENABLER0, ICPENDR0, ICACTIVER0]
};

/// Registers of the redistributor that are saved, in the order of restoring.
const REDISTRIBUTOR: &[hv_gic_redistributor_reg_t] = {
    use hv_gic_redistributor_reg_t::*;
    &[
        IGROUPR0,
        ICFGR1,
        IPRIORITYR0,
        IPRIORITYR1,
        IPRIORITYR2,
        IPRIORITYR3,
        IPRIORITYR4,
        IPRIORITYR5,
        IPRIORITYR6,
        IPRIORITYR7,
        ISPENDR0,
        ISACTIVER0,
        ISENABLER0,
    ]
};

const SIMD: [hv_simd_fp_reg_t; 32] = {
    use hv_simd_fp_reg_t::*;
    [
        Q0, Q1, Q2, Q3, Q4, Q5, Q6, Q7, Q8, Q9, Q10, Q11, Q12, Q13, Q14, Q15, Q16, Q17, Q18, Q19,
        Q20, Q21, Q22, Q23, Q24, Q25, Q26, Q27, Q28, Q29, Q30, Q31,
    ]
};

impl Vcpu {
    /// Reads the complete state. The vCPU is on its own thread, hence not in the guest.
    pub fn save(&self) -> Result<VcpuState, Error> {
        let mut general = [0; 31];
        for (value, register) in general.iter_mut().zip(GENERAL) {
            *value = self.get_raw(register)?;
        }
        let mut simd = [0; 32];
        for (value, register) in simd.iter_mut().zip(SIMD) {
            // SAFETY: this is the owning thread, the pointer is valid.
            *value = get("hv_vcpu_get_simd_fp_reg", |value| unsafe {
                hv_sys::hv_vcpu_get_simd_fp_reg(self.id, register, value)
            })?;
        }
        let mut system = BTreeMap::new();
        for register in SYSTEM.iter().copied().chain(self.debug_registers()?) {
            system.insert(register as u32, self.get_sys(register)?);
        }
        for &register in OPTIONAL {
            match self.get_sys(register) {
                Ok(value) => drop(system.insert(register as u32, value)),
                Err(Error::Call { code: Code::Unsupported | Code::BadArgument, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let (mut icc, mut redistributor) = (BTreeMap::new(), BTreeMap::new());
        if self.has_gic() {
            for &register in ICC {
                // SAFETY: this is the owning thread, the pointer is valid.
                let value = get("hv_gic_get_icc_reg", |value| unsafe {
                    hv_sys::hv_gic_get_icc_reg(self.id, register, value)
                })?;
                icc.insert(register as u32, value);
            }
            for &register in REDISTRIBUTOR {
                // SAFETY: this is the owning thread, the pointer is valid.
                let value = get("hv_gic_get_redistributor_reg", |value| unsafe {
                    hv_sys::hv_gic_get_redistributor_reg(self.id, register, value)
                })?;
                redistributor.insert(register as u32, value);
            }
        }
        Ok(VcpuState {
            mpidr: self.mpidr().affinity(),
            general,
            pc: self.get_raw(hv_reg_t::PC)?,
            pstate: self.get_raw(hv_reg_t::CPSR)?,
            fpcr: self.get_raw(hv_reg_t::FPCR)?,
            fpsr: self.get_raw(hv_reg_t::FPSR)?,
            simd,
            system,
            icc,
            redistributor,
            counter: self.counter()?,
        })
    }

    /// Writes the complete state, in the order that the framework wants, with the timer offset that all
    /// vCPUs of the machine share. The GIC's own state has been loaded before.
    ///
    /// An armed virtual timer fires at once: the framework may have lost its interrupt, and every
    /// guest has to cope with one that finds nothing to do.
    pub fn load(&mut self, state: &VcpuState, timer: VcpuTimer) -> Result<(), Error> {
        let VcpuState {
            mpidr,
            general,
            pc,
            pstate,
            fpcr,
            fpsr,
            simd,
            system,
            icc,
            redistributor,
            counter,
        } = state;
        if Mpidr::from_raw(*mpidr) != self.mpidr() {
            let actual = self.mpidr().affinity();
            return Err(Error::WrongAffinity { saved: *mpidr, actual });
        }
        let mut values = system.clone();
        rearm(&mut values, *counter);
        let known: Vec<_> =
            SYSTEM.iter().chain(OPTIONAL).copied().chain(self.debug_registers()?).collect();
        for register in &known {
            if let Some(value) = values.remove(&(*register as u32)) {
                self.set_sys(*register, value)?;
            }
        }
        none_left(&values)?;
        self.load_icc(icc)?;
        for (register, value) in SIMD.into_iter().zip(*simd) {
            // SAFETY: this is the owning thread.
            unsafe { call!(hv_vcpu_set_simd_fp_reg(self.id, register, value))? };
        }
        self.load_redistributor(redistributor)?;
        // Whoever was to unmask it after the last exit, on the guest's deactivation, is not here.
        // SAFETY: this is the owning thread.
        unsafe { call!(hv_vcpu_set_vtimer_mask(self.id, false))? };
        for (register, value) in GENERAL.into_iter().zip(*general) {
            self.set_raw(register, value)?;
        }
        self.set_raw(hv_reg_t::FPCR, *fpcr)?;
        self.set_raw(hv_reg_t::FPSR, *fpsr)?;
        self.set_raw(hv_reg_t::CPSR, *pstate)?;
        self.set_raw(hv_reg_t::PC, *pc)?;
        self.set_timer(timer)
    }

    fn load_icc(&self, icc: &BTreeMap<u32, u64>) -> Result<(), Error> {
        let mut icc = icc.clone();
        for &register in ICC {
            if let Some(value) = icc.remove(&(register as u32)) {
                // SAFETY: this is the owning thread.
                unsafe { call!(hv_gic_set_icc_reg(self.id, register, value))? };
            }
        }
        none_left(&icc)
    }

    fn load_redistributor(&self, redistributor: &BTreeMap<u32, u64>) -> Result<(), Error> {
        let mut redistributor = redistributor.clone();
        if !redistributor.is_empty() {
            for &register in REDISTRIBUTOR_CLEAR {
                // SAFETY: this is the owning thread.
                unsafe { call!(hv_gic_set_redistributor_reg(self.id, register, 0xffff_ffff))? };
            }
        }
        for &register in REDISTRIBUTOR {
            if let Some(value) = redistributor.remove(&(register as u32)) {
                // SAFETY: this is the owning thread.
                unsafe { call!(hv_gic_set_redistributor_reg(self.id, register, value))? };
            }
        }
        none_left(&redistributor)
    }

    /// Sets the offset of the virtual counter. Every vCPU of a machine gets the same one.
    pub fn set_timer(&mut self, timer: VcpuTimer) -> Result<(), Error> {
        // SAFETY: this is the owning thread.
        unsafe { call!(hv_vcpu_set_vtimer_offset(self.id, timer.offset)) }
    }

    /// `CNTVCT_EL0` now.
    pub fn counter(&self) -> Result<u64, Error> {
        // SAFETY: this is the owning thread, the pointer is valid.
        let offset: u64 = get("hv_vcpu_get_vtimer_offset", |value| unsafe {
            hv_sys::hv_vcpu_get_vtimer_offset(self.id, value)
        })?;
        Ok(crate::host_counter().wrapping_sub(offset))
    }

    /// The breakpoint and watchpoint registers that this host has.
    fn debug_registers(&self) -> Result<impl Iterator<Item = hv_sys_reg_t>, Error> {
        let features = self.get_sys(hv_sys_reg_t::ID_AA64DFR0_EL1)?;
        // ID_AA64DFR0_EL1.{BRPs, WRPs}, bits 15:12 and 23:20: the count less one.
        let breakpoints = (features >> 12 & 0xf) as usize + 1;
        let watchpoints = (features >> 20 & 0xf) as usize + 1;
        Ok(BREAKPOINTS
            .into_iter()
            .take(breakpoints)
            .chain(WATCHPOINTS.into_iter().take(watchpoints))
            .flat_map(|(value, control)| [value, control]))
    }
}

/// Makes an armed virtual timer due at the counter value of the capture, which is past on restore.
fn rearm(system: &mut BTreeMap<u32, u64>, counter: u64) {
    const ENABLE: u64 = 1 << 0;
    const IMASK: u64 = 1 << 1;
    let control = system.get(&(hv_sys_reg_t::CNTV_CTL_EL0 as u32)).copied().unwrap_or(0);
    if control & (ENABLE | IMASK) == ENABLE
        && let Some(due) = system.get_mut(&(hv_sys_reg_t::CNTV_CVAL_EL0 as u32))
    {
        *due = (*due).min(counter);
    }
}

/// Every register of a saved set has been used.
fn none_left(values: &BTreeMap<u32, u64>) -> Result<(), Error> {
    match values.first_key_value() {
        None => Ok(()),
        Some((&encoding, _)) => Err(Error::UnknownRegister { encoding }),
    }
}
