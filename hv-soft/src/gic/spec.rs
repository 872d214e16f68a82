//! Register offsets, fields and geometry (Arm IHI 0069H chapter 12; the message frame is that of
//! GICv2m, Arm DEN 0029 appendix E).

use std::ops::Range;

/// Interrupts that are private to a PE: SGIs 0–15, PPIs 16–31.
pub const PRIVATE: u32 = 32;
/// Shared peripheral interrupts: `GICD_TYPER.ITLinesNumber` is 31, and 1020–1023 are special.
pub const SPI_RANGE: Range<u32> = 32..1020;
/// Returned when no interrupt can be acknowledged (IHI 0069 2.2.1).
pub const SPURIOUS: u32 = 1023;
/// PPI of the EL1 virtual timer (Arm BSA, table 4).
pub const PPI_VIRTUAL_TIMER: u32 = 27;
/// PPI of the EL1 physical timer.
pub const PPI_PHYSICAL_TIMER: u32 = 30;

/// Priority bits implemented, from the top of the byte (IHI 0069 4.8).
pub const PRIORITY_MASK: u8 = 0xf8;
/// The running priority when no interrupt is active.
pub const IDLE_PRIORITY: u8 = 0xff;
/// Smallest `ICC_BPR0_EL1`: 7 minus the number of preemption bits.
pub const MIN_BPR0: u8 = 2;
/// Smallest `ICC_BPR1_EL1`: one more (IHI 0069 4.8.6).
pub const MIN_BPR1: u8 = 3;

/// Size of the distributor's frame.
pub const DISTRIBUTOR_SIZE: u64 = 0x1_0000;
/// Size of one redistributor: RD_base and SGI_base.
pub const REDISTRIBUTOR_SIZE: u64 = 0x2_0000;
/// Size of the whole redistributor region, as the framework reserves it.
pub const REDISTRIBUTOR_REGION_SIZE: u64 = 0x200_0000;
/// Size of the message frame.
pub const MSI_REGION_SIZE: u64 = 0x1_0000;
/// Alignment of every base address.
pub const ALIGNMENT: u64 = 0x1_0000;

/// Banked register arrays, at the same offsets in the distributor and in SGI_base.
pub const IGROUPR: u32 = 0x0080;
/// Set-enable.
pub const ISENABLER: u32 = 0x0100;
/// Clear-enable.
pub const ICENABLER: u32 = 0x0180;
/// Set-pending.
pub const ISPENDR: u32 = 0x0200;
/// Clear-pending.
pub const ICPENDR: u32 = 0x0280;
/// Set-active.
pub const ISACTIVER: u32 = 0x0300;
/// Clear-active.
pub const ICACTIVER: u32 = 0x0380;
/// One byte an interrupt.
pub const IPRIORITYR: u32 = 0x0400;
/// Two bits an interrupt.
pub const ICFGR: u32 = 0x0c00;

/// `GICD_CTLR`
pub const GICD_CTLR: u32 = 0x0000;
/// `GICD_TYPER`
pub const GICD_TYPER: u32 = 0x0004;
/// `GICD_IIDR`
pub const GICD_IIDR: u32 = 0x0008;
/// `GICD_IROUTER<n>`, 8 bytes each, from n = 32.
pub const GICD_IROUTER: u32 = 0x6000;

/// `GICD_CTLR.EnableGrp0`
pub const CTLR_GRP0: u32 = 1 << 0;
/// `GICD_CTLR.EnableGrp1`
pub const CTLR_GRP1: u32 = 1 << 1;
/// `GICD_CTLR.ARE`, reads as one.
pub const CTLR_ARE: u32 = 1 << 4;
/// `GICD_CTLR.DS`, reads as one.
pub const CTLR_DS: u32 = 1 << 6;

/// `GICD_TYPER`: ITLinesNumber 31, IDbits 10, A3V; no security, no messages of its own, no LPIs, no
/// range selector, 1-of-N supported.
pub const TYPER: u32 = 31 | 9 << 19 | 1 << 24;
/// Implementer Arm (JEP106 0x43b), no product.
pub const IIDR: u32 = 0x43b;

/// `GICD_IROUTER.Interrupt_Routing_Mode`: any one participating PE.
pub const IROUTER_ONE_OF_N: u64 = 1 << 31;
/// Aff3 and Aff2.Aff1.Aff0, and the routing mode.
pub const IROUTER_MASK: u64 = 0xff_80ff_ffff;

/// `GICR_CTLR`
pub const GICR_CTLR: u32 = 0x0000;
/// `GICR_IIDR`
pub const GICR_IIDR: u32 = 0x0004;
/// `GICR_TYPER`
pub const GICR_TYPER: u32 = 0x0008;
/// `GICR_WAKER`
pub const GICR_WAKER: u32 = 0x0014;
/// Offset of SGI_base from RD_base.
pub const SGI_BASE: u32 = 0x1_0000;

/// `GICR_WAKER.ProcessorSleep`
pub const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
/// `GICR_WAKER.ChildrenAsleep`
pub const WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;
/// `GICR_TYPER.Last`
pub const TYPER_LAST: u64 = 1 << 4;

/// First identification register.
pub const PIDR4: u32 = 0xffd0;

/// `MSI_TYPER`
pub const MSI_TYPER: u32 = 0x0008;
/// `MSI_SETSPI_NS`
pub const MSI_SETSPI_NS: u32 = 0x0040;
/// `MSI_IIDR`
pub const MSI_IIDR: u32 = 0x0fcc;

/// `ICC_CTLR_EL1.CBPR`
pub const ICC_CTLR_CBPR: u64 = 1 << 0;
/// `ICC_CTLR_EL1.EOImode`
pub const ICC_CTLR_EOIMODE: u64 = 1 << 1;
/// `ICC_CTLR_EL1`: PRIbits 5, IDbits 16, A3V; no range selector.
pub const ICC_CTLR_FIXED: u64 = 4 << 8 | 1 << 15;
/// `ICC_SRE_EL1`: system registers, no bypass; reads so whatever is written.
pub const ICC_SRE: u64 = 0b111;

/// Identification registers `PIDR4` … `CIDR3`: GICv3 (`PIDR2[7:4]` = 3) by Arm (IHI 0069 12.9.24).
pub const fn identification(offset: u32) -> u32 {
    const VALUES: [u8; 12] = [0x44, 0, 0, 0, 0x92, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1];
    let index = (offset.wrapping_sub(PIDR4) / 4) as usize;
    if index < VALUES.len() { VALUES[index] as u32 } else { 0 }
}

/// Aff3.Aff2.Aff1.Aff0 in 32 bits, as `GICR_TYPER` has it, from the layout of `MPIDR_EL1` and
/// `GICD_IROUTER`.
pub const fn packed_affinity(mpidr: u64) -> u32 {
    (mpidr & 0xff_ffff) as u32 | ((mpidr >> 32 & 0xff) as u32) << 24
}

/// Whether a register of the distributor is part of `GICD_IROUTER<n>`.
pub(super) fn is_route(offset: u32) -> bool {
    (GICD_IROUTER..GICD_IROUTER + 8 * SPI_RANGE.end).contains(&offset)
}
