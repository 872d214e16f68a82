//! General, SIMD and system registers, on the vCPU's own thread.

use arch_aarch64::sysreg::SysReg;

use super::error::answer;
use super::sysreg::{Known, lookup};
use super::vcpu::{self, AFFINITY_RES1, Vcpu};
use super::{Error, HvReturn, SimdVector, put};

/// `hv_reg_t` after X0–X30.
mod general {
    pub(super) const X30: u32 = 30;
    pub(super) const PC: u32 = 31;
    pub(super) const FPCR: u32 = 32;
    pub(super) const FPSR: u32 = 33;
    pub(super) const CPSR: u32 = 34;
}

/// `ACTLR_EL1.EnTSO`, the one bit that the framework lets through.
const ACTLR_ENTSO: u64 = 1 << 1;

impl Vcpu {
    fn general(&self, register: u32) -> Result<u64, Error> {
        Ok(match register {
            0..=general::X30 => self.cpu.x(register as u8),
            general::PC => self.cpu.pc(),
            general::FPCR => self.cpu.fpcr,
            general::FPSR => self.cpu.fpsr,
            general::CPSR => self.cpu.cpsr(),
            _ => return Err(Error::BadArgument),
        })
    }

    fn set_general(&mut self, register: u32, value: u64) -> Result<(), Error> {
        match register {
            0..=general::X30 => self.cpu.set_x(register as u8, value),
            general::PC => self.cpu.set_pc(value),
            general::FPCR => drop(self.cpu.set_sysreg(SysReg::FPCR.bits(), value)),
            general::FPSR => drop(self.cpu.set_sysreg(SysReg::FPSR.bits(), value)),
            general::CPSR => self.cpu.set_cpsr(value),
            _ => return Err(Error::BadArgument),
        }
        Ok(())
    }

    fn system(&self, register: SysReg) -> Result<u64, Error> {
        self.check(register)?;
        let core = || self.cpu.sysreg(register.bits());
        self.shared.timers.read(register).or_else(core).ok_or(Error::BadArgument)
    }

    fn set_system(&mut self, register: SysReg, value: u64) -> Result<(), Error> {
        let known = self.check(register)?;
        match register {
            // The memory model is the host's.
            SysReg::ACTLR_EL1 if value & ACTLR_ENTSO != 0 => Err(Error::Unsupported),
            SysReg::MPIDR_EL1 => self.set_affinity(value | AFFINITY_RES1),
            _ if known == Known::Identification => {
                self.cpu.override_identification(register.bits(), value);
                Ok(())
            }
            _ => {
                let written = self.shared.timers.write(register, value).is_some()
                    || self.cpu.set_sysreg(register.bits(), value);
                written.then_some(()).ok_or(Error::BadArgument)
            }
        }
    }

    /// Whether the framework has this register in this machine.
    fn check(&self, register: SysReg) -> Result<Known, Error> {
        match lookup(register) {
            Known::No => Err(Error::BadArgument),
            Known::Unsupported => Err(Error::Unsupported),
            Known::WithGic if self.vm.gic().is_none() => Err(Error::Unsupported),
            known => Ok(known),
        }
    }

    /// With an interrupt controller, affinities are routes: they are final once a vCPU has run.
    fn set_affinity(&mut self, mpidr: u64) -> Result<(), Error> {
        if let Some(gic) = self.vm.gic() {
            let changes = self.cpu.sysreg(SysReg::MPIDR_EL1.bits()) != Some(mpidr);
            if changes && self.vm.topology().is_final {
                return Err(Error::Busy);
            }
            gic.set_affinity(self.index(), mpidr);
        }
        self.cpu.set_sysreg(SysReg::MPIDR_EL1.bits(), mpidr);
        self.has_affinity = true;
        Ok(())
    }
}

/// `hv_sys_reg_t` is 16 bits wide.
fn system_register(register: u32) -> Result<SysReg, Error> {
    u16::try_from(register).map(SysReg::from_bits).map_err(|_| Error::BadArgument)
}

/// Reads X0–X30, PC, FPCR, FPSR or CPSR.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_reg(vcpu: u64, register: u32, value: *mut u64) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| vcpu.general(register));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(value, read) }))
}

/// Writes X0–X30, PC, FPCR, FPSR or CPSR.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_reg(vcpu: u64, register: u32, value: u64) -> HvReturn {
    answer(vcpu::with(vcpu, |vcpu| vcpu.set_general(register, value)))
}

/// Reads Q0–Q31.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_simd_fp_reg(
    vcpu: u64,
    register: u32,
    value: *mut u128,
) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| {
        vcpu.cpu.v.get(register as usize).copied().ok_or(Error::BadArgument)
    });
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(value, read) }))
}

/// Writes Q0–Q31.
#[unsafe(no_mangle)]
#[expect(improper_ctypes_definitions, reason = "a vector type is what the C prototype has")]
pub extern "C" fn hv_vcpu_set_simd_fp_reg(vcpu: u64, register: u32, value: SimdVector) -> HvReturn {
    // SAFETY: both types are 16 bytes of plain data, every bit pattern is valid.
    let value: u128 = unsafe { core::mem::transmute(value) };
    answer(vcpu::with(vcpu, |vcpu| {
        *vcpu.cpu.v.get_mut(register as usize).ok_or(Error::BadArgument)? = value;
        Ok(())
    }))
}

/// Reads a system register.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_sys_reg(
    vcpu: u64,
    register: u32,
    value: *mut u64,
) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| vcpu.system(system_register(register)?));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(value, read) }))
}

/// Writes a system register.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_sys_reg(vcpu: u64, register: u32, value: u64) -> HvReturn {
    answer(vcpu::with(vcpu, |vcpu| vcpu.set_system(system_register(register)?, value)))
}
