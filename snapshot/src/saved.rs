//! What a saved type promises.

use serde::{Serialize, de::DeserializeOwned};

/// Plain, guest-visible state of one thing, as it goes into a snapshot.
///
/// A saved type is separate from the run-time type it describes and is made from it by exhaustive
/// destructuring, so that a new field that nobody saves does not compile. Everything that comes
/// back through `serde` is untrusted: whoever restores calls [`Saved::validate`] first
/// ([`Snapshot::get`](crate::Snapshot::get) does).
pub trait Saved: Serialize + DeserializeOwned {
    /// The record's kind in the container, e.g. `"virtio-blk"`.
    const KIND: &'static str;
    /// Version of this type's layout. Adding an optional field keeps it; anything else raises it.
    const VERSION: u32;

    /// Checks every value that a hostile file could have chosen.
    fn validate(&self) -> Result<(), Invalid>;
}

/// A saved value that cannot be true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the saved state of {kind} is invalid: {what}; the snapshot is damaged or hostile, make it again"
)]
pub struct Invalid {
    /// The record's kind.
    pub kind: &'static str,
    /// What is wrong, with the offending value.
    pub what: String,
}
