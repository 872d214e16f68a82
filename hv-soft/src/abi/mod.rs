//! The C ABI: the `hv_*` functions of Hypervisor.framework (macOS 15.0, arm64) and `os_release`.
//!
//! The prototypes are those of `include/hv_soft.h`. Enumerations are taken as plain integers, so that
//! any value a C caller passes is defined here and answered with `HV_BAD_ARGUMENT`; objects are opaque
//! numbers, so that a stale or invented one is recognised. Null pointers are answered with
//! `HV_BAD_ARGUMENT`.
//!
//! As strict as the framework: one VM a process, a vCPU belongs to the thread that created it, the GIC
//! comes after the VM and before the vCPUs, and so on; see [`Error`] for the codes.

mod debug;
mod error;
mod exit;
mod gic;
mod gic_config;
mod gic_registers;
mod gic_state;
mod host_memory;
mod interrupt;
mod memory;
mod object;
mod registers;
mod run;
mod sysreg;
mod trap;
mod vcpu;
mod vcpu_config;
mod vm;
mod vm_config;
mod vtimer;

pub use debug::*;
pub use error::{Error, HvReturn, code};
pub use exit::*;
pub use gic::*;
pub use gic_config::*;
pub use gic_registers::*;
pub use gic_state::*;
pub use interrupt::*;
pub use memory::*;
pub use object::os_release;
pub use registers::*;
pub use run::{hv_vcpu_get_exec_time, hv_vcpu_run};
pub use vcpu::{hv_vcpu_create, hv_vcpu_destroy};
pub use vcpu_config::*;
pub use vm::{hv_vm_create, hv_vm_destroy, hv_vm_get_max_vcpu_count};
pub use vm_config::*;
pub use vtimer::*;

/// `hv_simd_fp_uchar16_t`: a 16-byte vector, passed by value in a vector register.
#[cfg(target_arch = "x86_64")]
pub type SimdVector = core::arch::x86_64::__m128i;
/// `hv_simd_fp_uchar16_t`: a 16-byte vector, passed by value in a vector register.
#[cfg(target_arch = "aarch64")]
pub type SimdVector = core::arch::aarch64::uint8x16_t;

/// `hv_vcpu_exit_t`: why `hv_vcpu_run` returned.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitInfo {
    /// `hv_exit_reason_t`, one of [`reason`].
    pub reason: u32,
    /// ESR_EL2 format (Arm ARM D24.2.40); meaningful for an exception.
    pub syndrome: u64,
    /// The faulting virtual address.
    pub virtual_address: u64,
    /// The faulting intermediate physical address.
    pub physical_address: u64,
}

/// Values of [`ExitInfo::reason`].
pub mod reason {
    /// `HV_EXIT_REASON_CANCELED`: `hv_vcpus_exit` was called.
    pub const CANCELED: u32 = 0;
    /// `HV_EXIT_REASON_EXCEPTION`: the guest did something that the host has to complete.
    pub const EXCEPTION: u32 = 1;
    /// `HV_EXIT_REASON_VTIMER_ACTIVATED`: the virtual timer fired, and is masked now.
    pub const VTIMER_ACTIVATED: u32 = 2;
}

/// Stores a result where the caller wants it.
///
/// # Safety
/// `pointer` is null or valid for a write of `T`, at whatever alignment.
unsafe fn put<T>(pointer: *mut T, value: T) -> Result<(), Error> {
    if pointer.is_null() {
        return Err(Error::BadArgument);
    }
    // SAFETY: not null, hence valid for a write, by the contract of this function.
    unsafe { pointer.write_unaligned(value) };
    Ok(())
}
