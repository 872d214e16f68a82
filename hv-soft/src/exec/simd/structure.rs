//! LD1–LD4, ST1–ST4: structures of one to four elements, interleaved in memory.
//!
//! A multiple-structure access moves one block of up to 64 bytes between memory and a buffer, and the
//! buffer's elements from or to the registers. The block moves in pieces of eight bytes where a TLB
//! hit alone settles each, else element by element, which is what the architecture's alignment
//! checks and watchpoints see.

use super::lanes::{Lane, set_v, splat, v, width_mask};
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

/// Bytes of each register that take part.
#[inline(always)]
fn width(i: &Insn) -> usize {
    if i.aux & mem::FULL != 0 { 16 } else { 8 }
}

/// Reads a block of elements of `T`; its length is a multiple of eight.
#[inline(always)]
fn read_block<T: Part>(cpu: &mut Cpu, va: u64, block: &mut [u8]) -> Result<(), Flow> {
    let address = |offset: usize| va.wrapping_add(offset as u64);
    let hit = block.chunks_exact_mut(8).enumerate().all(|(k, piece)| {
        cpu.load_hit::<u64>(address(8 * k))
            .map(|word| piece.copy_from_slice(&word.to_le_bytes()))
            .is_some()
    });
    if !hit {
        let size = T::SIZE as usize;
        for (k, piece) in block.chunks_exact_mut(size).enumerate() {
            let element = cpu.load::<T>(address(size * k), Access::Normal)?;
            piece.copy_from_slice(&element.extend().to_le_bytes()[..size]);
        }
    }
    Ok(())
}

/// Writes a block of elements of `T`; its length is a multiple of eight.
#[inline(always)]
fn write_block<T: Part>(cpu: &mut Cpu, va: u64, block: &[u8]) -> Result<(), Flow> {
    let address = |offset: usize| va.wrapping_add(offset as u64);
    let hit = block.chunks_exact(8).enumerate().all(|(k, piece)| {
        let mut word = [0; 8];
        word.copy_from_slice(piece);
        cpu.store_hit(address(8 * k), u64::from_le_bytes(word))
    });
    if !hit {
        let size = T::SIZE as usize;
        for (k, piece) in block.chunks_exact(size).enumerate() {
            let mut element = [0; 16];
            element[..size].copy_from_slice(piece);
            let element = T::of(u128::from_le_bytes(element));
            cpu.store::<T>(address(size * k), element, Access::Normal)?;
        }
    }
    Ok(())
}

/// LD1–LD4, multiple structures: `S` registers interleaved.
fn ld_multiple<T: Part, const S: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    let (width, count) = (width(i), registers(i));
    let mut block = [0u8; 64];
    attempt!(read_block::<T>(cpu, base, &mut block[..width * count]));
    let size = T::SIZE as usize;
    for first in (0..count).step_by(S) {
        let part = &block[first * width..];
        for s in 0..S {
            let mut bytes = [0u8; 16];
            if S == 1 {
                bytes[..width].copy_from_slice(&part[..width]);
            } else {
                for (to, from) in bytes[..width].chunks_exact_mut(size).zip(part.chunks(S * size)) {
                    to.copy_from_slice(&from[s * size..(s + 1) * size]);
                }
            }
            set_v(cpu, register(i, first + s), u128::from_le_bytes(bytes));
        }
    }
    write_back(cpu, i, base);
    Flow::Next
}

/// ST1–ST4, multiple structures: `S` registers interleaved.
fn st_multiple<T: Part, const S: usize>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    let (width, count) = (width(i), registers(i));
    let size = T::SIZE as usize;
    let mut block = [0u8; 64];
    for first in (0..count).step_by(S) {
        let part = &mut block[first * width..];
        for s in 0..S {
            let bytes = v(cpu, register(i, first + s)).to_le_bytes();
            if S == 1 {
                part[..width].copy_from_slice(&bytes[..width]);
            } else {
                for (from, to) in bytes[..width].chunks_exact(size).zip(part.chunks_mut(S * size)) {
                    to[s * size..(s + 1) * size].copy_from_slice(from);
                }
            }
        }
    }
    attempt!(write_block::<T>(cpu, base, &block[..width * count]));
    write_back(cpu, i, base);
    Flow::Next
}

/// LD1–LD4, single structure: lane `ra` of every register of the list.
fn ld_single<T: Part + Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    for k in 0..registers(i) {
        let at = base.wrapping_add(k as u64 * T::SIZE);
        let element = attempt!(cpu.load::<T>(at, Access::Normal));
        let mut lanes = T::split(v(cpu, register(i, k)));
        lanes.as_mut()[usize::from(i.ra) % T::LANES] = element;
        set_v(cpu, register(i, k), T::join(lanes));
    }
    write_back(cpu, i, base);
    Flow::Next
}

/// ST1–ST4, single structure.
fn st_single<T: Part + Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    for k in 0..registers(i) {
        let at = base.wrapping_add(k as u64 * T::SIZE);
        let element = T::split(v(cpu, register(i, k))).as_ref()[usize::from(i.ra) % T::LANES];
        attempt!(cpu.store::<T>(at, element, Access::Normal));
    }
    write_back(cpu, i, base);
    Flow::Next
}

/// LD1R–LD4R: one element to every lane.
fn ld_replicate<T: Part + Lane>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    let mask = width_mask(if i.aux & mem::FULL != 0 { aux::WIDTH_128 } else { aux::WIDTH_64 });
    for k in 0..registers(i) {
        let at = base.wrapping_add(k as u64 * T::SIZE);
        let element = attempt!(cpu.load::<T>(at, Access::Normal));
        set_v(cpu, register(i, k), splat(element) & mask);
    }
    write_back(cpu, i, base);
    Flow::Next
}

macro_rules! by_interleave {
    ($i:expr, $f:ident, $t:ty) => {
        match $i.aux >> mem::INTERLEAVE_SHIFT & 3 {
            0 => $f::<$t, 1>,
            1 => $f::<$t, 2>,
            2 => $f::<$t, 3>,
            _ => $f::<$t, 4>,
        }
    };
}

macro_rules! by_element {
    ($i:expr, $pick:ident, $f:ident) => {
        match $i.aux & mem::SIZE {
            0 => $pick!($i, $f, u8),
            1 => $pick!($i, $f, u16),
            2 => $pick!($i, $f, u32),
            _ => $pick!($i, $f, u64),
        }
    };
}

macro_rules! plain {
    ($i:expr, $f:ident, $t:ty) => {
        $f::<$t>
    };
}

/// The handler of LD1–LD4, multiple structures.
pub(super) fn ld_multiple_handler(i: &Insn) -> Handler {
    by_element!(i, by_interleave, ld_multiple)
}

/// The handler of ST1–ST4, multiple structures.
pub(super) fn st_multiple_handler(i: &Insn) -> Handler {
    by_element!(i, by_interleave, st_multiple)
}

/// The handler of LD1–LD4, single structure.
pub(super) fn ld_single_handler(i: &Insn) -> Handler {
    by_element!(i, plain, ld_single)
}

/// The handler of ST1–ST4, single structure.
pub(super) fn st_single_handler(i: &Insn) -> Handler {
    by_element!(i, plain, st_single)
}

/// The handler of LD1R–LD4R.
pub(super) fn ld_replicate_handler(i: &Insn) -> Handler {
    by_element!(i, plain, ld_replicate)
}
