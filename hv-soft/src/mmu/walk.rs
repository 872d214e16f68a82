//! Stage-1 translation table walk (Arm ARM D8), VMSAv8-64 with the 4 KiB granule.

use crate::cpu::Cpu;
use crate::cpu::sysreg::{SCTLR_M, SCTLR_WXN};
use crate::mmu::tlb::Regime;

/// Bits of a physical address (`ID_AA64MMFR0_EL1.PARange`).
pub(crate) const PA_BITS: u32 = 40;

/// Kind of access, as far as permissions are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Read,
    Write,
    Exec,
}

/// Why a walk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A fault of stage 1: status code as in `ESR_EL1.ISS` (DFSC/IFSC).
    Stage1(u8),
    /// A descriptor lies at an IPA that no mapping holds.
    Table { ipa: u64 },
}

/// Status codes of stage-1 faults; the level goes to the low bits.
pub(crate) const ADDRESS_SIZE: u8 = 0b000000;
pub(crate) const TRANSLATION: u8 = 0b000100;
pub(crate) const ACCESS_FLAG: u8 = 0b001000;
pub(crate) const PERMISSION: u8 = 0b001100;
pub(crate) const ALIGNMENT: u8 = 0b100001;

/// A valid translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Output address of the byte asked for.
    pub(crate) pa: u64,
    /// Level of the descriptor (3 is a page).
    pub(crate) level: u8,
    /// Memory attributes in MAIR format.
    pub(crate) attr: u8,
    /// Shareability field of the descriptor.
    pub(crate) sh: u8,
    /// Not global.
    pub(crate) ng: bool,
    user_read: bool,
    user_write: bool,
    user_exec: bool,
    kernel_write: bool,
    kernel_exec: bool,
    user_page: bool,
}

impl Mapping {
    /// Whether an access of this kind is permitted.
    pub(crate) fn allows(&self, want: Want, regime: Regime) -> bool {
        match (regime, want) {
            (Regime::User, Want::Read) => self.user_read,
            (Regime::User, Want::Write) => self.user_write,
            (Regime::User, Want::Exec) => self.user_exec,
            (_, Want::Exec) => self.kernel_exec,
            (Regime::KernelPan, _) if self.user_page => false,
            (_, Want::Read) => true,
            (_, Want::Write) => self.kernel_write,
        }
    }

    /// Device memory: unaligned accesses fault.
    pub(crate) fn is_device(&self) -> bool {
        self.attr & 0xf0 == 0
    }
}

/// Walks the tables for one address. Permissions are left to [`Mapping::allows`].
pub(crate) fn walk(cpu: &Cpu, va: u64, regime: Regime, want: Want) -> Result<Mapping, Fault> {
    let tcr = cpu.sys.tcr;
    let upper = va >> 55 & 1 != 0;
    let tbi = tcr >> (if upper { 38 } else { 37 }) & 1 != 0;
    if cpu.sys.sctlr & SCTLR_M == 0 {
        return flat(va, tbi, want, cpu.sys.sctlr);
    }

    let field = |low: u32, high: u32| if upper { tcr >> high } else { tcr >> low };
    let size = (field(0, 16) & 63).clamp(16, 39) as u32;
    let (epd, e0pd) = (field(7, 23) & 1 != 0, field(55, 56) & 1 != 0);
    let ttbr = if upper { cpu.sys.ttbr1 } else { cpu.sys.ttbr0 };
    let bits = 64 - size;

    // All bits above the region, up to the tag byte, repeat bit 55.
    let top = if tbi { 55 } else { 63 };
    let above = (va << (63 - top)) as i64 >> (63 - top + bits);
    if above != -i64::from(upper) || epd || (e0pd && regime == Regime::User) {
        return Err(Fault::Stage1(TRANSLATION));
    }

    let pa_bits = match tcr >> 32 & 7 {
        0 => 32,
        1 => 36,
        _ => PA_BITS,
    };
    let too_big = |pa: u64| pa >> pa_bits != 0;
    let mut level = 4 - (bits - 12).div_ceil(9) as u8;
    let first_bits = bits - 12 - 9 * u32::from(3 - level);
    let mut table = ttbr & 0x0000_ffff_ffff_fffe & !((8u64 << first_bits) - 1);
    if too_big(table) {
        return Err(Fault::Stage1(ADDRESS_SIZE));
    }

    let (mut ap_table, mut uxn_table, mut pxn_table) = (0, false, false);
    let mut index_bits = first_bits;
    loop {
        let shift = 12 + 9 * u32::from(3 - level);
        let index = va >> shift & ((1 << index_bits) - 1);
        let ipa = table + index * 8;
        let desc = cpu.regions.descriptor(ipa).ok_or(Fault::Table { ipa })?;
        let out = desc & 0x0000_ffff_ffff_f000;
        match (desc & 3, level) {
            (3, 0..3) => {
                if too_big(out) {
                    return Err(Fault::Stage1(ADDRESS_SIZE | level));
                }
                ap_table |= desc >> 61 & 3;
                uxn_table |= desc >> 60 & 1 != 0;
                pxn_table |= desc >> 59 & 1 != 0;
                table = out;
                level += 1;
                index_bits = 9;
            }
            (3, 3) | (1, 1 | 2) => {
                let offset_mask = (1u64 << shift) - 1;
                let out = out & !offset_mask;
                if too_big(out) {
                    return Err(Fault::Stage1(ADDRESS_SIZE | level));
                }
                if desc >> 10 & 1 == 0 {
                    return Err(Fault::Stage1(ACCESS_FLAG | level));
                }
                let user_page = desc >> 6 & 1 != 0 && ap_table & 1 == 0;
                let writable = desc >> 7 & 1 == 0 && ap_table & 2 == 0;
                let wxn = cpu.sys.sctlr & SCTLR_WXN != 0;
                let (uxn, pxn) =
                    (desc >> 54 & 1 != 0 || uxn_table, desc >> 53 & 1 != 0 || pxn_table);
                return Ok(Mapping {
                    pa: out | va & offset_mask,
                    level,
                    attr: (cpu.sys.mair >> (8 * (desc >> 2 & 7))) as u8,
                    sh: (desc >> 8 & 3) as u8,
                    ng: desc >> 11 & 1 != 0,
                    user_read: user_page,
                    user_write: user_page && writable,
                    user_exec: !(uxn || wxn && user_page && writable),
                    kernel_write: writable,
                    kernel_exec: !(pxn || writable && (user_page || wxn)),
                    user_page,
                });
            }
            _ => return Err(Fault::Stage1(TRANSLATION | level)),
        }
    }
}

/// Translation with the MMU off (Arm ARM D8.2.10): flat, data is Device-nGnRnE.
fn flat(va: u64, tbi: bool, want: Want, sctlr: u64) -> Result<Mapping, Fault> {
    let pa = if tbi { va & 0x00ff_ffff_ffff_ffff } else { va };
    if pa >> PA_BITS != 0 {
        return Err(Fault::Stage1(ADDRESS_SIZE));
    }
    let icache = sctlr >> 12 & 1 != 0;
    let attr = match (want, icache) {
        (Want::Exec, true) => 0xaa,
        (Want::Exec, false) => 0x44,
        _ => 0x00,
    };
    Ok(Mapping {
        pa,
        level: 3,
        attr,
        sh: 2,
        ng: false,
        user_read: true,
        user_write: true,
        user_exec: true,
        kernel_write: true,
        kernel_exec: true,
        user_page: false,
    })
}
