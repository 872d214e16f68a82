//! The interrupt controller: order of creation, what is handled inside, state.

use std::ptr::null_mut;

use applevisor_sys::{
    hv_gic_distributor_reg_t as Gicd, hv_gic_icc_reg_t as Icc, hv_gic_ich_reg_t as Ich,
    hv_gic_intid_t as Intid, hv_gic_redistributor_reg_t as Gicr, hv_reg_t, hv_sys_reg_t,
};
use hv_soft::abi::*;

use crate::support::*;

const GICD: u64 = 0x0800_0000;
const GICR: u64 = 0x0a00_0000;
const GICM: u64 = 0x0802_0000;
const SPI: u32 = 40;

/// A VM with an interrupt controller whose messages are SPIs 64–95.
fn create_gic() {
    create_vm();
    let config = hv_gic_config_create();
    assert_eq!(hv_gic_config_set_distributor_base(config, GICD), SUCCESS);
    assert_eq!(hv_gic_config_set_redistributor_base(config, GICR), SUCCESS);
    assert_eq!(hv_gic_config_set_msi_region_base(config, GICM), SUCCESS);
    assert_eq!(hv_gic_config_set_msi_interrupt_range(config, 64, 32), SUCCESS);
    assert_eq!(hv_gic_create(config), SUCCESS);
    os_release(config);
}

/// A guest of affinity 0, with `SPI` and the virtual timer enabled for it in group 1.
fn interruptible() -> Guest {
    let guest = Guest::new();
    guest.set_sys(hv_sys_reg_t::MPIDR_EL1, 0);
    let bit = 1 << (SPI % 32);
    for (register, value) in
        [(Gicd::CTLR, 2), (Gicd::IGROUPR1, bit), (Gicd::ISENABLER1, bit), (Gicd::IROUTER40, 0)]
    {
        assert_eq!(hv_gic_set_distributor_reg(register as u32, value), SUCCESS);
    }
    for register in [Gicr::IGROUPR0, Gicr::ISENABLER0] {
        let result = hv_gic_set_redistributor_reg(guest.vcpu, register as u32, 0xffff_ffff);
        assert_eq!(result, SUCCESS);
    }
    for (register, value) in [(Icc::PMR_EL1, 0xf8), (Icc::IGRPEN1_EL1, 1)] {
        assert_eq!(hv_gic_set_icc_reg(guest.vcpu, register as u32, value), SUCCESS);
    }
    guest
}

/// Code that wakes the redistributor (`str wzr, [x1]` with `x1` at GICR_WAKER) and goes on.
const WAKE: u32 = 0xb900_003f;

fn set_waker(guest: &Guest) {
    guest.set(hv_reg_t::X1, GICR + 0x14);
}

fn distributor(register: Gicd) -> u64 {
    let mut value = 0;
    // SAFETY: the pointer is valid.
    let result = unsafe { hv_gic_get_distributor_reg(register as u32, &raw mut value) };
    assert_eq!(result, SUCCESS);
    value
}

fn icc(guest: &Guest, register: Icc) -> u64 {
    let mut value = 0;
    // SAFETY: the pointer is valid.
    let result = unsafe { hv_gic_get_icc_reg(guest.vcpu, register as u32, &raw mut value) };
    assert_eq!(result, SUCCESS);
    value
}

fn state() -> Option<Vec<u8>> {
    let object = hv_gic_state_create();
    if object.is_null() {
        return None;
    }
    let mut size = 0;
    // SAFETY: the pointers are valid, the buffer has the size asked for.
    unsafe {
        assert_eq!(hv_gic_state_get_size(object, &raw mut size), SUCCESS);
        let mut data = vec![0u8; size];
        assert_eq!(hv_gic_state_get_data(object, data.as_mut_ptr().cast()), SUCCESS);
        assert_eq!(hv_gic_state_get_data(object, null_mut()), BAD_ARGUMENT);
        os_release(object);
        assert_eq!(hv_gic_state_get_size(object, &raw mut size), BAD_ARGUMENT);
        Some(data)
    }
}

fn set_state(data: &[u8]) -> i32 {
    // SAFETY: pointer and length describe one slice.
    unsafe { hv_gic_set_state(data.as_ptr().cast(), data.len()) }
}

cases! {
    fn the_layout_comes_from_queries() {
        let mut sizes = [0usize; 7];
        let (mut base, mut count, mut intid) = (0, 0, 0);
        // SAFETY: the pointers are valid.
        unsafe {
            hv_gic_get_distributor_size(&raw mut sizes[0]);
            hv_gic_get_distributor_base_alignment(&raw mut sizes[1]);
            hv_gic_get_redistributor_region_size(&raw mut sizes[2]);
            hv_gic_get_redistributor_size(&raw mut sizes[3]);
            hv_gic_get_redistributor_base_alignment(&raw mut sizes[4]);
            hv_gic_get_msi_region_size(&raw mut sizes[5]);
            hv_gic_get_msi_region_base_alignment(&raw mut sizes[6]);
            assert_eq!(hv_gic_get_spi_interrupt_range(&raw mut base, &raw mut count), SUCCESS);
            for interrupt in [Intid::EL1_VIRTUAL_TIMER, Intid::EL1_PHYSICAL_TIMER] {
                assert_eq!(hv_gic_get_intid(interrupt as u32, &raw mut intid), SUCCESS);
                assert_eq!(intid, interrupt as u32);
            }
            assert_eq!(hv_gic_get_intid(Intid::MAINTENANCE as u32, &raw mut intid), UNSUPPORTED);
            assert_eq!(hv_gic_get_intid(1, &raw mut intid), BAD_ARGUMENT);
            assert_eq!(hv_gic_get_distributor_size(null_mut()), BAD_ARGUMENT);
        }
        // As measured on Apple silicon.
        assert_eq!(sizes[..5], [0x1_0000, 0x1_0000, 0x200_0000, 0x2_0000, 0x1_0000]);
        assert_eq!((base, count), (32, 988));
    }

    fn the_vm_comes_first() {
        assert!(hv_gic_config_create().is_null());
        assert_eq!(hv_gic_create(null_mut()), NO_DEVICE);
        create_vm();
        assert!(!hv_gic_config_create().is_null());
        assert_eq!(hv_gic_create(null_mut()), BAD_ARGUMENT);
    }

    fn no_gic_after_a_vcpu() {
        create_vm();
        let config = hv_gic_config_create();
        hv_gic_config_set_distributor_base(config, GICD);
        hv_gic_config_set_redistributor_base(config, GICR);
        let guest = Guest::new();
        assert_eq!(hv_gic_create(config), BUSY);
        assert_eq!(hv_vcpu_destroy(guest.vcpu), SUCCESS);
        assert_eq!(hv_gic_create(config), SUCCESS);
        assert_eq!(hv_gic_create(config), BUSY, "and only one");
    }

    fn frames_are_aligned_apart_and_inside() {
        create_vm();
        let attempt = |distributor, redistributor, msi| {
            let config = hv_gic_config_create();
            let set = [
                hv_gic_config_set_distributor_base(config, distributor),
                hv_gic_config_set_redistributor_base(config, redistributor),
                hv_gic_config_set_msi_region_base(config, msi),
                hv_gic_config_set_msi_interrupt_range(config, 64, 32),
            ];
            if set != [SUCCESS; 4] {
                return set.into_iter().find(|result| *result != SUCCESS);
            }
            Some(hv_gic_create(config)).filter(|result| *result != SUCCESS)
        };
        assert_eq!(attempt(GICD + 0x1000, GICR, GICM), Some(BAD_ARGUMENT));
        assert_eq!(attempt(GICD, GICR + 0x1000, GICM), Some(BAD_ARGUMENT));
        assert_eq!(attempt(GICD, GICD, GICM), Some(BAD_ARGUMENT));
        assert_eq!(attempt(GICD, GICR, GICR + 0x1ff_0000), Some(BAD_ARGUMENT));
        assert_eq!(attempt(GICD, (1 << 36) - 0x10_0000, GICM), Some(BAD_ARGUMENT));
        assert_eq!(attempt(!0xffff, GICR, GICM), Some(BAD_ARGUMENT));
        assert_eq!(attempt(GICD, GICR, GICM), None);
    }

    fn a_configuration_needs_both_addresses() {
        create_vm();
        let config = hv_gic_config_create();
        assert_eq!(hv_gic_create(config), BAD_ARGUMENT);
        hv_gic_config_set_distributor_base(config, GICD);
        assert_eq!(hv_gic_create(config), BAD_ARGUMENT);
        for (first, count) in [(31, 2), (1000, 21), (64, 0), (u32::MAX, 2)] {
            let result = hv_gic_config_set_msi_interrupt_range(config, first, count);
            assert_eq!(result, BAD_ARGUMENT, "{first} {count}");
        }
    }

    fn affinity_before_the_redistributor() {
        create_gic();
        let guest = Guest::new();
        let mut base = 0;
        // SAFETY: the pointer is valid.
        let mut get = || unsafe { hv_gic_get_redistributor_base(guest.vcpu, &raw mut base) };
        assert_eq!(get(), ERROR);
        guest.set_sys(hv_sys_reg_t::MPIDR_EL1, 3);
        assert_eq!(get(), SUCCESS);
        assert_eq!(base, GICR);
        let mut typer = 0;
        // SAFETY: the pointer is valid.
        unsafe {
            hv_gic_get_redistributor_reg(guest.vcpu, Gicr::TYPER as u32, &raw mut typer);
        }
        assert_eq!((typer >> 32, typer >> 4 & 1), (3, 1), "affinity, and Last");
    }

    fn redistributors_are_their_own_threads() {
        create_gic();
        let guest = Guest::new();
        guest.set_sys(hv_sys_reg_t::MPIDR_EL1, 0);
        let vcpu = guest.vcpu;
        let results = std::thread::spawn(move || {
            let mut value = 0;
            // SAFETY: the pointer is valid.
            unsafe {
                [
                    hv_gic_get_redistributor_base(vcpu, &raw mut value),
                    hv_gic_get_redistributor_reg(vcpu, Gicr::TYPER as u32, &raw mut value),
                    hv_gic_set_redistributor_reg(vcpu, Gicr::ISENABLER0 as u32, 1),
                    hv_gic_get_icc_reg(vcpu, Icc::PMR_EL1 as u32, &raw mut value),
                    hv_gic_set_icc_reg(vcpu, Icc::PMR_EL1 as u32, 0),
                ]
            }
        });
        assert_eq!(results.join().expect("no panic"), [BAD_ARGUMENT; 5]);
    }

    fn the_topology_is_final_once_a_vcpu_has_run() {
        create_gic();
        load(&[insn::HVC_0]);
        let guest = Guest::new();
        guest.set_sys(hv_sys_reg_t::MPIDR_EL1, 0);
        guest.set_sys(hv_sys_reg_t::MPIDR_EL1, 1);
        assert_eq!(guest.run_to_exception(), 0x16);
        let mpidr = hv_sys_reg_t::MPIDR_EL1 as u32;
        assert_eq!(hv_vcpu_set_sys_reg(guest.vcpu, mpidr, 2), BUSY);
        assert_eq!(hv_vcpu_set_sys_reg(guest.vcpu, mpidr, 1), SUCCESS, "no change");
        let late = std::thread::spawn(|| {
            let (mut vcpu, mut exit) = (0, std::ptr::null());
            // SAFETY: the pointers are valid.
            unsafe { hv_vcpu_create(&raw mut vcpu, &raw mut exit, null_mut()) }
        });
        assert_eq!(late.join().expect("no panic"), BUSY);
    }

    fn spis_are_wires_outside_the_messages() {
        create_gic();
        for intid in [0, 31, 1020, u32::MAX, 64, 95] {
            assert_eq!(hv_gic_set_spi(intid, true), BAD_ARGUMENT, "{intid}");
        }
        for intid in [32, 63, 96, 1019] {
            assert_eq!(hv_gic_set_spi(intid, true), SUCCESS, "{intid}");
        }
        assert_eq!(distributor(Gicd::ISPENDR1), 1 << 31 | 1);
        assert_eq!(hv_gic_set_spi(32, false), SUCCESS);
        assert_eq!(distributor(Gicd::ISPENDR1), 1 << 31);
    }

    fn messages_go_to_the_register_of_the_frame() {
        create_gic();
        assert_eq!(hv_gic_send_msi(GICM + 0x40, 64), SUCCESS);
        assert_eq!(hv_gic_send_msi(GICM, 64), BAD_ARGUMENT);
        assert_eq!(hv_gic_send_msi(GICM + 0x40, 63), BAD_ARGUMENT);
        assert_eq!(distributor(Gicd::ISPENDR2), 1);
        assert_eq!(hv_gic_set_msi_reg(0x40, 65), SUCCESS);
        assert_eq!(distributor(Gicd::ISPENDR2), 3);
        let mut typer = 0;
        // SAFETY: the pointer is valid.
        unsafe {
            assert_eq!(hv_gic_get_msi_reg(8, &raw mut typer), SUCCESS);
            assert_eq!(hv_gic_get_msi_reg(0x40, &raw mut typer), BAD_ARGUMENT, "write-only");
            assert_eq!(hv_gic_get_msi_reg(4, &raw mut typer), BAD_ARGUMENT);
        }
        assert_eq!(typer, 64 << 16 | 32);
    }

    fn unknown_gic_registers_are_refused() {
        create_gic();
        let guest = Guest::new();
        let mut value = 0;
        // SAFETY: the pointers are valid.
        unsafe {
            // GICD_IIDR and GICD_STATUSR, past the priorities, within a word, beyond the routes.
            for register in [0x8, 0x10, 0x7fc, 0x81, 0x7fe0, 0x1_0000, u32::MAX] {
                let result = hv_gic_get_distributor_reg(register, &raw mut value);
                assert_eq!(result, BAD_ARGUMENT, "{register:#x}");
            }
            // GICR_WAKER is not offered to the host.
            for register in [0x14, 0x0, 0x1_0084, u32::MAX] {
                let result = hv_gic_get_redistributor_reg(guest.vcpu, register, &raw mut value);
                assert_eq!(result, BAD_ARGUMENT, "{register:#x}");
            }
            // ICC_IAR1_EL1 has side effects and is none of the framework's.
            for register in [0xc660, 0, 0x1_c230] {
                let result = hv_gic_get_icc_reg(guest.vcpu, register, &raw mut value);
                assert_eq!(result, BAD_ARGUMENT, "{register:#x}");
            }
        }
        for register in [Gicd::TYPER, Gicd::PIDR2] {
            assert_eq!(hv_gic_set_distributor_reg(register as u32, 0), BAD_ARGUMENT);
        }
        assert_eq!(hv_gic_set_icc_reg(guest.vcpu, Icc::RPR_EL1 as u32, 0), BAD_ARGUMENT);
    }

    fn what_needs_el2_is_unsupported() {
        create_gic();
        let guest = Guest::new();
        let mut value = 0;
        // SAFETY: the pointers are valid.
        unsafe {
            let sre = Icc::SRE_EL2 as u32;
            assert_eq!(hv_gic_get_icc_reg(guest.vcpu, sre, &raw mut value), UNSUPPORTED);
            let hcr = Ich::HCR_EL2 as u32;
            assert_eq!(hv_gic_get_ich_reg(guest.vcpu, hcr, &raw mut value), UNSUPPORTED);
            assert_eq!(hv_gic_get_icv_reg(guest.vcpu, 0xc230, &raw mut value), UNSUPPORTED);
        }
        assert_eq!(hv_gic_set_ich_reg(guest.vcpu, Ich::HCR_EL2 as u32, 0), UNSUPPORTED);
        assert_eq!(hv_gic_set_icv_reg(guest.vcpu, 0xc230, 0), UNSUPPORTED);
    }

    fn registers_can_be_read_back() {
        create_gic();
        let guest = interruptible();
        // CTLR has ARE and DS besides what was written.
        assert_eq!(distributor(Gicd::CTLR), 2 | 1 << 4 | 1 << 6);
        assert_eq!(distributor(Gicd::ISENABLER1), 1 << (SPI % 32));
        assert_eq!(distributor(Gicd::PIDR2) >> 4 & 0xf, 3);
        assert_eq!(icc(&guest, Icc::PMR_EL1), 0xf8);
        assert_eq!(icc(&guest, Icc::SRE_EL1), 7);
        assert_eq!(icc(&guest, Icc::RPR_EL1), 0xff);
        // With an interrupt controller the framework offers the physical timer.
        guest.set_sys(hv_sys_reg_t::CNTP_CVAL_EL0, 0x1234);
        assert_eq!(guest.get_sys(hv_sys_reg_t::CNTP_CVAL_EL0), 0x1234);
    }

    /// Loads and stores to the frames, and the CPU interface, never reach the host.
    fn the_guests_accesses_are_handled_inside() {
        create_gic();
        load(&[
            insn::LDR_W2,      // GICD_PIDR2
            0xaa02_03e3,       // mov x3, x2
            0xaa04_03e1,       // mov x1, x4
            0xb940_0c25,       // ldr w5, [x1, #12]: upper half of GICR_TYPER
            0xb900_003f,       // str wzr, [x1]
            insn::MRS_X5_IAR1,
            insn::MSR_EOIR1_X5,
            insn::HVC_0,
        ]);
        let guest = interruptible();
        guest.set(hv_reg_t::X1, GICD + 0xffe8);
        guest.set(hv_reg_t::X4, GICR);
        assert_eq!(guest.run_to_exception(), 0x16);
        assert_eq!(guest.get(hv_reg_t::X3) & 0xf0, 0x30);
        assert_eq!(guest.get(hv_reg_t::X5), 1023, "nothing pending");
    }

    fn wfi_sleeps_inside_until_a_wire_rises() {
        create_gic();
        load(&[WAKE, insn::WFI, insn::MRS_X5_IAR1, insn::HVC_0]);
        let guest = interruptible();
        set_waker(&guest);
        let wire = std::thread::spawn(|| hv_gic_set_spi(SPI, true));
        assert_eq!(guest.run_to_exception(), 0x16, "no exit for WFI");
        assert_eq!(guest.get(hv_reg_t::X5), u64::from(SPI));
        assert_eq!(wire.join().expect("no panic"), SUCCESS);
    }

    fn wfi_sleeps_inside_until_the_timer_fires() {
        create_gic();
        load(&[
            WAKE,
            insn::MSR_CNTV_CVAL_X7,
            insn::MSR_CNTV_CTL_X6,
            insn::WFI,
            insn::MRS_X5_IAR1,
            insn::HVC_0,
        ]);
        let guest = interruptible();
        set_waker(&guest);
        guest.set(hv_reg_t::X6, 1);
        guest.set(hv_reg_t::X7, hv_soft::clock::counter() + hv_soft::clock::FREQUENCY / 50);
        assert_eq!(guest.run_to_exception(), 0x16, "neither WFI nor the timer exits");
        assert_eq!(guest.get(hv_reg_t::X5), 27);
        let mut time = 0;
        // SAFETY: the pointer is valid.
        unsafe { hv_vcpu_get_exec_time(guest.vcpu, &raw mut time) };
        assert!(time < 20_000_000, "sleeping is not executing: {time} ns");
    }

    fn the_physical_timer_fires_too() {
        create_gic();
        // msr cntp_tval_el0, x7; msr cntp_ctl_el0, x6
        load(&[WAKE, 0xd51b_e207, 0xd51b_e226, insn::WFI, insn::MRS_X5_IAR1, insn::HVC_0]);
        let guest = interruptible();
        set_waker(&guest);
        guest.set(hv_reg_t::X6, 1);
        guest.set(hv_reg_t::X7, 24_000);
        assert_eq!(guest.run_to_exception(), 0x16);
        assert_eq!(guest.get(hv_reg_t::X5), 30);
    }

    fn a_forced_exit_wakes_a_sleeping_vcpu() {
        create_gic();
        load(&[WAKE, insn::WFI, insn::SPIN]);
        let guest = interruptible();
        set_waker(&guest);
        let vcpu = guest.vcpu;
        let other = std::thread::spawn(move || {
            // SAFETY: the list is valid.
            unsafe { hv_vcpus_exit(&raw const vcpu, 1) }
        });
        assert_eq!(guest.run().reason, CANCELED);
        assert_eq!(other.join().expect("no panic"), SUCCESS);
    }

    fn an_interrupt_is_taken_and_the_timer_mask_holds_it_back() {
        create_gic();
        let mut code = vec![insn::NOP; 0x400];
        code[..5].copy_from_slice(&[
            WAKE,
            insn::MSR_CNTV_CVAL_X7,
            insn::MSR_CNTV_CTL_X6,
            insn::UNMASK,
            insn::SPIN,
        ]);
        // VBAR + 0x280: IRQ from EL1h.
        code[(0x800 + 0x280) / 4] = insn::MRS_X5_IAR1;
        code[(0x800 + 0x284) / 4] = insn::HVC_7;
        load(&code);
        let guest = interruptible();
        set_waker(&guest);
        guest.set_sys(hv_sys_reg_t::VBAR_EL1, RAM + 0x800);
        guest.set(hv_reg_t::X6, 1);
        guest.set(hv_reg_t::X7, 0);
        assert_eq!(hv_vcpu_set_vtimer_mask(guest.vcpu, true), SUCCESS);
        let vcpu = guest.vcpu;
        let other = std::thread::spawn(move || {
            // SAFETY: the list is valid.
            unsafe { hv_vcpus_exit(&raw const vcpu, 1) }
        });
        assert_eq!(guest.run().reason, CANCELED, "masked by the host");
        assert_eq!(other.join().expect("no panic"), SUCCESS);
        assert_eq!(hv_vcpu_set_vtimer_mask(guest.vcpu, false), SUCCESS);
        assert_eq!(guest.run_to_exception(), 0x16);
        assert_eq!(guest.get(hv_reg_t::X5), 27);
    }

    fn state_needs_a_gic() {
        create_vm();
        assert!(hv_gic_state_create().is_null());
        assert_eq!(set_state(&[0]), NO_DEVICE);
    }

    fn state_is_accepted_after_the_vcpus_and_before_they_run() {
        create_gic();
        load(&[insn::HVC_0]);
        let guest = interruptible();
        assert_eq!(hv_gic_set_spi(SPI, true), SUCCESS);
        let saved = state().expect("a state");
        assert_eq!(hv_gic_reset(), SUCCESS);
        assert_eq!(distributor(Gicd::ISENABLER1), 0);
        assert_eq!(set_state(&saved), SUCCESS);
        assert_eq!(distributor(Gicd::ISENABLER1), 1 << (SPI % 32));
        assert_eq!(distributor(Gicd::ISPENDR1), 1 << (SPI % 32));
        assert_eq!(guest.run_to_exception(), 0x16);
        assert_eq!(set_state(&saved), BUSY);
    }

    fn damaged_state_is_refused() {
        create_gic();
        let guest = interruptible();
        let saved = state().expect("a state");
        let mut other_version = saved.clone();
        other_version[8] ^= 0x40;
        assert_eq!(set_state(&other_version), UNSUPPORTED);
        assert_eq!(set_state(&saved[1..]), BAD_ARGUMENT);
        assert_eq!(set_state(&[]), BAD_ARGUMENT);
        // SAFETY: null is refused.
        assert_eq!(unsafe { hv_gic_set_state(std::ptr::null(), 8) }, BAD_ARGUMENT);
        assert_eq!(hv_vcpu_destroy(guest.vcpu), SUCCESS);
        assert_eq!(set_state(&saved), BAD_ARGUMENT, "of a machine with one vCPU");
    }

    fn no_state_while_a_vcpu_runs() {
        create_gic();
        load(&[WAKE, insn::WFI, insn::SPIN]);
        let (ready, created) = std::sync::mpsc::channel();
        let runner = std::thread::spawn(move || {
            let guest = interruptible();
            set_waker(&guest);
            ready.send(guest.vcpu).expect("the main thread listens");
            guest.run().reason
        });
        let vcpu = created.recv().expect("a handle");
        while state().is_some() {
            std::thread::yield_now();
        }
        // SAFETY: the list is valid.
        assert_eq!(unsafe { hv_vcpus_exit(&raw const vcpu, 1) }, SUCCESS);
        assert_eq!(runner.join().expect("no panic"), CANCELED);
        assert!(state().is_some());
    }
}
