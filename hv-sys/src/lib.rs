//! Apple's Hypervisor.framework C ABI for arm64: the framework on Apple silicon, hv-soft elsewhere
