//! Log lines that a guest can provoke as often as it likes: the first of a device is for whoever runs
//! the machine, the others are for debugging only, or the guest could fill the host's disk with them.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether it has been said.
#[derive(Debug, Default)]
pub(crate) struct Once(AtomicBool);

impl Once {
    pub(crate) fn is_first(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

/// Logs at the level the first time and at debug level from then on.
macro_rules! log_once {
    ($once:expr, $level:ident, $($line:tt)+) => {
        if $once.is_first() {
            tracing::$level!($($line)+)
        } else {
            tracing::debug!($($line)+)
        }
    };
}

pub(crate) use log_once;
