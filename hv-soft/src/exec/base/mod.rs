//! Semantics of base instructions.

mod arith;
mod atomic;
mod bits;
mod branch;
mod exclusive;
mod loadstore;
mod sysop;
mod system;

use crate::cpu::sysreg;
use crate::decode::base::BaseOp::{self, *};
use crate::exec::thread::Threaded;
use crate::insn::Insn;

/// The variant of a handler for the 32- or the 64-bit form.
macro_rules! by_size {
    ($insn:expr, $handler:ident $(, $arg:expr)*) => {
        if $insn.aux & 1 != 0 {
            crate::exec::thread::thread($handler::<true $(, $arg)*>)
        } else {
            crate::exec::thread::thread($handler::<false $(, $arg)*>)
        }
    };
}
use by_size;
pub use loadstore::abort_syndrome;

/// The handler of a base operation.
pub(crate) fn handler(op: BaseOp, insn: &Insn) -> Threaded {
    match op {
        Adr | Adrp | MovImm | Movk | Ubfm | Sbfm | Bfm | Extr | AndImm | OrrImm | EorImm
        | AndsImm | And | Bic | Orr | Orn | Eor | Eon | Ands | Bics | Lslv | Lsrv | Asrv | Rorv
        | Rbit | Rev16 | Rev32 | Rev | Clz | Cls | Crc32 | Crc32c => bits::handler(op, insn),
        AddImm | AddsImm | SubImm | SubsImm | Add | Adds | Sub | Subs | AddExt | AddsExt
        | SubExt | SubsExt | Adc | Adcs | Sbc | Sbcs | CcmnReg | CcmpReg | CcmnImm | CcmpImm
        | Csel | Csinc | Csinv | Csneg | Udiv | Sdiv | Madd | Msub | Smaddl | Smsubl | Umaddl
        | Umsubl | Smulh | Umulh => arith::handler(op, insn),
        B | Bl | BCond | Cbz | Cbnz | Tbz | Tbnz | Br | Blr | Ret => branch::handler(op, insn),
        Eret | Svc | Hvc | Smc | Brk | Nop | Yield | Wfe | Wfi | Sev | Sevl | Clrex | Dsb | Dmb
        | Isb | MsrImm | Mrs | MsrReg | Sys | Sysl => system::handler(op, insn),
        Load | Store | LoadPair | StorePair | LoadLiteral => loadstore::handler(op, insn),
        LoadExclusive | StoreExclusive | LoadExclusivePair | StoreExclusivePair | LoadAcquire
        | StoreRelease | LoadAcquirePc => exclusive::handler(op, insn),
        Cas | Casp | AtomicAdd | AtomicClr | AtomicEor | AtomicSet | AtomicSmax | AtomicSmin
        | AtomicUmax | AtomicUmin | Swap => atomic::handler(op, insn),
    }
}

/// Makes an instruction relative to its page instead of to its own address, which is `offset` from
/// the start of the page. What links gets the offset of the next instruction in aux, from bit 1.
pub fn bind(op: BaseOp, insn: &mut Insn, offset: u32) {
    if matches!(op, Adr | B | Bl | BCond | Cbz | Cbnz | Tbz | Tbnz | LoadLiteral) {
        insn.imm = insn.imm.wrapping_add(offset.into());
    }
    if matches!(op, Bl | Blr) {
        insn.aux |= (offset + 4) << 1;
    }
}

/// Whether control may not go on to the next instruction, or in another context.
pub fn ends_block(op: BaseOp, insn: &Insn) -> bool {
    if op == MsrReg {
        return sysreg::changes_context(insn.imm as u16);
    }
    matches!(
        op,
        B | Bl
            | BCond
            | Cbz
            | Cbnz
            | Tbz
            | Tbnz
            | Br
            | Blr
            | Ret
            | Eret
            | Svc
            | Hvc
            | Smc
            | Brk
            | Wfe
            | Wfi
            | Isb
            | MsrImm
            | Sys
    )
}
