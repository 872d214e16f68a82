//! The C ABI: the `hv_*` functions of Hypervisor.framework (macOS 15.0, arm64) and `os_release`.

mod unsupported;
pub use unsupported::*;

/// `hv_return_t`: [`code::SUCCESS`] or one of the framework's error codes.
pub type HvReturn = i32;

/// Values of [`HvReturn`] (`hv_error_t`).
pub mod code {
    use super::HvReturn;

    /// `HV_SUCCESS`
    pub const SUCCESS: HvReturn = 0;
    /// `HV_UNSUPPORTED`: this machine cannot do what was asked.
    pub const UNSUPPORTED: HvReturn = 0xfae9_400f_u32 as HvReturn;
}

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
    /// `hv_exit_reason_t`
    pub reason: u32,
    /// ESR_EL2 format (Arm ARM D24.2.40); meaningful for an exception.
    pub syndrome: u64,
    /// The faulting virtual address.
    pub virtual_address: u64,
    /// The faulting intermediate physical address.
    pub physical_address: u64,
}
