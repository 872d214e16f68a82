//! The dispatcher: from block to block until something is left to the embedder.

use std::ops::ControlFlow;

use crate::cpu::block::{Block, CodePage};
use crate::cpu::exception::{Vector, ec, esr};
use crate::cpu::{CoreExit, Cpu, lines};
use crate::exec;
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
            let Some(block) = self.cached_block() else {
                match self.fetch_block() {
                    Ok(()) => continue,
                    Err(Flow::Exit) => return self.take_exit(),
                    Err(_) => self.take_pending(self.pc),
                }
                continue;
            };
            // SAFETY: the block belongs to a page of the code cache. Pages are freed only by
            // `bury`, which runs below, after the block has been left.
            let block = unsafe { &*block };
            let flow = if self.careful || block.uses_fp && self.fp_off {
                self.execute_one(block)
            } else {
                self.execute(block)
            };
            match flow {
                Flow::Exit => return self.take_exit(),
                Flow::Exception if self.exit.is_some() => return self.take_exit(),
                Flow::Sync => self.code.bury(),
                _ => {}
            }
        }
    }

    /// Runs a block to its end; afterwards the PC is where execution goes on.
    #[inline(always)]
    fn execute(&mut self, block: &Block) -> Flow {
        let mut at = 0;
        for step in &block.steps {
            let flow = (step.handler)(self, &step.insn);
            if flow != Flow::Next {
                self.retired += at / 4 + 1;
                return self.leave(flow, at, &step.insn);
            }
            at += 4;
        }
        self.retired += at / 4;
        self.pc = self.pc.wrapping_add(at);
        Flow::Jump
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
        let step = &block.steps[0];
        if self.breakpoint_before() {
            return self.leave(Flow::Exception, 0, &step.insn);
        }
        if self.pstate.il {
            self.raise(esr(ec::ILLEGAL_STATE, 0), None);
            return self.leave(Flow::Exception, 0, &step.insn);
        }
        let stepping = self.debug.stepping(&self.pstate, &self.sys);
        let flow = match step.insn.op {
            Op::Simd(_) if self.fp_off => self.raise_fp_trap(),
            _ => (step.handler)(self, &step.insn),
        };
        self.retired += 1;
        if stepping && self.pending.is_none_or(|p| p.after) {
            // SSAdvance (Arm ARM D2.12.2); an exit is completed by the embedder first.
            self.pstate.ss = false;
            self.debug.stepped = Some(exec::is_load_exclusive(&step.insn));
        }
        self.leave(flow, 0, &step.insn)
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

    /// The block at the PC, if its translation and its instructions are cached.
    #[inline(always)]
    fn cached_block(&self) -> Option<*const Block> {
        let context = self.contexts[(self.pc >> 55 & 1) as usize];
        let page = self.tlb.exec.payload(self.pc, context)? as *const CodePage;
        // SAFETY: entries of the array lead to pages of the code cache that have not been buried.
        let block = unsafe { (*page).block(self.pc) }?;
        Some(block)
    }

    /// Translates the PC and decodes the block there.
    #[cold]
    fn fetch_block(&mut self) -> Result<(), Flow> {
        let pc = self.pc;
        let mapping = match walk(self, pc, self.regime, Want::Exec) {
            Ok(mapping) if mapping.allows(Want::Exec, self.regime) => mapping,
            Ok(mapping) => return Err(self.insn_abort(PERMISSION | mapping.level)),
            Err(Fault::Stage1(status)) => return Err(self.insn_abort(status)),
            Err(Fault::Table { ipa }) => return Err(self.stage2_abort(pc, ipa, Want::Exec, true)),
        };
        let Some(page) = self.regions.page(mapping.pa & !(PAGE - 1)).filter(|p| p.perms.exec)
        else {
            return Err(self.stage2_abort(pc, mapping.pa, Want::Exec, false));
        };
        if self.code.is_full() {
            self.code.drop_all();
            self.tlb.exec.clear();
            self.code.bury();
        }
        let ipa = mapping.pa & !(PAGE - 1);
        let code = self.code.page(ipa);
        // SAFETY: `page` is in the cache; no block is running, so no reference into it is live.
        if unsafe { (*code).block(pc) }.is_none() {
            self.regions.mark_code(ipa);
            // SAFETY: as above, and `page.host` is the start of a mapped page.
            unsafe { self.code.decode(code, page.host, pc) };
        }
        self.enter_code(pc, &mapping, code);
        Ok(())
    }

    fn insn_abort(&mut self, status: u8) -> Flow {
        let class = if self.pstate.el == 0 { ec::INSN_ABORT_LOWER } else { ec::INSN_ABORT };
        self.raise(esr(class, status.into()), Some(self.pc))
    }
}
