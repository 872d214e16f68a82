//! The interrupt types, in the order that Apple's header has them.
//!
//! `hv_vcpu_types.h` of the macOS SDK lists IRQ before FIQ; `applevisor-sys` 1.0 has them the other way
//! round, so its `IRQ` would raise FIQ.

use crate::{hv_return_t, hv_vcpu_t};

/// `hv_interrupt_type_t`
#[allow(non_camel_case_types, reason = "the framework's name")]
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum hv_interrupt_type_t {
    /// `HV_INTERRUPT_TYPE_IRQ`
    IRQ = 0,
    /// `HV_INTERRUPT_TYPE_FIQ`
    FIQ = 1,
}

impl hv_interrupt_type_t {
    /// The value that `applevisor-sys` declares with the same number.
    fn declared(self) -> applevisor_sys::hv_interrupt_type_t {
        match self {
            Self::IRQ => applevisor_sys::hv_interrupt_type_t::FIQ,
            Self::FIQ => applevisor_sys::hv_interrupt_type_t::IRQ,
        }
    }
}

// The translation above is right only while the declarations have the wrong order.
const _: () = assert!(applevisor_sys::hv_interrupt_type_t::FIQ as u32 == 0);

/// Whether the host made an interrupt pending for the next run.
///
/// # Safety
/// Must be called on the thread that created `vcpu`, with a valid pointer.
pub unsafe fn hv_vcpu_get_pending_interrupt(
    vcpu: hv_vcpu_t,
    kind: hv_interrupt_type_t,
    pending: *mut bool,
) -> hv_return_t {
    // SAFETY: the caller's promise.
    unsafe { applevisor_sys::hv_vcpu_get_pending_interrupt(vcpu, kind.declared(), pending) }
}

/// Makes an interrupt pending for the next run, or not. Cleared after each run.
///
/// # Safety
/// Must be called on the thread that created `vcpu`.
pub unsafe fn hv_vcpu_set_pending_interrupt(
    vcpu: hv_vcpu_t,
    kind: hv_interrupt_type_t,
    pending: bool,
) -> hv_return_t {
    // SAFETY: the caller's promise.
    unsafe { applevisor_sys::hv_vcpu_set_pending_interrupt(vcpu, kind.declared(), pending) }
}
