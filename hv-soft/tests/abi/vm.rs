//! One VM a process, and configuration objects.

use std::ptr::{null_mut, without_provenance_mut};

use hv_soft::abi::*;

use crate::support::*;

cases! {
    fn one_vm_a_process() {
        assert_eq!(hv_vm_destroy(), NO_DEVICE);
        create_vm();
        assert_eq!(hv_vm_create(null_mut()), BUSY);
        assert_eq!(hv_vm_destroy(), SUCCESS);
        assert_eq!(hv_vm_destroy(), NO_DEVICE);
        create_vm();
    }

    fn a_second_vm_from_another_thread_is_refused_too() {
        create_vm();
        let result = std::thread::spawn(|| hv_vm_create(null_mut())).join().expect("no panic");
        assert_eq!(result, BUSY);
    }

    fn a_vm_with_vcpus_is_not_destroyed() {
        create_vm();
        let guest = Guest::new();
        assert_eq!(hv_vm_destroy(), BUSY);
        assert_eq!(hv_vcpu_destroy(guest.vcpu), SUCCESS);
        assert_eq!(hv_vm_destroy(), SUCCESS);
    }

    fn nothing_works_without_a_vm() {
        assert_eq!(try_map(memory(GRANULE), RAM, GRANULE, READ), NO_DEVICE);
        assert_eq!(hv_vm_unmap(RAM, GRANULE), NO_DEVICE);
        // SAFETY: refused.
        assert_eq!(unsafe { hv_vm_protect(RAM, GRANULE, READ) }, NO_DEVICE);
        let (mut vcpu, mut exit) = (0, std::ptr::null());
        // SAFETY: the pointers are valid.
        let result = unsafe { hv_vcpu_create(&raw mut vcpu, &raw mut exit, null_mut()) };
        assert_eq!(result, NO_DEVICE);
        assert_eq!(hv_gic_set_spi(32, true), NO_DEVICE);
        // SAFETY: the list is valid.
        assert_eq!(unsafe { hv_vcpus_exit(&raw const vcpu, 1) }, NO_DEVICE);
    }

    fn ipa_size_is_configurable_within_limits() {
        let config = hv_vm_config_create();
        assert!(!config.is_null());
        let (mut default, mut max, mut size) = (0, 0, 0);
        // SAFETY: the pointers are valid.
        unsafe {
            assert_eq!(hv_vm_config_get_default_ipa_size(&raw mut default), SUCCESS);
            assert_eq!(hv_vm_config_get_max_ipa_size(&raw mut max), SUCCESS);
            assert_eq!(hv_vm_config_get_ipa_size(config, &raw mut size), SUCCESS);
            assert_eq!(hv_vm_config_get_ipa_size(config, null_mut()), BAD_ARGUMENT);
        }
        // As measured on Apple silicon.
        assert_eq!((default, max, size), (36, 40, 36));
        assert_eq!(hv_vm_config_set_ipa_size(config, max + 1), BAD_ARGUMENT);
        assert_eq!(hv_vm_config_set_ipa_size(config, max), SUCCESS);
        assert_eq!(hv_vm_create(config), SUCCESS);
        let host = memory(GRANULE);
        map(host, 1 << 39, GRANULE, READ);
        assert_eq!(try_map(host, 1 << 40, GRANULE, READ), BAD_ARGUMENT);
    }

    fn el2_is_not_offered() {
        let config = hv_vm_config_create();
        let (mut supported, mut enabled) = (true, true);
        // SAFETY: the pointers are valid.
        unsafe {
            assert_eq!(hv_vm_config_get_el2_supported(&raw mut supported), SUCCESS);
            assert_eq!(hv_vm_config_get_el2_enabled(config, &raw mut enabled), SUCCESS);
        }
        assert!(!supported && !enabled);
        assert_eq!(hv_vm_config_set_el2_enabled(config, true), UNSUPPORTED);
        assert_eq!(hv_vm_config_set_el2_enabled(config, false), SUCCESS);
    }

    fn stale_and_invented_objects_are_recognised() {
        let config = hv_vm_config_create();
        let vcpu_config = hv_vcpu_config_create();
        assert_eq!(hv_vm_config_set_ipa_size(vcpu_config, 36), BAD_ARGUMENT);
        os_release(config);
        os_release(config);
        os_release(null_mut());
        os_release(without_provenance_mut(0x1234));
        assert_eq!(hv_vm_config_set_ipa_size(config, 36), BAD_ARGUMENT);
        assert_eq!(hv_vm_create(config), BAD_ARGUMENT);
        assert_eq!(hv_vm_create(without_provenance_mut(usize::MAX)), BAD_ARGUMENT);
        create_vm();
        let (mut vcpu, mut exit) = (0, std::ptr::null());
        // SAFETY: the pointers are valid.
        let mut create = |config| unsafe { hv_vcpu_create(&raw mut vcpu, &raw mut exit, config) };
        assert_eq!(create(config), BAD_ARGUMENT);
        assert_eq!(create(vcpu_config), SUCCESS);
    }
}
