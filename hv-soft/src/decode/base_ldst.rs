//! Loads and stores of general registers, exclusives and atomics (Arm ARM C4.1.88).

use super::base::BaseOp::{self, *};
use super::base::{Mode, Width, base};
use super::{Pattern, field, sfield};
use crate::insn::{Insn, dst, sp_or, src};

fn access(w: u32, op: BaseOp, width: Width, mode: Mode) -> Insn {
    let is_store = matches!(op, Store | StorePair);
    let rd = if is_store { src(w) } else { dst(w) };
    let aux = width as u32 | (mode as u32) << 4;
    Insn { rd, rn: sp_or(w >> 5), aux, ..base(op, w, false) }
}

/// Operation and width of a single-register access by size (31:30) and opc (23:22). `None` for what
/// is unallocated; a prefetch is a NOP.
fn single(w: u32, mode: Mode) -> Option<Insn> {
    let (size, opc) = (field(w, 31, 30), field(w, 23, 22));
    let (op, width) = match (size, opc) {
        (0, 0) => (Store, Width::U8),
        (0, 1) => (Load, Width::U8),
        (0, 2) => (Load, Width::S8To64),
        (0, 3) => (Load, Width::S8To32),
        (1, 0) => (Store, Width::U16),
        (1, 1) => (Load, Width::U16),
        (1, 2) => (Load, Width::S16To64),
        (1, 3) => (Load, Width::S16To32),
        (2, 0) => (Store, Width::U32),
        (2, 1) => (Load, Width::U32),
        (2, 2) => (Load, Width::S32To64),
        (3, 0) => (Store, Width::U64),
        (3, 1) => (Load, Width::U64),
        (3, 2) if matches!(mode, Mode::Offset | Mode::Register) => return Some(base(Nop, w, true)),
        _ => return None,
    };
    Some(access(w, op, width, mode))
}

fn unsigned_offset(w: u32) -> Option<Insn> {
    let imm = u64::from(field(w, 21, 10)) << field(w, 31, 30);
    Some(Insn { imm, ..single(w, Mode::Offset)? })
}

fn imm9(w: u32, mode: Mode) -> Option<Insn> {
    Some(Insn { imm: sfield(w, 20, 12) as u64, ..single(w, mode)? })
}

fn unscaled(w: u32) -> Option<Insn> {
    imm9(w, Mode::Offset)
}

fn post(w: u32) -> Option<Insn> {
    imm9(w, Mode::Post)
}

fn pre(w: u32) -> Option<Insn> {
    imm9(w, Mode::Pre)
}

fn unprivileged(w: u32) -> Option<Insn> {
    imm9(w, Mode::Unprivileged)
}

fn register(w: u32) -> Option<Insn> {
    // Options without bit 1 would extend from less than a word.
    if field(w, 14, 14) == 0 {
        return None;
    }
    let shift = if field(w, 12, 12) != 0 { field(w, 31, 30) } else { 0 };
    let insn = single(w, Mode::Register)?;
    Some(Insn { rm: src(w >> 16), ra: field(w, 15, 13) as u8, imm: shift.into(), ..insn })
}

fn literal(w: u32) -> Option<Insn> {
    let width = match field(w, 31, 30) {
        0 => Width::U32,
        1 => Width::U64,
        2 => Width::S32To64,
        _ => return Some(base(Nop, w, true)),
    };
    let imm = (sfield(w, 23, 5) << 2) as u64;
    Some(Insn { rd: dst(w), imm, aux: width as u32, ..base(LoadLiteral, w, false) })
}

fn pair(w: u32, mode: Mode) -> Option<Insn> {
    let is_load = field(w, 22, 22) != 0;
    let (width, scale) = match (field(w, 31, 30), is_load) {
        (0, _) => (Width::U32, 2),
        (1, true) => (Width::S32To64, 2),
        (2, _) => (Width::U64, 3),
        _ => return None,
    };
    let imm = (sfield(w, 21, 15) << scale) as u64;
    let insn = access(w, if is_load { LoadPair } else { StorePair }, width, mode);
    let ra = if is_load { dst(w >> 10) } else { src(w >> 10) };
    Some(Insn { ra, imm, ..insn })
}

fn pair_offset(w: u32) -> Option<Insn> {
    pair(w, Mode::Offset)
}

fn pair_no_allocate(w: u32) -> Option<Insn> {
    // There is no LDPSW without allocation.
    if field(w, 31, 30) == 1 { None } else { pair(w, Mode::Offset) }
}

fn pair_post(w: u32) -> Option<Insn> {
    pair(w, Mode::Post)
}

fn pair_pre(w: u32) -> Option<Insn> {
    pair(w, Mode::Pre)
}

/// rd transferred, rn address, rm status, ra second register; aux is the size.
fn sized(w: u32, op: BaseOp, size: u32, is_load: bool) -> Insn {
    let reg = if is_load { dst } else { src };
    Insn { rd: reg(w), rn: sp_or(w >> 5), ra: reg(w >> 10), aux: size, ..base(op, w, false) }
}

fn exclusive(w: u32) -> Option<Insn> {
    let is_load = field(w, 22, 22) != 0;
    let op = if is_load { LoadExclusive } else { StoreExclusive };
    Some(Insn { rm: dst(w >> 16), ..sized(w, op, field(w, 31, 30), is_load) })
}

fn exclusive_pair(w: u32) -> Option<Insn> {
    let is_load = field(w, 22, 22) != 0;
    let op = if is_load { LoadExclusivePair } else { StoreExclusivePair };
    Some(Insn { rm: dst(w >> 16), ..sized(w, op, field(w, 30, 30) + 2, is_load) })
}

fn ordered(w: u32) -> Option<Insn> {
    let is_load = field(w, 22, 22) != 0;
    let op = if is_load { LoadAcquire } else { StoreRelease };
    Some(sized(w, op, field(w, 31, 30), is_load))
}

fn load_acquire_pc(w: u32) -> Option<Insn> {
    Some(sized(w, LoadAcquirePc, field(w, 31, 30), true))
}

/// rm is compared and receives the old value (so it is a source and a destination: ra is the latter).
fn cas(w: u32) -> Option<Insn> {
    let insn = sized(w, Cas, field(w, 31, 30), false);
    Some(Insn { rm: src(w >> 16), ra: dst(w >> 16), ..insn })
}

/// Pairs start at an even register.
fn casp(w: u32) -> Option<Insn> {
    if w & 1 != 0 || w >> 16 & 1 != 0 {
        return None;
    }
    let insn = sized(w, Casp, field(w, 30, 30) + 2, false);
    Some(Insn { rd: src(w), rm: src(w >> 16), ..insn })
}

/// rm is the operand, rd receives the old value.
fn atomic(w: u32) -> Option<Insn> {
    let op = match (field(w, 15, 15), field(w, 14, 12)) {
        (0, 0) => AtomicAdd,
        (0, 1) => AtomicClr,
        (0, 2) => AtomicEor,
        (0, 3) => AtomicSet,
        (0, 4) => AtomicSmax,
        (0, 5) => AtomicSmin,
        (0, 6) => AtomicUmax,
        (0, 7) => AtomicUmin,
        (1, 0) => Swap,
        _ => return None,
    };
    Some(Insn { rm: src(w >> 16), ..sized(w, op, field(w, 31, 30), true) })
}

#[rustfmt::skip]
pub(super) static PATTERNS: &[Pattern] = &[
    Pattern::new("ldr/str (unsigned offset)",  "zz111001 oo iiiiiiiiiiii nnnnn ttttt", unsigned_offset),
    Pattern::new("ldur/stur",                  "zz111000 oo0iiiiiiiii 00 nnnnn ttttt", unscaled),
    Pattern::new("ldr/str (post-index)",       "zz111000 oo0iiiiiiiii 01 nnnnn ttttt", post),
    Pattern::new("ldtr/sttr",                  "zz111000 oo0iiiiiiiii 10 nnnnn ttttt", unprivileged),
    Pattern::new("ldr/str (pre-index)",        "zz111000 oo0iiiiiiiii 11 nnnnn ttttt", pre),
    Pattern::new("ldr/str (register)",         "zz111000 oo1mmmmm eeeS 10 nnnnn ttttt", register),
    Pattern::new("ldr (literal)",              "zz011000 iiiiiiiiiiiiiiiiiii ttttt", literal),
    Pattern::new("ldnp/stnp",                  "zz101000 0Liiiiiii uuuuu nnnnn ttttt", pair_no_allocate),
    Pattern::new("ldp/stp (post-index)",       "zz101000 1Liiiiiii uuuuu nnnnn ttttt", pair_post),
    Pattern::new("ldp/stp (offset)",           "zz101001 0Liiiiiii uuuuu nnnnn ttttt", pair_offset),
    Pattern::new("ldp/stp (pre-index)",        "zz101001 1Liiiiiii uuuuu nnnnn ttttt", pair_pre),
    Pattern::new("ldxr/stxr",                  "zz001000 0L0sssss o11111 nnnnn ttttt", exclusive),
    Pattern::new("ldxp/stxp",                  "1z001000 0L1sssss ouuuuu nnnnn ttttt", exclusive_pair),
    Pattern::new("ldar/stlr",                  "zz001000 1L011111 111111 nnnnn ttttt", ordered),
    Pattern::new("ldapr",                      "zz111000 10111111 110000 nnnnn ttttt", load_acquire_pc),
    Pattern::new("cas",                        "zz001000 1L1sssss o11111 nnnnn ttttt", cas),
    Pattern::new("casp",                       "0z001000 0L1sssss o11111 nnnnn ttttt", casp),
    Pattern::new("ld<op>/swp",                 "zz111000 ar1sssss oooo00 nnnnn ttttt", atomic),
];
