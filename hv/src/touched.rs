//! Which parts of guest memory may hold something other than zeros, without touching them.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use vm_memory::{GuestMemoryRegion, GuestRegionMmap};

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
        // SAFETY: it takes and returns numbers only.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        Self { region, pagemap, page: page.try_into().unwrap_or(4096) }
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

    /// The next page that is in memory or swapped out.
    fn next_page(&self, pagemap: &File, offset: u64) -> Option<u64> {
        /// Bits of an entry: in swap, present.
        const TOUCHED: u64 = 1 << 62 | 1 << 63;
        let base = self.region.get_host_address(vm_memory::MemoryRegionAddress(0)).ok()? as u64;
        let pages = self.region.len().div_ceil(self.page);
        let mut entries = [0; TOGETHER * 8];
        let mut page = offset / self.page;
        while page < pages {
            let count = (pages - page).min(TOGETHER as u64) as usize;
            let entries = &mut entries[..count * 8];
            if pagemap.read_exact_at(entries, (base / self.page + page) * 8).is_err() {
                // Nothing is known of it.
                return Some((page * self.page).max(offset));
            }
            let touched = |entry: &[u8; 8]| u64::from_ne_bytes(*entry) & TOUCHED != 0;
            if let Some(first) = entries.as_chunks().0.iter().position(touched) {
                return Some(((page + first as u64) * self.page).max(offset));
            }
            page += count as u64;
        }
        None
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
}
