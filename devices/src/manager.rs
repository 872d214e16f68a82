//! Placing devices: an address range and an interrupt line for each `(kind, id)`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::{Bus, Error, IrqLine, IrqSink, MmioDevice, Trigger};

/// What a device is. With an id it names one device of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceKind {
    /// PL011 serial port.
    Serial,
    /// PL031 real-time clock.
    Rtc,
    /// PL061 general-purpose I/O.
    Gpio,
    /// VM generation ID, an interrupt and no registers.
    VmGenId,
    /// virtio-mmio transport; the number is the virtio device ID (virtio 1.2, section 5).
    Virtio(u32),
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceKind::Serial => f.write_str("serial port"),
            DeviceKind::Rtc => f.write_str("clock"),
            DeviceKind::Gpio => f.write_str("GPIO controller"),
            DeviceKind::VmGenId => f.write_str("generation ID"),
            DeviceKind::Virtio(id) => write!(f, "virtio device of type {id}"),
        }
    }
}

/// Where a device is: what its FDT node says.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The device's kind.
    pub kind: DeviceKind,
    /// Its id among devices of that kind.
    pub id: String,
    /// First guest-physical address of its registers.
    pub base: u64,
    /// Length of its registers in bytes; zero for a device that only interrupts.
    pub len: u64,
    /// Its interrupt line.
    pub line: IrqLine,
}

/// A placement, and the device once there is one.
type Slot = (Placement, Option<Arc<dyn MmioDevice>>);

/// Smallest distance between two devices, so that no two share a 4 KiB page of the guest.
const GRANULE: u64 = 0x1000;

/// Hands out addresses and lines, collects the devices, and freezes them into a [`Bus`].
///
/// Addresses and lines are given in the order of the calls: the same calls place the same machine.
pub struct DeviceManager {
    window: Range<u64>,
    intids: Range<u32>,
    next_base: u64,
    next_intid: u32,
    sink: Arc<dyn IrqSink>,
    placed: BTreeMap<(DeviceKind, String), Slot>,
}

impl DeviceManager {
    /// Devices live in `window`; `intids` are the controller's shared lines as the framework
    /// reports them (INTIDs, end exclusive).
    pub fn new(window: Range<u64>, intids: Range<u32>, sink: Arc<dyn IrqSink>) -> Self {
        Self {
            next_base: window.start,
            next_intid: intids.start,
            window,
            intids,
            sink,
            placed: BTreeMap::new(),
        }
    }

    /// Places a device at the next free address with the next free line. A `len` of zero gives a
    /// line and no registers.
    ///
    /// # Errors
    /// [`Error::Duplicate`], [`Error::WindowFull`], [`Error::NoSuchInterrupt`] past the last line.
    pub fn place(
        &mut self,
        kind: DeviceKind,
        id: &str,
        len: u64,
        trigger: Trigger,
    ) -> Result<Placement, Error> {
        let full = Error::WindowFull { len, end: self.window.end };
        let align = len.max(GRANULE).checked_next_power_of_two().ok_or(full.clone())?;
        let mut base = self.next_base.checked_next_multiple_of(align).ok_or(full.clone())?;
        // Ranges placed by hand may lie ahead.
        while let Some(other) = self.overlap(base, len) {
            base = (other.base + other.len).checked_next_multiple_of(align).ok_or(full.clone())?;
        }
        let mut intid = self.next_intid;
        while self.owns(intid) {
            intid += 1;
        }
        let placement = self.place_at(kind, id, base, len, intid, trigger)?;
        if len != 0 {
            self.next_base = base + len;
        }
        self.next_intid = intid + 1;
        Ok(placement)
    }

    /// Places a device at an address and line of the caller's choice.
    ///
    /// # Errors
    /// As [`DeviceManager::place`], and [`Error::Overlap`], [`Error::InterruptTaken`].
    pub fn place_at(
        &mut self,
        kind: DeviceKind,
        id: &str,
        base: u64,
        len: u64,
        intid: u32,
        trigger: Trigger,
    ) -> Result<Placement, Error> {
        let key = (kind, id.to_owned());
        if self.placed.contains_key(&key) {
            return Err(Error::Duplicate { kind, id: key.1 });
        }
        let end = base.checked_add(len).ok_or(Error::Range { base, len })?;
        if len != 0 && (base < self.window.start || end > self.window.end) {
            return Err(Error::WindowFull { len, end: self.window.end });
        }
        if let Some(other) = self.overlap(base, len) {
            return Err(Error::Overlap { base, len, other_base: other.base, other_len: other.len });
        }
        if !self.intids.contains(&intid) {
            return Err(Error::NoSuchInterrupt {
                intid,
                first: self.intids.start,
                last: self.intids.end.saturating_sub(1),
            });
        }
        if self.owns(intid) {
            return Err(Error::InterruptTaken { intid });
        }
        let placement = Placement {
            kind,
            id: id.to_owned(),
            base,
            len,
            line: IrqLine::new(intid, trigger, self.sink.clone()),
        };
        self.placed.insert(key, (placement.clone(), None));
        Ok(placement)
    }

    /// Puts the device behind its placement.
    ///
    /// # Errors
    /// [`Error::Absent`] if it was not placed, [`Error::Duplicate`] if it is there already.
    pub fn attach(
        &mut self,
        kind: DeviceKind,
        id: &str,
        device: Arc<dyn MmioDevice>,
    ) -> Result<(), Error> {
        match self.placed.get_mut(&(kind, id.to_owned())) {
            None => Err(Error::Absent { kind, id: id.to_owned() }),
            Some((_, Some(_))) => Err(Error::Duplicate { kind, id: id.to_owned() }),
            Some((_, slot)) => {
                *slot = Some(device);
                Ok(())
            }
        }
    }

    /// Where a device is.
    ///
    /// # Errors
    /// [`Error::Absent`].
    pub fn placement(&self, kind: DeviceKind, id: &str) -> Result<&Placement, Error> {
        self.placed
            .get(&(kind, id.to_owned()))
            .map(|(placement, _)| placement)
            .ok_or_else(|| Error::Absent { kind, id: id.to_owned() })
    }

    /// All placements by ascending interrupt, which is the order of the calls unless a device was
    /// placed by hand: what goes into the FDT.
    pub fn placements(&self) -> Vec<&Placement> {
        let mut all: Vec<_> = self.placed.values().map(|(placement, _)| placement).collect();
        all.sort_by_key(|p| p.line.intid());
        all
    }

    /// Drives every level line again to the level its device has; see [`IrqLine::redrive`].
    pub fn redrive(&self) {
        for (placement, _) in self.placed.values() {
            placement.line.redrive();
        }
    }

    /// Freezes the attached devices into a bus.
    ///
    /// # Errors
    /// [`Error::Unattached`] for registers that nobody serves.
    pub fn freeze(&self) -> Result<Bus, Error> {
        let ranges = self
            .placed
            .values()
            .filter(|(placement, _)| placement.len != 0)
            .map(|(placement, device)| match device {
                Some(device) => Ok((placement.base, placement.len, device.clone())),
                None => Err(Error::Unattached { kind: placement.kind, id: placement.id.clone() }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Bus::new(ranges)
    }

    fn overlap(&self, base: u64, len: u64) -> Option<&Placement> {
        let placements = self.placed.values().map(|(placement, _)| placement);
        placements.filter(|other| other.len != 0 && len != 0).find(|other| {
            base < other.base.saturating_add(other.len) && other.base < base.saturating_add(len)
        })
    }

    fn owns(&self, intid: u32) -> bool {
        self.placed.values().any(|(placement, _)| placement.line.intid() == intid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irq::tests::Recorder;

    const WINDOW: Range<u64> = 0x900_0000..0x901_0000;

    fn manager(lines: u32) -> DeviceManager {
        DeviceManager::new(WINDOW, 32..32 + lines, Arc::new(Recorder::default()))
    }

    #[test]
    fn places_in_order_without_sharing_a_page() {
        let mut m = manager(4);
        let a = m.place(DeviceKind::Serial, "a", 0x1000, Trigger::Level).unwrap();
        let b = m.place(DeviceKind::Virtio(2), "b", 0x200, Trigger::Level).unwrap();
        let c = m.place(DeviceKind::VmGenId, "c", 0, Trigger::Edge).unwrap();
        let d = m.place(DeviceKind::Virtio(2), "d", 0x200, Trigger::Level).unwrap();
        assert_eq!([a.base, b.base, d.base], [0x900_0000, 0x900_1000, 0x900_2000]);
        assert_eq!([&a, &b, &c, &d].map(|p| p.line.intid()), [32, 33, 34, 35]);
        assert_eq!(c.line.trigger(), Trigger::Edge);
        let ids: Vec<_> = m.placements().iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c", "d"]);
    }

    #[test]
    fn every_mistake_has_its_error() {
        let mut m = manager(2);
        let kind = DeviceKind::Rtc;
        m.place(kind, "a", 0x1000, Trigger::Level).unwrap();
        let again = m.place(kind, "a", 0x1000, Trigger::Level);
        assert_eq!(again.unwrap_err(), Error::Duplicate { kind, id: "a".into() });
        let on_top = m.place_at(kind, "b", 0x900_0800, 0x1000, 33, Trigger::Level);
        assert_eq!(
            on_top.unwrap_err(),
            Error::Overlap {
                base: 0x900_0800,
                len: 0x1000,
                other_base: 0x900_0000,
                other_len: 0x1000
            }
        );
        let taken = m.place_at(kind, "b", 0x900_4000, 0x1000, 32, Trigger::Level);
        assert_eq!(taken.unwrap_err(), Error::InterruptTaken { intid: 32 });
        let outside = m.place_at(kind, "b", 0x100, 0x1000, 33, Trigger::Level);
        assert!(matches!(outside, Err(Error::WindowFull { .. })));
        assert!(matches!(m.placement(kind, "b"), Err(Error::Absent { .. })));
        assert!(matches!(m.freeze(), Err(Error::Unattached { .. })));
    }

    #[test]
    fn the_line_after_the_last_is_an_error() {
        let mut m = manager(2);
        for id in ["a", "b"] {
            m.place(DeviceKind::Gpio, id, 0x1000, Trigger::Level).unwrap();
        }
        let past = m.place(DeviceKind::Gpio, "c", 0x1000, Trigger::Level);
        assert_eq!(past.unwrap_err(), Error::NoSuchInterrupt { intid: 34, first: 32, last: 33 });
    }

    #[test]
    fn a_full_window_is_an_error_and_automatic_placement_steps_over_what_is_there() {
        let mut m = manager(64);
        m.place_at(DeviceKind::Gpio, "fixed", 0x900_0000, 0x2000, 32, Trigger::Level).unwrap();
        let p = m.place(DeviceKind::Gpio, "next", 0x1000, Trigger::Level).unwrap();
        assert_eq!((p.base, p.line.intid()), (0x900_2000, 33));
        let big = m.place(DeviceKind::Gpio, "big", 0x1_0000, Trigger::Level);
        assert!(matches!(big, Err(Error::WindowFull { .. })));
    }
}
