//! The decoded instruction: what the decoder hands to the semantics.
//!
//! Everything an instruction says is extracted once, when its block is decoded. Register fields are
//! *slots* of [`Cpu::r`](crate::cpu::Cpu::r), so that neither the zero register nor the stack pointer
//! needs a test when the instruction runs.

use crate::cpu::Cpu;
use crate::decode::base::BaseOp;
use crate::decode::simd::SimdOp;

/// Slot that always reads as zero: XZR/WZR as a source.
pub const R_ZERO: u8 = 31;
/// Slot whose content nobody reads: XZR/WZR as a destination.
pub const R_SINK: u8 = 32;
/// Slot of the current stack pointer (the one `PSTATE.SP` and `PSTATE.EL` select).
pub const R_SP: u8 = 33;

/// Slot of a source field in which 31 means the zero register.
pub const fn src(field: u32) -> u8 {
    (field & 31) as u8
}

/// Slot of a destination field in which 31 means the zero register.
pub const fn dst(field: u32) -> u8 {
    if field & 31 == 31 { R_SINK } else { (field & 31) as u8 }
}

/// Slot of a field in which 31 means the stack pointer.
pub const fn sp_or(field: u32) -> u8 {
    if field & 31 == 31 { R_SP } else { (field & 31) as u8 }
}

/// Which operation an instruction is. The meaning of the other fields of [`Insn`] depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// No encoding allocated by the features that the ID registers promise.
    Undefined,
    /// A base instruction.
    Base(BaseOp),
    /// A SIMD&FP or cryptographic instruction. `CPACR_EL1.FPEN` is tested before its handler runs.
    Simd(SimdOp),
}

/// A decoded instruction.
///
/// General registers are slots ([`src`], [`dst`], [`sp_or`]); vector registers are plain numbers.
#[derive(Clone, Copy, Debug)]
pub struct Insn {
    /// The operation.
    pub op: Op,
    /// Destination (or the register transferred, for loads and stores).
    pub rd: u8,
    /// First source, or the base register.
    pub rn: u8,
    /// Second source.
    pub rm: u8,
    /// Third source, second transferred register, or a small modifier.
    pub ra: u8,
    /// Whatever else the operation needs: shift kind and amount, condition, element size, …
    pub aux: u32,
    /// The encoding, for syndromes.
    pub word: u32,
    /// Immediate operand, already scaled, extended or expanded.
    pub imm: u64,
}

impl Insn {
    /// An instruction with nothing but its operation and encoding filled in.
    pub const fn new(op: Op, word: u32) -> Insn {
        Insn { op, rd: R_SINK, rn: R_ZERO, rm: R_ZERO, ra: R_ZERO, aux: 0, word, imm: 0 }
    }

    /// An instruction that is not allocated.
    pub const fn undefined(word: u32) -> Insn {
        Insn::new(Op::Undefined, word)
    }
}

/// What the dispatcher does after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flow {
    /// Go on with the next instruction of the block.
    Next,
    /// The handler wrote [`Cpu::pc`]: look up the block there.
    Jump,
    /// Advance past this instruction, then leave the block: the execution context may have changed.
    Sync,
    /// The handler recorded an exception with [`Cpu::raise`]; take it with this instruction's address.
    /// Or it recorded none, wrote [`Cpu::pc`], and changed how instructions are fetched.
    Exception,
    /// The handler recorded an exit in [`Cpu::exit`]; leave the core with the PC at this instruction.
    Exit,
}

/// Semantics of one operation.
pub type Handler = fn(&mut Cpu, &Insn) -> Flow;
