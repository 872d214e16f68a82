//! Pending interrupts, forced exits, execution time and debug traps.

use crate::cpu::lines::{FIQ, IRQ};
use crate::gic::Source;

use super::error::answer;
use super::vcpu;
use super::vm::Vm;
use super::{Error, HvReturn, put};

/// The line of an `hv_interrupt_type_t`.
fn line(kind: u32) -> Result<u32, Error> {
    match kind {
        0 => Ok(IRQ),
        1 => Ok(FIQ),
        _ => Err(Error::BadArgument),
    }
}

fn exit(handles: &[u64]) -> Result<(), Error> {
    let vm = Vm::current()?;
    let topology = vm.topology();
    let vcpus: Option<Vec<_>> = handles.iter().map(|handle| topology.get(*handle)).collect();
    vcpus.ok_or(Error::BadArgument)?.into_iter().for_each(|vcpu| vcpu.exit.request());
    Ok(())
}

/// Makes the present or else the next run of each vCPU return with `HV_EXIT_REASON_CANCELED`. Any
/// thread may call it. Without a list it does nothing.
///
/// # Safety
/// `vcpus` is null or valid for reads of `count` handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpus_exit(vcpus: *const u64, count: u32) -> HvReturn {
    if vcpus.is_null() || count == 0 {
        return super::code::SUCCESS;
    }
    // SAFETY: the caller's promise; the alignment of the list is that of its type.
    let handles = unsafe { core::slice::from_raw_parts(vcpus, count as usize) };
    answer(exit(handles))
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

/// Nanoseconds that the vCPU has spent in guest code.
///
/// # Safety
/// `time` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_exec_time(vcpu: u64, time: *mut u64) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| Ok(vcpu.executed.as_nanos() as u64));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(time, read) }))
}

/// Whether debug exceptions of the guest exit to the host.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_trap_debug_exceptions(
    vcpu: u64,
    value: *mut bool,
) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| Ok(vcpu.cpu.traps.debug_exceptions));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(value, read) }))
}

/// Sets whether debug exceptions of the guest (breakpoints, watchpoints, software step, BRK) exit to
/// the host instead of going to EL1.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_trap_debug_exceptions(vcpu: u64, value: bool) -> HvReturn {
    answer(vcpu::with(vcpu, |vcpu| {
        vcpu.cpu.traps.debug_exceptions = value;
        Ok(())
    }))
}

/// Whether accesses to debug registers exit to the host.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vcpu_get_trap_debug_reg_accesses(
    vcpu: u64,
    value: *mut bool,
) -> HvReturn {
    let read = vcpu::with(vcpu, |vcpu| Ok(vcpu.cpu.traps.debug_registers));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(value, read) }))
}

/// Sets whether the guest's accesses to debug registers exit to the host, as system-register traps.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vcpu_set_trap_debug_reg_accesses(vcpu: u64, value: bool) -> HvReturn {
    answer(vcpu::with(vcpu, |vcpu| {
        vcpu.cpu.traps.debug_registers = value;
        Ok(())
    }))
}
