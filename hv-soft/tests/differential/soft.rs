//! Our side: the harness at EL0 on one vCPU, started and left through the public ABI.

use std::sync::Arc;

use arch_aarch64::mpidr::Mpidr;
use hv::{Exit, Permissions, Reg, Vcpu, Vm, VmBuilder};
use vm_memory::GuestAddress;
use vm_memory::mmap::MmapRegion;

use crate::guest;
use crate::layout::*;
use crate::oracle::{bytes, bytes_mut};
use crate::tables;

pub(crate) struct Soft {
    vcpu: Vcpu,
    ram: Arc<MmapRegion>,
    _vm: Vm,
}

impl Soft {
    /// A machine with these contents of the arena.
    pub(crate) fn start(arena: &[u8]) -> Self {
        let vm = VmBuilder::new(None).expect("a VM of this process").without_gic();
        let region = hv::anonymous_region(GuestAddress(tables::RAM_IPA), tables::RAM_SIZE)
            .expect("64 MiB of memory");
        vm.map(&region, Permissions::ReadWriteExecute).expect("an empty VM");
        let vcpu = Vcpu::new(&vm, Mpidr::of_index(0)).expect("the first vCPU");
        let mut soft = Soft { vcpu, ram: region.get_mmap(), _vm: vm };
        for segment in &guest::image().segments {
            soft.write(segment.address - tables::RAM_IPA, &segment.bytes);
        }
        soft.write(tables::ARENA, arena);
        for (offset, value) in tables::entries() {
            soft.write(offset, &value.to_le_bytes());
        }
        soft
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= tables::RAM_SIZE);
        // SAFETY: in bounds of the live mapping, which no reference points into; the vCPU is not running.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.ram.as_ptr().add(offset as usize),
                bytes.len(),
            )
        };
    }

    /// The states after the instances of a batch.
    pub(crate) fn run(&mut self, before: &[Record], after: &mut [Record]) {
        self.write(tables::IN, bytes(before));
        let count = before.len() as u64;
        let arguments =
            [IN_VA, OUT_VA, count, tables::MAIR, tables::TCR, tables::ROOT, tables::SCTLR];
        for (n, value) in arguments.into_iter().enumerate() {
            self.vcpu.set(Reg::X(n as u8), value).expect("a register");
        }
        self.vcpu.set(Reg::Pc, guest::symbols().boot).expect("a register");
        match self.vcpu.run().expect("the vCPU of this thread") {
            Exit::Hvc(0) => {}
            exit => {
                let at = |r| self.vcpu.get(r).expect("a register");
                panic!(
                    "the harness left hv-soft with {exit:x?} at {:#x}, x0 {:#x}",
                    at(Reg::Pc),
                    at(Reg::X(0))
                )
            }
        }
        let after = bytes_mut(after);
        // SAFETY: in bounds of the live mapping; the vCPU is not running.
        unsafe {
            let from = self.ram.as_ptr().add(tables::OUT as usize);
            std::ptr::copy_nonoverlapping(from, after.as_mut_ptr(), after.len());
        }
    }
}
