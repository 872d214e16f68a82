//! `hv_vm_config_*`: how large the guest-physical address space is.

use core::ffi::c_void;

use super::error::answer;
use super::object::{self, Object};
use super::{Error, HvReturn, put};

/// Guest-physical address bits unless configured, as on Apple silicon.
const DEFAULT_IPA_BITS: u32 = 36;
/// Largest number of guest-physical address bits: `ID_AA64MMFR0_EL1.PARange` is 40 bits.
const MAX_IPA_BITS: u32 = 40;
/// Smallest number of guest-physical address bits.
const MIN_IPA_BITS: u32 = 32;

/// `hv_vm_config_t`
#[derive(Clone, Copy, Debug)]
pub(super) struct VmConfig {
    pub(super) ipa_bits: u32,
}

impl Default for VmConfig {
    fn default() -> VmConfig {
        VmConfig { ipa_bits: DEFAULT_IPA_BITS }
    }
}

/// The configuration that `pointer` stands for, null meaning the default.
pub(super) fn get(pointer: *mut c_void) -> Result<VmConfig, Error> {
    if pointer.is_null() {
        return Ok(VmConfig::default());
    }
    with(pointer, |config| *config)
}

fn with<T>(pointer: *mut c_void, operation: impl FnOnce(&mut VmConfig) -> T) -> Result<T, Error> {
    object::with(pointer, |object| match object {
        Object::Vm(config) => Some(operation(config)),
        _ => None,
    })
}

/// A default VM configuration. Release it with [`os_release`](super::os_release).
#[unsafe(no_mangle)]
pub extern "C" fn hv_vm_config_create() -> *mut c_void {
    object::create(Object::Vm(VmConfig::default()))
}

/// Largest number of guest-physical address bits that can be configured.
///
/// # Safety
/// `bits` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_get_max_ipa_size(bits: *mut u32) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(bits, MAX_IPA_BITS) })
}

/// Guest-physical address bits of a VM without a configuration.
///
/// # Safety
/// `bits` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_get_default_ipa_size(bits: *mut u32) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(bits, DEFAULT_IPA_BITS) })
}

/// Sets the number of guest-physical address bits.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vm_config_set_ipa_size(config: *mut c_void, bits: u32) -> HvReturn {
    let checked = || {
        if !(MIN_IPA_BITS..=MAX_IPA_BITS).contains(&bits) {
            return Err(Error::BadArgument);
        }
        with(config, |config| config.ipa_bits = bits)
    };
    answer(checked())
}

/// The configured number of guest-physical address bits.
///
/// # Safety
/// `bits` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_get_ipa_size(
    config: *mut c_void,
    bits: *mut u32,
) -> HvReturn {
    let configured = with(config, |config| config.ipa_bits);
    // SAFETY: the caller's promise.
    answer(configured.and_then(|value| unsafe { put(bits, value) }))
}

/// Whether EL2 can be given to a guest: it cannot.
///
/// # Safety
/// `supported` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_get_el2_supported(supported: *mut bool) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(supported, false) })
}

/// Whether the configuration gives EL2 to the guest: it does not.
///
/// # Safety
/// `enabled` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_config_get_el2_enabled(
    config: *mut c_void,
    enabled: *mut bool,
) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(with(config, |_| ()).and_then(|()| unsafe { put(enabled, false) }))
}

/// Asks for EL2, or for no EL2. `HV_UNSUPPORTED` for the former.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vm_config_set_el2_enabled(config: *mut c_void, enabled: bool) -> HvReturn {
    let supported = if enabled { Err(Error::Unsupported) } else { Ok(()) };
    answer(with(config, |_| ()).and(supported))
}
