//! Atomic read-modify-write and compare-and-swap (LSE; Arm ARM C6.2).
//!
//! Always sequentially consistent on the host, which is at least as strong as any of the forms.

use super::exclusive::Atomic;
use crate::cpu::Cpu;
use crate::decode::base::BaseOp::{self, *};
use crate::exec::thread::{Threaded, thread};
use crate::insn::{Flow, Insn};

const ADD: u8 = 0;
const CLR: u8 = 1;
const EOR: u8 = 2;
const SET: u8 = 3;
const SMAX: u8 = 4;
const SMIN: u8 = 5;
const UMAX: u8 = 6;
const UMIN: u8 = 7;
const SWAP: u8 = 8;

pub(super) fn handler(op: BaseOp, insn: &Insn) -> Threaded {
    macro_rules! by_width {
        ($op:expr) => {
            match insn.aux {
                0 => thread(modify::<u8, $op>),
                1 => thread(modify::<u16, $op>),
                2 => thread(modify::<u32, $op>),
                _ => thread(modify::<u64, $op>),
            }
        };
    }
    match op {
        AtomicAdd => by_width!(ADD),
        AtomicClr => by_width!(CLR),
        AtomicEor => by_width!(EOR),
        AtomicSet => by_width!(SET),
        AtomicSmax => by_width!(SMAX),
        AtomicSmin => by_width!(SMIN),
        AtomicUmax => by_width!(UMAX),
        AtomicUmin => by_width!(UMIN),
        Swap => by_width!(SWAP),
        Casp if insn.aux == 2 => thread(casp32),
        Casp => thread(casp64),
        _ => match insn.aux {
            0 => thread(cas::<u8>),
            1 => thread(cas::<u16>),
            2 => thread(cas::<u32>),
            _ => thread(cas::<u64>),
        },
    }
}

fn modify<T: Atomic, const OP: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let host = match cpu.base(i.rn).and_then(|va| cpu.atomic_ptr(va, T::SIZE)) {
        Ok(host) => host,
        Err(flow) => return flow,
    };
    let operand = T::from_u64(cpu.x(i.rm)).widen();
    let signed = |value: u64| {
        let unused = 64 - 8 * T::SIZE as u32;
        (value << unused) as i64 >> unused
    };
    let result = |old: T| {
        let old = old.widen();
        T::from_u64(match OP {
            ADD => old.wrapping_add(operand),
            CLR => old & !operand,
            EOR => old ^ operand,
            SET => old | operand,
            SMAX => signed(old).max(signed(operand)) as u64,
            SMIN => signed(old).min(signed(operand)) as u64,
            UMAX => old.max(operand),
            UMIN => old.min(operand),
            _ => operand,
        })
    };
    // SAFETY: `atomic_ptr` returned aligned guest memory, valid for reads and writes.
    let old = unsafe { T::update(host, result) };
    cpu.set_x(i.rd, old.widen());
    Flow::Next
}

fn cas<T: Atomic>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let host = match cpu.base(i.rn).and_then(|va| cpu.atomic_ptr(va, T::SIZE)) {
        Ok(host) => host,
        Err(flow) => return flow,
    };
    let (expected, new) = (T::from_u64(cpu.x(i.rm)), T::from_u64(cpu.x(i.rd)));
    // SAFETY: `atomic_ptr` returned aligned guest memory, valid for reads and writes.
    let (Ok(old) | Err(old)) = unsafe { T::compare_exchange(host, expected, new) };
    cpu.set_x(i.ra, old.widen());
    Flow::Next
}

/// The slot of a register that an even-numbered pair's second half names: 31 is the zero register.
fn written(slot: u8) -> u8 {
    crate::insn::dst(slot.into())
}

fn casp32(cpu: &mut Cpu, i: &Insn) -> Flow {
    let host = match cpu.base(i.rn).and_then(|va| cpu.atomic_ptr(va, 8)) {
        Ok(host) => host,
        Err(flow) => return flow,
    };
    let pair = |cpu: &Cpu, slot: u8| cpu.x(slot) & 0xffff_ffff | cpu.x(slot + 1) << 32;
    let (expected, new) = (pair(cpu, i.rm), pair(cpu, i.rd));
    // SAFETY: `atomic_ptr` returned aligned guest memory, valid for reads and writes.
    let (Ok(old) | Err(old)) = unsafe { u64::compare_exchange(host, expected, new) };
    cpu.set_x(written(i.rm), old & 0xffff_ffff);
    cpu.set_x(written(i.rm + 1), old >> 32);
    Flow::Next
}

fn casp64(cpu: &mut Cpu, i: &Insn) -> Flow {
    let host = match cpu.base(i.rn).and_then(|va| cpu.atomic_ptr(va, 16)) {
        Ok(host) => host,
        Err(flow) => return flow,
    };
    let pair = |cpu: &Cpu, slot: u8| u128::from(cpu.x(slot)) | u128::from(cpu.x(slot + 1)) << 64;
    let (expected, new) = (pair(cpu, i.rm), pair(cpu, i.rd));
    // SAFETY: `atomic_ptr` returned aligned guest memory, valid for reads and writes.
    let (Ok(old) | Err(old)) = unsafe { compare_exchange_128(host, expected, new) };
    cpu.set_x(written(i.rm), old as u64);
    cpu.set_x(written(i.rm + 1), (old >> 64) as u64);
    Flow::Next
}

/// Atomically stores 16 bytes if memory holds `old`; returns what it held.
///
/// # Safety
/// `host` lies in guest memory, is aligned to 16 bytes, and valid for reads and writes.
pub(super) unsafe fn compare_exchange_128(
    host: *mut u8,
    old: u128,
    new: u128,
) -> Result<u128, u128> {
    #[cfg(target_arch = "x86_64")]
    {
        let (mut low, mut high) = (old as u64, (old >> 64) as u64);
        let equal: u8;
        // SAFETY: `host` is aligned and valid by the caller's contract; every x86-64 processor since
        // the first few has cmpxchg16b. RBX belongs to the compiler, so it is swapped around the use;
        // the operands are named, since any that the compiler chose could be RBX itself.
        unsafe {
            std::arch::asm!(
                "xchg rsi, rbx",
                "lock cmpxchg16b [rdi]",
                "sete r8b",
                "mov rbx, rsi",
                in("rdi") host,
                inout("rsi") new as u64 => _,
                out("r8b") equal,
                inout("rax") low,
                inout("rdx") high,
                in("rcx") (new >> 64) as u64,
                options(nostack),
            );
        }
        let seen = u128::from(low) | u128::from(high) << 64;
        if equal != 0 { Ok(seen) } else { Err(seen) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        // SAFETY: as the caller's contract has it.
        unsafe { fallback_128(host, old, new) }
    }
}

/// Where the host has no 16-byte compare-exchange in stable Rust: a lock among the vCPUs. Plain stores
/// of other vCPUs to one of the halves are seen, but not excluded between the two.
///
/// # Safety
/// As for [`compare_exchange_128`].
#[cfg(not(target_arch = "x86_64"))]
unsafe fn fallback_128(host: *mut u8, old: u128, new: u128) -> Result<u128, u128> {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: valid by the caller's contract.
    let seen = unsafe { u128::read(host) };
    if seen != old {
        return Err(seen);
    }
    // SAFETY: valid by the caller's contract.
    unsafe { u128::write(host, new) };
    Ok(seen)
}
