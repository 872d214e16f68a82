//! The table-driven decoder: the only place that knows encodings.
//!
//! A [`Pattern`] names one encoding class of the Arm ARM (section C4) with the bits that are fixed in
//! it and a function that extracts its operands. A word belongs to the first pattern that matches and
//! whose function accepts it; a word that belongs to none is UNDEFINED.

pub mod base;
mod base_dp;
mod base_ldst;
mod base_sys;
mod crypto;
mod fp;
pub mod simd;
mod simd_copy;
mod simd_mem;
mod simd_misc;
mod simd_shift;
mod simd_three;

use std::sync::LazyLock;

use crate::insn::Insn;

/// One encoding class.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Name, as in the index of the Arm ARM, in lower case.
    pub name: &'static str,
    /// Bits that are fixed.
    pub mask: u32,
    /// Values of the fixed bits.
    pub value: u32,
    /// Extracts the operands; `None` if this word is not allocated.
    pub decode: fn(u32) -> Option<Insn>,
}

impl Pattern {
    /// A pattern from its bits, most significant first: `0` and `1` are fixed, spaces and `_` are
    /// skipped, and any other character stands for one bit of a field.
    ///
    /// # Panics
    /// If `bits` does not describe exactly 32 bits (at compile time, when used in a `static`).
    pub const fn new(
        name: &'static str,
        bits: &'static str,
        decode: fn(u32) -> Option<Insn>,
    ) -> Pattern {
        let text = bits.as_bytes();
        let (mut mask, mut value, mut count, mut i) = (0u32, 0u32, 0, 0);
        while i < text.len() {
            let fixed = match text[i] {
                b' ' | b'_' => {
                    i += 1;
                    continue;
                }
                b'0' => (1, 0),
                b'1' => (1, 1),
                _ => (0, 0),
            };
            mask = mask << 1 | fixed.0;
            value = value << 1 | fixed.1;
            count += 1;
            i += 1;
        }
        assert!(count == 32, "a pattern has 32 bits");
        Pattern { name, mask, value, decode }
    }

    /// Whether the fixed bits of this class are those of `word`.
    pub const fn matches(&self, word: u32) -> bool {
        word & self.mask == self.value
    }
}

/// Every encoding class, in the order in which they are tried.
pub fn patterns() -> impl Iterator<Item = &'static Pattern> {
    base::groups().into_iter().chain(simd::groups()).flatten()
}

/// A pattern as the decoder looks at it, one after the other in memory.
#[derive(Clone, Copy)]
struct Candidate {
    mask: u32,
    value: u32,
    decode: fn(u32) -> Option<Insn>,
}

/// Patterns by bits 31:21 of the word.
struct Index {
    /// Where the candidates of each value of these bits begin; those of the last one end with the list.
    starts: Vec<u32>,
    candidates: Vec<Candidate>,
}

/// Every process needs it before its first instruction, so each pattern goes only where it belongs.
static INDEX: LazyLock<Index> = LazyLock::new(|| {
    /// Does so for every way to fill the bits that the pattern leaves open.
    fn each(pattern: &Pattern, mut found: impl FnMut(usize)) {
        let (value, free) = (pattern.value >> 21, !pattern.mask >> 21);
        let mut open = free;
        loop {
            found((value | open) as usize);
            if open == 0 {
                break;
            }
            open = (open - 1) & free;
        }
    }
    let mut starts = vec![0; (1 << 11) + 1];
    patterns().for_each(|pattern| each(pattern, |at| starts[at + 1] += 1));
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut ends = starts.clone();
    let undefined = Candidate { mask: 0, value: 0, decode: |_| None };
    let mut candidates = vec![undefined; starts[1 << 11] as usize];
    for pattern in patterns() {
        let &Pattern { mask, value, decode, .. } = pattern;
        each(pattern, |at| {
            candidates[ends[at] as usize] = Candidate { mask, value, decode };
            ends[at] += 1;
        });
    }
    Index { starts, candidates }
});

impl Index {
    /// The candidates for a word, in the order in which they are tried.
    fn of(&self, word: u32) -> &[Candidate] {
        let at = (word >> 21) as usize;
        &self.candidates[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// Decodes one instruction. Total: a word that is not allocated gives [`Op::Undefined`].
///
/// PC-relative instructions get their offset in `imm`.
///
/// [`Op::Undefined`]: crate::insn::Op::Undefined
pub fn decode(word: u32) -> Insn {
    INDEX
        .of(word)
        .iter()
        .filter(|candidate| word & candidate.mask == candidate.value)
        .find_map(|candidate| (candidate.decode)(word))
        .unwrap_or(Insn::undefined(word))
}

/// The encoding class of a word, if it is allocated.
pub fn class_of(word: u32) -> Option<&'static Pattern> {
    patterns().find(|p| p.matches(word) && (p.decode)(word).is_some())
}

/// Bits `hi..=lo` of a word.
pub(crate) const fn field(word: u32, hi: u32, lo: u32) -> u32 {
    word >> lo & ((1u64 << (hi - lo + 1)) - 1) as u32
}

/// Bits `hi..=lo` of a word as a signed number.
pub(crate) const fn sfield(word: u32, hi: u32, lo: u32) -> i64 {
    ((word << (31 - hi)) as i32 >> (31 - hi + lo)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For words of every pattern, with the rest of their bits arbitrary.
    #[test]
    fn the_index_finds_what_a_walk_through_the_table_finds() {
        let mut state = 1u64;
        for pattern in patterns() {
            for _ in 0..50 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let word = (state >> 32) as u32 & !pattern.mask | pattern.value;
                let walked = class_of(word).and_then(|class| (class.decode)(word));
                let walked = walked.unwrap_or(Insn::undefined(word));
                assert_eq!(format!("{:?}", decode(word)), format!("{walked:?}"), "{word:#010x}");
            }
        }
    }
}
