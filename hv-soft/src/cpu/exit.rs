//! Why the core stops running guest code.

/// An event that the core leaves to its embedder.
///
/// The PC stands at the instruction that caused it, except for [`Hvc`](CoreExit::Hvc), where it is
/// already past it. Syndromes are those of ESR_EL2 (Arm ARM D17.2.38), as a hypervisor would see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreExit {
    /// A load or store to an IPA that no mapping holds, or not with that right.
    DataAbort {
        /// Syndrome; `ISV` only for accesses of one general register without write-back.
        esr: u64,
        /// Virtual address, as in FAR_EL2.
        va: u64,
        /// Intermediate physical address, all bits.
        ipa: u64,
    },
    /// An instruction fetch from an IPA that no mapping holds, or not with that right.
    InstructionAbort {
        /// Syndrome.
        esr: u64,
        /// Virtual address, as in FAR_EL2.
        va: u64,
        /// Intermediate physical address.
        ipa: u64,
    },
    /// HVC; the immediate is in the syndrome.
    Hvc {
        /// Syndrome.
        esr: u64,
    },
    /// SMC; the immediate is in the syndrome.
    Smc {
        /// Syndrome.
        esr: u64,
    },
    /// WFI with no interrupt pending. Advance the PC when it has waited.
    Wfi,
    /// Access to a system register that the core does not own: `ICC_*`, `CNTV_*`, `CNTP_*` and those
    /// it does not know. Rights of EL0 have been checked.
    SysReg {
        /// Syndrome: direction, Rt and the register's encoding.
        esr: u64,
    },
    /// A debug exception that the host wants (see [`Traps`](crate::cpu::host::Traps)).
    Debug {
        /// Syndrome; the class is that of an exception from a lower exception level.
        esr: u64,
        /// Virtual address, as in FAR_EL2, for a watchpoint.
        va: u64,
    },
    /// [`EXIT_REQUEST`](crate::cpu::lines::EXIT_REQUEST) is set.
    Attention,
}
