//! A small safe wrapper over Apple's Hypervisor.framework for arm64.
//!
//! The framework's rules are upheld by types where they can be:
//!
//! - the GIC exists before any vCPU, because a [`Vm`] comes out of [`VmBuilder::with_gic`];
//! - guest memory outlives its mapping, because [`Vm::map`] keeps it;
//! - a VM outlives its vCPUs, because each [`Vcpu`] holds it;
//! - a vCPU is created, used and destroyed on one thread, because it is not `Send`; only a
//!   [`VcpuHandle`], which can do nothing but force an exit, crosses threads;
//! - the guest's program counter is advanced exactly where the framework has not done it.
//!
//! The rest are variants of [`Error`]. One process holds at most one VM.
//!
//! ```compile_fail
//! fn share<T: Send>(_: T) {}
//! fn vcpu_stays(vcpu: hv::Vcpu) { share(vcpu) }
//! ```

mod abort;
mod error;
mod exit;
mod gic;
mod memory;
mod state;
mod sys;
mod touched;
mod vcpu;
mod vm;

pub use error::{Code, Error};
pub use exit::{Exit, GuestFault, MmioRead, SysRegRead};
pub use gic::{Gic, GicConfig, GicParameters, MsiParameters};
pub use memory::{
    GRANULE, Permissions, anonymous_region, expect_scattered, populate, private_file_region,
};
pub use state::{VcpuState, VcpuTimer};
pub use touched::Touched;
pub use vcpu::{Reg, Vcpu, VcpuHandle};
pub use vm::{Features, Limits, Vm, VmBuilder, host_counter, host_memory};
