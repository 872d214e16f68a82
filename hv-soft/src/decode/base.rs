//! Base operations, and the groups of encoding classes that decode to them.
//!
//! Conventions of [`Insn::aux`](crate::insn::Insn::aux) for base operations: bit 0 is set for the
//! 64-bit form; what lies above is said at each operation.

use super::{Pattern, base_dp, base_ldst, base_sys};
use crate::insn::{Insn, Op};

/// Base operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[rustfmt::skip]
#[expect(missing_docs, reason = "mnemonics of the Arm ARM; comments hold for the group that follows")]
pub enum BaseOp {
    /// rd = page of the PC + imm.
    Adr, Adrp,
    /// rd = rn op imm.
    AddImm, AddsImm, SubImm, SubsImm, AndImm, OrrImm, EorImm, AndsImm,
    /// rd = imm.
    MovImm,
    /// Inserts 16 bits at `ra`.
    Movk,
    /// rd = ((rn >> ra) & imm) << rm.
    Ubfm,
    /// rd = (rn << rm >> ra, arithmetically) << imm.
    Sbfm,
    /// Inserts ((rn >> ra) & imm) << rm.
    Bfm,
    /// rd = low half of rn:rm >> imm.
    Extr,
    /// rd = rn op (rm shifted); aux bits 2:1 are the kind of shift, imm the amount.
    Add, Adds, Sub, Subs, And, Bic, Orr, Orn, Eor, Eon, Ands, Bics,
    /// rd = rn op (rm extended); aux bits 3:1 are the extension, imm the shift.
    AddExt, AddsExt, SubExt, SubsExt,
    Adc, Adcs, Sbc, Sbcs,
    /// aux bits 4:1 are the condition, ra the flags otherwise.
    CcmnReg, CcmpReg, CcmnImm, CcmpImm,
    /// aux bits 4:1 are the condition.
    Csel, Csinc, Csinv, Csneg,
    Udiv, Sdiv, Lslv, Lsrv, Asrv, Rorv,
    /// ra is the logarithm of the bytes.
    Crc32, Crc32c,
    Rbit, Rev16, Rev32, Rev, Clz, Cls,
    Madd, Msub, Smaddl, Smsubl, Umaddl, Umsubl, Smulh, Umulh,
    /// Target in imm, relative to the PC.
    B, Bl,
    /// aux bits 4:1 are the condition.
    BCond,
    Cbz, Cbnz,
    /// ra is the bit.
    Tbz, Tbnz,
    Br, Blr, Ret, Eret,
    Svc, Hvc, Smc, Brk,
    Nop, Yield, Wfe, Wfi, Sev, Sevl,
    Clrex, Dsb, Dmb, Isb,
    /// ra is op1:op2, imm the immediate.
    MsrImm,
    /// imm is the number of the register.
    Mrs, MsrReg,
    /// imm is the number of the operation.
    Sys, Sysl,
    /// aux is a [`Width`] and, from bit 4, a [`Mode`].
    Load, Store,
    /// Second register in ra.
    LoadPair, StorePair,
    /// imm relative to the PC; aux is a [`Width`].
    LoadLiteral,
    /// aux is the logarithm of the bytes.
    LoadExclusive, StoreExclusive, LoadExclusivePair, StoreExclusivePair,
    LoadAcquire, StoreRelease, LoadAcquirePc,
    Cas, Casp,
    AtomicAdd, AtomicClr, AtomicEor, AtomicSet,
    AtomicSmax, AtomicSmin, AtomicUmax, AtomicUmin, Swap,
}

/// What a load or store of one general register transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "bits, and sign extension to how many")]
pub enum Width {
    U8,
    U16,
    U32,
    U64,
    S8To32,
    S8To64,
    S16To32,
    S16To64,
    S32To64,
}

/// How a load or store forms its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// rn + imm.
    Offset,
    /// rn + imm, written back.
    Pre,
    /// rn; rn + imm is written back.
    Post,
    /// rn + imm with the rights of EL0.
    Unprivileged,
    /// rn + (rm extended as ra bits 2:0, shifted by imm).
    Register,
}

/// A base instruction of the 32- or 64-bit form.
pub(super) fn base(op: BaseOp, word: u32, sf: bool) -> Insn {
    Insn { aux: sf.into(), ..Insn::new(Op::Base(op), word) }
}

/// The groups of base encoding classes.
pub fn groups() -> Vec<&'static [Pattern]> {
    vec![base_dp::PATTERNS, base_ldst::PATTERNS, base_sys::PATTERNS]
}
