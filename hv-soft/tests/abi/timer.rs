//! The virtual timer without an interrupt controller.

use applevisor_sys::{hv_reg_t, hv_sys_reg_t};
use hv_soft::abi::*;

use crate::support::*;

/// Arms the timer for a time that has passed (`x7` 0, `x6` enabled) and spins.
fn spinning() -> Guest {
    create_vm();
    load(&[insn::MSR_CNTV_CVAL_X7, insn::MSR_CNTV_CTL_X6, insn::ADD_X0, insn::BACK_1]);
    let guest = Guest::new();
    guest.set(hv_reg_t::X6, 1);
    guest.set(hv_reg_t::X7, 0);
    guest
}

fn is_masked(guest: &Guest) -> bool {
    let mut masked = false;
    // SAFETY: the pointer is valid.
    assert_eq!(unsafe { hv_vcpu_get_vtimer_mask(guest.vcpu, &raw mut masked) }, SUCCESS);
    masked
}

fn cancel(guest: &Guest) {
    // SAFETY: the list is valid.
    assert_eq!(unsafe { hv_vcpus_exit(&raw const guest.vcpu, 1) }, SUCCESS);
}

cases! {
    fn activation_exits_once_and_masks() {
        let guest = spinning();
        assert!(!is_masked(&guest));
        assert_eq!(guest.run().reason, VTIMER);
        assert!(is_masked(&guest));
        cancel(&guest);
        assert_eq!(guest.run().reason, CANCELED, "no more such exits");
        assert_eq!(hv_vcpu_set_vtimer_mask(guest.vcpu, false), SUCCESS);
        assert_eq!(guest.run().reason, VTIMER, "until it is unmasked");
    }

    fn a_deadline_in_the_future_ends_a_running_guest() {
        let guest = spinning();
        let now = hv_soft::clock::counter();
        guest.set(hv_reg_t::X7, now + hv_soft::clock::FREQUENCY / 50);
        assert_eq!(guest.run().reason, VTIMER);
        assert!(hv_soft::clock::counter() >= now + hv_soft::clock::FREQUENCY / 50);
        assert!(guest.get(hv_reg_t::X0) > 0, "the guest ran meanwhile");
    }

    fn a_masked_timer_does_not_exit() {
        let guest = spinning();
        assert_eq!(hv_vcpu_set_vtimer_mask(guest.vcpu, true), SUCCESS);
        cancel(&guest);
        assert_eq!(guest.run().reason, CANCELED);
        let vcpu = guest.vcpu;
        let other = std::thread::spawn(move || {
            // SAFETY: the list is valid.
            unsafe { hv_vcpus_exit(&raw const vcpu, 1) }
        });
        assert_eq!(guest.run().reason, CANCELED);
        assert_eq!(other.join().expect("no panic"), SUCCESS);
    }

    fn the_guests_own_mask_holds_it_back_too() {
        let guest = spinning();
        guest.set(hv_reg_t::X6, 0b11); // ENABLE, IMASK
        guest.set_sys(hv_sys_reg_t::CNTV_CTL_EL0, 0);
        cancel(&guest);
        assert_eq!(guest.run().reason, CANCELED);
        // ISTATUS reads as one nevertheless.
        guest.set_sys(hv_sys_reg_t::CNTV_CVAL_EL0, 0);
        guest.set_sys(hv_sys_reg_t::CNTV_CTL_EL0, 0b11);
        assert_eq!(guest.get_sys(hv_sys_reg_t::CNTV_CTL_EL0), 0b111);
    }

    fn the_offset_moves_the_guests_counter() {
        create_vm();
        load(&[0xd53b_e045, insn::HVC_0]); // mrs x5, cntvct_el0
        let guest = Guest::new();
        let mut offset = 1;
        // SAFETY: the pointer is valid.
        unsafe { hv_vcpu_get_vtimer_offset(guest.vcpu, &raw mut offset) };
        assert_eq!(offset, 0);
        let before = hv_soft::clock::counter();
        assert_eq!(hv_vcpu_set_vtimer_offset(guest.vcpu, before), SUCCESS);
        assert_eq!(guest.run_to_exception(), 0x16);
        let passed = guest.get(hv_reg_t::X5);
        assert!(passed <= hv_soft::clock::counter() - before, "{passed}");
        // Deadlines are the guest's: 1000 ticks after its zero have passed or will have.
        guest.set_sys(hv_sys_reg_t::CNTV_CTL_EL0, 1);
        guest.set_sys(hv_sys_reg_t::CNTV_CVAL_EL0, u64::MAX / 2);
        assert_eq!(guest.get_sys(hv_sys_reg_t::CNTV_CTL_EL0), 1, "not yet");
    }

    fn the_guest_reads_its_timer_inside() {
        create_vm();
        load(&[insn::MSR_CNTV_CTL_X6, insn::MRS_X5_CNTV_CTL, insn::HVC_0]);
        let guest = Guest::new();
        guest.set(hv_reg_t::X6, 0b10);
        assert_eq!(guest.run_to_exception(), 0x16, "no exit for the timer's registers");
        assert_eq!(guest.get(hv_reg_t::X5), 0b10);
    }
}
