//! Loads and stores of general registers (Arm ARM C6.2).

use super::arith::extend;
use crate::cpu::Cpu;
use crate::decode::base::{BaseOp, Mode, Width};
use crate::exec::thread::{Threaded, thread, thread_quick};
use crate::insn::{Flow, Insn, R_SP};
use crate::mem::GuestInt;
use crate::mmu::Access;

const OFFSET: u8 = Mode::Offset as u8;
const PRE: u8 = Mode::Pre as u8;
const POST: u8 = Mode::Post as u8;
const UNPRIVILEGED: u8 = Mode::Unprivileged as u8;
const REGISTER: u8 = Mode::Register as u8;

/// How what was loaded becomes a register's value.
trait Extend: GuestInt {
    fn zero(self) -> u64;
    fn sign32(self) -> u64;
    fn sign64(self) -> u64;
}

macro_rules! extend {
    ($($t:ty, $s:ty);*) => {$(
        impl Extend for $t {
            #[inline(always)]
            fn zero(self) -> u64 {
                self.into()
            }
            #[inline(always)]
            fn sign32(self) -> u64 {
                (self as $s as i32 as u32).into()
            }
            #[inline(always)]
            fn sign64(self) -> u64 {
                self as $s as i64 as u64
            }
        }
    )*};
}
extend!(u8, i8; u16, i16; u32, i32; u64, i64);

const ZERO: u8 = 0;
const SIGN32: u8 = 1;
const SIGN64: u8 = 2;

#[inline(always)]
fn extended<T: Extend, const EXTEND: u8>(value: T) -> u64 {
    match EXTEND {
        SIGN32 => value.sign32(),
        SIGN64 => value.sign64(),
        _ => value.zero(),
    }
}

/// The variant of a handler and its quick part for each way to form the address.
macro_rules! by_mode {
    ($mode:expr, $quick:ident, $handler:ident, $t:ty $(, $arg:expr)*) => {
        match $mode {
            OFFSET => thread_quick($quick::<$t, OFFSET $(, $arg)*>, $handler::<$t, OFFSET $(, $arg)*>),
            PRE => thread_quick($quick::<$t, PRE $(, $arg)*>, $handler::<$t, PRE $(, $arg)*>),
            POST => thread_quick($quick::<$t, POST $(, $arg)*>, $handler::<$t, POST $(, $arg)*>),
            UNPRIVILEGED => thread($handler::<$t, UNPRIVILEGED $(, $arg)*>),
            _ => thread_quick($quick::<$t, REGISTER $(, $arg)*>, $handler::<$t, REGISTER $(, $arg)*>),
        }
    };
}

/// The variant of a handler and its quick part for each way to form the address of a pair.
macro_rules! by_pair_mode {
    ($mode:expr, $quick:ident, $handler:ident, $t:ty $(, $arg:expr)*) => {
        match $mode {
            OFFSET => thread_quick($quick::<$t, OFFSET $(, $arg)*>, $handler::<$t, OFFSET $(, $arg)*>),
            PRE => thread_quick($quick::<$t, PRE $(, $arg)*>, $handler::<$t, PRE $(, $arg)*>),
            _ => thread_quick($quick::<$t, POST $(, $arg)*>, $handler::<$t, POST $(, $arg)*>),
        }
    };
}

const U8: u8 = Width::U8 as u8;
const U16: u8 = Width::U16 as u8;
const U32: u8 = Width::U32 as u8;
const U64: u8 = Width::U64 as u8;
const S8_TO_32: u8 = Width::S8To32 as u8;
const S8_TO_64: u8 = Width::S8To64 as u8;
const S16_TO_32: u8 = Width::S16To32 as u8;
const S16_TO_64: u8 = Width::S16To64 as u8;

pub(super) fn handler(op: BaseOp, insn: &Insn) -> Threaded {
    let (width, mode) = ((insn.aux & 15) as u8, (insn.aux >> 4) as u8);
    match op {
        BaseOp::Load => match width {
            U8 => by_mode!(mode, quick_load, load, u8, ZERO),
            U16 => by_mode!(mode, quick_load, load, u16, ZERO),
            U32 => by_mode!(mode, quick_load, load, u32, ZERO),
            U64 => by_mode!(mode, quick_load, load, u64, ZERO),
            S8_TO_32 => by_mode!(mode, quick_load, load, u8, SIGN32),
            S8_TO_64 => by_mode!(mode, quick_load, load, u8, SIGN64),
            S16_TO_32 => by_mode!(mode, quick_load, load, u16, SIGN32),
            S16_TO_64 => by_mode!(mode, quick_load, load, u16, SIGN64),
            _ => by_mode!(mode, quick_load, load, u32, SIGN64),
        },
        BaseOp::Store => match width {
            U8 => by_mode!(mode, quick_store, store, u8),
            U16 => by_mode!(mode, quick_store, store, u16),
            U32 => by_mode!(mode, quick_store, store, u32),
            _ => by_mode!(mode, quick_store, store, u64),
        },
        BaseOp::LoadPair => match width {
            U32 => by_pair_mode!(mode, quick_load_pair, load_pair, u32, ZERO),
            U64 => by_pair_mode!(mode, quick_load_pair, load_pair, u64, ZERO),
            _ => by_pair_mode!(mode, quick_load_pair, load_pair, u32, SIGN64),
        },
        BaseOp::StorePair => match width {
            U32 => by_pair_mode!(mode, quick_store_pair, store_pair, u32),
            _ => by_pair_mode!(mode, quick_store_pair, store_pair, u64),
        },
        _ => match width {
            U32 => thread(load_literal::<u32, ZERO>),
            U64 => thread(load_literal::<u64, ZERO>),
            _ => thread(load_literal::<u32, SIGN64>),
        },
    }
}

/// The address of the access, and what the base register becomes.
#[inline(always)]
fn addresses<const MODE: u8>(cpu: &mut Cpu, i: &Insn) -> Result<(u64, u64), Flow> {
    let base = cpu.base(i.rn)?;
    let offset = match MODE {
        REGISTER => extend(cpu.x(i.rm), i.ra.into(), i.imm as u32),
        _ => i.imm,
    };
    let moved = base.wrapping_add(offset);
    Ok((if MODE == POST { base } else { moved }, moved))
}

/// The same without exceptions: `None` if the stack pointer is misaligned and that is checked.
#[inline(always)]
fn quick_addresses<const MODE: u8>(cpu: &Cpu, i: &Insn) -> Option<(u64, u64)> {
    let base = cpu.x(i.rn);
    if i.rn == R_SP && base & 15 != 0 && cpu.sp_check() {
        return None;
    }
    let offset = match MODE {
        REGISTER => extend(cpu.x(i.rm), i.ra.into(), i.imm as u32),
        _ => i.imm,
    };
    let moved = base.wrapping_add(offset);
    Some((if MODE == POST { base } else { moved }, moved))
}

// The quick parts: what a hit in the TLB alone settles.

#[inline(always)]
fn quick_load<T: Extend, const MODE: u8, const EXTEND: u8>(cpu: &mut Cpu, i: &Insn) -> bool {
    let Some((va, moved)) = quick_addresses::<MODE>(cpu, i) else { return false };
    let Some(value) = cpu.load_hit::<T>(va) else { return false };
    cpu.set_x(i.rd, extended::<T, EXTEND>(value));
    if MODE == PRE || MODE == POST {
        cpu.set_x(i.rn, moved);
    }
    true
}

#[inline(always)]
fn quick_store<T: Extend, const MODE: u8>(cpu: &mut Cpu, i: &Insn) -> bool {
    let Some((va, moved)) = quick_addresses::<MODE>(cpu, i) else { return false };
    let value = T::from_u64(cpu.x(i.rd));
    if !cpu.store_hit::<T>(va, value) {
        return false;
    }
    if MODE == PRE || MODE == POST {
        cpu.set_x(i.rn, moved);
    }
    true
}

#[inline(always)]
fn quick_load_pair<T: Extend, const MODE: u8, const EXTEND: u8>(cpu: &mut Cpu, i: &Insn) -> bool {
    let Some((va, moved)) = quick_addresses::<MODE>(cpu, i) else { return false };
    let Some([first, second]) = cpu.load_pair_hit::<T>(va) else { return false };
    cpu.set_x(i.rd, extended::<T, EXTEND>(first));
    cpu.set_x(i.ra, extended::<T, EXTEND>(second));
    if MODE == PRE || MODE == POST {
        cpu.set_x(i.rn, moved);
    }
    true
}

#[inline(always)]
fn quick_store_pair<T: Extend, const MODE: u8>(cpu: &mut Cpu, i: &Insn) -> bool {
    let Some((va, moved)) = quick_addresses::<MODE>(cpu, i) else { return false };
    let values = [T::from_u64(cpu.x(i.rd)), T::from_u64(cpu.x(i.ra))];
    if !cpu.store_pair_hit::<T>(va, values) {
        return false;
    }
    if MODE == PRE || MODE == POST {
        cpu.set_x(i.rn, moved);
    }
    true
}

const fn access(mode: u8) -> Access {
    if mode == UNPRIVILEGED { Access::Unprivileged } else { Access::Normal }
}

#[inline(always)]
fn load<T: Extend, const MODE: u8, const EXTEND: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (va, moved) = match addresses::<MODE>(cpu, i) {
        Ok(addresses) => addresses,
        Err(flow) => return flow,
    };
    match cpu.load::<T>(va, access(MODE)) {
        Ok(value) => {
            cpu.set_x(i.rd, extended::<T, EXTEND>(value));
            if MODE == PRE || MODE == POST {
                cpu.set_x(i.rn, moved);
            }
            Flow::Next
        }
        Err(flow) => flow,
    }
}

#[inline(always)]
fn store<T: Extend, const MODE: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (va, moved) = match addresses::<MODE>(cpu, i) {
        Ok(addresses) => addresses,
        Err(flow) => return flow,
    };
    let value = T::from_u64(cpu.x(i.rd));
    if let Err(flow) = cpu.store::<T>(va, value, access(MODE)) {
        return flow;
    }
    if MODE == PRE || MODE == POST {
        cpu.set_x(i.rn, moved);
    }
    Flow::Next
}

#[inline(always)]
fn load_pair<T: Extend, const MODE: u8, const EXTEND: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (va, moved) = match addresses::<MODE>(cpu, i) {
        Ok(addresses) => addresses,
        Err(flow) => return flow,
    };
    let first = match cpu.load::<T>(va, Access::Normal) {
        Ok(value) => value,
        Err(flow) => return flow,
    };
    let second = match cpu.load::<T>(va.wrapping_add(T::SIZE), Access::Normal) {
        Ok(value) => value,
        Err(flow) => return flow,
    };
    cpu.set_x(i.rd, extended::<T, EXTEND>(first));
    cpu.set_x(i.ra, extended::<T, EXTEND>(second));
    if MODE == PRE || MODE == POST {
        cpu.set_x(i.rn, moved);
    }
    Flow::Next
}

#[inline(always)]
fn store_pair<T: Extend, const MODE: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let (va, moved) = match addresses::<MODE>(cpu, i) {
        Ok(addresses) => addresses,
        Err(flow) => return flow,
    };
    let (first, second) = (T::from_u64(cpu.x(i.rd)), T::from_u64(cpu.x(i.ra)));
    if let Err(flow) = cpu.store::<T>(va, first, Access::Normal) {
        return flow;
    }
    if let Err(flow) = cpu.store::<T>(va.wrapping_add(T::SIZE), second, Access::Normal) {
        return flow;
    }
    if MODE == PRE || MODE == POST {
        cpu.set_x(i.rn, moved);
    }
    Flow::Next
}

fn load_literal<T: Extend, const EXTEND: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let va = (cpu.pc & !0xfff).wrapping_add(i.imm);
    match cpu.load::<T>(va, Access::Normal) {
        Ok(value) => {
            cpu.set_x(i.rd, extended::<T, EXTEND>(value));
            Flow::Next
        }
        Err(flow) => flow,
    }
}

/// The instruction's part of a data-abort syndrome: ISV, SAS, SSE, SRT, SF and AR (Arm ARM, ISS
/// encoding for an exception from a Data Abort). Zero for what such a syndrome cannot describe:
/// pairs, write-back, exclusives and atomics.
pub fn abort_syndrome(op: BaseOp, insn: &Insn) -> u64 {
    let (width, mode) = match op {
        BaseOp::Load | BaseOp::Store => ((insn.aux & 15) as u8, (insn.aux >> 4) as u8),
        BaseOp::LoadLiteral => ((insn.aux & 15) as u8, OFFSET),
        BaseOp::LoadAcquire | BaseOp::LoadAcquirePc | BaseOp::StoreRelease => {
            (insn.aux as u8, OFFSET)
        }
        _ => return 0,
    };
    if matches!(mode, PRE | POST) {
        return 0;
    }
    let (size, signed, wide) = match width {
        U8 => (0, 0, 0),
        U16 => (1, 0, 0),
        U32 => (2, 0, 0),
        U64 => (3, 0, 1),
        S8_TO_32 => (0, 1, 0),
        S8_TO_64 => (0, 1, 1),
        S16_TO_32 => (1, 1, 0),
        S16_TO_64 => (1, 1, 1),
        _ => (2, 1, 1),
    };
    let ordered = matches!(op, BaseOp::LoadAcquire | BaseOp::LoadAcquirePc | BaseOp::StoreRelease);
    let rt = u64::from(insn.word & 31);
    1 << 24 | size << 22 | signed << 21 | rt << 16 | wide << 15 | u64::from(ordered) << 14
}
