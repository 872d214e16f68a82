//! The declarations resolve to symbols: a program that calls them links and gets an answer.

use hv_sys::{hv_gic_get_distributor_size, hv_vm_get_max_vcpu_count};

#[test]
fn functions_link_and_answer() {
    let mut count = 0u32;
    let mut size = 0usize;
    // SAFETY: both pointers are valid for a write of the pointee's type.
    unsafe {
        hv_vm_get_max_vcpu_count(&raw mut count);
        hv_gic_get_distributor_size(&raw mut size);
    }
}
