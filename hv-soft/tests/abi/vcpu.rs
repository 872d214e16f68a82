//! vCPUs: one a thread, used there only; registers; forced exits.

use std::ptr::{null, null_mut};
use std::sync::mpsc;

use applevisor_sys::{hv_feature_reg_t, hv_interrupt_type_t, hv_reg_t, hv_sys_reg_t};
use hv_soft::abi::*;

use crate::support::*;

fn try_create() -> i32 {
    let (mut vcpu, mut exit) = (0, null());
    // SAFETY: the pointers are valid.
    unsafe { hv_vcpu_create(&raw mut vcpu, &raw mut exit, null_mut()) }
}

fn elsewhere<T: Send + 'static>(operation: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(operation).join().expect("no panic")
}

fn try_get(vcpu: u64, register: u32) -> i32 {
    let mut value = 0;
    // SAFETY: the pointer is valid.
    unsafe { hv_vcpu_get_reg(vcpu, register, &raw mut value) }
}

fn try_get_sys(vcpu: u64, register: u32) -> i32 {
    let mut value = 0;
    // SAFETY: the pointer is valid.
    unsafe { hv_vcpu_get_sys_reg(vcpu, register, &raw mut value) }
}

fn exit(vcpus: &[u64]) -> i32 {
    // SAFETY: the list is valid.
    unsafe { hv_vcpus_exit(vcpus.as_ptr(), vcpus.len() as u32) }
}

cases! {
    fn one_vcpu_a_thread() {
        create_vm();
        let guest = Guest::new();
        assert_eq!(try_create(), BUSY);
        assert_eq!(hv_vcpu_destroy(guest.vcpu), SUCCESS);
        assert_eq!(try_create(), SUCCESS);
    }

    fn a_vcpu_is_used_on_its_own_thread_only() {
        create_vm();
        let vcpu = Guest::new().vcpu;
        let results = elsewhere(move || {
            let mut flag = false;
            let mut value = 0;
            // SAFETY: the pointers are valid.
            unsafe {
                [
                    hv_vcpu_run(vcpu),
                    hv_vcpu_destroy(vcpu),
                    try_get(vcpu, 0),
                    hv_vcpu_set_reg(vcpu, 0, 1),
                    try_get_sys(vcpu, 0xc080),
                    hv_vcpu_set_sys_reg(vcpu, 0xc080, 0),
                    hv_vcpu_set_pending_interrupt(vcpu, 0, true),
                    hv_vcpu_get_vtimer_mask(vcpu, &raw mut flag),
                    hv_vcpu_set_vtimer_mask(vcpu, true),
                    hv_vcpu_get_vtimer_offset(vcpu, &raw mut value),
                    hv_vcpu_set_vtimer_offset(vcpu, 0),
                    hv_vcpu_get_exec_time(vcpu, &raw mut value),
                    hv_vcpu_set_trap_debug_exceptions(vcpu, true),
                ]
            }
        });
        assert_eq!(results, [BAD_ARGUMENT; 13]);
        // Nor can a thread with a vCPU of its own use another's.
        assert_eq!(elsewhere(move || (try_create(), try_get(vcpu, 0))), (SUCCESS, BAD_ARGUMENT));
        assert_eq!(hv_vcpu_destroy(vcpu), SUCCESS);
    }

    fn a_destroyed_vcpu_is_gone() {
        create_vm();
        let vcpu = Guest::new().vcpu;
        assert_eq!(hv_vcpu_destroy(vcpu), SUCCESS);
        assert_eq!(hv_vcpu_destroy(vcpu), BAD_ARGUMENT);
        assert_eq!(hv_vcpu_run(vcpu), BAD_ARGUMENT);
        assert_eq!(try_get(vcpu, 0), BAD_ARGUMENT);
        assert_eq!(exit(&[vcpu]), BAD_ARGUMENT);
    }

    fn there_is_a_largest_number_of_vcpus() {
        create_vm();
        let mut max = 0;
        // SAFETY: the pointer is valid.
        assert_eq!(unsafe { hv_vm_get_max_vcpu_count(&raw mut max) }, SUCCESS);
        assert!(max >= 32);
        let (done, wait) = mpsc::channel::<()>();
        let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
        let (results, created) = mpsc::channel();
        let threads: Vec<_> = (0..=max)
            .map(|_| {
                let (results, wait) = (results.clone(), wait.clone());
                std::thread::spawn(move || {
                    results.send(try_create()).expect("the main thread listens");
                    // Ends when `done` is dropped.
                    let _ = wait.lock().expect("no panic").recv();
                })
            })
            .collect();
        let mut results: Vec<_> = (0..=max).map(|_| created.recv().expect("a result")).collect();
        results.sort_unstable();
        assert_eq!(results.iter().filter(|result| **result == NO_RESOURCES).count(), 1);
        assert_eq!(results.iter().filter(|result| **result == SUCCESS).count(), max as usize);
        drop(done);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(hv_vm_destroy(), SUCCESS, "vCPUs end with their threads");
    }

    fn null_pointers_are_refused() {
        create_vm();
        let (mut vcpu, mut info) = (0, null());
        // SAFETY: null is refused, the others are valid.
        unsafe {
            assert_eq!(hv_vcpu_create(null_mut(), &raw mut info, null_mut()), BAD_ARGUMENT);
            assert_eq!(hv_vcpu_create(&raw mut vcpu, null_mut(), null_mut()), BAD_ARGUMENT);
            let vcpu = Guest::new().vcpu;
            assert_eq!(hv_vcpu_get_reg(vcpu, 0, null_mut()), BAD_ARGUMENT);
            assert_eq!(hv_vcpu_get_sys_reg(vcpu, 0xc080, null_mut()), BAD_ARGUMENT);
            assert_eq!(hv_vcpu_get_simd_fp_reg(vcpu, 0, null_mut()), BAD_ARGUMENT);
            assert_eq!(hv_vcpu_get_vtimer_mask(vcpu, null_mut()), BAD_ARGUMENT);
            assert_eq!(hv_vcpu_get_exec_time(vcpu, null_mut()), BAD_ARGUMENT);
            assert_eq!(hv_vm_get_max_vcpu_count(null_mut()), BAD_ARGUMENT);
        }
    }

    fn unknown_registers_are_refused() {
        create_vm();
        let vcpu = Guest::new().vcpu;
        for register in [hv_reg_t::CPSR as u32 + 1, u32::MAX] {
            assert_eq!(try_get(vcpu, register), BAD_ARGUMENT);
            assert_eq!(hv_vcpu_set_reg(vcpu, register, 0), BAD_ARGUMENT);
        }
        // PMCR_EL0, ICC_PMR_EL1, an unallocated number, and one that is too wide.
        for register in [0xdce0, 0xc230, 0xffff, 0x1_c080] {
            assert_eq!(try_get_sys(vcpu, register), BAD_ARGUMENT, "{register:#x}");
            assert_eq!(hv_vcpu_set_sys_reg(vcpu, register, 0), BAD_ARGUMENT);
        }
        let mut value = 0;
        // SAFETY: the pointer is valid.
        assert_eq!(unsafe { hv_vcpu_get_simd_fp_reg(vcpu, 32, &raw mut value) }, BAD_ARGUMENT);
        assert_eq!(hv_vcpu_set_pending_interrupt(vcpu, 2, true), BAD_ARGUMENT);
    }

    fn registers_of_absent_features_are_unsupported() {
        create_vm();
        let vcpu = Guest::new().vcpu;
        for register in [
            hv_sys_reg_t::HCR_EL2,
            hv_sys_reg_t::VTTBR_EL2,
            hv_sys_reg_t::SP_EL2,
            hv_sys_reg_t::APIAKEYLO_EL1,
            // With an interrupt controller only.
            hv_sys_reg_t::CNTP_CTL_EL0,
        ] {
            assert_eq!(try_get_sys(vcpu, register as u32), UNSUPPORTED, "{register:?}");
            assert_eq!(hv_vcpu_set_sys_reg(vcpu, register as u32, 0), UNSUPPORTED);
        }
    }

    fn registers_keep_what_is_written() {
        create_vm();
        let guest = Guest::new();
        for (register, value) in [
            (hv_reg_t::X0, 1),
            (hv_reg_t::X30, u64::MAX),
            (hv_reg_t::PC, 0x1234_5678),
            (hv_reg_t::CPSR, 0x6000_03c4),
            (hv_reg_t::FPCR, 0x0340_0000),
            (hv_reg_t::FPSR, 0x0800_0010),
        ] {
            guest.set(register, value);
            assert_eq!(guest.get(register), value, "{register:?}");
        }
        for (register, value) in [
            (hv_sys_reg_t::TTBR0_EL1, 0x0001_0000_4000_0000),
            (hv_sys_reg_t::MAIR_EL1, 0xff04),
            (hv_sys_reg_t::VBAR_EL1, 0xffff_8000_0001_0800),
            (hv_sys_reg_t::SP_EL0, 0x10),
            (hv_sys_reg_t::SP_EL1, 0x20),
            (hv_sys_reg_t::TPIDR_EL0, 0x30),
            (hv_sys_reg_t::CNTV_CVAL_EL0, 0x1234_5678_9abc),
            (hv_sys_reg_t::DBGBVR1_EL1, 0x4000_1000),
            (hv_sys_reg_t::ID_AA64MMFR0_EL1, 0x0000_0000_0f00_0021),
            (hv_sys_reg_t::MIDR_EL1, 0x610f_0000),
        ] {
            guest.set_sys(register, value);
            assert_eq!(guest.get_sys(register), value, "{register:?}");
        }
        // Bit 31 of MPIDR_EL1 reads as one, as on Apple silicon.
        guest.set_sys(hv_sys_reg_t::MPIDR_EL1, 0x101);
        assert_eq!(guest.get_sys(hv_sys_reg_t::MPIDR_EL1), 0x8000_0101);
    }

    fn simd_registers_are_whole_vectors() {
        create_vm();
        load(&[0x3d80_0020, insn::HVC_0]); // str q0, [x1]
        let guest = Guest::new();
        let host = memory(GRANULE);
        map(host, HOLE, GRANULE, READ | WRITE);
        let value = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128;
        // SAFETY: both types are 16 bytes of plain data.
        let vector: SimdVector = unsafe { std::mem::transmute(value) };
        assert_eq!(hv_vcpu_set_simd_fp_reg(guest.vcpu, 0, vector), SUCCESS);
        let mut read = 0;
        // SAFETY: the pointer is valid.
        let result = unsafe { hv_vcpu_get_simd_fp_reg(guest.vcpu, 0, &raw mut read) };
        assert_eq!((result, read), (SUCCESS, value));
        guest.set_sys(hv_sys_reg_t::CPACR_EL1, 3 << 20);
        assert_eq!(guest.run_to_exception(), 0x16);
        // SAFETY: within the allocation; the guest has stored there.
        assert_eq!(unsafe { host.cast::<u128>().read_volatile() }, value);
    }

    fn feature_registers_are_what_the_guest_reads() {
        let config = hv_vcpu_config_create();
        let mut value = 0;
        let feature = |config, register, value: *mut u64| {
            // SAFETY: the pointer is valid.
            unsafe { hv_vcpu_config_get_feature_reg(config, register, value) }
        };
        let isar0 = hv_feature_reg_t::ID_AA64ISAR0_EL1 as u32;
        assert_eq!(feature(config, isar0, &raw mut value), SUCCESS);
        assert_eq!(feature(config, hv_feature_reg_t::DCZID_EL0 as u32 + 1, &raw mut value), BAD_ARGUMENT);
        assert_eq!(feature(hv_vm_config_create(), isar0, &raw mut value), BAD_ARGUMENT);
        create_vm();
        load(&[0xd538_0605, insn::HVC_0]); // mrs x5, id_aa64isar0_el1
        let guest = Guest::new();
        assert_eq!(guest.get_sys(hv_sys_reg_t::ID_AA64ISAR0_EL1), value);
        assert_eq!(guest.run_to_exception(), 0x16);
        assert_eq!(guest.get(hv_reg_t::X5), value);
        // The host may narrow what the guest sees.
        guest.set_sys(hv_sys_reg_t::ID_AA64ISAR0_EL1, 0);
        guest.set(hv_reg_t::PC, RAM);
        assert_eq!(guest.run_to_exception(), 0x16);
        assert_eq!(guest.get(hv_reg_t::X5), 0);
    }

    fn cache_sizes_come_for_eight_levels() {
        let config = hv_vcpu_config_create();
        let mut values = [u64::MAX; 8];
        let read = |kind, values: *mut u64| {
            // SAFETY: null is refused, the other is valid for eight values.
            unsafe { hv_vcpu_config_get_ccsidr_el1_sys_reg_values(config, kind, values) }
        };
        assert_eq!(read(0, values.as_mut_ptr()), SUCCESS);
        assert_ne!(values[0], 0);
        assert_eq!(values[7], 0);
        assert_eq!(read(2, values.as_mut_ptr()), BAD_ARGUMENT);
        assert_eq!(read(0, null_mut()), BAD_ARGUMENT);
    }

    fn a_forced_exit_is_sticky() {
        create_vm();
        load(&[insn::ADD_X0, insn::HVC_0]);
        let guest = Guest::new();
        assert_eq!(exit(&[guest.vcpu]), SUCCESS);
        assert_eq!(exit(&[guest.vcpu]), SUCCESS);
        assert_eq!(guest.run().reason, CANCELED);
        assert_eq!(guest.get(hv_reg_t::X0), 0, "no instruction has run");
        assert_eq!(guest.run_to_exception(), 0x16, "reported once");
    }

    fn a_forced_exit_ends_a_running_guest() {
        create_vm();
        load(&[insn::ADD_X0, insn::BACK_1]);
        let guest = Guest::new();
        let vcpu = guest.vcpu;
        let other = std::thread::spawn(move || exit(&[vcpu]));
        assert_eq!(guest.run().reason, CANCELED);
        assert_eq!(other.join().expect("no panic"), SUCCESS);
    }

    fn a_null_list_of_vcpus_is_a_silent_no_op() {
        create_vm();
        load(&[insn::HVC_0]);
        let guest = Guest::new();
        // SAFETY: without a list nothing is read.
        assert_eq!(unsafe { hv_vcpus_exit(null(), 1) }, SUCCESS);
        assert_eq!(exit(&[]), SUCCESS);
        assert_eq!(guest.run_to_exception(), 0x16);
    }

    fn one_bad_handle_spoils_the_list() {
        create_vm();
        load(&[insn::HVC_0]);
        let guest = Guest::new();
        assert_eq!(exit(&[guest.vcpu, 63]), BAD_ARGUMENT);
        assert_eq!(exit(&[guest.vcpu, u64::MAX]), BAD_ARGUMENT);
        assert_eq!(guest.run_to_exception(), 0x16, "nobody was asked to exit");
    }

    fn pending_interrupts_are_cleared_after_each_run() {
        // `applevisor-sys` has IRQ and FIQ the wrong way round; the SDK's header lists IRQ first.
        const IRQ: u32 = hv_interrupt_type_t::FIQ as u32;
        create_vm();
        let mut code = vec![insn::NOP; 0x400];
        code[0] = insn::HVC_7;
        code[1] = insn::UNMASK;
        code[2] = insn::HVC_0;
        // VBAR + 0x280: IRQ from EL1h. VBAR is RAM + 0x800.
        code[(0x800 + 0x280) / 4] = insn::SMC_3;
        load(&code);
        let guest = Guest::new();
        guest.set_sys(hv_sys_reg_t::VBAR_EL1, RAM + 0x800);
        let pending = || {
            let mut pending = false;
            // SAFETY: the pointer is valid.
            unsafe { hv_vcpu_get_pending_interrupt(guest.vcpu, IRQ, &raw mut pending) };
            pending
        };
        assert_eq!(hv_vcpu_set_pending_interrupt(guest.vcpu, IRQ, true), SUCCESS);
        assert!(pending());
        assert_eq!(guest.run_to_exception(), 0x16, "masked while it ran");
        assert!(!pending());
        assert_eq!(guest.run_to_exception(), 0x16, "not pending any more when unmasked");
        guest.set(hv_reg_t::PC, RAM + 4);
        assert_eq!(hv_vcpu_set_pending_interrupt(guest.vcpu, IRQ, true), SUCCESS);
        assert_eq!(guest.run_to_exception(), 0x17, "the handler");
    }

    fn execution_time_grows_with_execution() {
        create_vm();
        load(&[insn::ADD_X0, insn::HVC_0]);
        let guest = Guest::new();
        let time = || {
            let mut time = 0;
            // SAFETY: the pointer is valid.
            assert_eq!(unsafe { hv_vcpu_get_exec_time(guest.vcpu, &raw mut time) }, SUCCESS);
            time
        };
        assert_eq!(time(), 0);
        assert_eq!(guest.run_to_exception(), 0x16);
        assert!(time() > 0);
    }

    fn debug_exceptions_go_to_the_host_on_request() {
        create_vm();
        let mut code = vec![insn::NOP; 0x400];
        code[0] = insn::BRK_5;
        // VBAR + 0x200: synchronous exception from EL1h.
        code[(0x800 + 0x200) / 4] = insn::HVC_0;
        load(&code);
        let guest = Guest::new();
        guest.set_sys(hv_sys_reg_t::VBAR_EL1, RAM + 0x800);
        assert_eq!(guest.run_to_exception(), 0x16, "the guest's own handler");
        assert_eq!(guest.get_sys(hv_sys_reg_t::ESR_EL1), 0xf200_0005);
        guest.set(hv_reg_t::PC, RAM);
        assert_eq!(hv_vcpu_set_trap_debug_exceptions(guest.vcpu, true), SUCCESS);
        let exit = guest.run();
        assert_eq!((exit.reason, exit.syndrome), (EXCEPTION, 0xf200_0005));
        assert_eq!(guest.get(hv_reg_t::PC), RAM);
    }

    fn a_breakpoint_goes_to_the_host_on_request() {
        create_vm();
        load(&[insn::NOP, insn::NOP, insn::HVC_0]);
        let guest = Guest::new();
        assert_eq!(hv_vcpu_set_trap_debug_exceptions(guest.vcpu, true), SUCCESS);
        guest.set(hv_reg_t::CPSR, 0x1c5); // debug exceptions unmasked
        guest.set_sys(hv_sys_reg_t::DBGBVR0_EL1, RAM + 4);
        guest.set_sys(hv_sys_reg_t::DBGBCR0_EL1, 0x1e7); // EL0 and EL1, all bytes, enabled
        guest.set_sys(hv_sys_reg_t::MDSCR_EL1, 1 << 15 | 1 << 13); // MDE, KDE
        let class = guest.run_to_exception();
        assert_eq!((class, guest.get(hv_reg_t::PC)), (0x30, RAM + 4));
    }

    fn debug_register_accesses_go_to_the_host_on_request() {
        create_vm();
        load(&[insn::MRS_X5_MDSCR, insn::HVC_0]);
        let guest = Guest::new();
        assert_eq!(guest.run_to_exception(), 0x16, "answered inside");
        guest.set(hv_reg_t::PC, RAM);
        assert_eq!(hv_vcpu_set_trap_debug_reg_accesses(guest.vcpu, true), SUCCESS);
        assert_eq!(guest.run_to_exception(), 0x18);
        assert_eq!(guest.get(hv_reg_t::PC), RAM);
    }
}
