//! The virtual timer's mask and offset.

use super::error::answer;
use super::vcpu;
use super::{HvReturn, put};

/// Whether the virtual timer is masked, as it is after its exit.
///
/// # Safety
/// `masked` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_vtimer_mask(vcpu: u64, masked: *mut bool) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| Ok(vcpu.shared.timers.is_masked()));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(masked, read) }))
}

/// Masks or unmasks the virtual timer.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_vtimer_mask(vcpu: u64, masked: bool) -> HvReturn {
    answer(vcpu::with(vcpu, |vcpu| {
        vcpu.shared.timers.set_masked(masked);
        Ok(())
    }))
}

/// The virtual timer's offset: `CNTVCT_EL0` is the host's counter less this.
///
/// # Safety
/// `offset` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_vtimer_offset(vcpu: u64, offset: *mut u64) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| Ok(vcpu.shared.timers.offset()));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(offset, read) }))
}

/// Sets the virtual timer's offset.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_vtimer_offset(vcpu: u64, offset: u64) -> HvReturn {
    answer(vcpu::with(vcpu, |vcpu| {
        vcpu.shared.timers.set_offset(offset);
        vcpu.cpu.set_timer_offset(offset);
        Ok(())
    }))
}
