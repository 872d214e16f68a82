//! Semantics: one function an operation.

pub mod base;
pub(crate) mod crypto;
pub(crate) mod fp;
pub mod simd;
pub(crate) mod thread;

use crate::cpu::Cpu;
use crate::decode::base::BaseOp;
use crate::decode::simd::SimdOp;
use crate::insn::{Flow, Insn, Op};
use thread::Step;

/// The step that runs an instruction.
pub(crate) fn step(insn: Insn) -> Step {
    match insn.op {
        Op::Undefined => Step::called(undefined, insn),
        Op::Base(op) => Step::threaded(base::handler(op, &insn), insn),
        Op::Simd(op) => Step::called(simd::handler(op, &insn), insn),
    }
}

/// An unallocated encoding.
pub fn undefined(cpu: &mut Cpu, _: &Insn) -> Flow {
    cpu.raise_undefined()
}

/// Makes an instruction relative to its page; it lies `offset` bytes from the start.
pub fn bind(insn: &mut Insn, offset: u32) {
    match insn.op {
        Op::Base(op) => base::bind(op, insn, offset),
        Op::Simd(SimdOp::LdrLiteral) => insn.imm = insn.imm.wrapping_add(offset.into()),
        _ => {}
    }
}

/// Whether a block ends with this instruction.
pub fn ends_block(insn: &Insn) -> bool {
    match insn.op {
        Op::Undefined => true,
        Op::Base(op) => base::ends_block(op, insn),
        Op::Simd(_) => false,
    }
}

/// Whether this is a load-exclusive, as the syndrome of a software step tells.
pub fn is_load_exclusive(insn: &Insn) -> bool {
    matches!(insn.op, Op::Base(BaseOp::LoadExclusive | BaseOp::LoadExclusivePair))
}

/// The instruction's part of the syndrome of a data abort that leaves the core.
pub fn abort_syndrome(insn: &Insn) -> u64 {
    match insn.op {
        Op::Base(op) => base::abort_syndrome(op, insn),
        _ => 0,
    }
}
