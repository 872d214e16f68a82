//! The interrupt controller's state as an opaque, versioned blob.

use core::ffi::c_void;
use std::sync::atomic::Ordering;

use crate::gic::BlobError;

use super::error::answer;
use super::gic::current;
use super::object::{self, Object};
use super::{Error, HvReturn, put};

fn capture() -> Result<Vec<u8>, Error> {
    let (vm, gic) = current()?;
    if vm.topology().live().any(|vcpu| vcpu.running.load(Ordering::SeqCst)) {
        return Err(Error::Busy);
    }
    Ok(gic.save())
}

fn with<T>(state: *mut c_void, operation: impl FnOnce(&[u8]) -> T) -> Result<T, Error> {
    object::with(state, |object| match object {
        Object::GicState(bytes) => Some(operation(bytes)),
        _ => None,
    })
}

/// Accepted once the vCPUs exist and before any has run.
fn restore(bytes: &[u8]) -> Result<(), Error> {
    let (vm, gic) = current()?;
    let topology = vm.topology();
    if topology.is_final {
        return Err(Error::Busy);
    }
    gic.load(bytes).map_err(|error| match error {
        BlobError::Version(_) => Error::Unsupported,
        BlobError::Malformed | BlobError::Topology => Error::BadArgument,
    })?;
    topology.live().for_each(|vcpu| vcpu.timers.redrive());
    Ok(())
}

/// Captures the interrupt controller's state, all but the CPU interfaces. Null if there is no
/// controller, or a vCPU is running. Release it with [`os_release`](super::os_release).
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_state_create() -> *mut c_void {
    match capture() {
        Ok(bytes) => object::create(Object::GicState(bytes)),
        Err(_) => core::ptr::null_mut(),
    }
}

/// Bytes of a captured state.
///
/// # Safety
/// `size` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_state_get_size(state: *mut c_void, size: *mut usize) -> HvReturn {
    let length = with(state, <[u8]>::len);
    // SAFETY: the caller's promise.
    answer(length.and_then(|length| unsafe { put(size, length) }))
}

/// Copies a captured state out.
///
/// # Safety
/// `data` is null or valid for writes of as many bytes as [`hv_gic_state_get_size`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_state_get_data(state: *mut c_void, data: *mut c_void) -> HvReturn {
    if data.is_null() {
        return Error::BadArgument.code();
    }
    answer(with(state, |bytes| {
        // SAFETY: the caller's promise; the bytes are our own, so the ranges do not overlap.
        unsafe { data.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }))
}

/// Restores a captured state: after the interrupt controller and all vCPUs were created with the
/// affinities they had, and before any vCPU runs.
///
/// # Safety
/// `data` is null or valid for reads of `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_set_state(data: *const c_void, size: usize) -> HvReturn {
    if data.is_null() {
        return Error::BadArgument.code();
    }
    // SAFETY: the caller's promise.
    answer(restore(unsafe { core::slice::from_raw_parts(data.cast(), size) }))
}
