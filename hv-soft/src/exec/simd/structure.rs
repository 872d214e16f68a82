//! LD1–LD4, ST1–ST4: structures of one to four elements, interleaved in memory.
//!
//! A multiple-structure access moves as many bytes as a register has at a time where a TLB hit alone
//! settles that, else element by element, which is what the architecture's alignment checks and
//! watchpoints see.

use super::lanes::{Lane, insert, lane, set_lanes, set_v, splat, v, width_mask};
use super::memory::{Part, attempt};
use crate::cpu::Cpu;
use crate::decode::simd::{aux, mem};
use crate::insn::{Flow, Handler, Insn};
use crate::mmu::Access;

/// Registers in the list.
#[inline(always)]
fn registers(i: &Insn) -> usize {
    (i.aux >> mem::REGISTERS_SHIFT & 3) as usize + 1
}

/// The `k`th register of the list.
#[inline(always)]
fn register(i: &Insn, k: usize) -> u8 {
    (i.rd + k as u8) % 32
}

/// Writes the base back.
#[inline(always)]
fn write_back(cpu: &mut Cpu, i: &Insn, base: u64) {
    if i.aux & mem::WRITE_BACK != 0 {
        let offset = if i.aux & mem::REGISTER != 0 { cpu.x(i.rm) } else { i.imm };
        cpu.set_x(i.rn, base.wrapping_add(offset));
    }
}

/// Moves `WIDTH` bytes (8 or 16) from memory, in one piece if a TLB hit alone settles that, else in
/// elements of `T`.
#[inline(always)]
fn read<T: Part, const WIDTH: usize>(cpu: &mut Cpu, va: u64) -> Result<u128, Flow> {
    let whole = match WIDTH {
        16 => cpu.load_hit::<u128>(va),
        _ => cpu.load_hit::<u64>(va).map(u128::from),
    };
    match whole {
        Some(whole) => Ok(whole),
        None => read_elements::<T>(cpu, va, WIDTH),
    }
}

#[cold]
fn read_elements<T: Part>(cpu: &mut Cpu, va: u64, width: usize) -> Result<u128, Flow> {
    let mut value = 0;
    for offset in (0..width).step_by(T::SIZE as usize) {
        let element = cpu.load::<T>(va.wrapping_add(offset as u64), Access::Normal)?;
        value |= element.extend() << (8 * offset);
    }
    Ok(value)
}

/// Moves `WIDTH` bytes (8 or 16) to memory, as [`read`] does from it.
#[inline(always)]
fn write<T: Part, const WIDTH: usize>(cpu: &mut Cpu, va: u64, value: u128) -> Result<(), Flow> {
    let hit = match WIDTH {
        16 => cpu.store_hit(va, value),
        _ => cpu.store_hit(va, value as u64),
    };
    if hit { Ok(()) } else { write_elements::<T>(cpu, va, value, WIDTH) }
}

#[cold]
fn write_elements<T: Part>(cpu: &mut Cpu, va: u64, value: u128, width: usize) -> Result<(), Flow> {
    for offset in (0..width).step_by(T::SIZE as usize) {
        let element = T::of(value >> (8 * offset));
        cpu.store::<T>(va.wrapping_add(offset as u64), element, Access::Normal)?;
    }
    Ok(())
}

/// LD1, multiple structures: registers one after the other.
fn ld_consecutive<T: Part, const WIDTH: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    for k in 0..registers(i) {
        let va = base.wrapping_add((k * WIDTH) as u64);
        let value = attempt!(read::<T, WIDTH>(cpu, va));
        set_v(cpu, register(i, k), value);
    }
    write_back(cpu, i, base);
    Flow::Next
}

/// ST1, multiple structures: registers one after the other.
fn st_consecutive<T: Part, const WIDTH: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    for k in 0..registers(i) {
        let va = base.wrapping_add((k * WIDTH) as u64);
        let value = v(cpu, register(i, k));
        attempt!(write::<T, WIDTH>(cpu, va, value));
    }
    write_back(cpu, i, base);
    Flow::Next
}

/// LD2–LD4, multiple structures: `S` registers interleaved.
fn ld_interleaved<T: Part + Lane, const WIDTH: usize, const S: usize>(
    cpu: &mut Cpu,
    i: &Insn,
) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    let mut block = [T::split(0); S];
    for (k, piece) in block.iter_mut().enumerate() {
        let va = base.wrapping_add((k * WIDTH) as u64);
        *piece = T::split(attempt!(read::<T, WIDTH>(cpu, va)));
    }
    let lanes = WIDTH / T::SIZE as usize;
    for s in 0..S {
        let mut register_lanes = T::split(0);
        for (n, lane) in register_lanes.as_mut()[..lanes].iter_mut().enumerate() {
            let element = n * S + s;
            *lane = block[element / lanes].as_ref()[element % lanes];
        }
        set_lanes::<T>(cpu, register(i, s), register_lanes);
    }
    write_back(cpu, i, base);
    Flow::Next
}

/// ST2–ST4, multiple structures: `S` registers interleaved.
fn st_interleaved<T: Part + Lane, const WIDTH: usize, const S: usize>(
    cpu: &mut Cpu,
    i: &Insn,
) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    let lanes = WIDTH / T::SIZE as usize;
    let mut block = [T::split(0); S];
    for s in 0..S {
        let register_lanes = *super::lanes::lanes::<T>(cpu, register(i, s));
        for (n, lane) in register_lanes.as_ref()[..lanes].iter().enumerate() {
            let element = n * S + s;
            block[element / lanes].as_mut()[element % lanes] = *lane;
        }
    }
    for (k, piece) in block.iter().enumerate() {
        let va = base.wrapping_add((k * WIDTH) as u64);
        attempt!(write::<T, WIDTH>(cpu, va, T::join(*piece)));
    }
    write_back(cpu, i, base);
    Flow::Next
}

/// LD1–LD4, single structure: lane `ra` of every register of the list.
fn ld_single<T: Part + Lane, const S: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    for k in 0..S {
        let at = base.wrapping_add(k as u64 * T::SIZE);
        let element = attempt!(cpu.load::<T>(at, Access::Normal));
        let value = insert(v(cpu, register(i, k)), usize::from(i.ra), element);
        set_v(cpu, register(i, k), value);
    }
    write_back(cpu, i, base);
    Flow::Next
}

/// ST1–ST4, single structure.
fn st_single<T: Part + Lane, const S: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    for k in 0..S {
        let at = base.wrapping_add(k as u64 * T::SIZE);
        let element = lane::<T>(v(cpu, register(i, k)), usize::from(i.ra));
        attempt!(cpu.store::<T>(at, element, Access::Normal));
    }
    write_back(cpu, i, base);
    Flow::Next
}

/// LD1R–LD4R: one element to every lane.
fn ld_replicate<T: Part + Lane, const S: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    let mask = width_mask(if i.aux & mem::FULL != 0 { aux::WIDTH_128 } else { aux::WIDTH_64 });
    for k in 0..S {
        let at = base.wrapping_add(k as u64 * T::SIZE);
        let element = attempt!(cpu.load::<T>(at, Access::Normal));
        set_v(cpu, register(i, k), splat(element) & mask);
    }
    write_back(cpu, i, base);
    Flow::Next
}

macro_rules! by_interleave {
    ($i:expr, $consecutive:ident, $interleaved:ident, $t:ty) => {
        match ($i.aux >> mem::INTERLEAVE_SHIFT & 3, $i.aux & mem::FULL != 0) {
            (0, false) => $consecutive::<$t, 8>,
            (0, true) => $consecutive::<$t, 16>,
            (1, false) => $interleaved::<$t, 8, 2>,
            (1, true) => $interleaved::<$t, 16, 2>,
            (2, false) => $interleaved::<$t, 8, 3>,
            (2, true) => $interleaved::<$t, 16, 3>,
            (_, false) => $interleaved::<$t, 8, 4>,
            (_, true) => $interleaved::<$t, 16, 4>,
        }
    };
}

macro_rules! by_element {
    ($i:expr, $pick:ident, $($f:ident),+) => {
        match $i.aux & mem::SIZE {
            0 => $pick!($i, $($f),+, u8),
            1 => $pick!($i, $($f),+, u16),
            2 => $pick!($i, $($f),+, u32),
            _ => $pick!($i, $($f),+, u64),
        }
    };
}

macro_rules! by_registers {
    ($i:expr, $f:ident, $t:ty) => {
        match registers($i) {
            1 => $f::<$t, 1>,
            2 => $f::<$t, 2>,
            3 => $f::<$t, 3>,
            _ => $f::<$t, 4>,
        }
    };
}

/// The handler of LD1–LD4, multiple structures.
pub(super) fn ld_multiple_handler(i: &Insn) -> Handler {
    by_element!(i, by_interleave, ld_consecutive, ld_interleaved)
}

/// The handler of ST1–ST4, multiple structures.
pub(super) fn st_multiple_handler(i: &Insn) -> Handler {
    by_element!(i, by_interleave, st_consecutive, st_interleaved)
}

/// The handler of LD1–LD4, single structure.
pub(super) fn ld_single_handler(i: &Insn) -> Handler {
    by_element!(i, by_registers, ld_single)
}

/// The handler of ST1–ST4, single structure.
pub(super) fn st_single_handler(i: &Insn) -> Handler {
    by_element!(i, by_registers, st_single)
}

/// The handler of LD1R–LD4R.
pub(super) fn ld_replicate_handler(i: &Insn) -> Handler {
    by_element!(i, by_registers, ld_replicate)
}
