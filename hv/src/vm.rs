//! The virtual machine: its creation, memory and limits.

use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use arch_aarch64::sysreg::SysReg;
use vm_memory::GuestRegionMmap;

use crate::error::{Code, Error, chk};
use crate::gic::{self, Gic, GicConfig, GicParameters};
use crate::memory::{Mappings, Permissions};
use crate::sys::{Object, call, get};

/// What this host offers to any VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// vCPUs of one VM.
    pub vcpus: u32,
    /// Bits of guest-physical address that a VM has unless it asks for another size.
    pub default_ipa_bits: u32,
    /// Most bits of guest-physical address that a VM may ask for.
    pub max_ipa_bits: u32,
}

impl Limits {
    /// Asks the framework. Needs no VM.
    pub fn query() -> Result<Self, Error> {
        Ok(Self {
            // SAFETY: the function writes one value through a valid pointer.
            vcpus: get("hv_vm_get_max_vcpu_count", |value| unsafe {
                hv_sys::hv_vm_get_max_vcpu_count(value)
            })?,
            // SAFETY: the function writes one value through a valid pointer.
            default_ipa_bits: get("hv_vm_config_get_default_ipa_size", |value| unsafe {
                hv_sys::hv_vm_config_get_default_ipa_size(value)
            })?,
            // SAFETY: the function writes one value through a valid pointer.
            max_ipa_bits: get("hv_vm_config_get_max_ipa_size", |value| unsafe {
                hv_sys::hv_vm_config_get_max_ipa_size(value)
            })?,
        })
    }
}

/// The identification registers that vCPUs of this host show. Two hosts with different features
/// cannot exchange a saved machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features(pub Vec<(SysReg, u64)>);

impl Features {
    /// Asks the framework. Needs no VM.
    pub fn query() -> Result<Self, Error> {
        use hv_sys::hv_feature_reg_t as Reg;
        // SAFETY: creates an object that `Object` takes over.
        let raw = unsafe { hv_sys::hv_vcpu_config_create() };
        let config = Object::new("hv_vcpu_config_create", raw)?;
        [
            (SysReg::ID_AA64DFR0_EL1, Reg::ID_AA64DFR0_EL1),
            (SysReg::ID_AA64DFR1_EL1, Reg::ID_AA64DFR1_EL1),
            (SysReg::ID_AA64ISAR0_EL1, Reg::ID_AA64ISAR0_EL1),
            (SysReg::ID_AA64ISAR1_EL1, Reg::ID_AA64ISAR1_EL1),
            (SysReg::ID_AA64MMFR0_EL1, Reg::ID_AA64MMFR0_EL1),
            (SysReg::ID_AA64MMFR1_EL1, Reg::ID_AA64MMFR1_EL1),
            (SysReg::ID_AA64MMFR2_EL1, Reg::ID_AA64MMFR2_EL1),
            (SysReg::ID_AA64PFR0_EL1, Reg::ID_AA64PFR0_EL1),
            (SysReg::ID_AA64PFR1_EL1, Reg::ID_AA64PFR1_EL1),
            (SysReg::CTR_EL0, Reg::CTR_EL0),
            (SysReg::CLIDR_EL1, Reg::CLIDR_EL1),
            (SysReg::DCZID_EL0, Reg::DCZID_EL0),
        ]
        .into_iter()
        .map(|(name, register)| {
            // SAFETY: `config` is a live vCPU configuration, the pointer is valid.
            let value = get("hv_vcpu_config_get_feature_reg", |value| unsafe {
                hv_sys::hv_vcpu_config_get_feature_reg(config.as_ptr(), register, value)
            })?;
            Ok((name, value))
        })
        .collect::<Result<_, Error>>()
        .map(Self)
    }
}

/// The host's counter, of which a guest sees its timer's offset less as `CNTVCT_EL0`.
pub fn host_counter() -> u64 {
    hv_sys::mach_absolute_time()
}

/// The host's physical memory in bytes.
pub fn host_memory() -> u64 {
    // SAFETY: the function has no preconditions.
    let (pages, size) =
        unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    // -1 means that the host does not tell, and then nothing is known to be too much.
    match (u64::try_from(pages), u64::try_from(size)) {
        (Ok(pages), Ok(size)) => pages.saturating_mul(size),
        _ => u64::MAX,
    }
}

/// A VM that exists but has neither a GIC nor vCPUs: the moment for questions.
///
/// Dropping it destroys the VM.
pub struct VmBuilder {
    inner: Arc<Inner>,
}

impl VmBuilder {
    /// Creates the process's VM, with `ipa_bits` of guest-physical address space or the host's
    /// default.
    pub fn new(ipa_bits: Option<u32>) -> Result<Self, Error> {
        let config = match ipa_bits {
            None => None,
            Some(bits) => {
                // SAFETY: creates an object that `Object` takes over.
                let raw = unsafe { hv_sys::hv_vm_config_create() };
                let config = Object::new("hv_vm_config_create", raw)?;
                // SAFETY: `config` is a live VM configuration.
                unsafe { call!(hv_vm_config_set_ipa_size(config.as_ptr(), bits))? };
                Some(config)
            }
        };
        let raw = config.as_ref().map_or(ptr::null_mut(), Object::as_ptr);
        // SAFETY: `raw` is null, which means the defaults, or a live VM configuration.
        let result = unsafe { hv_sys::hv_vm_create(raw) };
        chk("hv_vm_create", result).map_err(|error| match error {
            Error::Call { code: Code::Busy, .. } => Error::VmExists,
            // Without the entitlement the framework answers HV_DENIED, or an errno of the kernel's.
            Error::Call { code: code @ (Code::Denied | Code::Other(_)), .. } => {
                Error::Denied { code }
            }
            other => other,
        })?;
        Ok(Self { inner: Arc::new(Inner { mappings: Mutex::default() }) })
    }

    /// What the host's GIC needs, to lay out the machine.
    pub fn gic_parameters(&self) -> Result<GicParameters, Error> {
        GicParameters::query()
    }

    /// Creates the GIC. After this there may be vCPUs.
    pub fn with_gic(self, config: &GicConfig) -> Result<Vm, Error> {
        gic::create(config)?;
        Ok(Vm { inner: self.inner, gic: true })
    }

    /// Goes on without an interrupt controller: WFI and the virtual timer exit, ICC registers trap.
    pub fn without_gic(self) -> Vm {
        Vm { inner: self.inner, gic: false }
    }
}

/// The process's virtual machine. Cheap to clone; the last clone, vCPU or GIC handle that goes
/// destroys it, and only then is the guest's memory released.
#[derive(Clone)]
pub struct Vm {
    pub(crate) inner: Arc<Inner>,
    pub(crate) gic: bool,
}

/// What lives as long as the VM.
pub(crate) struct Inner {
    mappings: Mutex<Mappings>,
}

impl Inner {
    /// Whether an address is in guest memory. Waits for a [`Vm::discard`] in progress.
    pub(crate) fn holds(&self, address: u64) -> bool {
        self.mappings.lock().unwrap_or_else(PoisonError::into_inner).holds(address)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: vCPUs hold this value, so none is left. Guest memory is dropped after this.
        if let Err(error) = unsafe { call!(hv_vm_destroy()) } {
            tracing::error!(%error, "the virtual machine could not be destroyed");
        }
    }
}

impl Vm {
    /// Maps a region into the guest at the address it names, and keeps it until the VM is destroyed.
    ///
    /// Address, size and host address are multiples of [`GRANULE`](crate::GRANULE).
    pub fn map(&self, region: &GuestRegionMmap, permissions: Permissions) -> Result<(), Error> {
        self.inner.mappings.lock().unwrap_or_else(PoisonError::into_inner).map(region, permissions)
    }

    /// Returns the host memory under a guest-physical range; the guest reads zeroes there. Only whole
    /// units of [`GRANULE`](crate::GRANULE) inside the range are returned; the result is their
    /// length in bytes.
    ///
    /// The guest may run: an access in the meantime waits. The range lies in one mapped region.
    pub fn discard(&self, base: u64, size: u64) -> Result<u64, Error> {
        self.inner.mappings.lock().unwrap_or_else(PoisonError::into_inner).discard(base, size)
    }

    /// The interrupt controller, if the VM has one.
    pub fn gic(&self) -> Option<Gic> {
        self.gic.then(|| Gic { _vm: Arc::clone(&self.inner) })
    }
}
