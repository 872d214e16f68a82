//! Host memory fit for mapping into a guest, and the table of what is mapped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use vm_memory::mmap::{MmapRegion, MmapRegionBuilder};
use vm_memory::{FileOffset, GuestAddress, GuestMemoryRegion, GuestRegionMmap};

use crate::error::{Error, chk};
use crate::sys::call;

/// The framework maps, unmaps and protects in units of 16 KiB (the page size of Apple silicon).
pub const GRANULE: u64 = 0x4000;

/// The host's page size in bytes.
pub(crate) fn page_size() -> u64 {
    // SAFETY: it takes and returns numbers only.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    page.try_into().unwrap_or(GRANULE)
}

/// What a guest may do with mapped memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permissions {
    /// Read only.
    Read,
    /// Read and execute.
    ReadExecute,
    /// Read, write and execute: RAM.
    ReadWriteExecute,
}

impl Permissions {
    const fn flags(self) -> hv_sys::hv_memory_flags_t {
        use hv_sys::{HV_MEMORY_EXEC, HV_MEMORY_READ, HV_MEMORY_WRITE};
        match self {
            Self::Read => HV_MEMORY_READ,
            Self::ReadExecute => HV_MEMORY_READ | HV_MEMORY_EXEC,
            Self::ReadWriteExecute => HV_MEMORY_READ | HV_MEMORY_WRITE | HV_MEMORY_EXEC,
        }
    }
}

/// Zeroed private memory for `size` bytes of guest memory at `base`, aligned for [`Vm::map`].
///
/// Pages take host memory when they are first touched.
///
/// [`Vm::map`]: crate::Vm::map
pub fn anonymous_region(base: GuestAddress, size: u64) -> Result<GuestRegionMmap, Error> {
    region(base, size, &|| {
        MmapRegionBuilder::new(size as usize)
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE)
            .build()
    })
}

/// `size` bytes of `file` from `offset` as guest memory at `base`, copy-on-write: the guest's writes
/// never reach the file. `offset` is a multiple of the host's page size.
///
/// Whoever truncates or rewrites the file while it is mapped changes the guest's memory or kills the
/// process; keep it to oneself.
pub fn private_file_region(
    base: GuestAddress,
    file: &Arc<File>,
    offset: u64,
    size: u64,
) -> Result<GuestRegionMmap, Error> {
    region(base, size, &|| {
        MmapRegionBuilder::new(size as usize)
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(libc::MAP_PRIVATE | libc::MAP_NORESERVE)
            .with_file_offset(FileOffset::from_arc(Arc::clone(file), offset))
            .build()
    })
}

/// Has the host map the pages of a range of offsets, as far as the region has them, so that a vCPU that reads them, or writes
/// them as well, finds them there; waits until they were read from the region's file. What fails is left to the access itself.
///
/// Linux does it with `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE` (madvise(2), since 5.14); where there is no such advice
/// this does nothing.
pub fn populate(region: &GuestRegionMmap, range: Range<u64>, write: bool) {
    let start = range.start / page_size() * page_size();
    let end = range.end.min(region.len());
    if start >= end {
        return;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = write;
    #[cfg(target_os = "linux")]
    // SAFETY: the range lies within the region's mapping, which is live, and the advice changes no content.
    unsafe {
        let host = region.get_mmap().as_ptr().add(start as usize);
        let advice = if write { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
        libc::madvise(host.cast(), (end - start) as usize, advice);
    }
}

/// Tells the host whether accesses to the region's file will be scattered, so that it reads a page where one is touched and
/// no more, or as they come.
pub fn expect_scattered(region: &GuestRegionMmap, scattered: bool) {
    let advice = if scattered { libc::MADV_RANDOM } else { libc::MADV_NORMAL };
    // SAFETY: the range is the region's mapping, which is live, and the advice changes no content.
    unsafe { libc::madvise(region.get_mmap().as_ptr().cast(), region.len() as usize, advice) };
}

type Build<'a> = &'a dyn Fn() -> Result<MmapRegion, vm_memory::mmap::MmapRegionError>;

fn region(base: GuestAddress, size: u64, build: Build<'_>) -> Result<GuestRegionMmap, Error> {
    aligned("the guest address", base.0)?;
    aligned("the size of guest memory", size)?;
    let mapping =
        build_aligned(size as usize, build).map_err(|source| Error::HostMemory { size, source })?;
    GuestRegionMmap::new(mapping, base).ok_or(Error::NotMapped { base: base.0, size })
}

/// Hosts with pages smaller than [`GRANULE`] may answer with an address that is not aligned to it.
/// Then address space is held for a while that shifts the next answer by the excess: either of the
/// mapping's size and the excess, which lies where the mapping lay, or of the excess alone, should the
/// mapping be small enough for some hole.
fn build_aligned(size: usize, build: Build<'_>) -> io::Result<MmapRegion> {
    const ATTEMPTS: usize = 64;
    let mut held = Vec::new();
    for attempt in 0..ATTEMPTS {
        let mapping = build().map_err(io::Error::other)?;
        let excess = mapping.as_ptr() as usize % GRANULE as usize;
        if excess == 0 {
            return Ok(mapping);
        }
        drop(mapping);
        let hold = if attempt % 2 == 0 { size + excess } else { excess };
        held.push(MmapRegion::<()>::new(hold).map_err(io::Error::other)?);
    }
    Err(io::Error::other("no address that is a multiple of 16 KiB was found"))
}

pub(crate) fn aligned(what: &'static str, value: u64) -> Result<(), Error> {
    if value.is_multiple_of(GRANULE) { Ok(()) } else { Err(Error::Unaligned { what, value }) }
}

/// One mapping of the VM. It keeps the host memory alive.
#[derive(Clone)]
struct Mapping {
    base: u64,
    size: u64,
    permissions: Permissions,
    host: Arc<MmapRegion>,
    /// Where the mapping begins in the host memory.
    offset: u64,
}

impl Mapping {
    fn contains(&self, base: u64, size: u64) -> bool {
        base.checked_sub(self.base)
            .is_some_and(|offset| offset < self.size && size <= self.size - offset)
    }

    /// The part that is within the range.
    fn part(&self, range: Range<u64>) -> Option<Mapping> {
        let (start, end) = (range.start.max(self.base), range.end.min(self.base + self.size));
        let offset = self.offset + (start.max(self.base) - self.base);
        (start < end).then(|| Mapping { base: start, size: end - start, offset, ..self.clone() })
    }
}

/// What is mapped into the VM, and the only place that maps.
#[derive(Default)]
pub(crate) struct Mappings {
    list: Vec<Mapping>,
    holes: Holes,
}

impl Mappings {
    pub(crate) fn map(
        &mut self,
        region: &GuestRegionMmap,
        permissions: Permissions,
    ) -> Result<(), Error> {
        let (base, size) = (region.start_addr().0, region.len());
        aligned("the guest address", base)?;
        aligned("the size of guest memory", size)?;
        let host = region.get_mmap();
        aligned("the host address", host.as_ptr() as u64)?;
        let end = base.checked_add(size).ok_or(Error::Overlap { base, size })?;
        if self.list.iter().any(|other| base < other.base + other.size && other.base < end) {
            return Err(Error::Overlap { base, size });
        }
        // SAFETY: the host range is one live mapping of `size` bytes, and `host`, kept until the VM
        // is destroyed, keeps it so.
        unsafe {
            call!(hv_vm_map(host.as_ptr().cast(), base, size as usize, permissions.flags()))?;
        }
        self.list.push(Mapping { base, size, permissions, host, offset: 0 });
        Ok(())
    }

    /// Whether the guest-physical address lies in mapped memory.
    pub(crate) fn holds(&self, address: u64) -> bool {
        self.list.iter().any(|mapping| mapping.contains(address, 1))
    }

    /// Gives the whole granules of a range back to the host. The guest reads zeroes there afterwards.
    /// Returns the number of bytes given back: none if a mapped file has too many holes already.
    ///
    /// The framework pins what it maps, so advice (`MADV_DONTNEED`, `MADV_FREE`) returns nothing:
    /// unmap, put fresh memory over the range, map again.
    pub(crate) fn discard(&mut self, base: u64, size: u64) -> Result<u64, Error> {
        let mapping = self
            .list
            .iter()
            .find(|mapping| mapping.contains(base, size))
            .ok_or(Error::NotMapped { base, size })?
            .clone();
        let start = base.next_multiple_of(GRANULE);
        let end = (base + size) / GRANULE * GRANULE;
        if start >= end {
            return Ok(0);
        }
        if mapping.host.file_offset().is_some() && !self.holes.dig(start..end) {
            return Ok(0);
        }
        let length = (end - start) as usize;
        let offset = mapping.offset + (start - mapping.base);
        // SAFETY: `contains` put the range inside the mapping, so the offset is inside the host range.
        let host = unsafe { mapping.host.as_ptr().add(offset as usize) };
        // SAFETY: unmapping guest memory affects the guest only.
        unsafe { call!(hv_vm_unmap(start, length))? };
        // SAFETY: the range lies in a live mapping that `mapping.host` owns and unmaps as a whole
        // later; replacing pages of it is atomic. Guest memory is only ever accessed through volatile
        // or atomic accesses and no Rust reference points into it, so its contents may change.
        let fresh = unsafe {
            libc::mmap(
                host.cast(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        let replaced = if fresh == libc::MAP_FAILED {
            Err(Error::HostMemory { size: length as u64, source: io::Error::last_os_error() })
        } else {
            Ok(length as u64)
        };
        // SAFETY: as in `map`; the host range is live whether or not it was replaced.
        let mapped = chk("hv_vm_map", unsafe {
            hv_sys::hv_vm_map(host.cast(), start, length, mapping.permissions.flags())
        });
        if mapped.is_err() {
            self.forget(start..end);
        }
        mapped.and(replaced)
    }

    /// Takes a range that the VM does not have any more out of the table.
    fn forget(&mut self, range: Range<u64>) {
        let (before, after) = (0..range.start, range.end..u64::MAX);
        let left = |mapping: &Mapping| [mapping.part(before.clone()), mapping.part(after.clone())];
        self.list = self.list.iter().flat_map(left).flatten().collect();
    }
}

/// More holes than this are not made. A host may bound the pieces of a process's address space (Linux:
/// `vm.max_map_count`, 65530), and a hole in a mapped file makes two more. Linux as a guest reports free
/// memory in blocks of 2 MiB, of which this many are 8 GiB.
const MOST_HOLES: usize = 4096;

/// Anonymous memory in the middle of mapped files.
#[derive(Default)]
struct Holes {
    /// Start and end of each hole; those that touch are one.
    ranges: BTreeMap<u64, u64>,
    /// Holes that were made away from others. Not how many there are: where two have grown together,
    /// the host may still keep two pieces.
    made: usize,
}

impl Holes {
    /// Records a hole; whether it may be made.
    fn dig(&mut self, range: Range<u64>) -> bool {
        let Range { mut start, mut end } = range;
        let touching: Vec<_> = self
            .ranges
            .range(..=end)
            .rev()
            .take_while(|(_, other_end)| **other_end >= start)
            .map(|(start, end)| (*start, *end))
            .collect();
        if touching.is_empty() {
            if self.made == MOST_HOLES {
                return false;
            }
            self.made += 1;
        }
        for (other_start, other_end) in touching {
            self.ranges.remove(&other_start);
            (start, end) = (start.min(other_start), end.max(other_end));
        }
        self.ranges.insert(start, end);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_aligned_to_the_granule() {
        let regions: Vec<_> = (1..20)
            .map(|n| anonymous_region(GuestAddress(0x8000_0000), n * GRANULE).unwrap())
            .collect();
        for region in &regions {
            assert_eq!(region.get_mmap().as_ptr() as u64 % GRANULE, 0);
        }
        assert!(matches!(
            anonymous_region(GuestAddress(0), 0x1000),
            Err(Error::Unaligned { value: 0x1000, .. })
        ));
    }

    #[test]
    fn holes_that_touch_are_one_and_others_are_bounded() {
        let mut holes = Holes::default();
        assert!(holes.dig(10..20) && holes.dig(30..40));
        assert!(holes.dig(20..25));
        assert_eq!(holes.ranges, BTreeMap::from([(10, 25), (30, 40)]));
        assert!(holes.dig(5..35));
        assert_eq!((holes.ranges.clone(), holes.made), (BTreeMap::from([(5, 40)]), 2));
        for n in 2..MOST_HOLES as u64 {
            assert!(holes.dig(100 * n..100 * n + 10), "{n}");
        }
        assert!(!holes.dig(50..60), "one more");
        assert!(holes.dig(40..50), "but those that are there may grow");
        assert!(holes.dig(0..u64::MAX));
        assert_eq!(holes.ranges.len(), 1);
    }

    #[test]
    fn memory_that_could_not_be_mapped_again_is_not_in_the_table() {
        let region = anonymous_region(GuestAddress(0x8000_0000), 4 * GRANULE).unwrap();
        let (base, size) = (0x8000_0000, 4 * GRANULE);
        let (permissions, host) = (Permissions::Read, region.get_mmap());
        let mut mappings = Mappings::default();
        mappings.list.push(Mapping { base, size, permissions, host, offset: 0 });
        mappings.forget(base + GRANULE..base + 2 * GRANULE);
        let granules = [0, 1, 2, 3].map(|n| mappings.holds(base + n * GRANULE));
        assert_eq!(granules, [true, false, true, true]);
        assert!(!mappings.holds(base + size));
        assert_eq!(mappings.list[1].offset, 2 * GRANULE);
        mappings.forget(base..base + GRANULE);
        mappings.forget(base + 3 * GRANULE..base + 4 * GRANULE);
        assert_eq!(mappings.list.len(), 1);
        assert!(mappings.holds(base + 2 * GRANULE));
    }
}
