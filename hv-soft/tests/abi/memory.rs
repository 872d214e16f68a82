//! Guest-physical memory: alignment, overlaps, rights, giving memory back.

use applevisor_sys::hv_reg_t;
use hv_soft::abi::*;

use crate::support::*;

/// Anonymous memory with the given protection, `len` bytes, 16 KiB-aligned.
fn anonymous(len: usize, protection: i32) -> *mut u8 {
    let host = memory(len);
    // SAFETY: the whole of an allocation of this process.
    assert_eq!(unsafe { libc::mprotect(host.cast(), len, protection) }, 0);
    host
}

cases! {
    fn everything_is_a_multiple_of_16_kib() {
        create_vm();
        let host = memory(4 * GRANULE);
        for (host, ipa, size) in [
            (host.wrapping_add(0x1000), RAM, GRANULE),
            (host, RAM + 0x1000, GRANULE),
            (host, RAM, GRANULE + 0x1000),
            (host, RAM, 0),
        ] {
            assert_eq!(try_map(host, ipa, size, READ), BAD_ARGUMENT, "{ipa:#x} {size:#x}");
        }
        map(host, RAM, 4 * GRANULE, READ);
        assert_eq!(hv_vm_unmap(RAM + 0x1000, GRANULE), BAD_ARGUMENT);
        assert_eq!(hv_vm_unmap(RAM, 0x1000), BAD_ARGUMENT);
        // SAFETY: refused.
        assert_eq!(unsafe { hv_vm_protect(RAM + 0x1000, GRANULE, READ) }, BAD_ARGUMENT);
    }

    fn arguments_out_of_range_are_refused() {
        create_vm();
        let host = memory(GRANULE);
        assert_eq!(try_map(std::ptr::null_mut(), RAM, GRANULE, READ), BAD_ARGUMENT);
        assert_eq!(try_map(host, RAM, GRANULE, 8), BAD_ARGUMENT);
        assert_eq!(try_map(host, 1 << 36, GRANULE, READ), BAD_ARGUMENT);
        assert_eq!(try_map(host, (1 << 36) - GRANULE as u64, 2 * GRANULE, READ), BAD_ARGUMENT);
        assert_eq!(try_map(host, !0 << 14, 2 * GRANULE, READ), BAD_ARGUMENT);
        assert_eq!(try_map(host, RAM, usize::MAX & !(GRANULE - 1), READ), BAD_ARGUMENT);
    }

    fn mappings_do_not_overlap() {
        create_vm();
        let host = memory(4 * GRANULE);
        map(host, RAM, 2 * GRANULE, READ);
        for offset in [0, 1, -1] {
            let ipa = RAM.wrapping_add_signed(offset * GRANULE as i64);
            assert_eq!(try_map(host, ipa, 2 * GRANULE, READ), ERROR);
        }
        map(host, RAM + 2 * GRANULE as u64, GRANULE, READ);
    }

    fn only_mapped_memory_is_unmapped_or_protected() {
        create_vm();
        map(memory(2 * GRANULE), RAM, 2 * GRANULE, READ);
        assert_eq!(hv_vm_unmap(RAM, 3 * GRANULE), ERROR);
        // SAFETY: refused.
        assert_eq!(unsafe { hv_vm_protect(HOLE, GRANULE, READ) }, ERROR);
        assert_eq!(hv_vm_unmap(RAM, 2 * GRANULE), SUCCESS);
        assert_eq!(hv_vm_unmap(RAM, 2 * GRANULE), ERROR);
    }

    fn host_memory_is_one_region_that_exists() {
        create_vm();
        let host = memory(4 * GRANULE);
        // SAFETY: half of the allocation, which nobody uses.
        let unmapped = unsafe { libc::munmap(host.add(2 * GRANULE).cast(), GRANULE) };
        assert_eq!(unmapped, 0);
        assert_eq!(try_map(host, RAM, 4 * GRANULE, READ), BAD_ARGUMENT, "there is a hole");
        assert_eq!(try_map(host.wrapping_add(2 * GRANULE), RAM, GRANULE, READ), BAD_ARGUMENT);
        // Two regions of different protection.
        // SAFETY: part of the allocation, which nobody uses.
        unsafe { libc::mprotect(host.add(GRANULE).cast(), GRANULE, libc::PROT_READ) };
        assert_eq!(try_map(host, RAM, 2 * GRANULE, READ), BAD_ARGUMENT);
        map(host, RAM, GRANULE, READ);
        map(host.wrapping_add(GRANULE), RAM + GRANULE as u64, GRANULE, READ);
    }

    fn the_guest_gets_no_more_than_the_host_has() {
        create_vm();
        let read_only = anonymous(GRANULE, libc::PROT_READ);
        assert_eq!(try_map(read_only, RAM, GRANULE, READ | WRITE), DENIED);
        map(read_only, RAM, GRANULE, READ);
        let nothing = anonymous(GRANULE, libc::PROT_NONE);
        assert_eq!(try_map(nothing, HOLE, GRANULE, READ), DENIED);
        // SAFETY: refused.
        assert_eq!(unsafe { hv_vm_protect(RAM, GRANULE, READ | WRITE) }, DENIED);
        // SAFETY: the whole of an allocation of this process.
        let changed = unsafe {
            libc::mprotect(read_only.cast(), GRANULE, libc::PROT_READ | libc::PROT_WRITE)
        };
        assert_eq!(changed, 0);
        // SAFETY: the memory allows it.
        assert_eq!(unsafe { hv_vm_protect(RAM, GRANULE, READ | WRITE) }, SUCCESS);
    }

    /// A file's name is bytes, also where the process's address space is listed.
    fn a_mapped_file_with_an_odd_name_is_nobodys_business() {
        use std::os::unix::ffi::OsStrExt;
        create_vm();
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(std::ffi::OsStr::from_bytes(b"not \xff\xfe UTF-8"));
        std::fs::write(&path, vec![0; GRANULE]).expect("room");
        let file = std::fs::File::open(&path).expect("it was just made");
        let file = std::os::fd::AsRawFd::as_raw_fd(&file);
        let null = std::ptr::null_mut();
        // SAFETY: a new mapping at an address of the kernel's choice.
        let mapped =
            unsafe { libc::mmap(null, GRANULE, libc::PROT_READ, libc::MAP_PRIVATE, file, 0) };
        assert_ne!(mapped, libc::MAP_FAILED);
        map(memory(GRANULE), RAM, GRANULE, READ);
    }

    fn a_store_without_the_right_is_a_data_abort() {
        create_vm();
        load(&[insn::LDR_W2, insn::STR_W2, insn::HVC_0]);
        let guest = Guest::new();
        map(memory(GRANULE), HOLE, GRANULE, READ);
        let exit = guest.run();
        assert_eq!(exit.syndrome >> 26, 0x24);
        // Permission fault of level 1, 2 or 3 (DFSC 0b0011LL), WnR.
        assert_eq!(exit.syndrome & 0x3c, 0b00_1100);
        assert_eq!(exit.syndrome >> 6 & 1, 1);
        assert_eq!(exit.physical_address, HOLE);
        assert_eq!(guest.get(hv_reg_t::PC), RAM + 4, "the load went through");
        // SAFETY: the memory allows it.
        assert_eq!(unsafe { hv_vm_protect(HOLE, GRANULE, READ | WRITE) }, SUCCESS);
        assert_eq!(guest.run_to_exception(), 0x16);
    }

    fn a_fetch_without_the_right_is_an_instruction_abort() {
        create_vm();
        load(&[insn::HVC_0]);
        let guest = Guest::new();
        // SAFETY: the memory allows it.
        assert_eq!(unsafe { hv_vm_protect(RAM, 4 * GRANULE, READ | WRITE) }, SUCCESS);
        let exit = guest.run();
        assert_eq!((exit.reason, exit.syndrome >> 26), (EXCEPTION, 0x20));
        assert_eq!(exit.physical_address, RAM);
        assert_eq!(guest.get(hv_reg_t::PC), RAM);
    }

    /// What returns memory to the host: unmap, fresh anonymous memory over it, map again.
    fn memory_is_given_back_in_units_of_16_kib() {
        create_vm();
        load(&[insn::LDR_X2, insn::HVC_0]);
        let guest = Guest::new();
        let host = memory(4 * GRANULE);
        // SAFETY: within the allocation.
        unsafe { host.add(GRANULE).cast::<u64>().write(0x1234) };
        map(host, HOLE, 4 * GRANULE, READ | WRITE);
        guest.set(hv_reg_t::X1, HOLE + GRANULE as u64);
        assert_eq!(guest.run_to_exception(), 0x16);
        assert_eq!(guest.get(hv_reg_t::X2), 0x1234);

        assert_eq!(hv_vm_unmap(HOLE + GRANULE as u64, GRANULE), SUCCESS);
        guest.set(hv_reg_t::PC, RAM);
        assert_eq!(guest.run_to_exception(), 0x24, "gone for the guest");
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: replaces part of the allocation, which the guest does not have any more.
        let fresh =
            unsafe { libc::mmap(host.add(GRANULE).cast(), GRANULE, protection, flags, -1, 0) };
        map(fresh.cast(), HOLE + GRANULE as u64, GRANULE, READ | WRITE);
        assert_eq!(guest.run_to_exception(), 0x16);
        assert_eq!(guest.get(hv_reg_t::X2), 0, "zeroes");
    }

    fn allocations_are_aligned_and_freed_whole() {
        let mut address = std::ptr::null_mut();
        // SAFETY: the pointers are valid, and the memory is not used after it was freed.
        unsafe {
            assert_eq!(hv_vm_allocate(&raw mut address, 0x1000, 0), BAD_ARGUMENT);
            assert_eq!(hv_vm_allocate(&raw mut address, 0, 0), BAD_ARGUMENT);
            assert_eq!(hv_vm_allocate(&raw mut address, GRANULE, 1), BAD_ARGUMENT);
            assert_eq!(hv_vm_allocate(std::ptr::null_mut(), GRANULE, 0), BAD_ARGUMENT);
            assert_eq!(hv_vm_allocate(&raw mut address, usize::MAX - GRANULE + 1, 0), NO_RESOURCES);
            assert_eq!(hv_vm_allocate(&raw mut address, 3 * GRANULE, 0), SUCCESS);
            assert!(address.addr().is_multiple_of(GRANULE));
            assert_eq!(address.cast::<u64>().read(), 0);
            assert_eq!(hv_vm_deallocate(address, GRANULE), BAD_ARGUMENT);
            assert_eq!(hv_vm_deallocate(address, 3 * GRANULE), SUCCESS);
            assert_eq!(hv_vm_deallocate(address, 3 * GRANULE), BAD_ARGUMENT);
        }
    }
}
