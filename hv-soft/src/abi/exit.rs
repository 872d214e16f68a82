//! Forced exits.

use super::error::answer;
use super::vm::Vm;
use super::{Error, HvReturn};

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
