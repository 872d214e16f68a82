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

use crate::cpu::arena::Arena;
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
/// What the cache may take, in steps of 40 bytes each; when it is more, all blocks are dropped.
const CACHE_LIMIT: usize = 1 << 20;
/// What a page without blocks counts for, in steps.
const PAGE_STEPS: usize = 60;
/// What dropped pages may take, in steps, unless it is less than what the others do; when it is more, all blocks are dropped.
const GARBAGE_LIMIT: usize = 1 << 15;

/// A decoded block.
#[derive(Debug)]
pub(crate) struct Block {
    /// Its instructions, then [`Step::end`]; they live as long as its page.
    pub(crate) steps: *const Step,
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
///
/// Pages and steps come from arenas: an allocation for each costs a cold machine a good part of its time. What is dropped
/// stays in them until all is.
#[derive(Debug, Default)]
pub(crate) struct CodeCache {
    pages: HashMap<u64, *mut CodePage>,
    memory: Memory,
    /// What dropped pages and their blocks take, in steps.
    garbage: usize,
    /// Dropped as a whole, perhaps while one of the blocks was running.
    dropped: Vec<Memory>,
}

/// Where pages and the steps of their blocks are.
#[derive(Debug, Default)]
struct Memory {
    /// One more than what makes the cache full.
    pages: Arena<CodePage, { CACHE_LIMIT / PAGE_STEPS + 2 }>,
    /// What is not full has room for a block.
    steps: Arena<Step, { CACHE_LIMIT + MAX_STEPS + 1 }>,
}

impl Memory {
    /// What it takes, in steps.
    fn used(&self) -> usize {
        self.steps.len() + self.pages.len() * PAGE_STEPS
    }
}

impl CodeCache {
    /// The page at `ipa`, mapped at `host`, made if need be. The pointer is valid until [`bury`](CodeCache::bury) runs
    /// after all pages have been dropped. The cache is not full.
    pub(crate) fn page(&mut self, ipa: u64, host: *const u8) -> *mut CodePage {
        *self.pages.entry(ipa).or_insert_with(|| {
            let (index, blocks) = ([0; PER_PAGE], Vec::new());
            let page = CodePage { ipa, host: host.cast(), index, blocks, steps: 0 };
            self.memory.pages.push(page)
        })
    }

    /// Whether everything has to be dropped before there can be more.
    pub(crate) fn is_full(&self) -> bool {
        let used = self.memory.used();
        used > CACHE_LIMIT || self.garbage > GARBAGE_LIMIT.max(used / 2)
    }

    /// Decodes the block at `pc`. The cache is not full.
    ///
    /// # Safety
    /// `page` came from [`page`](CodeCache::page) and has not been buried, no reference into it is
    /// live, and its host memory is still mapped.
    pub(crate) unsafe fn decode(&mut self, page: *mut CodePage, marks: &CodeMarks, pc: u64) {
        // SAFETY: valid and unaliased by the caller's contract.
        let page = unsafe { &mut *page };
        marks.set(page.ipa);
        let first = (pc / 4) as usize % PER_PAGE;
        let mut len = 0;
        let mut steps = std::ptr::null();
        let mut uses_fp = false;
        for at in first..PER_PAGE.min(first + MAX_STEPS) {
            // SAFETY: `at` is within the page that `host` starts, which is aligned and mapped.
            let word = unsafe { (*page.host.add(at)).load(Ordering::Relaxed) };
            let mut insn = decode::decode(u32::from_le(word));
            exec::bind(&mut insn, at as u32 * 4);
            uses_fp |= matches!(insn.op, Op::Simd(_));
            let step = self.memory.steps.push(exec::step(insn)).cast_const();
            if len == 0 {
                steps = step;
            }
            len += 1;
            if exec::ends_block(&insn) {
                break;
            }
        }
        self.memory.steps.push(Step::end());
        page.steps += len as usize + 1;
        // A block starts at most once at each instruction.
        page.blocks.push(Block { steps, len, uses_fp });
        page.index[first] = page.blocks.len() as u16;
    }

    /// Drops the blocks of a page; returns the address of what the TLB may still lead to.
    pub(crate) fn drop_page(&mut self, ipa: u64) -> Option<u64> {
        let page = self.pages.remove(&ipa)?;
        // SAFETY: pages of the map are in the arena.
        self.garbage += PAGE_STEPS + unsafe { (*page).steps };
        Some(page as u64)
    }

    /// Drops the blocks of all pages of a range.
    pub(crate) fn drop_range(&mut self, ipa: u64, len: u64) {
        let within = |page: &u64, _: &mut *mut CodePage| page.wrapping_sub(ipa) < len;
        for (_, page) in self.pages.extract_if(within) {
            // SAFETY: as in `drop_page`.
            self.garbage += PAGE_STEPS + unsafe { (*page).steps };
        }
    }

    /// Drops all blocks.
    pub(crate) fn drop_all(&mut self) {
        if self.memory.used() == 0 {
            return;
        }
        self.pages.clear();
        self.garbage = 0;
        self.dropped.push(std::mem::take(&mut self.memory));
    }

    /// Frees what was dropped as a whole. No block is running, and no TLB entry leads to it.
    pub(crate) fn bury(&mut self) {
        /// What is kept for the next blocks, in steps: a guest may have all dropped as often as it likes.
        const KEPT: usize = 1 << 14;
        while let Some(mut memory) = self.dropped.pop() {
            if self.memory.used() == 0 && memory.used() <= KEPT {
                memory.pages.clear();
                memory.steps.clear();
                self.memory = memory;
            }
        }
    }
}
