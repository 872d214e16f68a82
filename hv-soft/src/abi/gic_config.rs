//! `hv_gic_config_*`, and the parameters that a layout is made from.

use core::ffi::c_void;

use crate::gic::spec::{self, SPI_RANGE};
use crate::gic::{Config, Msi};

use super::error::answer;
use super::object::{self, Object};
use super::vm::Vm;
use super::{Error, HvReturn, put};

/// `hv_gic_config_t`
#[derive(Clone, Debug, Default)]
pub(super) struct GicConfig {
    distributor: Option<u64>,
    redistributor: Option<u64>,
    msi_base: Option<u64>,
    msi_range: Option<(u32, u32)>,
}

impl GicConfig {
    /// Checks that everything needed is there, in the address space and apart. Messages need both an
    /// address and a range.
    pub(super) fn finish(&self, limit: u64) -> Result<Config, Error> {
        let msi = self.msi_base.zip(self.msi_range);
        let config = Config {
            distributor: self.distributor.ok_or(Error::BadArgument)?,
            redistributor: self.redistributor.ok_or(Error::BadArgument)?,
            msi: msi.map(|(base, (first, count))| Msi { base, first, count }),
        };
        let mut ranges: Vec<_> = config.ranges().collect();
        ranges.sort_unstable();
        let apart = ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        let inside = ranges.iter().all(|(_, end)| *end <= limit);
        if apart && inside { Ok(config) } else { Err(Error::BadArgument) }
    }
}

fn with<T>(pointer: *mut c_void, operation: impl FnOnce(&mut GicConfig) -> T) -> Result<T, Error> {
    object::with(pointer, |object| match object {
        Object::Gic(config) => Some(operation(config)),
        _ => None,
    })
}

/// The configuration that `pointer` stands for.
pub(super) fn get(pointer: *mut c_void) -> Result<GicConfig, Error> {
    with(pointer, |config| config.clone())
}

/// Addresses above this cannot be in a guest-physical address space; sums of them do not overflow.
const ADDRESS_LIMIT: u64 = 1 << 48;

fn set_base(
    pointer: *mut c_void,
    base: u64,
    field: fn(&mut GicConfig) -> &mut Option<u64>,
) -> HvReturn {
    if !base.is_multiple_of(spec::ALIGNMENT) || base >= ADDRESS_LIMIT {
        return Error::BadArgument.code();
    }
    answer(with(pointer, |config| *field(config) = Some(base)))
}

/// An empty GIC configuration, or null if there is no VM yet. Release it with
/// [`os_release`](super::os_release).
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_config_create() -> *mut c_void {
    match Vm::current() {
        Ok(_) => object::create(Object::Gic(GicConfig::default())),
        Err(_) => core::ptr::null_mut(),
    }
}

/// Sets the distributor's address.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_config_set_distributor_base(config: *mut c_void, base: u64) -> HvReturn {
    set_base(config, base, |config| &mut config.distributor)
}

/// Sets the address of the first redistributor.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_config_set_redistributor_base(config: *mut c_void, base: u64) -> HvReturn {
    set_base(config, base, |config| &mut config.redistributor)
}

/// Sets the message frame's address.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_config_set_msi_region_base(config: *mut c_void, base: u64) -> HvReturn {
    set_base(config, base, |config| &mut config.msi_base)
}

/// Sets which SPIs are messages.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_config_set_msi_interrupt_range(
    config: *mut c_void,
    first: u32,
    count: u32,
) -> HvReturn {
    let end = first.checked_add(count);
    if count == 0 || first < SPI_RANGE.start || end.is_none_or(|end| end > SPI_RANGE.end) {
        return Error::BadArgument.code();
    }
    answer(with(config, |config| config.msi_range = Some((first, count))))
}

/// Bytes that the distributor takes.
///
/// # Safety
/// `size` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_distributor_size(size: *mut usize) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(size, spec::DISTRIBUTOR_SIZE as usize) })
}

/// Alignment of the distributor's address.
///
/// # Safety
/// `alignment` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_distributor_base_alignment(alignment: *mut usize) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(alignment, spec::ALIGNMENT as usize) })
}

/// Bytes reserved for all redistributors.
///
/// # Safety
/// `size` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_redistributor_region_size(size: *mut usize) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(size, spec::REDISTRIBUTOR_REGION_SIZE as usize) })
}

/// Bytes that one redistributor takes.
///
/// # Safety
/// `size` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_redistributor_size(size: *mut usize) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(size, spec::REDISTRIBUTOR_SIZE as usize) })
}

/// Alignment of the redistributors' address.
///
/// # Safety
/// `alignment` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_redistributor_base_alignment(
    alignment: *mut usize,
) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(alignment, spec::ALIGNMENT as usize) })
}

/// Bytes that the message frame takes.
///
/// # Safety
/// `size` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_msi_region_size(size: *mut usize) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(size, spec::MSI_REGION_SIZE as usize) })
}

/// Alignment of the message frame's address.
///
/// # Safety
/// `alignment` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_msi_region_base_alignment(alignment: *mut usize) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(unsafe { put(alignment, spec::ALIGNMENT as usize) })
}

/// Lowest SPI and number of SPIs.
///
/// # Safety
/// `base` and `count` are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_spi_interrupt_range(
    base: *mut u32,
    count: *mut u32,
) -> HvReturn {
    let length = SPI_RANGE.end - SPI_RANGE.start;
    // SAFETY: the caller's promise.
    answer(unsafe { put(base, SPI_RANGE.start).and(put(count, length)) })
}

/// INTID of an interrupt that is reserved (`hv_gic_intid_t`): the PMU's, which is not implemented but
/// keeps its number, and the two EL1 timers'. The others come with EL2.
///
/// # Safety
/// `intid` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_intid(interrupt: u32, intid: *mut u32) -> HvReturn {
    let known = match interrupt {
        23 | spec::PPI_VIRTUAL_TIMER | spec::PPI_PHYSICAL_TIMER => Ok(interrupt),
        25 | 26 => Err(Error::Unsupported),
        _ => Err(Error::BadArgument),
    };
    // SAFETY: the caller's promise.
    answer(known.and_then(|known| unsafe { put(intid, known) }))
}
