//! Guest-physical address space of a machine.
//!
//! | from                      | what                                | size                            |
//! |---------------------------|-------------------------------------|---------------------------------|
//! | 0                         | nothing, so that stray addresses fault | [`FIRST`]                    |
//! | [`FIRST`], aligned        | GIC distributor                     | the framework's                 |
//! | next aligned address      | GIC redistributors                  | the framework's                 |
//! | next aligned address      | MSI frame (reserved)                | the framework's                 |
//! | next multiple of 16 MiB   | device registers                    | [`DEVICES`]                     |
//! | next multiple of 1 GiB    | RAM                                 | the machine's                   |
//! | directly above            | generation ID, a page of memory outside `/memory` | one [`GRANULE`]   |
//!
//! Every boundary is a multiple of 16 KiB, so that it can be mapped on every host.

use core::ops::Range;

/// Lowest address that is used.
pub const FIRST: u64 = 0x0800_0000;
/// Bytes of address space for device registers.
pub const DEVICES: u64 = 0x0100_0000;
/// Unit of mapping on hosts with the largest pages.
pub const GRANULE: u64 = 0x4000;
/// RAM begins at a multiple of this. Linux wants 2 MiB; a gigabyte lets it map RAM with blocks.
const RAM_ALIGNMENT: u64 = 1 << 30;
/// RAM is a multiple of this.
const RAM_UNIT: u64 = 2 << 20;
/// The least RAM that a Linux guest boots with.
pub const LEAST_RAM: u64 = 16 << 20;

/// Size and alignment of one range that the framework asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes.
    pub size: u64,
    /// Alignment of the first address, in bytes.
    pub alignment: u64,
}

/// What the framework's interrupt controller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GicFrames {
    /// The distributor.
    pub distributor: Frame,
    /// The redistributors of all possible vCPUs.
    pub redistributors: Frame,
    /// The frame for message-signalled interrupts.
    pub msi: Frame,
}

/// Where everything lies. See the [module](self) for the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// GIC distributor.
    pub distributor: Range<u64>,
    /// GIC redistributors.
    pub redistributors: Range<u64>,
    /// Reserved for message-signalled interrupts.
    pub msi: Range<u64>,
    /// Device registers.
    pub devices: Range<u64>,
    /// RAM.
    pub ram: Range<u64>,
    /// The page that holds the generation ID.
    pub generation: Range<u64>,
}

impl Layout {
    /// All memory: RAM and the page above it.
    pub fn memory(&self) -> Range<u64> {
        self.ram.start..self.generation.end
    }
}

/// A machine that does not fit into its address space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// RAM is not a multiple of 2 MiB, or too small for Linux.
    #[error("{size} bytes of memory do not suit a guest; use a multiple of 2 MiB, at least 16 MiB")]
    RamSize {
        /// Bytes asked for.
        size: u64,
    },
    /// RAM ends above the last guest-physical address.
    #[error(
        "{size} bytes of memory end above the {ipa_bits}-bit guest-physical address space of this \
         host; use at most {most} bytes"
    )]
    AddressSpace {
        /// Bytes asked for.
        size: u64,
        /// Width of a guest-physical address.
        ipa_bits: u32,
        /// Bytes that would fit.
        most: u64,
    },
    /// The framework's interrupt controller asks for something impossible.
    #[error(
        "the host's interrupt controller asks for {size:#x} bytes aligned to {alignment:#x}, which cannot be placed"
    )]
    Frame {
        /// Bytes.
        size: u64,
        /// Alignment.
        alignment: u64,
    },
}

impl Layout {
    /// Checks an amount of RAM before anything else is done.
    ///
    /// # Errors
    /// If it is no multiple of 2 MiB, or too small for Linux.
    pub fn check_ram(ram: u64) -> Result<(), LayoutError> {
        if !ram.is_multiple_of(RAM_UNIT) || ram < LEAST_RAM {
            return Err(LayoutError::RamSize { size: ram });
        }
        Ok(())
    }

    /// Places the interrupt controller, devices and `ram` bytes of RAM below `1 << ipa_bits`.
    pub fn new(gic: &GicFrames, ram: u64, ipa_bits: u32) -> Result<Self, LayoutError> {
        Self::check_ram(ram)?;
        let distributor = place(FIRST, gic.distributor)?;
        let redistributors = place(distributor.end, gic.redistributors)?;
        let msi = place(redistributors.end, gic.msi)?;
        let devices = place(msi.end, Frame { size: DEVICES, alignment: DEVICES })?;
        let base = place(devices.end, Frame { size: 1, alignment: RAM_ALIGNMENT })?.start;
        let limit = 1u64.checked_shl(ipa_bits).unwrap_or(u64::MAX);
        match base.checked_add(ram) {
            Some(end) if end <= limit - GRANULE => Ok(Self {
                distributor,
                redistributors,
                msi,
                devices,
                ram: base..end,
                generation: end..end + GRANULE,
            }),
            _ => Err(LayoutError::AddressSpace {
                size: ram,
                ipa_bits,
                most: limit.saturating_sub(base + GRANULE) / RAM_UNIT * RAM_UNIT,
            }),
        }
    }
}

fn place(after: u64, frame: Frame) -> Result<Range<u64>, LayoutError> {
    let Frame { size, alignment } = frame;
    let impossible = LayoutError::Frame { size, alignment };
    if !alignment.is_power_of_two() {
        return Err(impossible);
    }
    let start = after.checked_next_multiple_of(alignment.max(GRANULE)).ok_or(impossible.clone())?;
    Ok(start..start.checked_add(size).ok_or(impossible)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Apple's framework reports, roughly: 64 KiB, 32 MiB, 64 KiB.
    const GIC: GicFrames = GicFrames {
        distributor: Frame { size: 0x1_0000, alignment: 0x1_0000 },
        redistributors: Frame { size: 0x200_0000, alignment: 0x1_0000 },
        msi: Frame { size: 0x1_0000, alignment: 0x1_0000 },
    };

    fn frame() -> impl Strategy<Value = Frame> {
        (1u64..0x4000_0000, 0u32..26)
            .prop_map(|(size, shift)| Frame { size, alignment: 1 << shift })
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_everything_is_aligned(
            distributor in frame(), redistributors in frame(), msi in frame(), ram in 8u64..0x4000,
        ) {
            let gic = GicFrames { distributor, redistributors, msi };
            let layout = Layout::new(&gic, ram * (2 << 20), 40).unwrap();
            let ranges = [
                &layout.distributor, &layout.redistributors, &layout.msi, &layout.devices,
                &layout.ram, &layout.generation,
            ];
            for pair in ranges.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
            for (range, frame) in ranges.iter().zip([distributor, redistributors, msi]) {
                prop_assert!(range.start.is_multiple_of(frame.alignment));
                prop_assert!(range.start.is_multiple_of(GRANULE));
                prop_assert_eq!(range.end - range.start, frame.size);
            }
            prop_assert!(layout.ram.start.is_multiple_of(RAM_UNIT));
        }
    }

    #[test]
    fn memory_beyond_the_address_space_is_refused() {
        let error = Layout::new(&GIC, 1 << 36, 36).unwrap_err();
        let LayoutError::AddressSpace { most, .. } = error else { panic!("{error}") };
        assert!(Layout::new(&GIC, most, 36).is_ok());
        assert!(Layout::new(&GIC, most + (2 << 20), 36).is_err());
    }

    #[test]
    fn odd_sizes_are_refused() {
        for size in [0, 1, 15 << 20, (64 << 20) + 1] {
            assert_eq!(Layout::new(&GIC, size, 40), Err(LayoutError::RamSize { size }));
        }
    }
}
