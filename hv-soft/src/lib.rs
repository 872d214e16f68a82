//! A software implementation of Apple's Hypervisor.framework C ABI for arm64

pub mod abi;
pub mod clock;
pub mod cpu;
pub mod decode;
pub mod exec;
pub mod gic;
pub mod insn;
pub mod mem;
pub mod mmu;
pub(crate) mod softfloat;
pub mod timer;
