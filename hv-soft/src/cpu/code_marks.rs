//! Which guest-physical pages some vCPU holds decoded instructions of, so that IC IVAU of a page that
//! nobody executes costs nothing.
//!
//! The marks belong to guest-physical addresses, not to the memory map at one time: vCPUs take over a
//! new map one after the other, and an invalidation by one that has the old map must reach the one
//! that decodes from the new.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use crate::mem::PAGE;
use crate::mmu::walk::PA_BITS;

/// Pages that share one allocation: 1 GiB.
const CHUNK_PAGES: u64 = (1 << 30) / PAGE;
const CHUNKS: usize = (1 << PA_BITS) / (CHUNK_PAGES * PAGE) as usize;

/// One bit a page.
type Chunk = Box<[AtomicU64]>;

/// The marks of all pages that a guest-physical address can name.
#[derive(Debug)]
pub(crate) struct CodeMarks {
    chunks: Box<[OnceLock<Chunk>]>,
    /// Invalidations that have taken a mark and not yet told every vCPU.
    under_way: AtomicUsize,
}

impl Default for CodeMarks {
    fn default() -> CodeMarks {
        CodeMarks {
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            under_way: AtomicUsize::new(0),
        }
    }
}

impl CodeMarks {
    /// Marks a page. Sequentially consistent: the caller reads the page's instructions afterwards, and
    /// whoever wrote them before invalidating sees the mark.
    pub(crate) fn set(&self, ipa: u64) {
        let (chunk, word, bit) = place(ipa);
        let chunk = self.chunks[chunk]
            .get_or_init(|| (0..CHUNK_PAGES / 64).map(|_| AtomicU64::new(0)).collect());
        if chunk[word].load(Ordering::SeqCst) & bit == 0 {
            chunk[word].fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// Removes the mark of a page and, if it was set, has `tell` ask every vCPU to drop the page. Also
    /// if somebody else has just removed a mark and not asked yet: the caller's barrier has to wait for
    /// what it would otherwise take to be done.
    pub(crate) fn take(&self, ipa: u64, tell: impl FnOnce()) {
        let (chunk, word, bit) = place(ipa);
        fence(Ordering::SeqCst);
        let Some(word) = self.chunks[chunk].get().map(|chunk| &chunk[word]) else { return };
        let marked = word.load(Ordering::SeqCst) & bit != 0;
        if !marked && self.under_way.load(Ordering::SeqCst) == 0 {
            return;
        }
        self.under_way.fetch_add(1, Ordering::SeqCst);
        word.fetch_and(!bit, Ordering::SeqCst);
        tell();
        self.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Chunk, word and bit of a page.
fn place(ipa: u64) -> (usize, usize, u64) {
    let page = ipa / PAGE;
    let within = page % CHUNK_PAGES;
    ((page / CHUNK_PAGES) as usize, (within / 64) as usize, 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_once() {
        let marks = CodeMarks::default();
        let last = (1 << PA_BITS) - PAGE;
        for ipa in [0, PAGE, 1 << 30, last] {
            let taken = |ipa| {
                let mut told = false;
                marks.take(ipa, || told = true);
                told
            };
            assert!(!taken(ipa), "{ipa:#x}");
            marks.set(ipa);
            assert!(!taken(ipa ^ PAGE), "{ipa:#x}");
            assert!(taken(ipa), "{ipa:#x}");
            assert!(!taken(ipa), "{ipa:#x}");
        }
    }

    #[test]
    fn an_invalidation_does_not_rely_on_one_that_is_under_way() {
        let marks = CodeMarks::default();
        marks.set(PAGE);
        let mut told = false;
        marks.take(PAGE, || marks.take(PAGE, || told = true));
        assert!(told);
    }
}
