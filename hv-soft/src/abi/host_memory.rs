//! What the host says about memory that a caller wants to give to the guest.

use super::Error;

/// Checks that `len` bytes at `host` are one region of the process's address space, readable and, if
/// the guest may write, writable: the guest's accesses are accesses of this process.
///
/// # Errors
/// [`Error::BadArgument`] if part of it is not mapped or it spans regions, [`Error::Denied`] if the
/// protection is too narrow.
#[cfg(target_os = "linux")]
pub(super) fn check(host: usize, len: usize, write: bool) -> Result<(), Error> {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|_| Error::NoResources)?;
    let end = host.checked_add(len).ok_or(Error::BadArgument)?;
    let region = maps.lines().filter_map(parse).find(|region| region.end > host);
    match region {
        Some(region) if region.start <= host && end <= region.end => {
            let enough = region.read && (region.write || !write);
            enough.then_some(()).ok_or(Error::Denied)
        }
        _ => Err(Error::BadArgument),
    }
}

/// On other hosts there is no cheap answer; the caller is trusted.
#[cfg(not(target_os = "linux"))]
pub(super) fn check(_host: usize, _len: usize, _write: bool) -> Result<(), Error> {
    Ok(())
}

#[cfg(target_os = "linux")]
struct Region {
    start: usize,
    end: usize,
    read: bool,
    write: bool,
}

/// A line of proc_pid_maps(5): `start-end perms …`.
#[cfg(target_os = "linux")]
fn parse(line: &str) -> Option<Region> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    Some(Region {
        start: usize::from_str_radix(start, 16).ok()?,
        end: usize::from_str_radix(end, 16).ok()?,
        read: rest.starts_with('r'),
        write: rest[1..].starts_with('w'),
    })
}
