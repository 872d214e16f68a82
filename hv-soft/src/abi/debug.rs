//! Which debug events of the guest exit to the host.

use super::error::answer;
use super::vcpu;
use super::{HvReturn, put};

/// Whether debug exceptions of the guest exit to the host.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_trap_debug_exceptions(
    vcpu: u64,
    value: *mut bool,
) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| Ok(vcpu.cpu.traps.debug_exceptions));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(value, read) }))
}

/// Sets whether debug exceptions of the guest (breakpoints, watchpoints, software step, BRK) exit to
/// the host instead of going to EL1.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_trap_debug_exceptions(vcpu: u64, value: bool) -> HvReturn {
    answer(vcpu::with(vcpu, |vcpu| {
        vcpu.cpu.traps.debug_exceptions = value;
        Ok(())
    }))
}

/// Whether accesses to debug registers exit to the host.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_trap_debug_reg_accesses(
    vcpu: u64,
    value: *mut bool,
) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| Ok(vcpu.cpu.traps.debug_registers));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(value, read) }))
}

/// Sets whether the guest's accesses to debug registers exit to the host, as system-register traps.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_trap_debug_reg_accesses(vcpu: u64, value: bool) -> HvReturn {
    answer(vcpu::with(vcpu, |vcpu| {
        vcpu.cpu.traps.debug_registers = value;
        Ok(())
    }))
}
