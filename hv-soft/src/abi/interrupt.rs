//! Interrupts that the host makes pending for one run.

use crate::cpu::lines::{FIQ, IRQ};
use crate::gic::Source;

use super::error::answer;
use super::vcpu;
use super::{Error, HvReturn, put};

/// The line of an `hv_interrupt_type_t`.
fn line(kind: u32) -> Result<u32, Error> {
    match kind {
        0 => Ok(IRQ),
        1 => Ok(FIQ),
        _ => Err(Error::BadArgument),
    }
}

/// Whether the host made IRQ (0) or FIQ (1) pending for the next run.
///
/// # Safety
/// `pending` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_pending_interrupt(
    vcpu: u64,
    kind: u32,
    pending: *mut bool,
) -> HvReturn {
    let read =
        vcpu::with(vcpu, |vcpu| Ok(vcpu.shared.port.driven_by(Source::Host) & line(kind)? != 0));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(pending, read) }))
}

/// Makes IRQ (0) or FIQ (1) pending for the next run, or not. Cleared after each run.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_pending_interrupt(vcpu: u64, kind: u32, pending: bool) -> HvReturn {
    answer(vcpu::with(vcpu, |vcpu| {
        let line = line(kind)?;
        let others = vcpu.shared.port.driven_by(Source::Host) & !line;
        vcpu.shared.port.drive(Source::Host, others | if pending { line } else { 0 });
        Ok(())
    }))
}
