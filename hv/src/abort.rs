//! Handing an access that cannot be carried out back to the guest, as hardware would.

use arch_aarch64::esr::{Esr, IL, Syndrome, ec};
use arch_aarch64::pstate;
use hv_sys::{hv_reg_t, hv_sys_reg_t};

use crate::error::Error;
use crate::exit::GuestFault;
use crate::vcpu::Vcpu;

/// `DFSC`: synchronous External abort, not on a translation table walk (Arm ARM D24.2.40).
const EXTERNAL_ABORT: u64 = 0b01_0000;
/// `WnR`.
const WRITE: u64 = 1 << 6;
/// `SCTLR_EL1.SPAN`: taking an exception leaves PSTATE.PAN alone.
const SPAN: u64 = 1 << 23;

impl Vcpu {
    /// Has the guest take a synchronous External abort for a data access that no device and no memory
    /// answers. Returns `false`, and does nothing, for any other fault.
    ///
    /// This is `AArch64.TakeException` to EL1 (Arm ARM J1.1.2) without the features that none of our
    /// hosts show.
    pub fn inject_data_abort(&mut self, fault: &GuestFault) -> Result<bool, Error> {
        let Syndrome::DataAbort(abort) = fault.esr.decode() else {
            return Ok(false);
        };
        let from = self.get_raw(hv_reg_t::CPSR)?;
        let (class, vector) = match from & pstate::MODE_MASK {
            pstate::EL0T => (ec::DATA_ABORT_LOWER, 0x400),
            pstate::EL1T => (ec::DATA_ABORT_SAME, 0x000),
            _ => (ec::DATA_ABORT_SAME, 0x200),
        };
        let iss = EXTERNAL_ABORT | if abort.write { WRITE } else { 0 };
        let esr = Esr::new(class, iss as u32);
        debug_assert!(esr.bits() & IL != 0, "the access was a 32-bit instruction");
        self.set_sys(hv_sys_reg_t::ESR_EL1, esr.bits())?;
        self.set_sys(hv_sys_reg_t::FAR_EL1, fault.virtual_address)?;
        self.set_sys(hv_sys_reg_t::ELR_EL1, fault.pc)?;
        self.set_sys(hv_sys_reg_t::SPSR_EL1, from)?;
        let mut to = from & (pstate::N | pstate::Z | pstate::C | pstate::V | pstate::PAN);
        if self.get_sys(hv_sys_reg_t::SCTLR_EL1)? & SPAN == 0 {
            to |= pstate::PAN;
        }
        self.set_raw(hv_reg_t::CPSR, to | pstate::DAIF | pstate::EL1H)?;
        let vbar = self.get_sys(hv_sys_reg_t::VBAR_EL1)?;
        self.set_raw(hv_reg_t::PC, vbar.wrapping_add(vector))?;
        Ok(true)
    }
}
