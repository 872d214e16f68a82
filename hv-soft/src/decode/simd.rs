//! Encodings of SIMD&FP and cryptographic instructions.

use super::Pattern;

/// SIMD&FP operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimdOp {}

/// The groups of encoding classes of this file.
pub fn groups() -> Vec<&'static [Pattern]> {
    vec![]
}
