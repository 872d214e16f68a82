//! Maintenance between PEs: what one asks for, the other does before it goes on.

use super::*;
use crate::cpu::lines::Maintenance;

const DSB_ISH: u32 = 0xd503_3b9f;
const TLBI_VMALLE1IS: u32 = 0xd508_831f;
/// MOVZ Xt, #imm.
const fn movz(t: u32, imm: u32) -> u32 {
    0xd280_0000 | imm << 5 | t
}

/// A DSB waits for another PE, which meanwhile changes what follows the DSB, invalidates it, and only
/// then lets the DSB end.
#[test]
fn a_barrier_that_served_an_invalidation_goes_on_with_new_instructions() {
    let mut m = Machine::new();
    let other = Arc::new(crate::cpu::Lines::default());
    other.set_running(true);
    m.domain.join(&other);
    // DSB; X0 = 1; once more, this time after TLBI; SVC.
    let code = [
        DSB_ISH,
        movz(0, 1),
        0xb500_0082, // CBNZ X2, to SVC
        movz(2, 1),
        TLBI_VMALLE1IS,
        0x17ff_fffb, // B to DSB
        svc(0),
    ];
    m.code(CODE, &code);
    let own = m.cpu.lines().clone();
    let patched = m.host.wrapping_add((CODE - RAM) as usize + 4).expose_provenance();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let ticket = loop {
                let (asked, ticket) = other.collect();
                if asked.contains(&Maintenance::TlbAll) {
                    break ticket;
                }
                std::thread::yield_now();
            };
            let patched = std::ptr::with_exposed_provenance_mut::<u32>(patched);
            // SAFETY: within the machine's memory, aligned; the vCPU accesses it atomically.
            unsafe { std::sync::atomic::AtomicU32::from_ptr(patched) }
                .store(movz(0, 2), std::sync::atomic::Ordering::SeqCst);
            let asked = own.post(Maintenance::CodePage(CODE));
            while !own.acknowledged(asked) {
                std::thread::yield_now();
            }
            other.finish(ticket);
            other.set_running(false);
        });
        assert_eq!(m.vector_from(CODE, EL1), 0x200);
    });
    assert_eq!(m.cpu.x(0), 2);
    m.domain.leave(&other);
}

/// The PE that invalidates has not yet taken over the memory map that the other one decodes from.
#[test]
fn an_invalidation_crosses_a_change_of_the_memory_map() {
    let mut m = Machine::new();
    m.code(CODE, &[movz(0, 1), svc(0)]);
    let mut late = Cpu::new(&m.domain, 1 << 31 | 1);
    let before = late.regions.clone();
    let read_only = Perms { read: true, write: false, exec: false };
    m.domain.protect(DATA, 0x4000, read_only).expect("the range is mapped");
    assert_eq!(m.vector_from(CODE, EL1), 0x200);
    m.code(CODE, &[movz(0, 2)]);
    assert!(Arc::ptr_eq(&late.regions, &before));
    late.invalidate_code(CODE);
    // Back to where it was, without what drops decoded instructions when the host moves the PC.
    m.cpu.pc = CODE;
    assert_eq!(m.cpu.run(), CoreExit::Hvc { esr: 0x5a00_0007 });
    assert_eq!(m.cpu.x(0), 2);
}

/// What is decoded outlives a change of the memory map elsewhere, and not one where it lies.
#[test]
fn a_change_of_the_memory_map_drops_the_code_in_it() {
    let mut m = Machine::new();
    let run = |m: &mut Machine| {
        // Back to where it was, without what drops decoded instructions when the host moves the PC.
        m.cpu.pc = CODE;
        assert_eq!(m.cpu.run(), CoreExit::Hvc { esr: 0x5a00_0007 });
        m.cpu.x(0)
    };
    m.code(CODE, &[movz(0, 1), svc(0)]);
    assert_eq!(m.vector_from(CODE, EL1), 0x200);
    m.code(CODE, &[movz(0, 2)]);
    assert_eq!(run(&mut m), 1, "as decoded");
    let all = Perms { read: true, write: true, exec: true };
    m.domain.protect(DATA, 0x4000, Perms { write: false, ..all }).expect("the range is mapped");
    assert_eq!(run(&mut m), 1, "another range");
    m.domain.protect(CODE & !0x3fff, 0x4000, all).expect("the range is mapped");
    assert_eq!(run(&mut m), 2, "this range");
}
