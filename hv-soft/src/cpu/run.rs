//! The dispatcher: from block to block until something is left to the embedder.

use std::ops::ControlFlow;

use crate::cpu::block::{Block, CodePage};
use crate::cpu::exception::{Vector, ec, esr};
use crate::cpu::{CoreExit, Cpu, lines};
use crate::exec;
use crate::exec::thread::Step;
use crate::insn::{Flow, Insn, Op};
use crate::mem::PAGE;
use crate::mmu::walk::{Fault, PERMISSION, Want, walk};

impl Cpu {
    /// Runs guest code until there is an event for the embedder.
    pub fn run(&mut self) -> CoreExit {
        self.lines.set_running(true);
        let exit = self.run_blocks();
        self.lines.set_running(false);
        exit
    }

    fn run_blocks(&mut self) -> CoreExit {
        loop {
            let attention = self.lines.attention() & self.attention_mask;
            if attention != 0 {
                if let ControlFlow::Break(exit) = self.attend(attention) {
                    return exit;
                }
                continue;
            }
            if self.careful && !self.before_fetch() {
                self.take_pending(self.pc);
                if self.exit.is_some() {
                    return self.take_exit();
                }
                continue;
            }
            let Some(page) = self.cached_page() else {
                match self.fetch_page() {
                    Ok(()) => continue,
                    Err(Flow::Exit) => return self.take_exit(),
                    Err(_) => self.take_pending(self.pc),
                }
                continue;
            };
            // SAFETY: the page belongs to the code cache. Pages are freed only by `bury`, which runs
            // below and in `attend`, after `execute` has returned; blocks only with their page.
            let flow = match unsafe { (*page).block(self.pc) } {
                Some(block) if self.careful || block.uses_fp && self.fp_off => {
                    self.execute_one(block)
                }
                // SAFETY: as above.
                Some(block) => unsafe { self.execute(page, block) },
                None => {
                    self.decode_block();
                    continue;
                }
            };
            match flow {
                Flow::Exit => return self.take_exit(),
                Flow::Exception if self.exit.is_some() => return self.take_exit(),
                Flow::Sync => self.code.bury(),
                _ => {}
            }
        }
    }

    /// Runs a block and those of the same page that follow, until something else has to be looked
    /// at; afterwards the PC is where execution goes on.
    ///
    /// # Safety
    /// `page` stays alive until this returns, and `block` is one of its blocks.
    #[inline(always)]
    unsafe fn execute(&mut self, page: *const CodePage, block: &Block) -> Flow {
        let mut block = block;
        loop {
            let start = self.pc;
            let len = u64::from(block.len);
            self.retired += len;
            let first = block.steps;
            // SAFETY: the steps of a block end with `Step::end` and live as long as it.
            match unsafe { ((*first).run)(self, first) } {
                Flow::Jump => {}
                Flow::Next => self.pc = start.wrapping_add(4 * len),
                flow => {
                    // SAFETY: `left` is a step of this block.
                    let done = unsafe { self.left.offset_from(first) } as u64;
                    self.retired -= len - 1 - done;
                    // SAFETY: as above.
                    return self.leave(flow, 4 * done, unsafe { &(*self.left).insn });
                }
            }
            // Only what ends with another flow changes how the page is translated.
            if (self.pc ^ start) >= PAGE
                || self.careful
                || self.lines.attention() & self.attention_mask != 0
            {
                return Flow::Jump;
            }
            // SAFETY: the page is alive by the caller's contract.
            match unsafe { (*page).block(self.pc) } {
                Some(next) if !(next.uses_fp && self.fp_off) => block = next,
                _ => return Flow::Jump,
            }
        }
    }

    /// What follows an instruction that is not followed by the next one of its block.
    #[inline(always)]
    fn leave(&mut self, flow: Flow, at: u64, insn: &Insn) -> Flow {
        match flow {
            Flow::Jump => {}
            Flow::Next | Flow::Sync => self.pc = self.pc.wrapping_add(at + 4),
            Flow::Exception => self.take_pending(self.pc.wrapping_add(at)),
            Flow::Exit => {
                self.pc = self.pc.wrapping_add(at);
                if let Some(CoreExit::DataAbort { esr, .. }) = &mut self.exit {
                    // Not for a fault on the walk (S1PTW).
                    if *esr >> 7 & 1 == 0 {
                        *esr |= exec::abort_syndrome(insn);
                    }
                }
            }
        }
        flow
    }

    /// The exceptions that come before the fetch; false if one was recorded.
    #[cold]
    fn before_fetch(&mut self) -> bool {
        if self.step_before() {
            return false;
        }
        if self.pc & 3 != 0 {
            self.raise(esr(ec::PC_ALIGNMENT, 0), Some(self.pc));
            return false;
        }
        true
    }

    /// Runs the first instruction of a block, with the checks that are rarely needed.
    fn execute_one(&mut self, block: &Block) -> Flow {
        // The instruction by itself, whatever the block made of it.
        // SAFETY: the steps of a block live as long as it.
        let first = unsafe { &*block.steps };
        let alone = [exec::step(first.insn), Step::end()];
        let insn = &alone[0].insn;
        if self.breakpoint_before() {
            return self.leave(Flow::Exception, 0, insn);
        }
        if self.pstate.il {
            self.raise(esr(ec::ILLEGAL_STATE, 0), None);
            return self.leave(Flow::Exception, 0, insn);
        }
        let stepping = self.debug.stepping(&self.pstate, &self.sys);
        let flow = match insn.op {
            Op::Simd(_) if self.fp_off => self.raise_fp_trap(),
            // SAFETY: the step is followed by `Step::end`.
            _ => unsafe { (alone[0].run)(self, alone.as_ptr()) },
        };
        self.retired += 1;
        if stepping && self.pending.is_none_or(|p| p.after) {
            // SSAdvance (Arm ARM D2.12.2); an exit is completed by the embedder first.
            self.pstate.ss = false;
            self.debug.stepped = Some(exec::is_load_exclusive(insn));
        }
        self.leave(flow, 0, insn)
    }

    fn take_exit(&mut self) -> CoreExit {
        let exit = self.exit.take().unwrap_or(CoreExit::Attention);
        if let CoreExit::Hvc { .. } = exit {
            self.pc = self.pc.wrapping_add(4);
        }
        exit
    }

    /// Serves the attention word.
    #[cold]
    fn attend(&mut self, attention: u32) -> ControlFlow<CoreExit> {
        if attention & lines::MAINTENANCE != 0 {
            self.serve_maintenance();
            self.code.bury();
        }
        if attention & lines::EXIT_REQUEST != 0 {
            return ControlFlow::Break(CoreExit::Attention);
        }
        // FIQ before IRQ: either order is allowed (Arm ARM D1.3.1).
        if attention & lines::FIQ != 0 {
            self.take(Vector::Fiq, self.pc);
        } else if attention & lines::IRQ != 0 {
            self.take(Vector::Irq, self.pc);
        }
        ControlFlow::Continue(())
    }

    /// The decoded page at the PC, if its translation is cached.
    #[inline(always)]
    fn cached_page(&self) -> Option<*const CodePage> {
        let context = self.contexts[(self.pc >> 55 & 1) as usize];
        self.tlb.exec.payload(self.pc, context).map(|page| page as *const CodePage)
    }

    /// Translates the PC and enters its page in the TLB.
    #[cold]
    fn fetch_page(&mut self) -> Result<(), Flow> {
        self.make_room();
        let pc = self.pc;
        let mapping = match walk(self, pc, self.regime, Want::Exec) {
            Ok(mapping) if mapping.allows(Want::Exec, self.regime) => mapping,
            Ok(mapping) => return Err(self.insn_abort(PERMISSION | mapping.level)),
            Err(Fault::Stage1(status)) => return Err(self.insn_abort(status)),
            Err(Fault::Table { ipa }) => return Err(self.stage2_abort(pc, ipa, Want::Exec, true)),
        };
        let ipa = mapping.pa & !(PAGE - 1);
        let Some(page) = self.regions.page(ipa).filter(|page| page.perms.exec) else {
            return Err(self.stage2_abort(pc, mapping.pa, Want::Exec, false));
        };
        let code = self.code.page(ipa, page.host);
        self.enter_code(pc, &mapping, code);
        Ok(())
    }

    /// Decodes the block at the PC, whose page is in the TLB.
    #[cold]
    fn decode_block(&mut self) {
        self.make_room();
        if let Some(page) = self.cached_page() {
            // SAFETY: the page is in the cache, and no block is running.
            unsafe { self.code.decode(page.cast_mut(), &self.domain.code_marks, self.pc) };
        }
    }

    /// Empties the cache of decoded blocks if it is full. No block is running.
    fn make_room(&mut self) {
        if self.code.is_full() {
            self.code.drop_all();
            self.tlb.exec.clear();
            self.code.bury();
        }
    }

    fn insn_abort(&mut self, status: u8) -> Flow {
        let class = if self.pstate.el == 0 { ec::INSN_ABORT_LOWER } else { ec::INSN_ABORT };
        self.raise(esr(class, status.into()), Some(self.pc))
    }
}
