//! The VM of this process.

use core::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use crate::cpu::Domain;
use crate::gic::Gic;
use crate::timer::Alarm;

use super::error::answer;
use super::vcpu::Shared;
use super::{Error, HvReturn, put, vm_config};

/// vCPUs that one VM may have, as on Apple silicon.
pub(super) const MAX_VCPUS: usize = 64;

/// A virtual machine.
#[derive(Debug)]
pub(super) struct Vm {
    pub(super) domain: Arc<Domain>,
    pub(super) ipa_bits: u32,
    pub(super) alarm: Alarm,
    gic: OnceLock<Arc<Gic>>,
    topology: Mutex<Topology>,
}

/// The vCPUs, by handle.
#[derive(Debug, Default)]
pub(super) struct Topology {
    pub(super) vcpus: Vec<Option<Arc<Shared>>>,
    /// A vCPU has run: from now on nothing about the vCPUs and their affinities changes.
    pub(super) is_final: bool,
}

impl Topology {
    /// vCPUs that exist.
    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Shared>> {
        self.vcpus.iter().flatten()
    }

    /// The vCPU with a handle.
    pub(super) fn get(&self, handle: u64) -> Option<&Arc<Shared>> {
        self.vcpus.get(usize::try_from(handle).ok()?)?.as_ref()
    }
}

static VM: RwLock<Option<Arc<Vm>>> = RwLock::new(None);

impl Vm {
    /// The VM of this process.
    pub(super) fn current() -> Result<Arc<Vm>, Error> {
        VM.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::NoDevice)
    }

    pub(super) fn topology(&self) -> MutexGuard<'_, Topology> {
        self.topology.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The interrupt controller, if there is one.
    pub(super) fn gic(&self) -> Option<&Arc<Gic>> {
        self.gic.get()
    }

    /// Installs the interrupt controller: once, and before any vCPU.
    pub(super) fn install_gic(&self, gic: Gic) -> Result<(), Error> {
        let topology = self.topology();
        if topology.live().next().is_some() {
            return Err(Error::Busy);
        }
        self.gic.set(Arc::new(gic)).map_err(|_| Error::Busy)
    }

    /// One past the last guest-physical address.
    pub(super) fn ipa_limit(&self) -> u64 {
        1 << self.ipa_bits
    }
}

fn create(config: *mut c_void) -> Result<(), Error> {
    let config = vm_config::get(config)?;
    let mut vm = VM.write().unwrap_or_else(PoisonError::into_inner);
    if vm.is_some() {
        return Err(Error::Busy);
    }
    *vm = Some(Arc::new(Vm {
        domain: Domain::new(),
        ipa_bits: config.ipa_bits,
        alarm: Alarm::start().map_err(|_| Error::NoResources)?,
        gic: OnceLock::new(),
        topology: Mutex::default(),
    }));
    Ok(())
}

fn destroy() -> Result<(), Error> {
    let mut current = VM.write().unwrap_or_else(PoisonError::into_inner);
    let vm = current.as_ref().ok_or(Error::NoDevice)?;
    if vm.topology().live().next().is_some() {
        return Err(Error::Busy);
    }
    *current = None;
    Ok(())
}

/// Creates the VM of this process. `config` is null or a VM configuration.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vm_create(config: *mut c_void) -> HvReturn {
    answer(create(config))
}

/// Destroys the VM of this process, after its vCPUs.
#[unsafe(no_mangle)]
pub extern "C" fn hv_vm_destroy() -> HvReturn {
    answer(destroy())
}

/// The number of vCPUs that a VM may have.
///
/// # Safety
/// `count` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_vm_get_max_vcpu_count(count: *mut u32) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(count, MAX_VCPUS as u32) })
}
