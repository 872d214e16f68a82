//! Small programs at EL1 and EL0, checked against what the Arm ARM says.

mod debug;
mod exceptions;
mod maintenance;
mod translation;
mod vectors;

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::Arc;

use crate::cpu::sysreg::id;
use crate::cpu::{CoreExit, Cpu, Domain};
use crate::mem::Perms;

/// Guest-physical base and size of the memory of these machines.
const RAM: u64 = 0x4000_0000;
const SIZE: usize = 4 << 20;

/// Where things lie in it.
const CODE: u64 = RAM + 0x1_0000;
const VECTORS: u64 = RAM + 0x2_0000;
const TABLES: u64 = RAM + 0x10_0000;
const DATA: u64 = RAM + 0x20_0000;

/// EL0t, EL1h: `SPSR_EL1.M`.
const EL0: u64 = 0;
const EL1: u64 = 5;
const DAIF: u64 = 15 << 6;

// Encodings (Arm ARM C6.2).
const NOP: u32 = 0xd503_201f;
const ERET: u32 = 0xd69f_03e0;
const HVC_7: u32 = 0xd400_00e2;
const fn svc(imm: u32) -> u32 {
    0xd400_0001 | imm << 5
}
/// LDR Xt, [Xn] and STR Xt, [Xn].
const fn ldr(t: u32, n: u32) -> u32 {
    0xf940_0000 | n << 5 | t
}
const fn str(t: u32, n: u32) -> u32 {
    0xf900_0000 | n << 5 | t
}

struct Machine {
    cpu: Box<Cpu>,
    domain: Arc<Domain>,
    host: *mut u8,
    /// Next free page for translation tables.
    next_table: u64,
}

impl Machine {
    const LAYOUT: Layout = match Layout::from_size_align(SIZE, 4096) {
        Ok(layout) => layout,
        Err(_) => panic!("the size is valid"),
    };

    /// A machine whose vectors all make a hypercall, at EL1 with the MMU off.
    fn new() -> Machine {
        let domain = Domain::new();
        // SAFETY: the layout is not empty.
        let host = unsafe { alloc_zeroed(Self::LAYOUT) };
        let all = Perms { read: true, write: true, exec: true };
        // SAFETY: the memory is page-aligned and freed after the vCPU is gone (`drop`).
        unsafe { domain.map(RAM, SIZE as u64, host, all) }.expect("the range is free");
        let cpu = Cpu::new(&domain, 1 << 31);
        let mut machine = Machine { cpu, domain, host, next_table: TABLES };
        for vector in 0..16 {
            machine.code(VECTORS + vector * 0x80, &[HVC_7]);
        }
        machine.set(id::VBAR_EL1, VECTORS);
        machine
    }

    fn set(&mut self, reg: u16, value: u64) {
        assert!(self.cpu.set_sysreg(reg, value), "register {reg:#x}");
    }

    fn get(&self, reg: u16) -> u64 {
        self.cpu.sysreg(reg).expect("a register of the core")
    }

    fn write(&mut self, ipa: u64, value: u64) {
        let at = (ipa - RAM) as usize;
        assert!(at + 8 <= SIZE && at.is_multiple_of(8));
        // SAFETY: within the memory, aligned, and no vCPU runs.
        unsafe { self.host.add(at).cast::<u64>().write(value) }
    }

    fn read(&self, ipa: u64) -> u64 {
        let at = (ipa - RAM) as usize;
        assert!(at + 8 <= SIZE && at.is_multiple_of(8));
        // SAFETY: within the memory, aligned, and no vCPU runs.
        unsafe { self.host.add(at).cast::<u64>().read() }
    }

    fn code(&mut self, ipa: u64, words: &[u32]) {
        for (i, &word) in words.iter().enumerate() {
            let at = (ipa - RAM) as usize + 4 * i;
            assert!(at + 4 <= SIZE);
            // SAFETY: within the memory, aligned, and no vCPU runs.
            unsafe { self.host.add(at).cast::<u32>().write(word) }
        }
    }

    /// Runs until the next exit, starting at `pc` in the state that `spsr` describes.
    fn run(&mut self, pc: u64, spsr: u64) -> CoreExit {
        self.cpu.set_cpsr(spsr);
        self.cpu.set_pc(pc);
        self.cpu.run()
    }

    /// Runs `words` at EL0 or EL1 and returns the vector offset that was taken.
    fn vector(&mut self, words: &[u32], spsr: u64) -> u64 {
        self.code(CODE, words);
        self.vector_from(CODE, spsr)
    }

    /// Runs what lies at `pc` and returns the vector offset that was taken.
    fn vector_from(&mut self, pc: u64, spsr: u64) -> u64 {
        // HVC: class 0x16, IL, immediate 7; the PC is past it (Arm ARM D1.3.5).
        assert_eq!(self.run(pc, spsr), CoreExit::Hvc { esr: 0x5a00_0007 });
        self.cpu.pc() - VECTORS - 4
    }

    /// Maps a page (or, with `level` 1 or 2, a block) with 39-bit addresses. Upper addresses go to
    /// TTBR1_EL1. `attributes` are the descriptor's without its output address and type.
    fn map(&mut self, va: u64, pa: u64, level: u8, attributes: u64) {
        let upper = va >> 55 & 1 != 0;
        let register = if upper { id::TTBR1_EL1 } else { id::TTBR0_EL1 };
        if self.get(register) & 0xffff_ffff_f000 == 0 {
            let root = self.table();
            self.set(register, root);
        }
        let mut table = self.get(register) & 0xffff_ffff_f000;
        for step in 1..level {
            let slot = Self::slot(table, va, step);
            if self.read(slot) == 0 {
                let next = self.table();
                self.write(slot, next | 3);
            }
            table = self.read(slot) & 0xffff_ffff_f000;
        }
        let kind = if level == 3 { 3 } else { 1 };
        self.write(Self::slot(table, va, level), pa | attributes | kind);
    }

    /// Address of the descriptor for `va` in the table of a level.
    fn slot(table: u64, va: u64, level: u8) -> u64 {
        table + (va >> (39 - 9 * u32::from(level)) & 511) * 8
    }

    fn table(&mut self) -> u64 {
        self.next_table += 0x1000;
        self.next_table - 0x1000
    }

    /// Turns the MMU on: 39-bit halves, MAIR index 0 normal, 1 Device-nGnRnE. Maps code and vectors,
    /// for EL1 and EL0 as they stand, flat.
    fn mmu_on(&mut self) {
        for page in [CODE, VECTORS, VECTORS + 0x1000] {
            // Readable by both, executable by both.
            self.map(page, page, 3, AF | AP_USER | AP_READ_ONLY);
        }
        self.set(id::MAIR_EL1, 0x00ff);
        // T0SZ and T1SZ 25, TG1 4 KiB, IPS 40 bits.
        self.set(id::TCR_EL1, 25 | 25 << 16 | 2 << 30 | 2 << 32);
        let sctlr = self.get(id::SCTLR_EL1);
        self.set(id::SCTLR_EL1, sctlr | 1);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.domain.unmap(RAM, SIZE as u64).expect("the memory is mapped");
        // SAFETY: allocated in `new` with this layout; no map leads there any more.
        unsafe { dealloc(self.host, Self::LAYOUT) }
    }
}

/// Descriptor fields (Arm ARM D8.3.1).
const AF: u64 = 1 << 10;
const AP_USER: u64 = 1 << 6;
const AP_READ_ONLY: u64 = 1 << 7;
const NON_GLOBAL: u64 = 1 << 11;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
const DEVICE: u64 = 1 << 2;
