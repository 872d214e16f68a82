//! Registers of the interrupt controller, from the host's side.
//!
//! Distributor, redistributor and message frame are accessed as the guest would, at the register's
//! offset and full width.

use arch_aarch64::sysreg::SysReg;

use crate::gic::spec::{self, SPI_RANGE};
use crate::gic::{Access, Gic};

use super::error::answer;
use super::gic::current;
use super::vcpu::{self, Vcpu};
use super::{Error, HvReturn, put};

/// An inclusive range of register offsets, and the width of its registers.
struct Array {
    first: u32,
    last: u32,
    bytes: u8,
}

const fn words(first: u32, last: u32) -> Array {
    Array { first, last, bytes: 4 }
}

/// `hv_gic_distributor_reg_t`
const DISTRIBUTOR: [Array; 12] = [
    words(spec::GICD_CTLR, spec::GICD_TYPER),
    words(spec::IGROUPR, 0x00fc),
    words(spec::ISENABLER, 0x017c),
    words(spec::ICENABLER, 0x01fc),
    words(spec::ISPENDR, 0x027c),
    words(spec::ICPENDR, 0x02fc),
    words(spec::ISACTIVER, 0x037c),
    words(spec::ICACTIVER, 0x03fc),
    words(spec::IPRIORITYR, 0x07f8),
    words(spec::ICFGR, 0x0cfc),
    Array {
        first: spec::GICD_IROUTER + 8 * SPI_RANGE.start,
        last: spec::GICD_IROUTER + 8 * (SPI_RANGE.end - 1),
        bytes: 8,
    },
    words(PIDR2, PIDR2),
];

const PIDR2: u32 = 0xffe8;

/// `hv_gic_redistributor_reg_t`
const REDISTRIBUTOR: [Array; 11] = [
    Array { first: spec::GICR_TYPER, last: spec::GICR_TYPER, bytes: 8 },
    words(PIDR2, PIDR2),
    words(SGI + spec::IGROUPR, SGI + spec::IGROUPR),
    words(SGI + spec::ISENABLER, SGI + spec::ISENABLER),
    words(SGI + spec::ICENABLER, SGI + spec::ICENABLER),
    words(SGI + spec::ISPENDR, SGI + spec::ISPENDR),
    words(SGI + spec::ICPENDR, SGI + spec::ICPENDR),
    words(SGI + spec::ISACTIVER, SGI + spec::ISACTIVER),
    words(SGI + spec::ICACTIVER, SGI + spec::ICACTIVER),
    words(SGI + spec::IPRIORITYR, SGI + spec::IPRIORITYR + 0x1c),
    words(SGI + spec::ICFGR, SGI + spec::ICFGR + 4),
];

const SGI: u32 = spec::SGI_BASE;

/// `hv_gic_msi_reg_t`
const MSI: [Array; 2] =
    [words(spec::MSI_TYPER, spec::MSI_TYPER), words(spec::MSI_SETSPI_NS, spec::MSI_SETSPI_NS)];

/// Registers that only say what the controller is.
const READ_ONLY: [u32; 2] = [spec::GICD_TYPER, PIDR2];

/// Width of the register at an offset, if the framework names it.
fn width(arrays: &[Array], offset: u32) -> Result<u8, Error> {
    let named = |array: &&Array| {
        (array.first..=array.last).contains(&offset)
            && offset.is_multiple_of(u32::from(array.bytes))
    };
    arrays.iter().find(named).map(|array| array.bytes).ok_or(Error::BadArgument)
}

/// Accesses a named register of the frame at `base`.
fn access(
    gic: &Gic,
    arrays: &[Array],
    base: u64,
    offset: u32,
    access: Access,
) -> Result<u64, Error> {
    let bytes = width(arrays, offset)?;
    gic.access(base + u64::from(offset), bytes, access).ok_or(Error::BadArgument)
}

fn distributor(offset: u32, kind: Access) -> Result<u64, Error> {
    let (_, gic) = current()?;
    if kind != Access::Read && READ_ONLY.contains(&offset) {
        return Err(Error::BadArgument);
    }
    access(&gic, &DISTRIBUTOR, gic.config().distributor, offset, kind)
}

fn redistributor(vcpu: u64, offset: u32, kind: Access) -> Result<u64, Error> {
    let (_, gic) = current()?;
    if kind != Access::Read && (offset == spec::GICR_TYPER || offset == PIDR2) {
        return Err(Error::BadArgument);
    }
    vcpu::with(vcpu, |vcpu| {
        let base = gic.config().redistributor + spec::REDISTRIBUTOR_SIZE * vcpu.index() as u64;
        access(&gic, &REDISTRIBUTOR, base, offset, kind)
    })
}

fn msi(offset: u32, kind: Access) -> Result<u64, Error> {
    let (_, gic) = current()?;
    let base = gic.config().msi.as_ref().ok_or(Error::NoDevice)?.base;
    if (kind == Access::Read) != (offset == spec::MSI_TYPER) {
        width(&MSI, offset)?;
        return Err(Error::BadArgument);
    }
    access(&gic, &MSI, base, offset, kind)
}

/// `hv_gic_icc_reg_t`; `SRE_EL2` comes with EL2.
fn interface_register(register: u32) -> Result<SysReg, Error> {
    const SRE_EL2: u16 = 0xe64d;
    let register = u16::try_from(register).map_err(|_| Error::BadArgument)?;
    match SysReg::from_bits(register) {
        known @ (SysReg::ICC_PMR_EL1
        | SysReg::ICC_BPR0_EL1
        | SysReg::ICC_AP0R0_EL1
        | SysReg::ICC_AP1R0_EL1
        | SysReg::ICC_RPR_EL1
        | SysReg::ICC_BPR1_EL1
        | SysReg::ICC_CTLR_EL1
        | SysReg::ICC_SRE_EL1
        | SysReg::ICC_IGRPEN0_EL1
        | SysReg::ICC_IGRPEN1_EL1) => Ok(known),
        _ if register == SRE_EL2 => Err(Error::Unsupported),
        _ => Err(Error::BadArgument),
    }
}

/// Uses the CPU interface of a vCPU of this thread.
fn interface(
    vcpu: u64,
    register: u32,
    operation: impl FnOnce(&Gic, usize, SysReg) -> Option<u64>,
) -> Result<u64, Error> {
    let (_, gic) = current()?;
    vcpu::with(vcpu, |vcpu: &mut Vcpu| {
        let register = interface_register(register)?;
        operation(&gic, vcpu.index(), register).ok_or(Error::BadArgument)
    })
}

/// The registers of virtual interrupts come with EL2. Everything that is checked before is.
fn needs_el2(vcpu: u64) -> HvReturn {
    answer(current().and_then(|_| vcpu::with(vcpu, |_| Err(Error::Unsupported))))
}

/// Reads a distributor register.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_distributor_reg(register: u32, value: *mut u64) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(distributor(register, Access::Read).and_then(|read| unsafe { put(value, read) }))
}

/// Writes a distributor register.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_distributor_reg(register: u32, value: u64) -> HvReturn {
    answer(distributor(register, Access::Write(value)).map(drop))
}

/// Reads a redistributor register of this thread's vCPU.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_redistributor_reg(
    vcpu: u64,
    register: u32,
    value: *mut u64,
) -> HvReturn {
    let read = redistributor(vcpu, register, Access::Read);
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(value, read) }))
}

/// Writes a redistributor register of this thread's vCPU.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_redistributor_reg(vcpu: u64, register: u32, value: u64) -> HvReturn {
    answer(redistributor(vcpu, register, Access::Write(value)).map(drop))
}

/// Reads a register of the CPU interface of this thread's vCPU.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_icc_reg(vcpu: u64, register: u32, value: *mut u64) -> HvReturn {
    let read = interface(vcpu, register, |gic, pe, register| gic.read_icc(pe, register));
    // SAFETY: the caller's promise.
    answer(read.and_then(|read| unsafe { put(value, read) }))
}

/// Writes a register of the CPU interface of this thread's vCPU.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_icc_reg(vcpu: u64, register: u32, value: u64) -> HvReturn {
    let write = |gic: &Gic, pe, register| gic.write_icc(pe, register, value).map(|()| 0);
    answer(interface(vcpu, register, write).map(drop))
}

/// Reads a hypervisor control register: `HV_UNSUPPORTED` without EL2.
///
/// # Safety
/// Safe for any arguments; the C prototype has a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_ich_reg(
    vcpu: u64,
    _register: u32,
    _value: *mut u64,
) -> HvReturn {
    needs_el2(vcpu)
}

/// Writes a hypervisor control register: `HV_UNSUPPORTED` without EL2.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_ich_reg(vcpu: u64, _register: u32, _value: u64) -> HvReturn {
    needs_el2(vcpu)
}

/// Reads a register of the virtual CPU interface: `HV_UNSUPPORTED` without EL2.
///
/// # Safety
/// Safe for any arguments; the C prototype has a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_icv_reg(
    vcpu: u64,
    _register: u32,
    _value: *mut u64,
) -> HvReturn {
    needs_el2(vcpu)
}

/// Writes a register of the virtual CPU interface: `HV_UNSUPPORTED` without EL2.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_icv_reg(vcpu: u64, _register: u32, _value: u64) -> HvReturn {
    needs_el2(vcpu)
}

/// Reads a register of the message frame.
///
/// # Safety
/// `value` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hv_gic_get_msi_reg(register: u32, value: *mut u64) -> HvReturn {
    // SAFETY: the caller's promise.
    answer(msi(register, Access::Read).and_then(|read| unsafe { put(value, read) }))
}

/// Writes a register of the message frame.
#[unsafe(no_mangle)]
pub extern "C" fn hv_gic_set_msi_reg(register: u32, value: u64) -> HvReturn {
    answer(msi(register, Access::Write(value)).map(drop))
}
