//! The declarations resolve, and the two functions that are not re-exported as declared do what the
//! framework's do. One test, since a process has one VM.

use std::ptr::{null, null_mut};

use hv_sys::*;

const OK: hv_return_t = hv_error_t::HV_SUCCESS as hv_return_t;

#[test]
fn vectors_and_interrupts_arrive() {
    let (mut vcpu, mut exit) = (0, null());
    // SAFETY: all pointers are valid, and everything happens on the vCPU's thread.
    unsafe {
        assert_eq!(hv_vm_create(null_mut()), OK);
        assert_eq!(hv_vcpu_create(&raw mut vcpu, &raw mut exit, null_mut()), OK);

        let value = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100_u128;
        let mut read = 0;
        assert_eq!(hv_vcpu_set_simd_fp_reg(vcpu, hv_simd_fp_reg_t::Q31, value), OK);
        assert_eq!(hv_vcpu_get_simd_fp_reg(vcpu, hv_simd_fp_reg_t::Q31, &raw mut read), OK);
        assert_eq!(read, value);

        let (mut irq, mut fiq) = (false, true);
        assert_eq!(hv_vcpu_set_pending_interrupt(vcpu, hv_interrupt_type_t::IRQ, true), OK);
        assert_eq!(hv_vcpu_get_pending_interrupt(vcpu, hv_interrupt_type_t::IRQ, &raw mut irq), OK);
        assert_eq!(hv_vcpu_get_pending_interrupt(vcpu, hv_interrupt_type_t::FIQ, &raw mut fiq), OK);
        assert!(irq && !fiq);

        assert_eq!(hv_vcpu_destroy(vcpu), OK);
        assert_eq!(hv_vm_destroy(), OK);
    }
}
