//! Dispatch within a block: every step ends by calling the next one.
//!
//! The optimiser turns these calls into jumps, which gives each step an indirect branch of its own
//! to predict. Where it does not, the depth is bounded by the length of a block.

use crate::cpu::Cpu;
use crate::insn::{Flow, Handler, Insn};

/// Runs a step and those that follow it in its block; the result says how the block was left. Unless
/// that is [`Flow::Next`] or [`Flow::Jump`], [`Cpu::left`](crate::cpu::Cpu) is the last step.
pub(crate) type Threaded = unsafe fn(&mut Cpu, *const Step) -> Flow;

/// An instruction ready to run. The steps of a block lie one after the other and end with
/// [`Step::end`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) run: Threaded,
    /// What [`call`] calls.
    handler: Handler,
    pub(crate) insn: Insn,
}

impl Step {
    /// A step of an instruction whose semantics know how to go on.
    pub(crate) fn threaded(run: Threaded, insn: Insn) -> Step {
        Step { run, handler: super::undefined, insn }
    }

    /// A step of an instruction with a plain handler.
    pub(crate) fn called(handler: Handler, insn: Insn) -> Step {
        Step { run: call, handler, insn }
    }

    /// What follows the last instruction of a block.
    pub(crate) const fn end() -> Step {
        Step { run: end, handler: super::undefined, insn: Insn::undefined(0) }
    }
}

/// The threaded form of a handler.
pub(crate) const fn thread<F: Fn(&mut Cpu, &Insn) -> Flow + Copy>(_: F) -> Threaded {
    const { assert!(size_of::<F>() == 0, "only function items and closures without captures") };
    run::<F>
}

/// The threaded form of a handler with a `quick` part that settles most cases: it either does all that the
/// handler would, and says so, or has no effect. The handler is out of line, so that the quick part needs
/// no frame on the stack.
pub(crate) const fn thread_quick<Q, F>(_: Q, _: F) -> Threaded
where
    Q: Fn(&mut Cpu, &Insn) -> bool + Copy,
    F: Fn(&mut Cpu, &Insn) -> Flow + Copy,
{
    const { assert!(size_of::<Q>() == 0, "only function items and closures without captures") };
    const { assert!(size_of::<F>() == 0, "only function items and closures without captures") };
    run_quick::<Q, F>
}

/// # Safety
/// As for [`run`].
unsafe fn run_quick<Q, F>(cpu: &mut Cpu, step: *const Step) -> Flow
where
    Q: Fn(&mut Cpu, &Insn) -> bool + Copy,
    F: Fn(&mut Cpu, &Insn) -> Flow + Copy,
{
    // SAFETY: `Q` is a zero-sized type of which `thread_quick` was given a value.
    let quick: Q = unsafe { std::mem::zeroed() };
    // SAFETY: `step` is valid by the caller's contract.
    if quick(cpu, unsafe { &(*step).insn }) {
        // SAFETY: as above.
        unsafe { go_on(cpu, step, Flow::Next) }
    } else {
        // SAFETY: as above.
        unsafe { run_whole::<F>(cpu, step) }
    }
}

/// # Safety
/// As for [`run`].
#[cold]
#[inline(never)]
unsafe fn run_whole<F: Fn(&mut Cpu, &Insn) -> Flow + Copy>(
    cpu: &mut Cpu,
    step: *const Step,
) -> Flow {
    // SAFETY: by the caller's contract.
    unsafe { run::<F>(cpu, step) }
}

/// # Safety
/// `step` points into the steps of a block that lives until this returns.
unsafe fn run<F: Fn(&mut Cpu, &Insn) -> Flow + Copy>(cpu: &mut Cpu, step: *const Step) -> Flow {
    // SAFETY: `F` is a zero-sized type of which `thread` was given a value.
    let handler: F = unsafe { std::mem::zeroed() };
    // SAFETY: `step` is valid by the caller's contract.
    let flow = handler(cpu, unsafe { &(*step).insn });
    // SAFETY: as above.
    unsafe { go_on(cpu, step, flow) }
}

/// # Safety
/// As for [`run`].
unsafe fn call(cpu: &mut Cpu, step: *const Step) -> Flow {
    // SAFETY: `step` is valid by the caller's contract.
    let flow = unsafe { ((*step).handler)(cpu, &(*step).insn) };
    // SAFETY: as above.
    unsafe { go_on(cpu, step, flow) }
}

/// Goes on after a step.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
pub(crate) unsafe fn go_on(cpu: &mut Cpu, step: *const Step, flow: Flow) -> Flow {
    if flow == Flow::Next {
        // SAFETY: a block ends with `Step::end`, which does not come here, so there is a next step.
        return unsafe {
            let next = step.add(1);
            ((*next).run)(cpu, next)
        };
    }
    cpu.left = step;
    flow
}

unsafe fn end(_: &mut Cpu, _: *const Step) -> Flow {
    Flow::Next
}
