//! Guest-physical memory: a sorted map from intermediate physical addresses to host memory.
//!
//! The map is immutable; mapping or unmapping builds a new one, and every vCPU drops its cached
//! pointers before the call returns (see [`Domain`](crate::cpu::Domain)). Guest memory is shared
//! with other vCPUs and with the VMM's device threads, so it is only ever touched by atomic or
//! volatile accesses; no Rust reference points into it.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Granule of the map and of the software TLB, in bytes.
pub const PAGE: u64 = 4096;

/// Access rights of a mapping, as `hv_memory_flags_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perms {
    /// Loads are allowed.
    pub read: bool,
    /// Stores are allowed.
    pub write: bool,
    /// Instruction fetches are allowed.
    pub exec: bool,
}

/// Why the map could not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The range is empty, not page-aligned, or wraps.
    #[error("the guest-physical range {ipa:#x}+{len:#x} is empty, unaligned or wraps")]
    BadRange {
        /// Start of the range.
        ipa: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// The range touches an existing mapping.
    #[error("the guest-physical range {ipa:#x}+{len:#x} overlaps an existing mapping")]
    Overlap {
        /// Start of the range.
        ipa: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// Part of the range is not mapped.
    #[error("the guest-physical range {ipa:#x}+{len:#x} is not fully mapped")]
    NotMapped {
        /// Start of the range.
        ipa: u64,
        /// Its length in bytes.
        len: u64,
    },
}

/// One contiguous mapping.
#[derive(Clone, Copy, Debug)]
struct Region {
    ipa: u64,
    len: u64,
    host: usize,
    perms: Perms,
}

impl Region {
    fn end(&self) -> u64 {
        self.ipa + self.len
    }
}

/// A page of guest-physical memory, as the map has it.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Host address of the byte asked for.
    pub host: *mut u8,
    /// What the mapping allows.
    pub perms: Perms,
}

/// The map at one point in time.
#[derive(Debug, Default)]
pub struct Regions {
    sorted: Vec<Region>,
}

impl Regions {
    fn find(&self, ipa: u64) -> Option<&Region> {
        let after = self.sorted.partition_point(|r| r.ipa <= ipa);
        let region = self.sorted.get(after.checked_sub(1)?)?;
        (ipa < region.end()).then_some(region)
    }

    /// The mapping of the byte at `ipa`. It extends at least to the end of the page.
    pub fn page(&self, ipa: u64) -> Option<Page> {
        let region = self.find(ipa)?;
        let host = (region.host + (ipa - region.ipa) as usize) as *mut u8;
        Some(Page { host, perms: region.perms })
    }

    /// The host memory under a range, as far as it is mapped: address and length of each piece.
    pub fn host_memory(&self, ipa: u64, len: u64) -> impl Iterator<Item = (usize, usize)> {
        let end = ipa.saturating_add(len);
        self.sorted.iter().filter_map(move |r| {
            let (from, to) = (r.ipa.max(ipa), r.end().min(end));
            (from < to).then(|| (r.host + (from - r.ipa) as usize, (to - from) as usize))
        })
    }

    /// Reads a translation table descriptor.
    pub fn descriptor(&self, ipa: u64) -> Option<u64> {
        let page = self.page(ipa & !7)?;
        if !page.perms.read {
            return None;
        }
        // SAFETY: `page` lies in a live mapping whose base is page-aligned, so the eight-byte-aligned
        // address is valid for an atomic access of eight bytes.
        Some(unsafe { (*page.host.cast::<AtomicU64>()).load(Ordering::Acquire) })
    }

    /// The map with a new mapping.
    ///
    /// # Errors
    /// If the range is malformed or overlaps a mapping.
    pub fn with(&self, ipa: u64, len: u64, host: usize, perms: Perms) -> Result<Regions, MapError> {
        let end = check(ipa, len)?;
        if self.sorted.iter().any(|r| r.ipa < end && ipa < r.end()) {
            return Err(MapError::Overlap { ipa, len });
        }
        // A piece that continues its neighbour becomes part of it, so that memory which is returned
        // and mapped again piece by piece stays one region.
        let (mut ipa, mut end, mut host) = (ipa, end, host);
        let mut sorted = self.sorted.clone();
        sorted.retain(|r| {
            let before = r.end() == ipa && r.host + r.len as usize == host;
            let after = r.ipa == end && host + (end - ipa) as usize == r.host;
            let joins = r.perms == perms && (before || after);
            if joins {
                (ipa, end, host) = (ipa.min(r.ipa), end.max(r.end()), host.min(r.host));
            }
            !joins
        });
        let at = sorted.partition_point(|r| r.ipa < ipa);
        sorted.insert(at, Region { ipa, len: end - ipa, host, perms });
        Ok(Regions { sorted })
    }

    /// The map with the range removed (`None`) or with other rights. Mappings are split as needed.
    ///
    /// # Errors
    /// If the range is malformed or not fully mapped.
    pub fn changed(&self, ipa: u64, len: u64, perms: Option<Perms>) -> Result<Regions, MapError> {
        let end = check(ipa, len)?;
        let mut covered = 0;
        let mut sorted = Vec::new();
        for r in &self.sorted {
            let (from, to) = (r.ipa.max(ipa), r.end().min(end));
            if from >= to {
                sorted.push(*r);
                continue;
            }
            covered += to - from;
            let part = |from: u64, to: u64, perms| {
                let host = r.host + (from - r.ipa) as usize;
                Region { ipa: from, len: to - from, host, perms }
            };
            if r.ipa < from {
                sorted.push(part(r.ipa, from, r.perms));
            }
            if let Some(perms) = perms {
                sorted.push(part(from, to, perms));
            }
            if to < r.end() {
                sorted.push(part(to, r.end(), r.perms));
            }
        }
        if covered == len { Ok(Regions { sorted }) } else { Err(MapError::NotMapped { ipa, len }) }
    }
}

/// The end of a range, if it is well formed.
fn check(ipa: u64, len: u64) -> Result<u64, MapError> {
    let bad = MapError::BadRange { ipa, len };
    if len == 0 || !ipa.is_multiple_of(PAGE) || !len.is_multiple_of(PAGE) {
        return Err(bad);
    }
    ipa.checked_add(len).ok_or(bad)
}

/// An integer that a guest loads or stores.
pub trait GuestInt: Copy + Default + 'static {
    /// Its width in bytes.
    const SIZE: u64;

    /// Loads from guest memory; single-copy atomic where the architecture asks for it (each aligned
    /// element of up to eight bytes).
    ///
    /// # Safety
    /// `host` is valid for reads of `SIZE` bytes and lies in guest memory.
    unsafe fn read(host: *const u8) -> Self;

    /// Stores to guest memory, with the atomicity of [`read`](GuestInt::read).
    ///
    /// # Safety
    /// `host` is valid for writes of `SIZE` bytes and lies in guest memory.
    unsafe fn write(host: *mut u8, value: Self);

    /// The low bits of a register.
    fn from_u64(value: u64) -> Self;

    /// Assembles the value from bytes, for accesses that straddle pages.
    fn from_bytes(bytes: &[u8; 16]) -> Self;

    /// The little-endian bytes of the value.
    fn to_bytes(self) -> [u8; 16];
}

/// An integer at any address: a volatile access of one is a single host instruction, which the host
/// performs atomically when it is aligned.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Anywhere<T>(T);

macro_rules! guest_int {
    ($($t:ty, $atomic:ty);*) => {$(
        impl GuestInt for $t {
            const SIZE: u64 = size_of::<$t>() as u64;

            #[inline(always)]
            unsafe fn read(host: *const u8) -> $t {
                // SAFETY: valid for reads by the caller's contract; `Anywhere` needs no alignment.
                <$t>::from_le(unsafe { host.cast::<Anywhere<$t>>().read_volatile() }.0)
            }

            #[inline(always)]
            unsafe fn write(host: *mut u8, value: $t) {
                if host.addr().is_multiple_of(size_of::<$t>()) {
                    // SAFETY: aligned, and valid for writes by the caller's contract.
                    let there = unsafe { <$atomic>::from_ptr(host.cast()) };
                    there.store(value.to_le(), Ordering::Relaxed);
                } else {
                    // The value goes through memory on its way, which is why not all stores are so.
                    // SAFETY: valid for writes by the caller's contract; `Anywhere` needs no alignment.
                    unsafe { host.cast::<Anywhere<$t>>().write_volatile(Anywhere(value.to_le())) }
                }
            }

            #[inline(always)]
            fn from_u64(value: u64) -> $t {
                value as $t
            }

            fn from_bytes(bytes: &[u8; 16]) -> $t {
                let mut own = [0; size_of::<$t>()];
                own.copy_from_slice(&bytes[..size_of::<$t>()]);
                <$t>::from_le_bytes(own)
            }

            fn to_bytes(self) -> [u8; 16] {
                let mut bytes = [0; 16];
                bytes[..size_of::<$t>()].copy_from_slice(&self.to_le_bytes());
                bytes
            }
        }
    )*};
}

guest_int!(u8, AtomicU8; u16, AtomicU16; u32, AtomicU32; u64, AtomicU64);

impl GuestInt for u128 {
    const SIZE: u64 = 16;

    #[inline(always)]
    unsafe fn read(host: *const u8) -> u128 {
        // SAFETY: both halves are valid for reads by the caller's contract.
        let (low, high) = unsafe { (u64::read(host), u64::read(host.add(8))) };
        u128::from(low) | u128::from(high) << 64
    }

    #[inline(always)]
    unsafe fn write(host: *mut u8, value: u128) {
        // SAFETY: both halves are valid for writes by the caller's contract.
        unsafe {
            u64::write(host, value as u64);
            u64::write(host.add(8), (value >> 64) as u64);
        }
    }

    #[inline(always)]
    fn from_u64(value: u64) -> u128 {
        value.into()
    }

    fn from_bytes(bytes: &[u8; 16]) -> u128 {
        u128::from_le_bytes(*bytes)
    }

    fn to_bytes(self) -> [u8; 16] {
        self.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RW: Perms = Perms { read: true, write: true, exec: false };
    const RO: Perms = Perms { read: true, write: false, exec: false };

    #[test]
    fn pieces_that_continue_each_other_are_one_region() {
        let whole = Regions::default().with(0x10000, 0x10000, 0x7000_0000, RW).unwrap();
        let hole = whole.changed(0x14000, 0x4000, None).unwrap();
        assert_eq!(hole.sorted.len(), 2);
        assert!(hole.page(0x14000).is_none());
        let filled = hole.with(0x14000, 0x4000, 0x7000_4000, RW).unwrap();
        assert_eq!(filled.sorted.len(), 1);
        assert_eq!(filled.page(0x1f000).unwrap().host as usize, 0x7000_f000);
    }

    #[test]
    fn other_memory_or_permissions_stay_apart() {
        let base = Regions::default().with(0x10000, 0x4000, 0x7000_0000, RW).unwrap();
        assert_eq!(base.with(0x14000, 0x4000, 0x7100_0000, RW).unwrap().sorted.len(), 2);
        assert_eq!(base.with(0x14000, 0x4000, 0x7000_4000, RO).unwrap().sorted.len(), 2);
        assert_eq!(base.with(0x18000, 0x4000, 0x7000_8000, RW).unwrap().sorted.len(), 2);
    }
}
