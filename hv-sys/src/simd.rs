//! Passing a 128-bit vector by value, which stable Rust cannot declare in a foreign function.

use crate::{hv_return_t, hv_simd_fp_reg_t, hv_vcpu_t};

/// Sets SIMD and floating-point register `reg` of `vcpu` to `value` (element 0 in the low bits).
///
/// # Safety
/// Must be called on the thread that created `vcpu`; every other misuse is answered with an error.
#[cfg(target_vendor = "apple")]
pub unsafe fn hv_vcpu_set_simd_fp_reg(
    vcpu: hv_vcpu_t,
    reg: hv_simd_fp_reg_t,
    value: u128,
) -> hv_return_t {
    use core::arch::aarch64::uint8x16_t;

    // SAFETY: both types are 16 bytes of plain data, every bit pattern is valid.
    let vector: uint8x16_t = unsafe { core::mem::transmute(value) };
    let result: u64;
    // SAFETY: the call follows AAPCS64 section 6.8: the integer arguments go to x0 and w1 and the
    // short vector to v0; everything the callee may change is declared by `clobber_abi`.
    unsafe {
        core::arch::asm!(
            "bl {function}",
            function = sym applevisor_sys::hv_vcpu_set_simd_fp_reg,
            inlateout("x0") vcpu => result,
            in("x1") reg as u64,
            in("v0") vector,
            clobber_abi("C"),
        );
    }
    result as hv_return_t
}

/// Sets SIMD and floating-point register `reg` of `vcpu` to `value` (element 0 in the low bits).
///
/// # Safety
/// Must be called on the thread that created `vcpu`; every other misuse is answered with an error.
#[cfg(not(target_vendor = "apple"))]
pub unsafe fn hv_vcpu_set_simd_fp_reg(
    vcpu: hv_vcpu_t,
    reg: hv_simd_fp_reg_t,
    value: u128,
) -> hv_return_t {
    // SAFETY: both types are 16 bytes of plain data, every bit pattern is valid.
    let vector: hv_soft::abi::SimdVector = unsafe { core::mem::transmute(value) };
    hv_soft::abi::hv_vcpu_set_simd_fp_reg(vcpu, reg as u32, vector)
}
