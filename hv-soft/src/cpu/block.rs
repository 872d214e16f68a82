//! Decoded blocks, by guest-physical page.
//!
//! A block is a run of instructions within one page that ends where control may go elsewhere. It
//! depends on nothing but the bytes of the page, so it serves every address space and exception
//! level that maps the page.
//!
//! Decoded instructions are an instruction cache that is not coherent with stores, as CTR_EL0.DIC
//! says: IC IVAU and IC IALLU, here and on other PEs, drop them, and so do a change of the memory map
//! (those within it) and a host that moves the PC (all). A guest that modifies code without that maintenance may run the old
//! instructions, as the architecture has it (Arm ARM B2.7.4).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cpu::code_marks::CodeMarks;
use crate::decode;
use crate::exec;
use crate::exec::thread::Step;
use crate::insn::Op;
use crate::mem::PAGE;

/// Instructions of a page.
const PER_PAGE: usize = (PAGE / 4) as usize;
/// Longest block, in instructions: bounds the time between two looks at the attention word.
const MAX_STEPS: usize = 128;
/// Steps of all blocks together, of 40 bytes each; when there are more, all are dropped.
const CACHE_LIMIT: usize = 1 << 20;
/// What a page without blocks counts for, in steps.
const PAGE_STEPS: usize = 60;

/// A decoded block.
#[derive(Debug)]
pub(crate) struct Block {
    /// Its instructions, then [`Step::end`].
    pub(crate) steps: Box<[Step]>,
    /// How many instructions there are.
    pub(crate) len: u32,
    /// Some instruction is subject to `CPACR_EL1.FPEN`.
    pub(crate) uses_fp: bool,
}

/// The blocks of one guest-physical page.
#[derive(Debug)]
pub(crate) struct CodePage {
    ipa: u64,
    host: *const AtomicU32,
    /// For each instruction the number of the block that starts there, counted from 1; 0 for none. An idle machine
    /// keeps hundreds of pages with few blocks, hence no pointers here.
    index: [u16; PER_PAGE],
    blocks: Vec<Block>,
    steps: usize,
}

impl CodePage {
    /// The block that starts at `pc`, if it has been decoded.
    #[inline(always)]
    pub(crate) fn block(&self, pc: u64) -> Option<&Block> {
        let number = usize::from(self.index[(pc / 4) as usize % PER_PAGE]);
        self.blocks.get(number.wrapping_sub(1))
    }
}

/// All decoded blocks of one vCPU.
#[derive(Debug, Default)]
pub(crate) struct CodeCache {
    pages: HashMap<u64, Box<CodePage>>,
    /// Pages that were dropped, perhaps while one of their blocks was running.
    #[expect(clippy::vec_box, reason = "pointers to the pages outlive the move into this list")]
    dropped: Vec<Box<CodePage>>,
    steps: usize,
    /// Where a block is put together, so that what is kept has the right size at once.
    scratch: Vec<Step>,
}

impl CodeCache {
    /// The page at `ipa`, mapped at `host`, made if need be. The pointer is valid until [`bury`](CodeCache::bury) runs
    /// after the page has been dropped.
    pub(crate) fn page(&mut self, ipa: u64, host: *const u8) -> *mut CodePage {
        let page = self.pages.entry(ipa).or_insert_with(|| {
            let (index, blocks) = ([0; PER_PAGE], Vec::new());
            Box::new(CodePage { ipa, host: host.cast(), index, blocks, steps: 0 })
        });
        &mut **page
    }

    /// Whether the cache has reached its limit.
    pub(crate) fn is_full(&self) -> bool {
        self.steps + self.pages.len() * PAGE_STEPS > CACHE_LIMIT
    }

    /// Decodes the block at `pc`.
    ///
    /// # Safety
    /// `page` came from [`page`](CodeCache::page) and has not been buried, no reference into it is
    /// live, and its host memory is still mapped.
    pub(crate) unsafe fn decode(&mut self, page: *mut CodePage, marks: &CodeMarks, pc: u64) {
        // SAFETY: valid and unaliased by the caller's contract.
        let page = unsafe { &mut *page };
        marks.set(page.ipa);
        let first = (pc / 4) as usize % PER_PAGE;
        let steps = &mut self.scratch;
        steps.clear();
        let mut uses_fp = false;
        for at in first..PER_PAGE.min(first + MAX_STEPS) {
            // SAFETY: `at` is within the page that `host` starts, which is aligned and mapped.
            let word = unsafe { (*page.host.add(at)).load(Ordering::Relaxed) };
            let mut insn = decode::decode(u32::from_le(word));
            exec::bind(&mut insn, at as u32 * 4);
            uses_fp |= matches!(insn.op, Op::Simd(_));
            steps.push(exec::step(insn));
            if exec::ends_block(&insn) {
                break;
            }
        }
        let len = steps.len() as u32;
        steps.push(Step::end());
        self.steps += steps.len();
        page.steps += steps.len();
        // A block starts at most once at each instruction.
        page.blocks.push(Block { steps: steps.as_slice().into(), len, uses_fp });
        page.index[first] = page.blocks.len() as u16;
    }

    /// Drops the blocks of a page; returns the address of what the TLB may still lead to.
    pub(crate) fn drop_page(&mut self, ipa: u64) -> Option<u64> {
        let mut page = self.pages.remove(&ipa)?;
        self.steps -= page.steps;
        let address = (&raw mut *page) as u64;
        self.dropped.push(page);
        Some(address)
    }

    /// Drops the blocks of all pages of a range.
    pub(crate) fn drop_range(&mut self, ipa: u64, len: u64) {
        let within = |page: &u64, _: &mut Box<CodePage>| page.wrapping_sub(ipa) < len;
        for (_, page) in self.pages.extract_if(within) {
            self.steps -= page.steps;
            self.dropped.push(page);
        }
    }

    /// Drops all blocks.
    pub(crate) fn drop_all(&mut self) {
        self.steps = 0;
        self.dropped.extend(self.pages.drain().map(|(_, page)| page));
    }

    /// Frees dropped pages. No block is running, and no TLB entry leads to them.
    pub(crate) fn bury(&mut self) {
        self.dropped.clear();
    }
}
