//! `hv_vcpu_config_*`: what the guest's identification registers say.

use core::ffi::c_void;

use arch_aarch64::sysreg::SysReg;

use crate::cpu::id;

use super::error::answer;
use super::object::{self, Object};
use super::{Error, HvReturn, put};

/// `hv_feature_reg_t`, in its order.
const FEATURES: [SysReg; 12] = [
    SysReg::ID_AA64DFR0_EL1,
    SysReg::ID_AA64DFR1_EL1,
    SysReg::ID_AA64ISAR0_EL1,
    SysReg::ID_AA64ISAR1_EL1,
    SysReg::ID_AA64MMFR0_EL1,
    SysReg::ID_AA64MMFR1_EL1,
    SysReg::ID_AA64MMFR2_EL1,
    SysReg::ID_AA64PFR0_EL1,
    SysReg::ID_AA64PFR1_EL1,
    SysReg::CTR_EL0,
    SysReg::CLIDR_EL1,
    SysReg::DCZID_EL0,
];

/// Entries that `hv_vcpu_config_get_ccsidr_el1_sys_reg_values` writes: one a cache level.
const CACHE_LEVELS: usize = 8;

fn check(config: *mut c_void) -> Result<(), Error> {
    if config.is_null() {
        return Ok(());
    }
    object::with(config, |object| matches!(object, Object::Vcpu).then_some(()))
}

/// A default vCPU configuration. Release it with [`os_release`](super::os_release).
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_config_create() -> *mut c_void {
    object::create(Object::Vcpu)
}

/// An identification register, as a vCPU made from `config` (or the default, if null) has it.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_config_get_feature_reg(
    config: *mut c_void,
    register: u32,
    value: *mut u64,
) -> HvReturn {
    let read = check(config).and_then(|()| {
        let register = FEATURES.get(register as usize).ok_or(Error::BadArgument)?;
        Ok(id::constant(register.bits()).unwrap_or(0))
    });
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(value, read) }))
}

/// `CCSIDR_EL1` of the data or unified (0) or the instruction (1) caches, eight levels.
///
/// # Safety
/// `values` is null or valid for writes of eight values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_config_get_ccsidr_el1_sys_reg_values(
    config: *mut c_void,
    cache_type: u32,
    values: *mut u64,
) -> HvReturn {
    let checked = || {
        check(config)?;
        if cache_type > 1 {
            return Err(Error::BadArgument);
        }
        let mut levels = [0; CACHE_LEVELS];
        // Both caches of level 1, and nothing above.
        levels[0] = id::CCSIDR;
        // SAFETY: the caller's promise.
        unsafe { put(values.cast(), levels) }
    };
    answer(checked())
}
