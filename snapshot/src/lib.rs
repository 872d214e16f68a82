//! The versioned snapshot container, and the trait that every saved state implements.
//!
//! A snapshot is a directory that appears whole or not at all:
//!
//! | file          | content                                                                  |
//! |---------------|--------------------------------------------------------------------------|
//! | `state`       | magic, format version, snapshot id, host fingerprint, named records, checksum over all |
//! | `memory`      | one 16 KiB header (magic, snapshot id, length), then guest RAM, sparse and mappable |
//! | `memory.sums` | one BLAKE3 hash per 2 MiB chunk of guest RAM; its own hash stands in `state` |
//! | `disk-NAME`   | a writable disk as it was, sparse; length and hash stand in `state`       |
//! | `layer-N`     | what the guest's read-only disk is made of, in a snapshot that was imported; likewise |
//! | `working-set` | which parts of guest RAM a restored machine touches first: a hint that comes after the first restore |
//!
//! # Compatibility
//!
//! * [`FORMAT`] names the layout of the files. A reader refuses any other number and says which.
//! * A record carries its own kind and version. Payloads are CBOR maps with named fields: a new field with
//!   a default keeps the version and old snapshots stay readable; a field that is renamed, removed or changes
//!   meaning raises [`Saved::VERSION`], and the reader refuses the other version by name.
//! * Unknown records are kept apart and never interpreted; a missing one is an error when it is asked for.
//! * Whether a snapshot fits a host is decided by its [`Fingerprint`] alone.
//!
//! # Trust
//!
//! Everything read from a snapshot is hostile until proven otherwise. [`Snapshot::open`] checks the
//! state file's length, checksum and structure, and the size, identity and header of the RAM file, before anything
//! can be mapped. The checksum finds damage, not malice: values are checked again by [`Saved::validate`].
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use snapshot::{Fingerprint, Invalid, Saved, Snapshot, Writer};
//!
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! struct Clock { ticks: u64 }
//! impl Saved for Clock {
//!     const KIND: &'static str = "clock";
//!     const VERSION: u32 = 1;
//!     fn validate(&self) -> Result<(), Invalid> { Ok(()) }
//! }
//!
//! let home = tempfile::tempdir()?;
//! let host = Fingerprint::default().with("MIDR_EL1", 0x410f_d0c0);
//! let ram = vec![7u8; 64 << 10];
//! let mut writer = Writer::create(&home.path().join("web"), &host)?;
//! writer.put("clock", &Clock { ticks: 24 })?;
//! writer.memory(&mut ram.as_slice())?;
//! writer.commit()?;
//!
//! let snapshot = Snapshot::open(&home.path().join("web"))?;
//! snapshot.fits(&host)?;
//! assert_eq!(snapshot.get::<Clock>("clock")?, Clock { ticks: 24 });
//! assert_eq!(snapshot.memory_len(), 64 << 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod archive;
mod directory;
mod error;
mod fingerprint;
mod memory;
mod reader;
mod saved;
mod sparse;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
mod working_set;
mod writer;

pub use directory::sweep;
pub use error::Error;
pub use fingerprint::Fingerprint;
pub use memory::{CHUNK, HEADER_LEN, MemorySource, PAGE};
pub use reader::Snapshot;
pub use saved::{Invalid, Saved};
pub use state::FORMAT;
pub use working_set::WorkingSet;
pub use writer::{Writer, Written};
