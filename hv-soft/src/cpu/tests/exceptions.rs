//! Exceptions: syndromes, return addresses and saved state.

use super::*;
use crate::cpu::lines;

/// ESR of an exception class with `IL`.
fn esr(class: u64, iss: u64) -> u64 {
    class << 26 | 1 << 25 | iss
}

#[test]
fn supervisor_call_from_el0() {
    let mut m = Machine::new();
    let flags = 0b0110 << 28;
    assert_eq!(m.vector(&[NOP, svc(0x123)], EL0 | flags), 0x400);
    assert_eq!(m.get(id::ESR_EL1), esr(0x15, 0x123));
    assert_eq!(m.get(id::ELR_EL1), CODE + 8);
    assert_eq!(m.get(id::SPSR_EL1), EL0 | flags);
    // EL1h, everything masked, flags kept (D1.3.1). SCTLR_EL1.SPAN is set, so PAN is not.
    assert_eq!(m.cpu.cpsr(), EL1 | DAIF | flags);
}

#[test]
fn undefined_instructions() {
    // UDF #0; HVC, SMC, ERET, MRS X0, SCTLR_EL1 and MSR SPSel, #1 at EL0.
    for word in [0, HVC_7, 0xd400_0003, ERET, 0xd538_1000, 0xd500_41bf] {
        let mut m = Machine::new();
        assert_eq!(m.vector(&[word], EL0), 0x400, "{word:#x}");
        assert_eq!(m.get(id::ESR_EL1), esr(0, 0), "{word:#x}");
        assert_eq!(m.get(id::ELR_EL1), CODE, "{word:#x}");
    }
    // UDF #0; HLT and DCPS1, which need a halting debugger; SB and WFET X0, which are not advertised.
    for word in [0, 0xd440_0000, 0xd4a0_0001, 0xd503_30ff, 0xd503_1000] {
        let mut m = Machine::new();
        assert_eq!(m.vector(&[word], EL1), 0x200, "{word:#x}");
        assert_eq!(m.get(id::ESR_EL1), esr(0, 0), "{word:#x}");
    }
}

#[test]
fn breakpoint_instruction() {
    let mut m = Machine::new();
    // BRK #0xf000, with SP_EL0 selected.
    assert_eq!(m.vector(&[0xd43e_0000], EL1 & !1), 0x000);
    assert_eq!(m.get(id::ESR_EL1), esr(0x3c, 0xf000));
    assert_eq!(m.get(id::ELR_EL1), CODE);
}

#[test]
fn floating_point_trap() {
    // FMOV D0, D1.
    const FMOV: u32 = 0x1e60_4020;
    for (cpacr, spsr, trapped) in
        [(0, EL1, true), (1, EL0, true), (1, EL1, false), (2, EL1, true), (3, EL0, false)]
    {
        let mut m = Machine::new();
        m.set(id::CPACR_EL1, cpacr << 20);
        m.vector(&[FMOV, svc(0)], spsr);
        // CV and COND 0xe (ISS of class 0x07).
        let expected = if trapped { esr(0x07, 0x1e0_0000) } else { esr(0x15, 0) };
        assert_eq!(m.get(id::ESR_EL1), expected, "{cpacr} {spsr:#x}");
    }
}

#[test]
fn illegal_exception_return() {
    let mut m = Machine::new();
    // To EL2h, to AArch32, to EL1 with the reserved mode 0b0111.
    for mode in [0b1001, 0b1_0000, 0b0111] {
        m.set(id::SPSR_EL1, mode | 0b1000 << 28);
        m.set(id::ELR_EL1, CODE + 0x100);
        m.code(CODE + 0x100, &[NOP]);
        assert_eq!(m.vector(&[ERET], EL1 | DAIF), 0x200);
        // Illegal execution state, at the target, with PSTATE.IL saved and NZCV restored (D1.4.2.4).
        assert_eq!(m.get(id::ESR_EL1), esr(0x0e, 0));
        assert_eq!(m.get(id::ELR_EL1), CODE + 0x100);
        assert_eq!(m.get(id::SPSR_EL1), EL1 | 1 << 20 | 0b1000 << 28, "{mode:#x}");
        // Taking the exception clears PSTATE.IL.
        assert_eq!(m.cpu.cpsr() >> 20 & 1, 0);
    }
}

#[test]
fn misaligned_program_counter() {
    let mut m = Machine::new();
    m.cpu.set_x(5, CODE + 0x42);
    // BR X5.
    assert_eq!(m.vector(&[0xd61f_00a0], EL0), 0x400);
    assert_eq!(m.get(id::ESR_EL1), esr(0x22, 0));
    assert_eq!(m.get(id::FAR_EL1), CODE + 0x42);
    assert_eq!(m.get(id::ELR_EL1), CODE + 0x42);
    // By an exception return, which is how it comes back after an interrupt.
    assert_eq!(m.vector_from(CODE + 0x42, EL0), 0x400);
    assert_eq!(m.get(id::ESR_EL1), esr(0x22, 0));
    assert_eq!(m.get(id::ELR_EL1), CODE + 0x42);
}

#[test]
fn misaligned_stack_pointer() {
    for (spsr, check, offset) in [(EL1, 3, 0x200), (EL0, 4, 0x400)] {
        let mut m = Machine::new();
        let sctlr = m.get(id::SCTLR_EL1) & !(3 << 3);
        m.set(id::SP_EL1, DATA + 8);
        m.set(id::SP_EL0, DATA + 8);
        // LDR X0, [SP]: only with the check that belongs to the exception level.
        m.set(id::SCTLR_EL1, sctlr | (3 << 3) & !(1 << check));
        assert_eq!(m.vector(&[ldr(0, 31), svc(1)], spsr), offset);
        assert_eq!(m.get(id::ESR_EL1), esr(0x15, 1));
        m.set(id::SCTLR_EL1, sctlr | 1 << check);
        assert_eq!(m.vector_from(CODE, spsr), offset);
        assert_eq!(m.get(id::ESR_EL1), esr(0x26, 0));
        assert_eq!(m.get(id::ELR_EL1), CODE);
    }
}

#[test]
fn traps_of_el0() {
    // Instruction, the SCTLR_EL1 bit that allows it, and the syndrome of the trap.
    let cases = [
        // MRS X3, CTR_EL0: op0 3, op1 3, CRn 0, CRm 0, op2 1, Rt 3, read.
        (0xd53b_0023, 15, esr(0x18, 3 << 20 | 1 << 17 | 3 << 14 | 3 << 5 | 1)),
        // DC ZVA, X0: op0 1, op1 3, CRn 7, CRm 4, op2 1.
        (0xd50b_7420, 14, esr(0x18, 1 << 20 | 1 << 17 | 3 << 14 | 7 << 10 | 4 << 1)),
        // IC IVAU, X0: op0 1, op1 3, CRn 7, CRm 5, op2 1.
        (0xd50b_7520, 26, esr(0x18, 1 << 20 | 1 << 17 | 3 << 14 | 7 << 10 | 5 << 1)),
        // MSR DAIFSet, #2: op0 0, op1 3, CRn 4, CRm 2, op2 6, Rt 31.
        (0xd503_42df, 9, esr(0x18, 6 << 17 | 3 << 14 | 4 << 10 | 31 << 5 | 2 << 1)),
        // WFE with no event: CV, COND 0xe, TI 1.
        (0xd503_205f, 18, esr(0x01, 0x1e0_0001)),
    ];
    for (word, bit, syndrome) in cases {
        let mut m = Machine::new();
        m.map(DATA, DATA, 3, AF | AP_USER | UXN | PXN);
        m.mmu_on();
        m.cpu.set_x(0, DATA);
        let sctlr = m.get(id::SCTLR_EL1);
        m.set(id::SCTLR_EL1, sctlr & !(1 << bit));
        m.vector(&[word, svc(0)], EL0);
        assert_eq!(m.get(id::ESR_EL1), syndrome, "{word:#x}");
        m.set(id::SCTLR_EL1, sctlr | 1 << bit);
        m.vector_from(CODE, EL0);
        assert_eq!(m.get(id::ESR_EL1), esr(0x15, 0), "{word:#x}");
    }
}

#[test]
fn counters_at_el0() {
    // MRS X0, CNTVCT_EL0: op0 3, op1 3, CRn 14, CRm 0, op2 2.
    let mut m = Machine::new();
    m.vector(&[0xd53b_e040, svc(0)], EL0);
    assert_eq!(m.get(id::ESR_EL1), esr(0x18, 3 << 20 | 2 << 17 | 3 << 14 | 14 << 10 | 1));
    m.set(id::CNTKCTL_EL1, 1 << 1);
    m.vector_from(CODE, EL0);
    assert_eq!(m.get(id::ESR_EL1), esr(0x15, 0));
}

#[test]
fn privileged_access_never_is_set_by_exceptions() {
    let mut m = Machine::new();
    let sctlr = m.get(id::SCTLR_EL1);
    m.set(id::SCTLR_EL1, sctlr & !(1 << 23));
    m.vector(&[svc(0)], EL0);
    assert_eq!(m.cpu.cpsr() >> 22 & 1, 1);
    assert_eq!(m.get(id::SPSR_EL1) >> 22 & 1, 0);
}

#[test]
fn interrupts_wait_for_the_mask() {
    let mut m = Machine::new();
    m.cpu.lines().assert(lines::IRQ);
    // MSR DAIFClr, #2 after a NOP: the IRQ is taken with the return address after the MSR.
    assert_eq!(m.vector(&[NOP, 0xd503_42ff, NOP], EL1 | DAIF), 0x280);
    assert_eq!(m.get(id::ELR_EL1), CODE + 8);
    assert_eq!(m.get(id::SPSR_EL1), EL1 | 0b1101 << 6);
    // ISR_EL1.I shows it although it is masked now.
    assert_eq!(m.get(id::ISR_EL1), 1 << 7);
    m.cpu.lines().deassert(lines::IRQ);
    m.cpu.lines().assert(lines::FIQ);
    assert_eq!(m.vector(&[NOP], EL0), 0x500);
}

#[test]
fn waiting_for_an_interrupt() {
    // WFI.
    let mut m = Machine::new();
    m.code(CODE, &[0xd503_207f, svc(0)]);
    assert_eq!(m.run(CODE, EL1 | DAIF), CoreExit::Wfi);
    assert_eq!(m.cpu.pc(), CODE);
    // A pending interrupt ends it even if masked.
    m.cpu.lines().assert(lines::IRQ);
    assert_eq!(m.vector_from(CODE, EL1 | DAIF), 0x200);
    assert_eq!(m.get(id::ESR_EL1), esr(0x15, 0));
}

#[test]
fn exit_requests_stay_until_cleared() {
    let mut m = Machine::new();
    // B .
    m.code(CODE, &[0x1400_0000]);
    m.cpu.lines().assert(lines::EXIT_REQUEST);
    assert_eq!(m.run(CODE, EL1), CoreExit::Attention);
    assert_eq!(m.cpu.run(), CoreExit::Attention);
    assert_eq!(m.cpu.pc(), CODE);
}

#[test]
fn registers_left_to_the_embedder() {
    let mut m = Machine::new();
    // MSR ICC_PMR_EL1, X2: op0 3, op1 0, CRn 4, CRm 6, op2 0, Rt 2, write.
    m.code(CODE, &[0xd518_4602]);
    let syndrome = esr(0x18, 3 << 20 | 4 << 10 | 2 << 5 | 6 << 1);
    assert_eq!(m.run(CODE, EL1), CoreExit::SysReg { esr: syndrome });
    assert_eq!(m.cpu.pc(), CODE);
}

#[test]
fn self_modifying_code() {
    let mut m = Machine::new();
    let target = CODE + 0x1000;
    m.code(target, &[svc(1)]);
    m.cpu.set_x(0, target);
    m.cpu.set_x(1, svc(2).into());
    // BR X0.
    m.code(CODE, &[0xd61f_0000]);
    m.vector_from(CODE, EL1);
    assert_eq!(m.get(id::ESR_EL1), esr(0x15, 1));
    // STR W1, [X0]; DC CVAU, X0; DSB ISH; IC IVAU, X0; DSB ISH; ISB; BR X0.
    let patch =
        [0xb900_0001, 0xd50b_7b20, 0xd503_3b9f, 0xd50b_7520, 0xd503_3b9f, 0xd503_3fdf, 0xd61f_0000];
    m.code(CODE + 0x800, &patch);
    m.vector_from(CODE + 0x800, EL1);
    assert_eq!(m.get(id::ESR_EL1), esr(0x15, 2));
}

#[test]
fn maintenance_for_a_sleeper_is_bounded() {
    use lines::Maintenance::{CodeAll, CodePage, Remapped, RemappedAll, TlbAll, TlbAsid, TlbVa};
    let m = Machine::new();
    let lines = m.cpu.lines();
    let posted = |ops: &mut dyn Iterator<Item = lines::Maintenance>| {
        ops.for_each(|op| {
            lines.post(op);
        });
        lines.collect().0
    };
    // What has been asked for already is not kept twice.
    assert_eq!(posted(&mut [TlbVa(1), TlbVa(1), TlbAsid(2)].into_iter()), [TlbVa(1), TlbAsid(2)]);
    assert_eq!(posted(&mut [TlbVa(1), CodePage(3), TlbAll].into_iter()), [CodePage(3), TlbAll]);
    assert_eq!(posted(&mut [TlbAll, TlbVa(1)].into_iter()), [TlbAll]);
    // Many translations do not cost the decoded blocks.
    let many = (0..1000).map(TlbVa);
    assert_eq!(posted(&mut std::iter::once(CodePage(3)).chain(many)), [CodePage(3), TlbAll]);
    assert_eq!(posted(&mut (0..5000).map(CodePage)), [CodeAll]);
    assert_eq!(posted(&mut [TlbVa(1), RemappedAll, CodeAll].into_iter()), [RemappedAll]);
    let remapped = |ipa| Remapped { ipa, len: 0x4000 };
    let few = [CodePage(3), remapped(0), remapped(0), remapped(0x4000)];
    assert_eq!(posted(&mut few.into_iter()), [CodePage(3), remapped(0), remapped(0x4000)]);
    assert_eq!(posted(&mut (0..1000).map(remapped)), [RemappedAll]);
}
