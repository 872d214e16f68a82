//! A small safe wrapper over Hypervisor.framework for arm64
