//! PSTATE in the layout of `SPSR_EL1` (Arm ARM C5.2.19), which is what the framework calls `CPSR`.

/// Negative condition flag.
pub const N: u64 = 1 << 31;
/// Zero condition flag.
pub const Z: u64 = 1 << 30;
/// Carry condition flag.
pub const C: u64 = 1 << 29;
/// Overflow condition flag.
pub const V: u64 = 1 << 28;
/// User access override.
pub const UAO: u64 = 1 << 23;
/// Privileged access never.
pub const PAN: u64 = 1 << 22;
/// Software step.
pub const SS: u64 = 1 << 21;
/// Illegal execution state.
pub const IL: u64 = 1 << 20;
/// Debug exceptions masked.
pub const D: u64 = 1 << 9;
/// SError masked.
pub const A: u64 = 1 << 8;
/// IRQ masked.
pub const I: u64 = 1 << 7;
/// FIQ masked.
pub const F: u64 = 1 << 6;
/// All four exception masks.
pub const DAIF: u64 = D | A | I | F;
/// M[4:0]: AArch32 when bit 4 is set, else exception level and stack pointer.
pub const MODE_MASK: u64 = 0x1f;
/// EL0 with SP_EL0.
pub const EL0T: u64 = 0b0000;
/// EL1 with SP_EL0.
pub const EL1T: u64 = 0b0100;
/// EL1 with SP_EL1.
pub const EL1H: u64 = 0b0101;

/// PSTATE of a vCPU that enters Linux (boot or CPU_ON): EL1h, every exception masked
/// (`Documentation/arch/arm64/booting.rst`, DEN 0022F 6.4).
pub const BOOT: u64 = DAIF | EL1H;
