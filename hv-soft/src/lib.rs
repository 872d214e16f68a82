//! A software implementation of Apple's Hypervisor.framework C ABI for arm64

pub mod abi;
pub mod clock;
