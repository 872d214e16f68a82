//! What can go wrong when a machine's devices are put together.

use crate::DeviceKind;

/// A machine that cannot be put together as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two devices of one kind carry the same id.
    #[error("the machine already has a {kind} named \"{id}\"; give each {kind} a name of its own")]
    Duplicate {
        /// The devices' kind.
        kind: DeviceKind,
        /// The id that was used twice.
        id: String,
    },
    /// Nothing was placed under this kind and id.
    #[error("the machine has no {kind} named \"{id}\"; place it before using it")]
    Absent {
        /// The kind asked for.
        kind: DeviceKind,
        /// The id asked for.
        id: String,
    },
    /// A device was placed, but nothing answers at its address.
    #[error(
        "the {kind} named \"{id}\" was placed but never attached; attach it before the bus is frozen"
    )]
    Unattached {
        /// The device's kind.
        kind: DeviceKind,
        /// The device's id.
        id: String,
    },
    /// Two address ranges meet.
    #[error(
        "the registers at {base:#x}+{len:#x} overlap those at {other_base:#x}+{other_len:#x}; move one of the devices"
    )]
    Overlap {
        /// First address of the range that was added.
        base: u64,
        /// Its length in bytes.
        len: u64,
        /// First address of the range that was there.
        other_base: u64,
        /// Its length in bytes.
        other_len: u64,
    },
    /// A range is empty where it may not be, or passes the end of the address space.
    #[error(
        "the register range {base:#x}+{len:#x} is empty or passes the end of the address space; choose another"
    )]
    Range {
        /// First address.
        base: u64,
        /// Length in bytes.
        len: u64,
    },
    /// The window of device addresses is used up.
    #[error(
        "no {len:#x} bytes are left in the device window that ends at {end:#x}; use fewer devices"
    )]
    WindowFull {
        /// Length that did not fit.
        len: u64,
        /// End of the window (exclusive).
        end: u64,
    },
    /// The interrupt controller has no line left, or no such line.
    #[error(
        "interrupt {intid} is not one of the controller's lines {first} to {last}; use fewer devices"
    )]
    NoSuchInterrupt {
        /// The INTID asked for.
        intid: u32,
        /// First INTID of the controller's shared lines.
        first: u32,
        /// Last INTID of the controller's shared lines.
        last: u32,
    },
    /// Two devices ask for the same line.
    #[error("interrupt {intid} already belongs to another device; choose another line")]
    InterruptTaken {
        /// The INTID in question.
        intid: u32,
    },
}
