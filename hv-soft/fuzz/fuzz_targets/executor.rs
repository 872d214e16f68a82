//! The executor: any instructions, register values, system registers and translation tables, on one vCPU in a small
//! memory. Nothing panics, nothing touches host memory outside of the two mappings (AddressSanitizer watches), and
//! a vCPU that is asked to leave leaves.
#![no_main]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hv_soft::cpu::lines::EXIT_REQUEST;
use hv_soft::cpu::sysreg::id;
use hv_soft::cpu::{CoreExit, Cpu, Domain, Lines};
use hv_soft::mem::Perms;
use libfuzzer_sys::fuzz_target;

/// RAM at 0, then a hole, then read-only memory.
const RAM: usize = 0x1_0000;
const ROM: usize = 0x4000;
const ROM_IPA: u64 = 0x2_0000;
/// Exceptions come to HVC #1 and ERET, on a page of their own.
const VECTORS: usize = 0x7000;
/// Where the code goes; what follows it is HVC #2.
const CODE: usize = 0x8000;
/// Exits of one input that the guest survives.
const EXITS: usize = 32;

/// Takes the vCPU that runs now out of the guest again and again, so that no loop is endless.
fn watch(lines: Option<Arc<Lines>>) {
    static CURRENT: OnceLock<Arc<Mutex<Option<Arc<Lines>>>>> = OnceLock::new();
    let current = CURRENT.get_or_init(|| {
        let current = Arc::new(Mutex::new(None::<Arc<Lines>>));
        let watched = current.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(5));
                if let Some(lines) = watched.lock().unwrap().as_ref() {
                    lines.assert(EXIT_REQUEST);
                }
            }
        });
        current
    });
    *current.lock().unwrap() = lines;
}

/// Reads the input from its front; zeroes when it is used up.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut value = [0; N];
        let n = N.min(self.0.len());
        value[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        value
    }

    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// A value that is likely to be an address in the small memory.
    fn value(&mut self) -> u64 {
        match self.u8() & 3 {
            0 => self.u64(),
            1 => u64::from(u16::from_le_bytes(self.take())),
            2 => ROM_IPA + u64::from(u16::from_le_bytes(self.take()) & 0x7fff),
            _ => (self.u8() as i8) as u64,
        }
    }
}

/// Identity tables for the first 2 MiB in page 0 to 3; the input may spoil them afterwards.
fn tables(ram: &mut [u8], attributes: u64) {
    let mut entry = |at: usize, value: u64| ram[at..at + 8].copy_from_slice(&value.to_le_bytes());
    entry(0, 0x1003);
    entry(0x1000, 0x2003);
    entry(0x2000, 0x3003);
    for page in 0..0x40u64 {
        entry(0x3000 + 8 * page as usize, (page << 12) | 0x703 | attributes);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let layout = |size| Layout::from_size_align(size, 16384).unwrap();
    // SAFETY: the sizes are not zero; freed below, after the vCPU and its domain.
    let (ram, rom) = unsafe { (alloc_zeroed(layout(RAM)), alloc_zeroed(layout(ROM))) };
    let mode = input.u8();
    {
        // SAFETY: freshly allocated, and nobody else has it yet.
        let memory = unsafe { std::slice::from_raw_parts_mut(ram, RAM) };
        for at in (VECTORS..CODE).step_by(8) {
            memory[at..at + 8].copy_from_slice(&0xd69f_03e0_d400_0022u64.to_le_bytes());
        }
        for at in (CODE..RAM).step_by(4) {
            memory[at..at + 4].copy_from_slice(&0xd400_0042u32.to_le_bytes());
        }
        tables(memory, if mode & 4 != 0 { 0x40 } else { 0 });
        for _ in 0..input.u8() & 7 {
            let at = usize::from(u16::from_le_bytes(input.take())) & (CODE - 8);
            memory[at..at + 8].copy_from_slice(&input.take::<8>());
        }
    }
    let domain = Domain::new();
    let all = Perms { read: true, write: true, exec: true };
    // SAFETY: both allocations outlive the domain and no reference points into them from here on.
    unsafe {
        domain.map(0, RAM as u64, ram, all).unwrap();
        domain.map(ROM_IPA, ROM as u64, rom, Perms { write: false, ..all }).unwrap();
    }
    let mut cpu = Cpu::new(&domain, 0x8000_0000);
    for n in 0..31 {
        cpu.set_x(n, input.value());
    }
    for n in 0..4 {
        cpu.v[n] = u128::from_le_bytes(input.take());
    }
    cpu.fpcr = u64::from(input.u8()) << 20 & 0x07c0_0000;
    for (register, value) in [
        (id::CPACR_EL1, 3 << 20),
        (id::MAIR_EL1, 0x04ff),
        (id::TCR_EL1, 16 | 16 << 16 | 1 << 23 | 2 << 32 | 1 << 37),
        (id::VBAR_EL1, VECTORS as u64),
        (id::SCTLR_EL1, 0x30d0_0800 | 1 << 26 | 1 << 14 | 1 << 15 | u64::from(mode & 1)),
    ] {
        cpu.set_sysreg(register, value);
    }
    for _ in 0..input.u8() & 7 {
        // Any register, any value: hostile embedders have to use the ABI, which checks the numbers.
        let register = u16::from_le_bytes(input.take());
        cpu.set_sysreg(register, input.value());
    }
    cpu.set_cpsr(if mode & 2 != 0 { 0 } else { 0x3c5 });
    cpu.set_pc(CODE as u64);
    for (n, word) in input.0.chunks_exact(4).take((RAM - CODE) / 4).enumerate() {
        // SAFETY: in bounds of the allocation; the vCPU does not run.
        unsafe { std::ptr::copy_nonoverlapping(word.as_ptr(), ram.add(CODE + 4 * n), 4) };
    }
    watch(Some(cpu.lines().clone()));
    for _ in 0..EXITS {
        match cpu.run() {
            CoreExit::Attention | CoreExit::InstructionAbort { .. } => break,
            CoreExit::Hvc { esr } if esr & 0xffff == 1 => {
                // The instruction that caused the exception is left out.
                let elr = cpu.sysreg(id::ELR_EL1).unwrap_or(0);
                cpu.set_sysreg(id::ELR_EL1, elr.wrapping_add(4));
            }
            CoreExit::Hvc { .. } => break,
            _ => cpu.set_pc(cpu.pc().wrapping_add(4)),
        }
    }
    watch(None);
    drop(cpu);
    drop(domain);
    // SAFETY: allocated above with these layouts, and nothing points to them any more.
    unsafe {
        dealloc(ram, layout(RAM));
        dealloc(rom, layout(ROM));
    }
});
