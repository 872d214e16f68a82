//! Creating and resetting the interrupt controller, wires and messages.

use core::ffi::c_void;
use std::sync::Arc;

use crate::gic::Gic;
use crate::gic::spec;

use super::error::answer;
use super::vm::Vm;
use super::{Error, HvReturn, gic_config, put, vcpu};

/// The VM and its interrupt controller.
pub(super) fn current() -> Result<(Arc<Vm>, Arc<Gic>), Error> {
    let vm = Vm::current()?;
    let gic = vm.gic().cloned().ok_or(Error::NoDevice)?;
    Ok((vm, gic))
}

fn create(config: *mut c_void) -> Result<(), Error> {
    let vm = Vm::current()?;
    let config = gic_config::get(config)?.finish(vm.ipa_limit())?;
    vm.install_gic(Gic::new(config))
}

fn reset() -> Result<(), Error> {
    let (vm, gic) = current()?;
    gic.reset();
    vm.topology().live().for_each(|vcpu| vcpu.timers.redrive());
    Ok(())
}

fn set_spi(intid: u32, level: bool) -> Result<(), Error> {
    let (_, gic) = current()?;
    if !gic.is_wired_spi(intid) {
        return Err(Error::BadArgument);
    }
    gic.set_spi(intid, level);
    Ok(())
}

fn send_msi(address: u64, intid: u32) -> Result<(), Error> {
    let (_, gic) = current()?;
    let msi = gic.config().msi.as_ref().ok_or(Error::NoDevice)?;
    let is_register = address == msi.base + u64::from(spec::MSI_SETSPI_NS);
    if is_register && gic.message(intid) { Ok(()) } else { Err(Error::BadArgument) }
}

/// Creates the interrupt controller: after the VM, before any vCPU.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_create(config: *mut c_void) -> HvReturn {
    answer(create(config))
}

/// Resets the interrupt controller. No vCPU may be running.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_reset() -> HvReturn {
    answer(reset())
}

/// Drives the wire of an SPI. Any thread may call it.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_spi(intid: u32, level: bool) -> HvReturn {
    answer(set_spi(intid, level))
}

/// Sends a message: `address` is that of the frame's `MSI_SETSPI_NS` register.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_send_msi(address: u64, intid: u32) -> HvReturn {
    answer(send_msi(address, intid))
}

/// Address of a vCPU's redistributor, once its `MPIDR_EL1` has been set.
///
/// # Safety
/// `base` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_redistributor_base(vcpu: u64, base: *mut u64) -> HvReturn {
    let read = current().and_then(|(_, gic)| {
        vcpu::with(vcpu, |vcpu| {
            let offset = spec::REDISTRIBUTOR_SIZE * vcpu.index() as u64;
            let address = gic.config().redistributor + offset;
            if vcpu.has_affinity { Ok(address) } else { Err(Error::Failed) }
        })
    });
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(base, read) }))
}
