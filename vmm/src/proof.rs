//! What the host can do, and a proof of it.

use arch_aarch64::mpidr::Mpidr;
use arch_aarch64::pstate;
use hv::{Exit, Limits, Permissions, Reg, Vcpu, VmBuilder};
use vm_memory::{Bytes, GuestAddress, MemoryRegionAddress};

use crate::Error;

/// The host, as machines see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Most vCPUs of a machine.
    pub vcpus: u32,
    /// Bits of guest-physical address.
    pub ipa_bits: u32,
    /// Physical memory in bytes.
    pub memory: u64,
}

impl Host {
    /// Asks the hypervisor. Creates no VM.
    pub fn query() -> Result<Self, Error> {
        let Limits { vcpus, max_ipa_bits, .. } = Limits::query()?;
        Ok(Self { vcpus, ipa_bits: max_ipa_bits, memory: hv::host_memory() })
    }
}

/// Runs a VM of 64 MiB whose guest executes one HVC, and sees it exit with just that.
///
/// The process must have no machine at the time.
pub fn proof_of_life() -> Result<(), Error> {
    const BASE: u64 = 0x4000_0000;
    const SIZE: u64 = 64 << 20;
    const IMMEDIATE: u16 = 0x6b6e;
    /// `HVC #imm16` (Arm ARM C6.2.125).
    const HVC: u32 = 0xd400_0002 | (IMMEDIATE as u32) << 5;

    let vm = VmBuilder::new(None)?.without_gic();
    let ram = hv::anonymous_region(GuestAddress(BASE), SIZE)?;
    ram.write_obj(HVC.to_le(), MemoryRegionAddress(0))
        .map_err(|source| Error::Memory { address: BASE, source })?;
    vm.map(&ram, Permissions::ReadWriteExecute)?;
    let mut vcpu = Vcpu::new(&vm, Mpidr::of_index(0))?;
    vcpu.set(Reg::Pc, BASE)?;
    vcpu.set(Reg::Pstate, pstate::BOOT)?;
    match vcpu.run()? {
        Exit::Hvc(IMMEDIATE) => Ok(()),
        other => Err(Error::NoLife { seen: format!("{other:?}") }),
    }
}
