//! Stage 1: faults, permissions, maintenance, AT.

use super::*;

const VA: u64 = 0x1000_0000;
const READ: u32 = ldr(0, 1);
const WRITE: u32 = str(0, 1);

/// Data abort syndromes: from EL0 (0x24) or EL1 (0x25), WnR and the status.
fn abort(spsr: u64, write: bool, status: u64) -> u64 {
    let class = if spsr & 15 == EL0 { 0x24 } else { 0x25 };
    class << 26 | 1 << 25 | u64::from(write) << 6 | status
}

/// Runs one access to `va` and returns ESR_EL1; an access that succeeds makes SVC #0.
fn access(m: &mut Machine, word: u32, va: u64, spsr: u64) -> u64 {
    m.cpu.set_x(1, va);
    m.vector(&[word, svc(0)], spsr);
    let syndrome = m.get(id::ESR_EL1);
    if syndrome != SUCCESS {
        assert_eq!(m.get(id::FAR_EL1), va);
        assert_eq!(m.get(id::ELR_EL1), CODE);
    }
    syndrome
}

const SUCCESS: u64 = 0x15 << 26 | 1 << 25;

#[test]
fn faults_say_the_level() {
    let mut m = Machine::new();
    m.mmu_on();
    m.map(VA, DATA, 3, AF | AP_USER);
    // Nothing at level 1, 2 and 3; the half's size exceeded is level 0 (D8.2.10).
    for (va, level) in
        [(VA + (1 << 31), 1), (VA + (1 << 21), 2), (VA + 0x1000, 3), (1 << 39, 0), (1 << 60, 0)]
    {
        assert_eq!(access(&mut m, READ, va, EL1), abort(EL1, false, 4 | level), "{va:#x}");
        assert_eq!(access(&mut m, WRITE, va, EL0), abort(EL0, true, 4 | level), "{va:#x}");
    }
    assert_eq!(access(&mut m, READ, VA, EL1), SUCCESS);
}

#[test]
fn access_flag_and_address_size() {
    let mut m = Machine::new();
    m.mmu_on();
    m.map(VA, DATA, 3, AP_USER);
    assert_eq!(access(&mut m, READ, VA, EL1), abort(EL1, false, 0b001011));
    m.map(VA + 0x20_0000, DATA, 2, AP_USER);
    assert_eq!(access(&mut m, READ, VA + 0x20_0000, EL1), abort(EL1, false, 0b001010));
    m.map(VA + 0x1000, 1 << 40, 3, AF);
    assert_eq!(access(&mut m, READ, VA + 0x1000, EL1), abort(EL1, false, 0b000011));
}

#[test]
fn permissions() {
    // AP, then who may read and write (D8.4.1): EL1 read is always allowed.
    let cases = [
        (0, (false, false), true),
        (AP_USER, (true, true), true),
        (AP_READ_ONLY, (false, false), false),
        (AP_USER | AP_READ_ONLY, (true, false), false),
    ];
    for (ap, (user_read, user_write), kernel_write) in cases {
        let mut m = Machine::new();
        m.mmu_on();
        m.map(VA, DATA, 3, AF | ap);
        for (spsr, word, allowed) in [
            (EL1, READ, true),
            (EL1, WRITE, kernel_write),
            (EL0, READ, user_read),
            (EL0, WRITE, user_write),
            // LDTR X0, [X1] and STTR X0, [X1] at EL1 have the rights of EL0.
            (EL1, 0xf840_0820, user_read),
            (EL1, 0xf800_0820, user_write),
            // With PAN, EL1 does not reach what EL0 reaches.
            (EL1 | 1 << 22, READ, ap & AP_USER == 0),
            (EL1 | 1 << 22, 0xf840_0820, user_read),
        ] {
            let write = word == WRITE || word == 0xf800_0820;
            let expected = if allowed { SUCCESS } else { abort(spsr & 15, write, 0b001111) };
            for _ in 0..2 {
                assert_eq!(access(&mut m, word, VA, spsr), expected, "{ap:#x} {spsr:#x} {word:#x}");
            }
        }
    }
}

#[test]
fn hierarchical_permissions() {
    let mut m = Machine::new();
    m.mmu_on();
    m.map(VA, DATA, 3, AF | AP_USER);
    let root = m.get(id::TTBR0_EL1);
    let slot = Machine::slot(root, VA, 1);
    let table = m.read(slot);
    // APTable 0b01 takes EL0's access away, 0b10 takes writes away.
    m.write(slot, table | 1 << 61);
    assert_eq!(access(&mut m, READ, VA, EL0), abort(EL0, false, 0b001111));
    m.write(slot, table | 2 << 61);
    assert_eq!(access(&mut m, WRITE, VA, EL1), abort(EL1, true, 0b001111));
}

#[test]
fn execute_permissions() {
    let wxn = 1 << 19;
    // Attributes, WXN, EL, and whether fetching is allowed.
    let cases = [
        (AP_USER | AP_READ_ONLY, 0, EL0, true),
        (AP_USER | AP_READ_ONLY | UXN, 0, EL0, false),
        (AP_USER | AP_READ_ONLY | UXN, 0, EL1, true),
        (AP_READ_ONLY | PXN, 0, EL1, false),
        (AP_READ_ONLY | PXN, 0, EL0, true),
        // What EL0 can write, EL1 never executes.
        (AP_USER, 0, EL1, false),
        (AP_USER, 0, EL0, true),
        (AP_USER, wxn, EL0, false),
        (0, wxn, EL1, false),
        (0, 0, EL1, true),
        (AP_READ_ONLY, wxn, EL1, true),
    ];
    for (attributes, sctlr, spsr, allowed) in cases {
        let mut m = Machine::new();
        m.code(DATA, &[svc(0)]);
        m.mmu_on();
        m.map(VA, DATA, 3, AF | attributes);
        let old = m.get(id::SCTLR_EL1);
        m.set(id::SCTLR_EL1, old | sctlr);
        m.vector_from(VA, spsr);
        let class = if spsr == EL0 { 0x20 } else { 0x21 };
        let expected = if allowed { SUCCESS } else { class << 26 | 1 << 25 | 0b001111 };
        assert_eq!(m.get(id::ESR_EL1), expected, "{attributes:#x} {sctlr:#x} {spsr}");
        if !allowed {
            assert_eq!((m.get(id::FAR_EL1), m.get(id::ELR_EL1)), (VA, VA));
        }
    }
}

#[test]
fn walks_that_are_disabled() {
    let mut m = Machine::new();
    m.mmu_on();
    let upper = VA | 0xffff_ff80 << 32;
    m.map(upper, DATA, 3, AF | AP_USER);
    m.map(VA, DATA, 3, AF | AP_USER);
    assert_eq!(access(&mut m, READ, upper, EL1), SUCCESS);
    let tcr = m.get(id::TCR_EL1);
    // E0PD1: EL0's accesses fault at level 0, EL1's do not.
    m.set(id::TCR_EL1, tcr | 1 << 56);
    assert_eq!(access(&mut m, READ, upper, EL0), abort(EL0, false, 0b000100));
    assert_eq!(access(&mut m, READ, upper, EL1), SUCCESS);
    // EPD1: no walk at all.
    m.set(id::TCR_EL1, tcr | 1 << 23);
    assert_eq!(access(&mut m, READ, upper, EL1), abort(EL1, false, 0b000100));
    assert_eq!(access(&mut m, READ, VA, EL1), SUCCESS);
    // TBI0: the top byte is ignored, and reported.
    m.set(id::TCR_EL1, tcr | 1 << 37);
    assert_eq!(access(&mut m, READ, VA | 0xab << 56, EL0), SUCCESS);
    assert_eq!(access(&mut m, READ, (VA + 0x1000) | 0xab << 56, EL0), abort(EL0, false, 0b000111));
}

#[test]
fn alignment() {
    let mut m = Machine::new();
    m.mmu_on();
    m.map(VA, DATA, 3, AF | AP_USER);
    m.map(VA + 0x1000, DATA + 0x1000, 3, AF | AP_USER | DEVICE);
    let odd = VA + 0xffc;
    assert_eq!(access(&mut m, READ, VA + 4, EL1), SUCCESS);
    // Device memory (D8.5.2), exclusives (LDXR), atomics (LDADD X0, X0, [X1]), LDAR, STLR.
    assert_eq!(access(&mut m, READ, VA + 0x1004, EL1), abort(EL1, false, 0b100001));
    assert_eq!(access(&mut m, WRITE, VA + 0x1004, EL1), abort(EL1, true, 0b100001));
    assert_eq!(access(&mut m, READ, VA + 0x1008, EL1), SUCCESS);
    assert_eq!(access(&mut m, READ, VA + 0x1008, EL1), SUCCESS);
    // From normal into Device memory: the fault is the second page's.
    m.cpu.set_x(1, odd);
    m.vector(&[READ], EL1);
    assert_eq!(m.get(id::ESR_EL1), abort(EL1, false, 0b100001));
    assert_eq!(m.get(id::FAR_EL1), VA + 0x1000);
    for (word, write) in
        [(0xc85f_7c20, false), (0xf820_0020, false), (0xc8df_fc20, false), (0xc89f_fc20, true)]
    {
        assert_eq!(access(&mut m, word, VA + 4, EL1), abort(EL1, write, 0b100001), "{word:#x}");
        assert_eq!(access(&mut m, word, VA + 8, EL1), SUCCESS, "{word:#x}");
    }
    // DC ZVA to Device memory.
    assert_eq!(access(&mut m, 0xd50b_7421, VA + 0x1000, EL1), abort(EL1, true, 0b100001));
    assert_eq!(access(&mut m, 0xd50b_7421, VA + 0x7f, EL1), SUCCESS);
    // SCTLR_EL1.A, before translation.
    let sctlr = m.get(id::SCTLR_EL1);
    m.set(id::SCTLR_EL1, sctlr | 2);
    assert_eq!(access(&mut m, READ, VA + 8, EL1), SUCCESS);
    assert_eq!(access(&mut m, READ, VA + 4, EL1), abort(EL1, false, 0b100001));
    assert_eq!(access(&mut m, READ, odd, EL1), abort(EL1, false, 0b100001));
    assert_eq!(access(&mut m, READ, VA + 0x5004, EL1), abort(EL1, false, 0b100001));
}

#[test]
fn accesses_across_pages() {
    let mut m = Machine::new();
    m.mmu_on();
    m.map(VA, DATA + 0x1000, 3, AF);
    m.map(VA + 0x1000, DATA, 3, AF);
    m.write(DATA + 0x1ff8, 0x1122_3344_5566_7788);
    m.write(DATA, 0x99aa_bbcc_ddee_ff00);
    assert_eq!(access(&mut m, READ, VA + 0xffc, EL1), SUCCESS);
    assert_eq!(m.cpu.x(0), 0xddee_ff00_1122_3344);
    m.cpu.set_x(0, 0x0102_0304_0506_0708);
    assert_eq!(access(&mut m, WRITE, VA + 0xfff, EL1), SUCCESS);
    assert_eq!(m.read(DATA + 0x1ff8), 0x0822_3344_5566_7788);
    assert_eq!(m.read(DATA), 0x9901_0203_0405_0607);
    // The second page faults: nothing is written, and FAR is in that page.
    m.map(VA + 0x2000, DATA + 0x2000, 3, AF);
    m.cpu.set_x(1, VA + 0x2ffc);
    m.vector(&[WRITE], EL1);
    assert_eq!(m.get(id::ESR_EL1), abort(EL1, true, 0b000111));
    assert_eq!(m.get(id::FAR_EL1), VA + 0x3000);
    assert_eq!(m.read(DATA + 0x2ff8), 0);
}

#[test]
fn address_translation_instructions() {
    let mut m = Machine::new();
    m.mmu_on();
    m.map(VA, DATA + 0x3000, 3, AF | AP_USER | AP_READ_ONLY | 3 << 8);
    m.map(VA + 0x1000, DATA + 0x4000, 3, AF | DEVICE);
    // AT S1E1R, S1E1W, S1E0R, S1E0W with X1 (C5.3).
    const AT: [u32; 4] = [0xd508_7801, 0xd508_7821, 0xd508_7841, 0xd508_7861];
    let mut par = |op: usize, va| {
        m.cpu.set_x(1, va);
        m.vector(&[AT[op], svc(0)], EL1);
        m.get(id::PAR_EL1)
    };
    // Success: attributes, inner shareable, address; bit 11 is RES1. Failure: F and the status.
    let good = 0xff << 56 | 1 << 11 | 3 << 7;
    assert_eq!(par(0, VA + 0x123), good | (DATA + 0x3000));
    assert_eq!(par(1, VA), 1 << 11 | 0b001111 << 1 | 1);
    assert_eq!(par(2, VA), good | (DATA + 0x3000));
    assert_eq!(par(3, VA), 1 << 11 | 0b001111 << 1 | 1);
    assert_eq!(par(0, VA + 0x1000), 1 << 11 | 2 << 7 | (DATA + 0x4000));
    assert_eq!(par(2, VA + 0x1000), 1 << 11 | 0b001111 << 1 | 1);
    assert_eq!(par(0, VA + 0x2000), 1 << 11 | 0b000111 << 1 | 1);
}

#[test]
fn invalidation() {
    // TLBI VMALLE1, VAE1 X2, ASIDE1 X3, VAAE1 X2, VALE1 X2, VAALE1 X2 and their IS forms (C5.5).
    let forms = [
        0xd508_871f,
        0xd508_8722,
        0xd508_8743,
        0xd508_8762,
        0xd508_87a2,
        0xd508_87e2,
        0xd508_831f,
        0xd508_8322,
        0xd508_8343,
        0xd508_8362,
        0xd508_83a2,
        0xd508_83e2,
    ];
    for (form, level) in forms.into_iter().zip([3, 2, 3].into_iter().cycle()) {
        let mut m = Machine::new();
        m.mmu_on();
        let va = 0x1020_0000;
        let (first, second) = if level == 3 { (DATA, DATA + 0x1000) } else { (DATA, RAM) };
        m.write(second, 0x2222);
        m.write(first, 0x1111);
        m.map(va, first, level, AF | NON_GLOBAL);
        assert_eq!(access(&mut m, READ, va, EL1), SUCCESS);
        assert_eq!(m.cpu.x(0), 0x1111, "{form:#x}");
        m.map(va, second, level, AF | NON_GLOBAL);
        m.cpu.set_x(2, (va + if level == 2 { 0x1f_f000 } else { 0 }) >> 12);
        m.cpu.set_x(3, 0);
        m.cpu.set_x(1, va);
        // The invalidation, DSB ISH, ISB, and the access again.
        m.vector(&[form, 0xd503_3b9f, 0xd503_3fdf, READ, svc(0)], EL1);
        assert_eq!(m.cpu.x(0), 0x2222, "{form:#x}");
    }
}

#[test]
fn address_spaces() {
    let mut m = Machine::new();
    m.mmu_on();
    m.map(VA, DATA, 3, AF | NON_GLOBAL);
    m.write(DATA, 0xa);
    m.write(DATA + 0x1000, 0xb);
    let first = m.get(id::TTBR0_EL1);
    // A second set of tables under another ASID.
    m.set(id::TTBR0_EL1, 0);
    for page in [CODE, VECTORS] {
        m.map(page, page, 3, AF | AP_USER | AP_READ_ONLY);
    }
    m.map(VA, DATA + 0x1000, 3, AF | NON_GLOBAL);
    let second = m.get(id::TTBR0_EL1) | 7 << 48;
    for (ttbr, value) in [(first, 0xa), (second, 0xb), (first, 0xa), (second, 0xb)] {
        m.set(id::TTBR0_EL1, ttbr);
        assert_eq!(access(&mut m, READ, VA, EL1), SUCCESS);
        assert_eq!(m.cpu.x(0), value);
    }
}

/// Another ASID alone, without TLBI, hides the non-global pages of the upper half too.
#[test]
fn upper_address_spaces() {
    let mut m = Machine::new();
    m.mmu_on();
    let upper = VA | 0xffff_ff80 << 32;
    m.map(upper, DATA, 3, AF | NON_GLOBAL);
    let slot = {
        let root = m.get(id::TTBR1_EL1) & 0xffff_ffff_f000;
        let second = m.read(Machine::slot(root, upper, 1)) & 0xffff_ffff_f000;
        let third = m.read(Machine::slot(second, upper, 2)) & 0xffff_ffff_f000;
        Machine::slot(third, upper, 3)
    };
    m.write(DATA, 0xa);
    m.write(DATA + 0x1000, 0xb);
    assert_eq!(access(&mut m, READ, upper, EL1), SUCCESS);
    assert_eq!(m.cpu.x(0), 0xa);
    let descriptor = m.read(slot);
    m.write(slot, descriptor + 0x1000);
    // TCR_EL1.A1 is 0: the ASID is TTBR0_EL1's.
    let ttbr = m.get(id::TTBR0_EL1);
    m.set(id::TTBR0_EL1, ttbr | 7 << 48);
    assert_eq!(access(&mut m, READ, upper, EL1), SUCCESS);
    assert_eq!(m.cpu.x(0), 0xb);
}

#[test]
fn memory_that_is_not_there() {
    let mut m = Machine::new();
    // LDRSH X7, [X1, #2] at an IPA without memory, MMU off: ISV, SAS 1, SSE, SRT 7, SF, translation
    // fault of stage 2, from a lower level.
    m.cpu.set_x(1, 0x900_0000);
    m.code(CODE, &[NOP, 0x7980_0427]);
    let syndrome = 0x24 << 26 | 1 << 25 | 1 << 24 | 1 << 22 | 1 << 21 | 7 << 16 | 1 << 15 | 7;
    let exit = m.run(CODE, EL1);
    assert_eq!(exit, CoreExit::DataAbort { esr: syndrome, va: 0x900_0002, ipa: 0x900_0002 });
    assert_eq!(m.cpu.pc(), CODE + 4);
    // STP X2, X3, [X1] has no valid syndrome.
    m.code(CODE + 0x40, &[0xa900_0c22]);
    let exit = m.run(CODE + 0x40, EL1);
    let syndrome = 0x24 << 26 | 1 << 25 | 1 << 6 | 7;
    assert_eq!(exit, CoreExit::DataAbort { esr: syndrome, va: 0x900_0000, ipa: 0x900_0000 });
    // A fetch.
    let exit = m.run(0x900_0000, EL1);
    let syndrome = 0x20 << 26 | 1 << 25 | 7;
    assert_eq!(exit, CoreExit::InstructionAbort { esr: syndrome, va: 0x900_0000, ipa: 0x900_0000 });
}

#[test]
fn rights_of_the_memory_map() {
    let mut m = Machine::new();
    m.cpu.set_x(1, DATA);
    m.code(CODE, &[READ, WRITE, svc(0)]);
    assert_eq!(m.vector_from(CODE, EL1), 0x200);
    let read_only = Perms { read: true, write: false, exec: false };
    m.domain.protect(DATA, 0x4000, read_only).expect("the range is mapped");
    let exit = m.run(CODE, EL1);
    let syndrome = 0x24 << 26 | 1 << 25 | 1 << 24 | 3 << 22 | 1 << 15 | 1 << 6 | 0b001111;
    assert_eq!(exit, CoreExit::DataAbort { esr: syndrome, va: DATA, ipa: DATA });
    assert_eq!(m.cpu.pc(), CODE + 4);
}
