//! Apple's Hypervisor.framework C ABI for arm64: the framework on Apple silicon, `hv-soft` elsewhere.
//!
//! The declarations (names, types, constants, layouts) are those of `applevisor-sys` with the
//! interface of macOS 15.0, on every target. What differs is who answers: on Apple the framework is
//! linked, elsewhere the functions of the same names that `hv-soft` exports. Code above this crate
//! therefore compiles and runs unchanged on both.
//!
//! Two things are not re-exported as declared. [`hv_vcpu_set_simd_fp_reg`] takes a 128-bit *vector* in
//! C, which the procedure call standard passes in a vector register, while a Rust `u128` travels in
//! two general registers. [`hv_interrupt_type_t`] has the order of Apple's header.

#[cfg(not(target_vendor = "apple"))]
use hv_soft as _;

pub use applevisor_sys::*;

mod counter;
pub use counter::mach_absolute_time;

mod interrupt;
pub use interrupt::{
    hv_interrupt_type_t, hv_vcpu_get_pending_interrupt, hv_vcpu_set_pending_interrupt,
};

mod simd;
pub use simd::hv_vcpu_set_simd_fp_reg;
