//! What an exit says, and where it leaves the PC.

use applevisor_sys::hv_reg_t;
use hv_soft::abi::ExitInfo;

use crate::support::*;

/// Runs one instruction that exits, with `x1` at a hole.
fn exit_of(word: u32) -> (ExitInfo, Guest) {
    create_vm();
    load(&[word, insn::HVC_0]);
    let guest = Guest::new();
    let exit = guest.run();
    assert_eq!(exit.reason, EXCEPTION);
    (exit, guest)
}

/// Fields of the ISS of a data abort (Arm ARM, ISS encoding of EC 0x24).
struct DataAbort {
    isv: u64,
    sas: u64,
    sse: u64,
    srt: u64,
    sf: u64,
    cm: u64,
    wnr: u64,
}

fn data_abort(exit: &ExitInfo) -> DataAbort {
    assert_eq!(exit.syndrome >> 26, 0x24);
    assert_eq!(exit.physical_address, HOLE);
    assert_eq!(exit.virtual_address, HOLE);
    let field = |shift: u32, width: u32| exit.syndrome >> shift & ((1 << width) - 1);
    DataAbort {
        isv: field(24, 1),
        sas: field(22, 2),
        sse: field(21, 1),
        srt: field(16, 5),
        sf: field(15, 1),
        cm: field(8, 1),
        wnr: field(6, 1),
    }
}

cases! {
    fn hvc_is_already_past() {
        let (exit, guest) = exit_of(insn::HVC_7);
        assert_eq!(exit.syndrome, 0x5a00_0007);
        assert_eq!(guest.get(hv_reg_t::PC), RAM + 4);
    }

    fn smc_is_not_advanced() {
        let (exit, guest) = exit_of(insn::SMC_3);
        assert_eq!(exit.syndrome, 0x5e00_0003);
        assert_eq!(guest.get(hv_reg_t::PC), RAM);
    }

    fn wfi_without_a_gic_exits_and_is_not_advanced() {
        let (exit, guest) = exit_of(insn::WFI);
        assert_eq!(exit.syndrome >> 26, 0x01);
        assert_eq!(exit.syndrome & 0b11, 0, "TI says WFI");
        assert_eq!(guest.get(hv_reg_t::PC), RAM);
    }

    fn a_store_tells_its_register_and_size() {
        let (exit, guest) = exit_of(insn::STR_W2);
        let abort = data_abort(&exit);
        assert_eq!((abort.isv, abort.sas, abort.srt, abort.sf, abort.wnr), (1, 2, 2, 0, 1));
        assert_eq!(guest.get(hv_reg_t::PC), RAM);
    }

    fn a_sign_extending_load_says_so() {
        let (exit, _) = exit_of(0x3980_0023); // ldrsb x3, [x1]
        let abort = data_abort(&exit);
        assert_eq!((abort.isv, abort.sas, abort.sse, abort.srt, abort.sf), (1, 0, 1, 3, 1));
        assert_eq!(abort.wnr, 0);
    }

    fn the_zero_register_is_31() {
        let (exit, guest) = exit_of(0x3900_003f); // strb wzr, [x1]
        assert_eq!(data_abort(&exit).srt, 31);
        guest.skip();
        assert_eq!(guest.run_to_exception(), 0x16);
    }

    fn pairs_write_back_and_vectors_come_without_a_description() {
        create_vm();
        // stp x2, x3, [x1]; ldr w2, [x1], #4; str q0, [x1]
        load(&[0xa900_0c22, 0xb840_4422, 0x3d80_0020]);
        let guest = Guest::new();
        guest.set_sys(applevisor_sys::hv_sys_reg_t::CPACR_EL1, 3 << 20);
        for pc in [RAM, RAM + 4, RAM + 8] {
            assert_eq!(guest.get(hv_reg_t::PC), pc);
            let exit = guest.run();
            assert_eq!(data_abort(&exit).isv, 0, "{pc:#x}");
            guest.skip();
        }
    }

    fn cache_maintenance_is_marked() {
        let (exit, _) = exit_of(0xd50b_7e21); // dc civac, x1
        let abort = data_abort(&exit);
        assert_eq!((abort.isv, abort.cm), (0, 1));
    }

    fn an_unknown_system_register_is_left_to_the_host() {
        create_vm();
        load(&[0xd53b_f225, 0xd51b_f225, insn::HVC_0]); // mrs x5, S3_3_C15_C2_1; msr …, x5
        let guest = Guest::new();
        for (pc, direction) in [(RAM, 1), (RAM + 4, 0)] {
            let exit = guest.run();
            // op0 3, op2 1, op1 3, CRn 15, Rt 5, CRm 2.
            let iss = 3 << 20 | 1 << 17 | 3 << 14 | 15 << 10 | 5 << 5 | 2 << 1 | direction;
            assert_eq!(exit.syndrome, 0x18 << 26 | 1 << 25 | iss);
            assert_eq!(guest.get(hv_reg_t::PC), pc);
            guest.skip();
        }
        assert_eq!(guest.run_to_exception(), 0x16);
    }

    fn the_gics_registers_are_left_to_the_host_without_a_gic() {
        let (exit, guest) = exit_of(insn::MRS_X5_IAR1);
        assert_eq!(exit.syndrome >> 26, 0x18);
        assert_eq!(guest.get(hv_reg_t::PC), RAM);
    }

    fn a_fetch_from_a_hole_is_an_instruction_abort() {
        let (exit, guest) = exit_of(0xd61f_0020); // br x1
        assert_eq!(exit.syndrome >> 26, 0x20);
        assert_eq!((exit.physical_address, guest.get(hv_reg_t::PC)), (HOLE, HOLE));
    }

    fn the_physical_address_has_all_its_bits() {
        create_vm();
        load(&[insn::LDR_W2]);
        let guest = Guest::new();
        guest.set(hv_reg_t::X1, HOLE + 0xabc);
        assert_eq!(guest.run().physical_address, HOLE + 0xabc);
    }
}
