//! The counter that timer offsets are relative to. It belongs to the framework's contract although
//! another library declares it.

/// The host's counter, in ticks of the guest's `CNTFRQ_EL0`. A guest's `CNTVCT_EL0` is this less the
/// offset set with `hv_vcpu_set_vtimer_offset`.
#[cfg(target_vendor = "apple")]
pub fn mach_absolute_time() -> u64 {
    unsafe extern "C" {
        // <mach/mach_time.h>, in libSystem.
        safe fn mach_absolute_time() -> u64;
    }
    mach_absolute_time()
}

/// The host's counter, in ticks of the guest's `CNTFRQ_EL0`. A guest's `CNTVCT_EL0` is this less the
/// offset set with `hv_vcpu_set_vtimer_offset`.
#[cfg(not(target_vendor = "apple"))]
pub fn mach_absolute_time() -> u64 {
    hv_soft::clock::counter()
}
