//! `MPIDR_EL1`, the affinity of a processing element (Arm ARM D24.2.116).

/// A multiprocessor affinity value: `MPIDR_EL1` with only the affinity fields kept.
///
/// It names a vCPU in PSCI calls, in GIC routing and in `cpu@…/reg` of the FDT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mpidr(u64);

/// `MPIDR_EL1[31]`: reads as one.
const RES1: u64 = 1 << 31;
/// Aff3 in bits 39:32, Aff2..Aff0 in bits 23:0.
const AFFINITY: u64 = 0xff_00ff_ffff;

impl Mpidr {
    /// vCPUs that share Aff1. A GICv3 SGI reaches at most 16 targets of one cluster with its target
    /// list (`ICC_SGI1R_EL1.TargetList`, Arm GIC specification IHI 0069 12.2.13).
    pub const CLUSTER: u32 = 16;

    /// The affinity of the vCPU with that index: Aff0 counts within a cluster of
    /// [`CLUSTER`](Self::CLUSTER), Aff1 counts clusters, Aff2 counts clusters of clusters.
    pub const fn of_index(index: u32) -> Self {
        let aff0 = index % Self::CLUSTER;
        let clusters = index / Self::CLUSTER;
        Self(
            (((clusters >> 8) as u64 & 0xff) << 16) | ((clusters as u64 & 0xff) << 8) | aff0 as u64,
        )
    }

    /// The affinity fields of a raw value (a PSCI target, or the register itself); other bits are
    /// dropped.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw & AFFINITY)
    }

    /// A PSCI `target_affinity` argument: `None` when bits that must be zero are set
    /// (DEN 0022F 5.1.4).
    pub const fn from_psci_target(raw: u64) -> Option<Self> {
        if raw & !AFFINITY == 0 { Some(Self(raw)) } else { None }
    }

    /// Aff3:Aff2:Aff1:Aff0 in their places in the register, as PSCI and the FDT use them.
    pub const fn affinity(self) -> u64 {
        self.0
    }

    /// The value that `MPIDR_EL1` reads as: the affinity and bit 31.
    pub const fn register(self) -> u64 {
        self.0 | RES1
    }
}

impl core::fmt::Display for Mpidr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_hold_sixteen() {
        assert_eq!(Mpidr::of_index(0).register(), 0x8000_0000);
        assert_eq!(Mpidr::of_index(15).affinity(), 0xf);
        assert_eq!(Mpidr::of_index(16).affinity(), 0x100);
        assert_eq!(Mpidr::of_index(16 * 256).affinity(), 0x1_0000);
    }

    #[test]
    fn psci_targets_have_no_other_bits() {
        assert_eq!(Mpidr::from_psci_target(0x101), Some(Mpidr::of_index(17)));
        assert_eq!(Mpidr::from_psci_target(0x8000_0000), None);
        assert_eq!(Mpidr::from_psci_target(u64::MAX), None);
    }
}
