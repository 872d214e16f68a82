//! One processing element: its architectural state and how it runs.

mod arena;
pub mod block;
mod code_marks;
pub mod debug;
pub mod domain;
pub mod exception;
pub mod exit;
pub mod exit_request;
pub mod flags;
pub mod host;
pub mod id;
pub mod lines;
pub mod pstate;
mod run;
pub mod sysreg;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use domain::Domain;
pub use exit::CoreExit;
pub use exit_request::ExitRequest;
pub use lines::Lines;
use lines::Maintenance;

use crate::exec::thread::Step;
use crate::insn::R_SP;
use crate::mem::Regions;
use crate::mmu::tlb::{Regime, Tlbs};
use block::CodeCache;
use debug::Debug;
use exception::Pending;
use flags::Flags;
use pstate::Pstate;
use sysreg::SysRegs;

/// The exclusive monitor: what the last load-exclusive read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monitor {
    /// Host address, which stands for the physical address.
    pub(crate) host: usize,
    /// Bytes covered.
    pub(crate) size: u64,
    /// What was read.
    pub(crate) value: u128,
}

/// A processing element at EL0 and EL1.
///
/// Created, run and inspected on one thread; everything other threads may do goes through
/// [`Lines`] and [`Domain`].
#[derive(Debug)]
pub struct Cpu {
    /// Register slots: 0–30 are X0–X30; see [`crate::insn`] for the others. Use [`Cpu::x`].
    pub(crate) r: [u64; 64],
    /// Program counter. During a block it stays at the block's first instruction.
    pub(crate) pc: u64,
    pub(crate) flags: Flags,
    /// Vector registers.
    pub v: [u128; 32],
    /// Floating-point control register.
    pub fpcr: u64,
    /// Floating-point status register.
    pub fpsr: u64,
    /// The step that left its block last.
    pub(crate) left: *const Step,
    /// TLB tag bits of the current context, by bit 55 of the address.
    pub(crate) contexts: [u64; 2],
    /// The same for accesses with the rights of EL0.
    pub(crate) user_contexts: [u64; 2],
    /// Bits of the attention word that matter now: not the interrupts that are masked.
    pub(crate) attention_mask: u32,
    /// Something is active that asks for one instruction at a time; see [`Cpu::refresh`].
    pub(crate) careful: bool,
    /// SIMD&FP instructions trap.
    pub(crate) fp_off: bool,
    pub(crate) lines: Arc<Lines>,
    pub(crate) regime: Regime,
    pub(crate) pstate: Pstate,
    /// The stack pointers that are not current: SP_EL0, SP_EL1.
    pub(crate) sp_bank: [u64; 2],
    pub(crate) monitor: Option<Monitor>,
    pub(crate) pending: Option<Pending>,
    pub(crate) exit: Option<CoreExit>,
    pub(crate) sys: SysRegs,
    pub(crate) debug: Debug,
    /// A non-global translation of the upper half is cached.
    pub(crate) upper_nonglobal: bool,
    /// Maintenance that a DSB has to wait for.
    pub(crate) awaited: Vec<(Arc<Lines>, u64)>,
    pub(crate) regions: Arc<Regions>,
    pub(crate) domain: Arc<Domain>,
    pub(crate) code: CodeCache,
    /// Instructions executed.
    pub(crate) retired: u64,
    /// What exits to the host.
    pub traps: host::Traps,
    /// Identification registers that the host has set.
    identification: Vec<(u16, u64)>,
    pub(crate) tlb: Tlbs,
}

impl Cpu {
    /// A PE out of reset, part of `domain`: EL1h, everything masked, MMU off.
    pub fn new(domain: &Arc<Domain>, mpidr: u64) -> Box<Cpu> {
        let lines = Arc::new(Lines::default());
        domain.join(&lines);
        let mut cpu = Box::new(Cpu {
            r: [0; 64],
            pc: 0,
            flags: Flags::default(),
            v: [0; 32],
            fpcr: 0,
            fpsr: 0,
            left: std::ptr::null(),
            contexts: [0; 2],
            user_contexts: [0; 2],
            attention_mask: 0,
            careful: false,
            fp_off: true,
            lines,
            regime: Regime::Kernel,
            pstate: Pstate::reset(),
            sp_bank: [0; 2],
            monitor: None,
            pending: None,
            exit: None,
            sys: SysRegs::reset(mpidr),
            debug: Debug::default(),
            upper_nonglobal: false,
            awaited: Vec::new(),
            regions: domain.regions(),
            domain: domain.clone(),
            code: CodeCache::default(),
            retired: 0,
            traps: host::Traps::default(),
            identification: Vec::new(),
            tlb: Tlbs::new(),
        });
        cpu.refresh();
        cpu
    }

    /// The lines into this PE.
    pub fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    /// Reads a register slot.
    #[inline(always)]
    pub fn x(&self, slot: u8) -> u64 {
        self.r[(slot & 63) as usize]
    }

    /// Writes a register slot (a destination slot, never [`R_ZERO`](crate::insn::R_ZERO)).
    #[inline(always)]
    pub fn set_x(&mut self, slot: u8, value: u64) {
        self.r[(slot & 63) as usize] = value;
    }

    /// The current stack pointer.
    pub fn sp(&self) -> u64 {
        self.r[R_SP as usize]
    }

    /// The program counter: between runs, the address of the next instruction.
    pub fn pc(&self) -> u64 {
        self.pc
    }

    /// Sets the program counter. Decoded instructions are forgotten when it goes elsewhere than past
    /// the present one: the host may have written a program there.
    pub fn set_pc(&mut self, pc: u64) {
        let goes_on = pc.wrapping_sub(self.pc) <= 4;
        self.pc = pc;
        self.refresh();
        if !goes_on {
            self.maintain(Maintenance::CodeAll);
            // Between runs no block is in use, and a guest can make this happen as often as it likes.
            self.code.bury();
        }
    }

    /// What CNTVCT_EL0 lags behind the physical count (CNTVOFF_EL2).
    pub fn timer_offset(&self) -> u64 {
        self.sys.cntvoff
    }

    /// Sets what CNTVCT_EL0 lags behind the physical count.
    pub fn set_timer_offset(&mut self, offset: u64) {
        self.sys.cntvoff = offset;
    }

    /// Instructions executed since creation.
    pub fn retired(&self) -> u64 {
        self.retired
    }

    /// Whether the stack pointer must be aligned when it is a base (SCTLR_EL1.SA and SA0).
    pub(crate) fn sp_check(&self) -> bool {
        self.sys.sctlr >> (3 + u32::from(self.pstate.el == 0)) & 1 != 0
    }

    /// Whether `CPACR_EL1.FPEN` traps SIMD&FP instructions at the current EL.
    fn fp_trapped(&self) -> bool {
        match self.sys.cpacr >> 20 & 3 {
            0b11 => false,
            0b01 => self.pstate.el == 0,
            _ => true,
        }
    }

    /// Recomputes everything that follows from PSTATE and the system registers: TLB contexts, the
    /// interrupts that matter, and whether instructions must be executed one at a time.
    pub(crate) fn refresh(&mut self) {
        self.regime = match (self.pstate.el, self.pstate.pan) {
            (0, _) => Regime::User,
            (_, false) => Regime::Kernel,
            (_, true) => Regime::KernelPan,
        };
        let asid = self.sys.asid();
        self.user_contexts = self.tlb.contexts(asid, Regime::User);
        self.contexts = self.tlb.contexts(asid, self.regime);
        let mut masked = 0;
        if self.pstate.daif & pstate::I != 0 {
            masked |= lines::IRQ;
        }
        if self.pstate.daif & pstate::F != 0 {
            masked |= lines::FIQ;
        }
        self.attention_mask = !masked;
        self.fp_off = self.fp_trapped();
        self.careful =
            self.pc & 3 != 0 || self.pstate.il || self.debug.is_active(&self.pstate, &self.sys);
    }
}

impl Drop for Cpu {
    fn drop(&mut self) {
        self.domain.leave(&self.lines);
    }
}
