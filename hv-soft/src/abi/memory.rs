//! Guest-physical memory: `hv_vm_map`, `hv_vm_unmap`, `hv_vm_protect`, `hv_vm_allocate`.

use core::ffi::c_void;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mem::{MapError, Perms};

use super::error::answer;
use super::vm::Vm;
use super::{Error, HvReturn, host_memory, put};

/// Granule of everything that is mapped: the page size of Apple silicon.
const GRANULE: u64 = 16 * 1024;

const READ: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const EXEC: u64 = 1 << 2;

fn permissions(flags: u64) -> Result<Perms, Error> {
    if flags & !(READ | WRITE | EXEC) != 0 {
        return Err(Error::BadArgument);
    }
    Ok(Perms { read: flags & READ != 0, write: flags & WRITE != 0, exec: flags & EXEC != 0 })
}

/// Checks a guest-physical range and returns its length.
fn check_range(vm: &Vm, ipa: u64, size: usize) -> Result<u64, Error> {
    let len = size as u64;
    let end = ipa.checked_add(len).ok_or(Error::BadArgument)?;
    let aligned = ipa.is_multiple_of(GRANULE) && len.is_multiple_of(GRANULE);
    if len == 0 || !aligned || end > vm.ipa_limit() {
        return Err(Error::BadArgument);
    }
    Ok(len)
}

fn refused(error: MapError) -> Error {
    match error {
        MapError::BadRange { .. } => Error::BadArgument,
        MapError::Overlap { .. } | MapError::NotMapped { .. } => Error::Failed,
    }
}

fn map(host: *mut c_void, ipa: u64, size: usize, flags: u64) -> Result<(), Error> {
    let vm = Vm::current()?;
    let permissions = permissions(flags)?;
    let len = check_range(&vm, ipa, size)?;
    if host.is_null() || !(host.addr() as u64).is_multiple_of(GRANULE) {
        return Err(Error::BadArgument);
    }
    host_memory::check_region(host.addr(), size, permissions.write)?;
    // SAFETY: the range is mapped with the protection that the guest needs, as was just checked. That
    // it stays so until it is unmapped is what the caller of `hv_vm_map` promises.
    unsafe { vm.domain.map(ipa, len, host.cast(), permissions) }.map_err(refused)
}

fn unmap(ipa: u64, size: usize) -> Result<(), Error> {
    let vm = Vm::current()?;
    let len = check_range(&vm, ipa, size)?;
    vm.domain.unmap(ipa, len).map_err(refused)
}

fn protect(ipa: u64, size: usize, flags: u64) -> Result<(), Error> {
    let vm = Vm::current()?;
    let permissions = permissions(flags)?;
    let len = check_range(&vm, ipa, size)?;
    for (host, len) in vm.domain.regions().host_memory(ipa, len) {
        host_memory::check_protection(host, len, permissions.write)?;
    }
    vm.domain.protect(ipa, len, permissions).map_err(refused)
}

/// Maps `size` bytes of this process at `host` into the guest at `ipa`. Everything is a multiple of
/// 16 KiB, and `host` lies within one region of the process's address space.
///
/// # Safety
/// Until the range is unmapped or the VM destroyed, the host memory stays mapped with a protection that
/// allows what `flags` allow the guest, and no reference of a language that forbids it points there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_map(
    host: *mut c_void,
    ipa: u64,
    size: usize,
    flags: u64,
) -> HvReturn {
    answer(map(host, ipa, size, flags))
}

/// Takes a mapped range away from the guest. When it returns, no vCPU touches it any more.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vm_unmap(ipa: u64, size: usize) -> HvReturn {
    answer(unmap(ipa, size))
}

/// Changes what the guest may do with a mapped range.
///
/// # Safety
/// The protection of the host memory allows what `flags` allow the guest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_protect(ipa: u64, size: usize, flags: u64) -> HvReturn {
    answer(protect(ipa, size, flags))
}

/// Live allocations of [`hv_vm_allocate`]: address and size.
static ALLOCATIONS: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

fn allocations() -> MutexGuard<'static, BTreeMap<usize, usize>> {
    ALLOCATIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Anonymous memory aligned to the granule, which may be larger than the host's page.
fn allocate(size: usize, flags: u64) -> Result<*mut c_void, Error> {
    let granule = GRANULE as usize;
    if size == 0 || !size.is_multiple_of(granule) || flags != 0 {
        return Err(Error::BadArgument);
    }
    let reserved = size.checked_add(granule).ok_or(Error::NoResources)?;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: an anonymous mapping at an address of the kernel's choice affects nothing else.
    let base = unsafe { libc::mmap(core::ptr::null_mut(), reserved, protection, kind, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(Error::NoResources);
    }
    let before = base.align_offset(granule);
    let start = base.wrapping_byte_add(before);
    for (excess, len) in [(base, before), (start.wrapping_byte_add(size), granule - before)] {
        if len != 0 {
            // SAFETY: both ends are whole pages of the mapping just made, which nobody else knows.
            unsafe { libc::munmap(excess, len) };
        }
    }
    allocations().insert(start.addr(), size);
    Ok(start)
}

/// Allocates zeroed memory that can be mapped into a guest.
///
/// # Safety
/// `address` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_allocate(
    address: *mut *mut c_void,
    size: usize,
    flags: u64,
) -> HvReturn {
    if address.is_null() {
        return Error::BadArgument.code();
    }
    // SAFETY: the caller's promise.
    answer(allocate(size, flags).and_then(|memory| unsafe { put(address, memory) }))
}

/// Frees memory from [`hv_vm_allocate`], as a whole.
///
/// # Safety
/// The memory is not used any more, and not mapped into the guest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_deallocate(address: *mut c_void, size: usize) -> HvReturn {
    let mut allocations = allocations();
    if allocations.get(&address.addr()) != Some(&size) {
        return Error::BadArgument.code();
    }
    allocations.remove(&address.addr());
    // SAFETY: exactly one live allocation, which the caller does not use any more.
    unsafe { libc::munmap(address, size) };
    super::code::SUCCESS
}
