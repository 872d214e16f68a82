//! The two shapes that almost every call into the framework has.

use std::ffi::c_void;
use std::ptr::NonNull;

use crate::error::{Error, chk};

/// Calls a framework function that takes no pointer, and names it in the error.
///
/// Expands inside an `unsafe` block of the caller, who states why the call is sound.
macro_rules! call {
    ($function:ident($($argument:expr),* $(,)?)) => {
        $crate::error::chk(stringify!($function), hv_sys::$function($($argument),*))
    };
}
pub(crate) use call;

/// Runs a getter that writes one value through a pointer.
pub(crate) fn get<T: Default>(
    name: &'static str,
    getter: impl FnOnce(*mut T) -> hv_sys::hv_return_t,
) -> Result<T, Error> {
    let mut value = T::default();
    chk(name, getter(&raw mut value))?;
    Ok(value)
}

/// A configuration or state object of the framework, released on drop.
pub(crate) struct Object(NonNull<c_void>);

impl Object {
    /// Takes over a freshly created object.
    pub(crate) fn new(call: &'static str, raw: *mut c_void) -> Result<Self, Error> {
        NonNull::new(raw).map(Self).ok_or(Error::NoObject { call })
    }

    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr()
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the object came retained from a create function and is released once, here.
        unsafe { hv_sys::os_release(self.0.as_ptr()) }
    }
}
