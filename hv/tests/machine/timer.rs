//! The virtual timer of a machine without an interrupt controller: it exits.

use hv::{Exit, Permissions, Reg, Vcpu, VcpuTimer, VmBuilder};
use vm_memory::{Bytes, GuestAddress, MemoryRegionAddress};

use crate::machine::RAM;

pub(crate) const TESTS: &[(&str, fn())] = &[("a_due_timer_exits_again_after_a_load", due_timer)];

/// What masks the timer, its exit, is over for whoever loads the state: there is nobody left to unmask it.
fn due_timer() {
    let code: [u32; 4] = [
        0xd51b_e35f, // MSR CNTV_CVAL_EL0, XZR
        0xd280_0020, // MOV X0, #1
        0xd51b_e320, // MSR CNTV_CTL_EL0, X0
        0x1400_0000, // B .
    ];
    let vm = VmBuilder::new(None).expect("the only VM of this process").without_gic();
    let ram = hv::anonymous_region(GuestAddress(RAM), hv::GRANULE).expect("a page of memory");
    for (at, word) in code.into_iter().enumerate() {
        ram.write_obj(word, MemoryRegionAddress(4 * at as u64)).expect("in RAM");
    }
    vm.map(&ram, Permissions::ReadWriteExecute).expect("an empty VM");
    let mut vcpu = Vcpu::new(&vm, arch_aarch64::mpidr::Mpidr::of_index(0)).expect("one vCPU");
    vcpu.set(Reg::Pc, RAM).expect("a register");
    for _ in 0..3 {
        assert!(matches!(vcpu.run().expect("it runs"), Exit::VtimerActivated));
        let state = vcpu.save().expect("a vCPU outside of the guest");
        let timer = VcpuTimer { offset: hv::host_counter().wrapping_sub(state.counter) };
        vcpu.load(&state, timer).expect("its own state");
    }
}
