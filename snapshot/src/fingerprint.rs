//! Which host a snapshot fits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What a host showed when the snapshot was made: identification registers, the header of the interrupt
/// controller's state, whatever else must be equal for the guest to go on. The container compares, it never interprets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(BTreeMap<String, u64>);

impl Fingerprint {
    /// Adds a named value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: u64) -> Self {
        self.0.insert(name.into(), value);
        self
    }

    /// Fails with the first difference between a snapshot's fingerprint (`self`) and this host's.
    pub fn fits(&self, here: &Self) -> Result<(), Error> {
        let show = |v: Option<&u64>| v.map_or("absent".into(), |v| format!("{v:#x}"));
        for name in self.0.keys().chain(here.0.keys()) {
            let (a, b) = (self.0.get(name), here.0.get(name));
            if a != b {
                return Err(Error::Host { name: name.clone(), found: show(a), here: show(b) });
            }
        }
        Ok(())
    }
}
