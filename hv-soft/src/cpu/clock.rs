//! The system counter (Arm ARM D11): the host's monotonic clock at 24 MHz.

/// CNTFRQ_EL0, in Hz.
pub const FREQUENCY: u64 = 24_000_000;

/// The physical count.
pub fn now() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    (ts.tv_sec as u64).wrapping_mul(FREQUENCY) + ts.tv_nsec as u64 * 3 / 125
}
