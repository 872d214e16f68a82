//! What the Arm architecture and Linux's arm64 boot protocol fix for a virtual machine, as plain
//! definitions without I/O.
//!
//! - [`sysreg`], [`pstate`], [`mpidr`]: names and fields of the registers a hypervisor meets.
//! - [`esr`]: exception syndromes, decoded and encoded.
//! - [`psci`], [`smccc`]: the firmware calls a guest makes through HVC or SMC.
//! - [`layout`]: guest-physical addresses, one table.
//! - [`fdt`], [`linux`]: the device tree, and how Linux wants to be entered.
//!
//! References are to the *Arm Architecture Reference Manual for A-profile* (DDI 0487, "Arm ARM"),
//! *Arm Power State Coordination Interface* (DEN 0022) and *SMC Calling Convention* (DEN 0028).
//!
//! ```
//! use arch_aarch64::{esr::{Esr, Syndrome}, mpidr::Mpidr};
//!
//! // A 4-byte store of W2, trapped from EL1.
//! let esr = Esr::from(0x9382_0040);
//! match esr.decode() {
//!     Syndrome::DataAbort(abort) => {
//!         let access = abort.access.expect("the syndrome is valid");
//!         assert!(abort.write);
//!         assert_eq!((access.bytes, access.register), (4, 2));
//!     }
//!     other => panic!("{other:?}"),
//! }
//! assert_eq!(Mpidr::of_index(17).affinity(), 0x0000_0000_0101);
//! ```

pub mod esr;
pub mod fdt;
pub mod layout;
pub mod linux;
pub mod mpidr;
pub mod psci;
pub mod pstate;
pub mod smccc;
pub mod sysreg;
