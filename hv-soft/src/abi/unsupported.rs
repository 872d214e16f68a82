//! Functions whose implementation has not landed yet answer `HV_UNSUPPORTED`.

use core::ffi::c_void;

use super::{ExitInfo, HvReturn, SimdVector, code};

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn os_release(_object: *mut c_void) {}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vm_config_create() -> *mut c_void {
    core::ptr::null_mut()
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_create(_config: *mut c_void) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vm_destroy() -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_allocate(
    _uvap: *mut *mut c_void,
    _size: usize,
    _flags: u32,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_deallocate(_uvap: *const c_void, _size: usize) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_get_max_ipa_size(_ipa_bit_length: *mut u32) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_get_default_ipa_size(_ipa_bit_length: *mut u32) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_set_ipa_size(
    _config: *mut c_void,
    _ipa_bit_length: u32,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_get_ipa_size(
    _config: *mut c_void,
    _ipa_bit_length: *mut u32,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_get_el2_supported(_el2_supported: *mut bool) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_get_el2_enabled(
    _config: *mut c_void,
    _el2_enabled: *mut bool,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_set_el2_enabled(
    _config: *mut c_void,
    _el2_enabled: bool,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_config_create() -> *mut c_void {
    core::ptr::null_mut()
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_config_get_feature_reg(
    _config: *mut c_void,
    _feature_reg: u32,
    _value: *mut u64,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_config_get_ccsidr_el1_sys_reg_values(
    _config: *mut c_void,
    _cache_type: u32,
    _values: *mut u64,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_get_max_vcpu_count(_max_vcpu_count: *mut u32) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_create(
    _vcpu: *mut u64,
    _exit: *mut *const ExitInfo,
    _config: *mut c_void,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_destroy(_vcpu: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_run(_vcpu: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpus_exit(_vcpus: *const u64, _vcpu_count: u32) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_pending_interrupt(
    _vcpu: u64,
    _type: u32,
    _pending: *mut bool,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_pending_interrupt(
    _vcpu: u64,
    _type: u32,
    _pending: bool,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_exec_time(_vcpu: u64, _time: *mut u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_reg(_vcpu: u64, _reg: u32, _value: *mut u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_reg(_vcpu: u64, _reg: u32, _value: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_simd_fp_reg(
    _vcpu: u64,
    _reg: u32,
    _value: *mut u128,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[expect(improper_ctypes_definitions, reason = "a vector type is what the C prototype has")]
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_simd_fp_reg(_vcpu: u64, _reg: u32, _value: SimdVector) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_sys_reg(_vcpu: u64, _reg: u32, _value: *mut u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_sys_reg(_vcpu: u64, _reg: u32, _value: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_trap_debug_exceptions(
    _vcpu: u64,
    _value: *mut bool,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_trap_debug_exceptions(_vcpu: u64, _value: bool) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_trap_debug_reg_accesses(
    _vcpu: u64,
    _value: *mut bool,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_trap_debug_reg_accesses(_vcpu: u64, _value: bool) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_map(
    _addr: *const c_void,
    _ipa: u64,
    _size: usize,
    _flags: u64,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vm_unmap(_ipa: u64, _size: usize) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vm_protect(_ipa: u64, _size: usize, _flags: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_vtimer_mask(
    _vcpu: u64,
    _vtimer_is_masked: *mut bool,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_vtimer_mask(_vcpu: u64, _vtimer_is_masked: bool) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_vtimer_offset(
    _vcpu: u64,
    _vtimer_offset: *mut u64,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_vtimer_offset(_vcpu: u64, _vtimer_offset: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_config_create() -> *mut c_void {
    core::ptr::null_mut()
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_config_set_distributor_base(
    _config: *mut c_void,
    _distributor_base_address: u64,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_config_set_redistributor_base(
    _config: *mut c_void,
    _redistributor_base_address: u64,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_config_set_msi_region_base(
    _config: *mut c_void,
    _msi_region_base_address: u64,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_config_set_msi_interrupt_range(
    _config: *mut c_void,
    _msi_intid_base: u32,
    _msi_intid_count: u32,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_create(_gic_config: *mut c_void) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_spi(_intid: u32, _level: bool) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_send_msi(_address: u64, _intid: u32) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_distributor_reg(_reg: u32, _value: *mut u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_distributor_reg(_reg: u32, _value: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_redistributor_base(
    _vcpu: u64,
    _redistributor_base_address: *mut u64,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_redistributor_reg(
    _vcpu: u64,
    _reg: u32,
    _value: *mut u64,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_redistributor_reg(_vcpu: u64, _reg: u32, _value: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_icc_reg(_vcpu: u64, _reg: u32, _value: *mut u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_icc_reg(_vcpu: u64, _reg: u32, _value: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_ich_reg(_vcpu: u64, _reg: u32, _value: *mut u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_ich_reg(_vcpu: u64, _reg: u32, _value: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_icv_reg(_vcpu: u64, _reg: u32, _value: *mut u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_icv_reg(_vcpu: u64, _reg: u32, _value: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_msi_reg(_reg: u32, _value: *mut u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_msi_reg(_reg: u32, _value: u64) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_set_state(
    _gic_state_data: *const c_void,
    _gic_state_size: usize,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_reset() -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_distributor_size(_distributor_size: *mut usize) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_distributor_base_alignment(
    _distributor_base_alignment: *mut usize,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_redistributor_region_size(
    _redistributor_region_size: *mut usize,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_redistributor_size(
    _redistributor_size: *mut usize,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_redistributor_base_alignment(
    _redistributor_base_alignment: *mut usize,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_msi_region_size(_msi_region_size: *mut usize) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_msi_region_base_alignment(
    _msi_region_base_alignment: *mut usize,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_spi_interrupt_range(
    _spi_intid_base: *mut u32,
    _spi_intid_count: *mut u32,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_intid(_interrupt: u32, _intid: *mut u32) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_state_create() -> *mut c_void {
    core::ptr::null_mut()
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_state_get_size(
    _state: *mut c_void,
    _gic_state_size: *mut usize,
) -> HvReturn {
    code::UNSUPPORTED
}

/// See Apple's documentation of the function of this name.
///
/// # Safety
/// Pointers are null or valid for the type they point to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_state_get_data(
    _state: *mut c_void,
    _gic_state_data: *mut c_void,
) -> HvReturn {
    code::UNSUPPORTED
}
