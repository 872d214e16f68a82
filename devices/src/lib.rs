//! The MMIO bus, platform devices and the interrupt-line handle
