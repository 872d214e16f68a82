//! The framework's GICv3: parameters, creation, interrupt lines, state.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Code, Error, chk};
use crate::sys::{Object, call, get};
use crate::vm::Inner;

/// Sizes, alignments and ranges that the framework's GIC has on this host. The layout of a machine
/// is derived from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GicParameters {
    /// Bytes that the distributor takes.
    pub distributor_size: u64,
    /// Alignment of the distributor's base.
    pub distributor_alignment: u64,
    /// Bytes reserved for the redistributors of all possible vCPUs.
    pub redistributor_region_size: u64,
    /// Bytes that the redistributor of one vCPU takes.
    pub redistributor_size: u64,
    /// Alignment of the redistributor region's base.
    pub redistributor_alignment: u64,
    /// The frame for message-signalled interrupts.
    pub msi: MsiParameters,
    /// INTIDs of the shared peripheral interrupts.
    pub spis: Range<u32>,
    /// INTID of the EL1 virtual timer, a PPI.
    pub virtual_timer: u32,
    /// INTID of the EL1 physical timer, a PPI.
    pub physical_timer: u32,
}

/// Size and alignment of the frame for message-signalled interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsiParameters {
    /// Bytes that it takes.
    pub size: u64,
    /// Alignment of its base.
    pub alignment: u64,
}

/// Where the GIC's frames lie in guest-physical address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GicConfig {
    /// Base of the distributor.
    pub distributor: u64,
    /// Base of the redistributor region.
    pub redistributors: u64,
}

impl GicParameters {
    pub(crate) fn query() -> Result<Self, Error> {
        macro_rules! query {
            ($function:ident) => {
                // SAFETY: the function writes one value through a valid pointer.
                get(stringify!($function), |value| unsafe { hv_sys::$function(value) })
            };
        }
        let intid = |interrupt| {
            // SAFETY: the function writes one value through a valid pointer.
            get("hv_gic_get_intid", |value| unsafe { hv_sys::hv_gic_get_intid(interrupt, value) })
        };
        let (mut base, mut count) = (0u32, 0u32);
        // SAFETY: the function writes two values through valid pointers.
        unsafe { call!(hv_gic_get_spi_interrupt_range(&raw mut base, &raw mut count))? };
        Ok(Self {
            distributor_size: query!(hv_gic_get_distributor_size)? as u64,
            distributor_alignment: query!(hv_gic_get_distributor_base_alignment)? as u64,
            redistributor_region_size: query!(hv_gic_get_redistributor_region_size)? as u64,
            redistributor_size: query!(hv_gic_get_redistributor_size)? as u64,
            redistributor_alignment: query!(hv_gic_get_redistributor_base_alignment)? as u64,
            msi: MsiParameters {
                size: query!(hv_gic_get_msi_region_size)? as u64,
                alignment: query!(hv_gic_get_msi_region_base_alignment)? as u64,
            },
            spis: base..base.saturating_add(count),
            virtual_timer: intid(hv_sys::hv_gic_intid_t::EL1_VIRTUAL_TIMER)?,
            physical_timer: intid(hv_sys::hv_gic_intid_t::EL1_PHYSICAL_TIMER)?,
        })
    }
}

pub(crate) fn create(config: &GicConfig) -> Result<(), Error> {
    // SAFETY: creates an object that `Object` takes over.
    let raw = unsafe { hv_sys::hv_gic_config_create() };
    let object = Object::new("hv_gic_config_create", raw)?;
    // SAFETY: `object` is a live GIC configuration for all three calls.
    unsafe {
        call!(hv_gic_config_set_distributor_base(object.as_ptr(), config.distributor))?;
        call!(hv_gic_config_set_redistributor_base(object.as_ptr(), config.redistributors))?;
        call!(hv_gic_create(object.as_ptr()))
    }
}

/// The VM's interrupt controller. Any thread may use it.
#[derive(Clone)]
pub struct Gic {
    /// The GIC lives as long as the VM.
    pub(crate) _vm: Arc<Inner>,
}

impl Gic {
    /// Drives the line of a shared peripheral interrupt. An edge-triggered one becomes pending on a
    /// change from low to high; which it is the guest configures.
    pub fn set_spi(&self, intid: u32, level: bool) -> Result<(), Error> {
        // SAFETY: the framework lets any thread make this call, while the VM exists.
        unsafe { call!(hv_gic_set_spi(intid, level)) }
    }

    /// The complete state except what belongs to the vCPUs' register state, as the framework's opaque
    /// bytes. Call it while no vCPU runs.
    pub fn save(&self) -> Result<Vec<u8>, Error> {
        // SAFETY: creates an object that `Object` takes over.
        let raw = unsafe { hv_sys::hv_gic_state_create() };
        let object = Object::new("hv_gic_state_create", raw)?;
        let size: usize = get("hv_gic_state_get_size", |size| {
            // SAFETY: `object` is a live GIC state, the pointer is valid.
            unsafe { hv_sys::hv_gic_state_get_size(object.as_ptr(), size) }
        })?;
        let mut data = vec![0u8; size];
        // SAFETY: `data` has room for the size that the same object reported.
        unsafe { call!(hv_gic_state_get_data(object.as_ptr(), data.as_mut_ptr().cast()))? };
        Ok(data)
    }

    /// Restores what [`save`](Self::save) returned. Accepted once every vCPU of the machine exists and
    /// before any has run.
    pub fn load(&self, state: &[u8]) -> Result<(), Error> {
        // SAFETY: pointer and length describe one readable slice.
        let result = unsafe { hv_sys::hv_gic_set_state(state.as_ptr().cast(), state.len()) };
        match chk("hv_gic_set_state", result) {
            Err(Error::Call { code, .. }) if code != Code::NoDevice => {
                Err(Error::GicState { code })
            }
            other => other,
        }
    }

    /// Puts the distributor and every redistributor into their reset state. Call it while no vCPU
    /// runs.
    pub fn reset(&self) -> Result<(), Error> {
        // SAFETY: no pointer is passed.
        unsafe { call!(hv_gic_reset()) }
    }
}
