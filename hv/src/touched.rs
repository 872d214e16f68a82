//! Which parts of guest memory may hold something other than zeros, without touching them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use vm_memory::{GuestMemoryRegion, GuestRegionMmap};

use crate::memory::page_size;

/// Entries of the page map that are looked at together: those of 2 MiB, with pages of 4 KiB.
const TOGETHER: usize = 512;

/// Knows which pages of a region were touched, or come from data of its file.
///
/// Linux says so in `/proc/self/pagemap` (Documentation/admin-guide/mm/pagemap.rst): an entry other than zero in the bits for
/// *present* and *swapped*. On other hosts every page counts as touched.
#[derive(Debug)]
pub struct Touched<'a> {
    region: &'a GuestRegionMmap,
    pagemap: Option<File>,
    page: u64,
}

impl<'a> Touched<'a> {
    /// Looks at a region.
    pub fn new(region: &'a GuestRegionMmap) -> Self {
        let pagemap =
            if cfg!(target_os = "linux") { File::open("/proc/self/pagemap").ok() } else { None };
        Self { region, pagemap, page: page_size() }
    }

    /// The first byte at or after `offset` that may be other than zero, as far as pages tell; `None` if all that follows is
    /// zero.
    pub fn next(&self, offset: u64) -> Option<u64> {
        let len = self.region.len();
        let Some(pagemap) = &self.pagemap else { return (offset < len).then_some(offset) };
        let page = self.next_page(pagemap, offset);
        let data = self.next_data(offset);
        [page, data].into_iter().flatten().min().filter(|&next| next < len)
    }

    /// Pages that this process has in memory or in swap, as ranges of offsets. A page of the region's file counts once it
    /// was touched, or lies beside one that was and the host mapped both. Nothing where the host does not say.
    pub fn resident(&self) -> Vec<Range<u64>> {
        self.pages(is_touched)
    }

    /// Those of them that do not come from the region's file, or not any more: they were written, or are a hole that was made in
    /// it.
    pub fn written(&self) -> Vec<Range<u64>> {
        /// Bit of an entry: the page is of a file, or shared.
        const FILE: u64 = 1 << 61;
        self.pages(|entry| is_touched(entry) && u64::from_ne_bytes(*entry) & FILE == 0)
    }

    fn pages(&self, counts: impl Fn(&[u8; 8]) -> bool) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let Some(pagemap) = &self.pagemap else { return ranges };
        let mut entries = [0; TOGETHER * 8];
        let mut first = 0;
        while let Ok(touched @ [_, ..]) = self.look(pagemap, first, &mut entries) {
            for (index, _) in touched.iter().enumerate().filter(|(_, entry)| counts(entry)) {
                let start = (first + index as u64) * self.page;
                match ranges.last_mut() {
                    Some(last) if last.end == start => last.end += self.page,
                    _ => ranges.push(start..start + self.page),
                }
            }
            first += touched.len() as u64;
        }
        ranges
    }

    /// The next page that is in memory or swapped out.
    fn next_page(&self, pagemap: &File, offset: u64) -> Option<u64> {
        let mut entries = [0; TOGETHER * 8];
        let mut page = offset / self.page;
        loop {
            let Ok(entries) = self.look(pagemap, page, &mut entries) else {
                // Nothing is known of it.
                return Some((page * self.page).max(offset));
            };
            if let Some(first) = entries.iter().position(is_touched) {
                return Some(((page + first as u64) * self.page).max(offset));
            }
            if entries.is_empty() {
                return None;
            }
            page += entries.len() as u64;
        }
    }

    /// The entries of the page map from the region's page `first` on; none after the region's end.
    fn look<'e>(
        &self,
        pagemap: &File,
        first: u64,
        entries: &'e mut [u8; TOGETHER * 8],
    ) -> io::Result<&'e [[u8; 8]]> {
        let base = self.region.get_mmap().as_ptr() as u64;
        let pages = self.region.len().div_ceil(self.page);
        let count = pages.saturating_sub(first).min(TOGETHER as u64) as usize;
        let entries = &mut entries[..count * 8];
        pagemap.read_exact_at(entries, (base / self.page + first) * 8)?;
        Ok(entries.as_chunks().0)
    }

    /// The next data of the region's file.
    fn next_data(&self, offset: u64) -> Option<u64> {
        let file = self.region.file_offset()?;
        let at = file.start().checked_add(offset)?;
        // SAFETY: the descriptor is open, and nobody reads or writes at its position.
        let found =
            unsafe { libc::lseek(file.file().as_raw_fd(), at.try_into().ok()?, libc::SEEK_DATA) };
        match u64::try_from(found) {
            Ok(found) => Some(found.saturating_sub(file.start())),
            Err(_) if std::io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO) => None,
            // The file system does not say.
            Err(_) => Some(offset),
        }
    }
}

/// Whether a page is in memory or swapped out.
fn is_touched(entry: &[u8; 8]) -> bool {
    /// Bits of an entry: in swap, present.
    const TOUCHED: u64 = 1 << 62 | 1 << 63;
    u64::from_ne_bytes(*entry) & TOUCHED != 0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vm_memory::{Bytes, GuestAddress, MemoryRegionAddress};

    use super::*;
    use crate::{anonymous_region, private_file_region};

    const SIZE: u64 = 64 << 20;

    /// Touched pages and data of the file are found; what was only ever a hole is not.
    #[test]
    #[cfg(target_os = "linux")]
    fn holes_are_skipped() {
        let region = anonymous_region(GuestAddress(0), SIZE).unwrap();
        assert_eq!(Touched::new(&region).next(0), None);
        region.write_obj(1u8, MemoryRegionAddress((40 << 20) + 5)).unwrap();
        let found = Touched::new(&region).next(0).unwrap();
        // A host with huge pages may have touched more before it.
        assert!((32 << 20..=40 << 20).contains(&found), "{found:#x}");
        assert!(Touched::new(&region).next(48 << 20).is_none_or(|next| next == SIZE));

        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE + 0x4000).unwrap();
        file.write_all_at(b"data", 0x4000 + (20 << 20)).unwrap();
        let region = private_file_region(GuestAddress(0), &Arc::new(file), 0x4000, SIZE).unwrap();
        region.write_obj(1u8, MemoryRegionAddress(30 << 20)).unwrap();
        let touched = Touched::new(&region);
        assert_eq!(touched.next(0), Some(20 << 20));
        assert_eq!(touched.next(24 << 20), Some(30 << 20));
        assert_eq!(touched.next(31 << 20), None);
    }

    /// What was touched is resident, what was not and lies far from it is not, and populating makes it so.
    #[test]
    #[cfg(target_os = "linux")]
    fn resident_pages_are_those_that_were_touched() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE).unwrap();
        file.write_all_at(&[1; 0x4000], 8 << 20).unwrap();
        let region = private_file_region(GuestAddress(0), &Arc::new(file), 0, SIZE).unwrap();
        assert_eq!(Touched::new(&region).resident(), []);
        region.write_obj(1u8, MemoryRegionAddress(40 << 20)).unwrap();
        let holds = |at: u64| Touched::new(&region).resident().iter().any(|r| r.contains(&at));
        assert!(holds(40 << 20));
        assert!(!holds(8 << 20));
        let page = |at: u64| at..at + Touched::new(&region).page;
        assert_eq!(Touched::new(&region).written(), [page(40 << 20)]);
        crate::populate(&region, (8 << 20) + 5..(8 << 20) + 0x3000, false);
        assert!(holds(8 << 20) && holds((8 << 20) + 0x2fff));
        assert!(!holds(20 << 20));
        // What is no part of the region is left alone.
        crate::populate(&region, SIZE - 0x1000..SIZE + 0x10_0000, true);
        crate::populate(&region, u64::MAX - 5..u64::MAX, false);
        assert!(holds(SIZE - 1));
        let last = SIZE - 0x1000;
        assert!(Touched::new(&region).written().iter().any(|written| written.contains(&last)));
    }
}
