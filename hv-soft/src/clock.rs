//! The host's counter: the one clock behind every `CNTVCT`, `CNTPCT` and timer deadline.

/// Counter ticks a second, as `CNTFRQ_EL0` says.
pub const FREQUENCY: u64 = 24_000_000;

/// The counter now: the host's monotonic clock in units of 1/[`FREQUENCY`] s.
///
/// A guest's `CNTVCT_EL0` is this less the timer offset of its vCPU.
pub fn counter() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for a write; CLOCK_MONOTONIC exists on every host.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    // 24 ticks a microsecond are 3 in 125 ns.
    now.tv_sec as u64 * FREQUENCY + now.tv_nsec as u64 * 3 / 125
}
