//! What the host says about memory that a caller wants to give to the guest: the guest's accesses are
//! accesses of this process.

use super::Error;

/// Checks that `len` bytes at `host` are one region of the process's address space, readable and, if
/// the guest may write, writable.
///
/// # Errors
/// [`Error::BadArgument`] if part of it is not mapped or it spans regions, [`Error::Denied`] if the
/// protection is too narrow.
#[cfg(target_os = "linux")]
pub(super) fn check_region(host: usize, len: usize, write: bool) -> Result<(), Error> {
    let end = host.checked_add(len).ok_or(Error::BadArgument)?;
    match linux::maps()?.into_iter().find(|region| region.end > host) {
        Some(region) if region.start <= host && end <= region.end => region.allow(write),
        _ => Err(Error::BadArgument),
    }
}

/// Checks that `len` bytes at `host`, in any number of regions, are readable and, if the guest may
/// write, writable.
///
/// # Errors
/// [`Error::Denied`] if part of it is not mapped, or with too narrow a protection.
#[cfg(target_os = "linux")]
pub(super) fn check_protection(host: usize, len: usize, write: bool) -> Result<(), Error> {
    let end = host.checked_add(len).ok_or(Error::BadArgument)?;
    let mut at = host;
    for region in linux::maps()?.into_iter().filter(|region| region.end > host) {
        if at >= end {
            break;
        }
        if region.start > at {
            return Err(Error::Denied);
        }
        region.allow(write)?;
        at = region.end;
    }
    if at >= end { Ok(()) } else { Err(Error::Denied) }
}

/// On other hosts there is no cheap answer; the caller is trusted.
#[cfg(not(target_os = "linux"))]
pub(super) fn check_region(_host: usize, _len: usize, _write: bool) -> Result<(), Error> {
    Ok(())
}

/// As [`check_region`].
#[cfg(not(target_os = "linux"))]
pub(super) fn check_protection(_host: usize, _len: usize, _write: bool) -> Result<(), Error> {
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use super::Error;

    /// A region of this process's address space.
    pub(super) struct Region {
        pub(super) start: usize,
        pub(super) end: usize,
        read: bool,
        write: bool,
    }

    impl Region {
        /// Whether the guest may read or, if it shall, also write it.
        pub(super) fn allow(&self, write: bool) -> Result<(), Error> {
            if self.read && (self.write || !write) { Ok(()) } else { Err(Error::Denied) }
        }
    }

    /// The address space, in ascending order.
    pub(super) fn maps() -> Result<Vec<Region>, Error> {
        let maps = std::fs::read("/proc/self/maps").map_err(|_| Error::NoResources)?;
        Ok(maps.split(|&byte| byte == b'\n').filter_map(parse).collect())
    }

    /// A line of proc_pid_maps(5): `start-end perms … path`. The path is any bytes but a newline.
    fn parse(line: &[u8]) -> Option<Region> {
        let mut fields = line.split(|&byte| byte == b' ');
        let range = str::from_utf8(fields.next()?).ok()?;
        let (start, end) = range.split_once('-')?;
        let protection = fields.next()?;
        Some(Region {
            start: usize::from_str_radix(start, 16).ok()?,
            end: usize::from_str_radix(end, 16).ok()?,
            read: protection.first() == Some(&b'r'),
            write: protection.get(1) == Some(&b'w'),
        })
    }
}
