//! The MMIO bus: a sorted slice of address ranges, frozen before the first vCPU runs.

use std::sync::Arc;

use crate::Error;

/// Width of one MMIO access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// 1 byte.
    Byte,
    /// 2 bytes.
    Half,
    /// 4 bytes.
    Word,
    /// 8 bytes.
    Double,
}

impl Width {
    /// Width in bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Width::Byte => 1,
            Width::Half => 2,
            Width::Word => 4,
            Width::Double => 8,
        }
    }

    /// The width of so many bytes, if there is one.
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        match bytes {
            1 => Some(Width::Byte),
            2 => Some(Width::Half),
            4 => Some(Width::Word),
            8 => Some(Width::Double),
            _ => None,
        }
    }

    /// Mask of the value bits that an access of this width carries.
    pub const fn mask(self) -> u64 {
        match self {
            Width::Double => u64::MAX,
            _ => (1 << (self.bytes() * 8)) - 1,
        }
    }
}

/// Address and width of one access, on the bus a guest-physical address, in a device an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Guest-physical address, or offset into the device's range.
    pub addr: u64,
    /// Width of the access.
    pub width: Width,
}

impl Access {
    /// An access at `addr`.
    pub const fn new(addr: u64, width: Width) -> Self {
        Self { addr, width }
    }
}

/// What a guest's store asks of the whole machine.
///
/// Returned as data, so that the vCPU thread that made the access decides and no device holds a
/// handle to the machine.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effect {
    /// Nothing beyond the device.
    #[default]
    None,
    /// Switch the machine off.
    PowerOff,
    /// Reset the machine.
    Reset,
}

/// A device with registers.
///
/// Called from any vCPU thread, several at once; implementations keep their locks short and do no
/// I/O. Every width at every offset must be served: an access that the device does not define
/// reads as zero and ignores the write.
pub trait MmioDevice: Send + Sync {
    /// Reads; bits above the access' width are ignored.
    fn read(&self, access: Access) -> u64;

    /// Writes; bits of `value` above the access' width are zero.
    fn write(&self, access: Access, value: u64) -> Effect;
}

struct Entry {
    base: u64,
    last: u64,
    device: Arc<dyn MmioDevice>,
}

/// Address ranges and the devices behind them.
///
/// Immutable once made: lookup is a binary search without lock or allocation.
pub struct Bus {
    entries: Box<[Entry]>,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|e| e.base..=e.last)).finish()
    }
}

impl Bus {
    /// Makes a bus of `(first address, length in bytes, device)`.
    ///
    /// # Errors
    /// [`Error::Range`] for an empty range or one that wraps, [`Error::Overlap`] if two meet.
    pub fn new(
        ranges: impl IntoIterator<Item = (u64, u64, Arc<dyn MmioDevice>)>,
    ) -> Result<Self, Error> {
        let mut entries = ranges
            .into_iter()
            .map(|(base, len, device)| {
                let last = len
                    .checked_sub(1)
                    .and_then(|l| base.checked_add(l))
                    .ok_or(Error::Range { base, len })?;
                Ok(Entry { base, last, device })
            })
            .collect::<Result<Box<[_]>, Error>>()?;
        entries.sort_by_key(|e| e.base);
        for pair in entries.windows(2) {
            if pair[1].base <= pair[0].last {
                return Err(Error::Overlap {
                    base: pair[1].base,
                    len: pair[1].last - pair[1].base + 1,
                    other_base: pair[0].base,
                    other_len: pair[0].last - pair[0].base + 1,
                });
            }
        }
        Ok(Self { entries })
    }

    /// Reads at a guest-physical address. `None` if no device owns all of the bytes.
    pub fn read(&self, access: Access) -> Option<u64> {
        let entry = self.find(access)?;
        let offset = Access::new(access.addr - entry.base, access.width);
        Some(entry.device.read(offset) & access.width.mask())
    }

    /// Writes at a guest-physical address. `None` if no device owns all of the bytes.
    pub fn write(&self, access: Access, value: u64) -> Option<Effect> {
        let entry = self.find(access)?;
        let offset = Access::new(access.addr - entry.base, access.width);
        Some(entry.device.write(offset, value & access.width.mask()))
    }

    fn find(&self, access: Access) -> Option<&Entry> {
        let after = self.entries.partition_point(|e| e.base <= access.addr);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        let last = access.addr.checked_add(access.width.bytes() - 1)?;
        (last <= entry.last).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads as its own number.
    struct Tagged(u64);

    impl MmioDevice for Tagged {
        fn read(&self, access: Access) -> u64 {
            self.0 << 32 | access.addr
        }
        fn write(&self, _: Access, _: u64) -> Effect {
            Effect::Reset
        }
    }

    fn bus(ranges: &[(u64, u64)]) -> Result<Bus, Error> {
        Bus::new(ranges.iter().enumerate().map(|(i, &(base, len))| {
            let device: Arc<dyn MmioDevice> = Arc::new(Tagged(i as u64));
            (base, len, device)
        }))
    }

    #[test]
    fn an_access_past_the_end_of_a_device_belongs_to_nobody() {
        let bus = bus(&[(0x1000, 0x100), (0x1100, 4)]).unwrap();
        assert_eq!(bus.read(Access::new(0x10fc, Width::Word)), Some(0xfc));
        assert_eq!(bus.read(Access::new(0x10fd, Width::Word)), None);
        assert_eq!(bus.read(Access::new(0x1104, Width::Byte)), None);
        assert_eq!(bus.write(Access::new(0x1100, Width::Double), 0), None);
        assert_eq!(bus.write(Access::new(0x1100, Width::Word), 0), Some(Effect::Reset));
        assert_eq!(bus.read(Access::new(u64::MAX, Width::Double)), None);
    }

    #[test]
    fn empty_and_wrapping_ranges_are_errors() {
        assert_eq!(bus(&[(0x1000, 0)]).unwrap_err(), Error::Range { base: 0x1000, len: 0 });
        assert!(matches!(bus(&[(u64::MAX, 2)]), Err(Error::Range { .. })));
        assert!(bus(&[(u64::MAX, 1)]).is_ok());
    }

    proptest! {
        #[test]
        fn lookup_agrees_with_a_linear_search(
            ranges in prop::collection::vec((0u64..200, 1u64..40), 0..8),
            addr in 0u64..260,
            width in prop::sample::select(vec![Width::Byte, Width::Half, Width::Word, Width::Double]),
        ) {
            let meets = |a: (u64, u64), b: (u64, u64)| a.0 < b.0 + b.1 && b.0 < a.0 + a.1;
            let overlaps = (0..ranges.len())
                .any(|i| (0..i).any(|j| meets(ranges[i], ranges[j])));
            match bus(&ranges) {
                Err(_) => prop_assert!(overlaps),
                Ok(bus) => {
                    prop_assert!(!overlaps);
                    let owner = ranges.iter().position(|&(base, len)| {
                        base <= addr && addr + width.bytes() <= base + len
                    });
                    let expected = owner.map(|i| {
                        ((i as u64) << 32 | (addr - ranges[i].0)) & width.mask()
                    });
                    prop_assert_eq!(bus.read(Access::new(addr, width)), expected);
                }
            }
        }
    }
}
