//! Configuration and state objects: created by the ABI, released with `os_release`.
//!
//! The pointers that callers hold are numbers that are never dereferenced and never used twice, so a
//! released or invented one is recognised.

use core::ffi::c_void;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Error;
use super::gic_config::GicConfig;
use super::vm_config::VmConfig;

/// What an object pointer stands for.
#[derive(Clone, Debug)]
pub(super) enum Object {
    /// `hv_vm_config_t`
    Vm(VmConfig),
    /// `hv_vcpu_config_t`
    Vcpu,
    /// `hv_gic_config_t`
    Gic(GicConfig),
    /// `hv_gic_state_t`
    GicState(Vec<u8>),
}

#[derive(Debug)]
struct Objects {
    live: BTreeMap<usize, Object>,
    next: usize,
}

static OBJECTS: Mutex<Objects> = Mutex::new(Objects { live: BTreeMap::new(), next: 1 });

fn objects() -> MutexGuard<'static, Objects> {
    OBJECTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new object, aligned as a pointer from an allocator would be.
pub(super) fn create(object: Object) -> *mut c_void {
    let mut objects = objects();
    let key = objects.next * 16;
    objects.next += 1;
    objects.live.insert(key, object);
    core::ptr::without_provenance_mut(key)
}

/// Uses a live object.
pub(super) fn with<T>(
    pointer: *mut c_void,
    operation: impl FnOnce(&mut Object) -> Option<T>,
) -> Result<T, Error> {
    let mut objects = objects();
    let object = objects.live.get_mut(&pointer.addr()).ok_or(Error::BadArgument)?;
    operation(object).ok_or(Error::BadArgument)
}

/// Releases an object. Null and what is not a live object are ignored.
#[unsafe(no_mangle)]
pub extern "C" fn os_release(object: *mut c_void) {
    objects().live.remove(&object.addr());
}
