//! How many descriptors this process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What macOS takes at most, whatever the hard limit (`OPEN_MAX`, setrlimit(2)).
const OPEN_MAX: u64 = 10_240;

/// Lets this process have as many descriptors as it may: each of a guest's thousands of sockets is one or two,
/// and the usual soft limit is made for programs that call select(2).
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = match limit.maximum {
        hard if cfg!(target_vendor = "apple") => {
            Some(hard.map_or(OPEN_MAX, |hard| hard.min(OPEN_MAX)))
        }
        hard => hard,
    };
    let enough = match (limit.current, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(current), Some(wanted)) => current >= wanted,
    };
    if enough {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: wanted, ..limit }) {
        tracing::warn!(%error, "the limit of descriptors stays at {:?}", limit.current);
    }
}
