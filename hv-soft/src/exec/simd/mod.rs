//! Semantics of SIMD&FP loads, stores and integer operations.

use crate::decode::simd::SimdOp;
use crate::insn::{Handler, Insn};

/// The handler of a SIMD&FP operation.
pub fn handler(op: SimdOp, _insn: &Insn) -> Handler {
    match op {}
}
