//! Loads and stores of one, two or a literal register.

use super::lanes::{set_v, v};
use crate::cpu::Cpu;
use crate::decode::simd::mem;
use crate::insn::{Flow, Handler, Insn};
use crate::mem::GuestInt;
use crate::mmu::Access;

/// Where an access goes.
pub(super) mod addressing {
    /// Base plus immediate.
    pub(super) const OFFSET: u8 = 0;
    /// Base plus immediate, which is written back.
    pub(super) const PRE: u8 = 1;
    /// Base; base plus immediate is written back.
    pub(super) const POST: u8 = 2;
    /// Base plus extended register.
    pub(super) const REGISTER: u8 = 3;
}

/// The integer of a register's low part.
pub(super) trait Part: GuestInt {
    /// The low part of a register.
    fn of(v: u128) -> Self;
    /// Zero-extended to a register.
    fn extend(self) -> u128;
}

macro_rules! part {
    ($($t:ty),*) => {$(
        impl Part for $t {
            #[inline(always)]
            fn of(v: u128) -> Self {
                v as $t
            }
            #[inline(always)]
            fn extend(self) -> u128 {
                u128::from(self)
            }
        }
    )*};
}

part!(u8, u16, u32, u64, u128);

/// Unwraps what a memory access returns, or returns the flow of its fault.
macro_rules! attempt {
    ($access:expr) => {
        match $access {
            Ok(value) => value,
            Err(flow) => return flow,
        }
    };
}
pub(super) use attempt;

/// `ExtendReg`: the offset register, extended and shifted.
#[inline(always)]
fn register_offset(cpu: &Cpu, i: &Insn) -> u64 {
    let x = cpu.x(i.rm);
    let extended = match i.aux >> mem::OPTION_SHIFT & 7 {
        2 => u64::from(x as u32),
        6 => i64::from(x as i32) as u64,
        _ => x,
    };
    extended << (i.aux >> mem::AMOUNT_SHIFT & 7)
}

/// The address of the access.
#[inline(always)]
fn address<const MODE: u8>(cpu: &Cpu, i: &Insn, base: u64) -> u64 {
    match MODE {
        addressing::POST => base,
        addressing::REGISTER => base.wrapping_add(register_offset(cpu, i)),
        _ => base.wrapping_add(i.imm),
    }
}

/// Writes the base back, once the access has succeeded.
#[inline(always)]
fn write_back<const MODE: u8>(cpu: &mut Cpu, i: &Insn, base: u64) {
    if matches!(MODE, addressing::PRE | addressing::POST) {
        cpu.set_x(i.rn, base.wrapping_add(i.imm));
    }
}

/// LDR, LDUR.
pub(super) fn ldr<T: Part, const MODE: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    let value = attempt!(cpu.load::<T>(address::<MODE>(cpu, i, base), Access::Normal));
    set_v(cpu, i.rd, value.extend());
    write_back::<MODE>(cpu, i, base);
    Flow::Next
}

/// STR, STUR.
pub(super) fn str<T: Part, const MODE: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    let value = T::of(v(cpu, i.rd));
    attempt!(cpu.store::<T>(address::<MODE>(cpu, i, base), value, Access::Normal));
    write_back::<MODE>(cpu, i, base);
    Flow::Next
}

/// LDP, LDNP.
pub(super) fn ldp<T: Part, const MODE: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    let at = address::<MODE>(cpu, i, base);
    let first = attempt!(cpu.load::<T>(at, Access::Normal));
    let second = attempt!(cpu.load::<T>(at.wrapping_add(T::SIZE), Access::Normal));
    set_v(cpu, i.rd, first.extend());
    set_v(cpu, i.ra, second.extend());
    write_back::<MODE>(cpu, i, base);
    Flow::Next
}

/// STP, STNP.
pub(super) fn stp<T: Part, const MODE: u8>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let base = attempt!(cpu.base(i.rn));
    let at = address::<MODE>(cpu, i, base);
    let (first, second) = (T::of(v(cpu, i.rd)), T::of(v(cpu, i.ra)));
    attempt!(cpu.store::<T>(at, first, Access::Normal));
    attempt!(cpu.store::<T>(at.wrapping_add(T::SIZE), second, Access::Normal));
    write_back::<MODE>(cpu, i, base);
    Flow::Next
}

/// LDR, literal: `imm` counts from the start of the page (see [`bind`](crate::exec::bind)).
pub(super) fn ldr_literal<T: Part>(cpu: &mut Cpu, i: &Insn) -> Flow {
    let at = (cpu.pc & !0xfff).wrapping_add(i.imm);
    let value = attempt!(cpu.load::<T>(at, Access::Normal));
    set_v(cpu, i.rd, value.extend());
    Flow::Next
}

macro_rules! by_addressing {
    ($i:expr, $f:ident, $t:ty) => {
        match $i.aux & (mem::WRITE_BACK | mem::POST | mem::REGISTER) {
            mem::REGISTER => $f::<$t, { addressing::REGISTER }>,
            mem::WRITE_BACK => $f::<$t, { addressing::PRE }>,
            0 => $f::<$t, { addressing::OFFSET }>,
            _ => $f::<$t, { addressing::POST }>,
        }
    };
}

macro_rules! by_access {
    ($i:expr, $f:ident) => {
        match $i.aux & mem::SIZE {
            0 => by_addressing!($i, $f, u8),
            1 => by_addressing!($i, $f, u16),
            2 => by_addressing!($i, $f, u32),
            3 => by_addressing!($i, $f, u64),
            _ => by_addressing!($i, $f, u128),
        }
    };
}

/// The handler of LDR.
pub(super) fn ldr_handler(i: &Insn) -> Handler {
    by_access!(i, ldr)
}

/// The handler of STR.
pub(super) fn str_handler(i: &Insn) -> Handler {
    by_access!(i, str)
}

/// The handler of LDP.
pub(super) fn ldp_handler(i: &Insn) -> Handler {
    by_access!(i, ldp)
}

/// The handler of STP.
pub(super) fn stp_handler(i: &Insn) -> Handler {
    by_access!(i, stp)
}

/// The handler of LDR, literal.
pub(super) fn literal_handler(i: &Insn) -> Handler {
    match i.aux & mem::SIZE {
        2 => ldr_literal::<u32>,
        3 => ldr_literal::<u64>,
        _ => ldr_literal::<u128>,
    }
}
