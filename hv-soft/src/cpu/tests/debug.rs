//! Software step, breakpoints and watchpoints (Arm ARM D2).

use super::*;

const SS: u64 = 1 << 21;
const KDE: u64 = 1 << 13;
const MDE: u64 = 1 << 15;

fn debugger() -> Machine {
    let mut m = Machine::new();
    m.set(id::OSLAR_EL1, 0);
    m
}

#[test]
fn step_one_instruction_of_el0() {
    let mut m = debugger();
    m.set(id::MDSCR_EL1, 1);
    m.set(id::ELR_EL1, CODE + 0x100);
    m.set(id::SPSR_EL1, EL0 | SS);
    m.code(CODE + 0x100, &[NOP, NOP]);
    assert_eq!(m.vector(&[ERET], EL1 | DAIF), 0x400);
    // Software step from a lower level: ISV, EX clear, status 0b100010 (D2.12.7).
    assert_eq!(m.get(id::ESR_EL1), 0x32 << 26 | 1 << 25 | 1 << 24 | 0b100010);
    assert_eq!(m.get(id::ELR_EL1), CODE + 0x104);
    assert_eq!(m.get(id::SPSR_EL1), EL0);
    // A load-exclusive (LDXR X0, [X1]) is reported.
    m.cpu.set_x(1, DATA);
    m.set(id::SPSR_EL1, EL0 | SS);
    m.code(CODE + 0x200, &[0xc85f_7c20]);
    m.set(id::ELR_EL1, CODE + 0x200);
    assert_eq!(m.vector(&[ERET], EL1 | DAIF), 0x400);
    assert_eq!(m.get(id::ESR_EL1), 0x32 << 26 | 1 << 25 | 1 << 24 | 1 << 6 | 0b100010);
}

#[test]
fn step_of_an_exception() {
    let mut m = debugger();
    m.set(id::MDSCR_EL1, 1);
    // SVC has advanced the state machine when it is taken, a fault has not.
    for (word, ss) in [(svc(3), 0), (0, SS)] {
        m.code(CODE + 0x100, &[word]);
        m.set(id::ELR_EL1, CODE + 0x100);
        m.set(id::SPSR_EL1, EL0 | SS);
        assert_eq!(m.vector(&[ERET], EL1 | DAIF), 0x400);
        assert_eq!(m.get(id::ESR_EL1) >> 26, if word == 0 { 0 } else { 0x15 });
        assert_eq!(m.get(id::SPSR_EL1), EL0 | ss);
    }
}

#[test]
fn breakpoints() {
    let mut m = debugger();
    m.set(id::MDSCR_EL1, MDE);
    m.set(id::DBGBVR0_EL1, CODE + 8);
    // Enabled, EL0 only, all bytes.
    m.set(id::DBGBCR0_EL1, 1 | 2 << 1 | 15 << 5);
    assert_eq!(m.vector(&[NOP, NOP, NOP, svc(0)], EL0), 0x400);
    assert_eq!(m.get(id::ESR_EL1), 0x30 << 26 | 1 << 25 | 0b100010);
    assert_eq!(m.get(id::ELR_EL1), CODE + 8);
    // Not at EL1, even with KDE, because PMC says EL0.
    m.set(id::MDSCR_EL1, MDE | KDE);
    m.vector_from(CODE, EL1);
    assert_eq!(m.get(id::ESR_EL1), 0x15 << 26 | 1 << 25);
    // At EL1 when PMC says so, PSTATE.D is clear and KDE is set.
    m.set(id::DBGBCR0_EL1, 1 | 1 << 1 | 15 << 5);
    assert_eq!(m.vector_from(CODE, EL1), 0x200);
    assert_eq!(m.get(id::ESR_EL1), 0x31 << 26 | 1 << 25 | 0b100010);
    m.vector_from(CODE, EL1 | 8 << 6);
    assert_eq!(m.get(id::ESR_EL1), 0x15 << 26 | 1 << 25);
    // Not while the OS lock is set.
    m.set(id::OSLAR_EL1, 1);
    m.vector_from(CODE, EL1);
    assert_eq!(m.get(id::ESR_EL1), 0x15 << 26 | 1 << 25);
}

#[test]
fn breakpoints_of_one_process() {
    let mut m = debugger();
    m.set(id::MDSCR_EL1, MDE);
    m.set(id::DBGBVR0_EL1, CODE + 4);
    // Linked address match (BT 0b0001) to breakpoint 1, a linked context match (0b0011).
    m.set(id::DBGBCR0_EL1, 1 | 2 << 1 | 15 << 5 | 1 << 16 | 1 << 20);
    m.set(id::DBGBVR1_EL1, 42);
    m.set(id::DBGBCR1_EL1, 1 | 3 << 1 | 15 << 5 | 3 << 20);
    for (context, class) in [(41, 0x15), (42, 0x30)] {
        m.set(id::CONTEXTIDR_EL1, context);
        m.vector(&[NOP, NOP, svc(0)], EL0);
        assert_eq!(m.get(id::ESR_EL1) >> 26, class);
    }
}

#[test]
fn watchpoints() {
    let mut m = debugger();
    m.mmu_on();
    m.map(DATA, DATA, 3, AF | AP_USER | UXN);
    m.set(id::MDSCR_EL1, MDE);
    m.cpu.set_x(1, DATA + 0x10);
    let code = [ldr(0, 1), str(0, 1), svc(0)];
    m.vector(&code, EL0);
    assert_eq!(m.get(id::ESR_EL1) >> 26, 0x15);
    // Stores to bytes 4 to 7 of the doubleword, from EL0.
    m.set(id::DBGWVR0_EL1, DATA + 0x10);
    m.set(id::DBGWCR0_EL1, 1 | 2 << 1 | 2 << 3 | 0xf0 << 5);
    assert_eq!(m.vector_from(CODE, EL0), 0x400);
    assert_eq!(m.get(id::ESR_EL1), 0x34 << 26 | 1 << 25 | 1 << 6 | 0b100010);
    assert_eq!(m.get(id::FAR_EL1), DATA + 0x10);
    assert_eq!(m.get(id::ELR_EL1), CODE + 4);
    // A word store to the bytes before: STR W0, [X1].
    m.vector(&[0xb900_0020, svc(0)], EL0);
    assert_eq!(m.get(id::ESR_EL1) >> 26, 0x15);
    // Loads, by a mask of 256 bytes.
    m.set(id::DBGWVR0_EL1, DATA);
    m.set(id::DBGWCR0_EL1, 1 | 2 << 1 | 1 << 3 | 0xff << 5 | 8 << 24);
    m.vector(&code, EL0);
    assert_eq!(m.get(id::ESR_EL1), 0x34 << 26 | 1 << 25 | 0b100010);
    m.cpu.set_x(1, DATA + 0x100);
    m.vector_from(CODE, EL0);
    assert_eq!(m.get(id::ESR_EL1) >> 26, 0x15);
}

#[test]
fn watchpoints_of_an_access_across_pages() {
    let mut m = debugger();
    m.mmu_on();
    for page in [DATA, DATA + 0x1000] {
        m.map(page, page, 3, AF | AP_USER | UXN);
    }
    m.set(id::MDSCR_EL1, MDE);
    // Bytes 4 to 7 of the second page's first doubleword, loads and stores from EL0.
    m.set(id::DBGWVR0_EL1, DATA + 0x1000);
    m.set(id::DBGWCR0_EL1, 1 | 2 << 1 | 3 << 3 | 0xf0 << 5);
    for word in [ldr(0, 1), str(0, 1)] {
        // Four bytes in each page; then five in the second.
        for (va, class) in [(DATA + 0xffc, 0x15), (DATA + 0xffd, 0x34)] {
            m.cpu.set_x(1, va);
            m.vector(&[word, svc(0)], EL0);
            assert_eq!(m.get(id::ESR_EL1) >> 26, class, "{word:#x} {va:#x}");
        }
        // FAR is within what was accessed and what is watched (D2.10.6).
        assert_eq!(m.get(id::FAR_EL1), DATA + 0x1000);
    }
    // The first page's last doubleword does not reach into the second.
    m.set(id::DBGWVR0_EL1, DATA + 0xff8);
    m.set(id::DBGWCR0_EL1, 1 | 2 << 1 | 3 << 3 | 0x80 << 5);
    m.cpu.set_x(1, DATA + 0xffc);
    m.vector(&[ldr(0, 1), svc(0)], EL0);
    assert_eq!(m.get(id::ESR_EL1) >> 26, 0x34);
}
