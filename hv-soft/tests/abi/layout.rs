//! The binary interface: sizes, offsets and numbers are those of Apple's declarations.

use std::mem::{offset_of, size_of};

use applevisor_sys as apple;
use hv_soft::abi::{ExitInfo, code, reason};

#[test]
fn exit_information_has_the_framework_layout() {
    assert_eq!(size_of::<ExitInfo>(), size_of::<apple::hv_vcpu_exit_t>());
    let exception = offset_of!(apple::hv_vcpu_exit_t, exception);
    assert_eq!(offset_of!(ExitInfo, reason), offset_of!(apple::hv_vcpu_exit_t, reason));
    for (ours, theirs) in [
        (offset_of!(ExitInfo, syndrome), offset_of!(apple::hv_vcpu_exit_exception_t, syndrome)),
        (
            offset_of!(ExitInfo, virtual_address),
            offset_of!(apple::hv_vcpu_exit_exception_t, virtual_address),
        ),
        (
            offset_of!(ExitInfo, physical_address),
            offset_of!(apple::hv_vcpu_exit_exception_t, physical_address),
        ),
    ] {
        assert_eq!(ours, exception + theirs);
    }
}

#[test]
fn numbers_are_the_frameworks() {
    for (ours, theirs) in [
        (code::SUCCESS, apple::hv_error_t::HV_SUCCESS),
        (code::ERROR, apple::hv_error_t::HV_ERROR),
        (code::BUSY, apple::hv_error_t::HV_BUSY),
        (code::BAD_ARGUMENT, apple::hv_error_t::HV_BAD_ARGUMENT),
        (code::NO_RESOURCES, apple::hv_error_t::HV_NO_RESOURCES),
        (code::NO_DEVICE, apple::hv_error_t::HV_NO_DEVICE),
        (code::DENIED, apple::hv_error_t::HV_DENIED),
        (code::UNSUPPORTED, apple::hv_error_t::HV_UNSUPPORTED),
    ] {
        assert_eq!(ours, theirs as i32);
    }
    for (ours, theirs) in [
        (reason::CANCELED, apple::hv_exit_reason_t::CANCELED),
        (reason::EXCEPTION, apple::hv_exit_reason_t::EXCEPTION),
        (reason::VTIMER_ACTIVATED, apple::hv_exit_reason_t::VTIMER_ACTIVATED),
    ] {
        assert_eq!(ours, theirs as u32);
    }
}
