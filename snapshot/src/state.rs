//! The state file's bytes: a fixed head, a CBOR preamble, named records, a BLAKE3 hash over all of it.
//!
//! | bytes | field                                           |
//! |-------|-------------------------------------------------|
//! | 8     | magic `KILNSNAP`                                |
//! | 4     | format version                                  |
//! | 4     | alignment of the RAM file in bytes              |
//! | 16    | snapshot id                                     |
//! | 8     | length of the whole file in bytes               |
//! | 4 + n | preamble: host fingerprint, RAM, disks          |
//! | 4     | number of records                               |
//! | …     | records: name, kind (one length byte each), version (4), payload (4 + n) |
//! | 32    | BLAKE3 of everything before it                  |
//!
//! Numbers are little-endian.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Fingerprint, PAGE, memory::MAX_MEMORY};

/// The layout that this build writes and reads.
pub const FORMAT: u32 = 1;
/// Largest state file in bytes.
pub(crate) const MAX_STATE: u64 = 64 << 20;
const MAGIC: &[u8; 8] = b"KILNSNAP";
const HEAD_LEN: usize = 40;
const MAX_RECORDS: u32 = 4096;
const MAX_DISKS: usize = 64;
const MAX_LAYERS: usize = 1024;

/// All that the state file holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) id: [u8; 16],
    pub(crate) preamble: Preamble,
    pub(crate) records: Vec<Record>,
}

/// What is known before any record is looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Preamble {
    pub(crate) host: Fingerprint,
    /// Bytes of guest RAM.
    pub(crate) memory_len: u64,
    /// BLAKE3 of `memory.sums`.
    pub(crate) sums: [u8; 32],
    pub(crate) disks: Vec<Disk>,
    /// What the guest's read-only disk is made of, if the snapshot carries it.
    #[serde(default)]
    pub(crate) layers: Vec<Layer>,
}

/// One file of a read-only disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    pub(crate) len: u64,
    pub(crate) hash: [u8; 32],
}

/// One writable disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(crate) name: String,
    pub(crate) len: u64,
    pub(crate) hash: [u8; 32],
}

/// One named record, its payload still encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) payload: Vec<u8>,
}

/// Names are unique, short, and safe as file names.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if (1..=64).contains(&name.len()) && name.bytes().all(legal) && !name.starts_with('.') {
        Ok(())
    } else {
        Err(Error::Name(name.into()))
    }
}

impl State {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        out.extend(MAGIC);
        out.extend(FORMAT.to_le_bytes());
        out.extend((PAGE as u32).to_le_bytes());
        out.extend(self.id);
        out.extend([0; 8]);
        put_bytes(&mut out, &to_cbor("preamble", &self.preamble)?);
        out.extend((self.records.len() as u32).to_le_bytes());
        for Record { name, kind, version, payload } in &self.records {
            put_text(&mut out, name);
            put_text(&mut out, kind);
            out.extend(version.to_le_bytes());
            put_bytes(&mut out, payload);
        }
        let len = (out.len() + blake3::OUT_LEN) as u64;
        if len > MAX_STATE {
            return Err(Error::TooLarge {
                what: "the machine's state".into(),
                len,
                limit: MAX_STATE,
            });
        }
        out[32..HEAD_LEN].copy_from_slice(&len.to_le_bytes());
        let hash = blake3::hash(&out);
        out.extend(hash.as_bytes());
        Ok(out)
    }

    /// Decodes a state file; `path` is for messages.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let damaged = |what: &str| Error::damaged(path, what);
        let mut head = Cursor { bytes, path };
        if head.take(8)? != MAGIC {
            return Err(damaged("it does not start like a snapshot's state"));
        }
        let found = head.u32()?;
        if found != FORMAT {
            return Err(Error::Format { path: path.into(), found, supported: FORMAT });
        }
        if u64::from(head.u32()?) != PAGE {
            return Err(damaged("its RAM file has another alignment"));
        }
        let id = head.array()?;
        if u64::from_le_bytes(head.array()?) != bytes.len() as u64 {
            return Err(damaged("it is cut short or has grown"));
        }
        let Some((body, hash)) = bytes.split_last_chunk::<32>() else {
            return Err(damaged("it is cut short"));
        };
        if blake3::hash(body).as_bytes() != hash {
            return Err(damaged("its checksum does not match"));
        }
        let mut rest = Cursor { bytes: &body[HEAD_LEN..], path };
        let preamble: Preamble = from_cbor("preamble", rest.sized()?)?;
        check_preamble(&preamble, path)?;
        let count = rest.u32()?;
        if count > MAX_RECORDS {
            return Err(damaged("it claims more records than any machine has"));
        }
        let mut records: Vec<Record> = Vec::new();
        for _ in 0..count {
            let name = rest.text()?;
            check_name(&name)?;
            let kind = rest.text()?;
            let version = rest.u32()?;
            let payload = rest.sized()?.to_vec();
            records.push(Record { name, kind, version, payload });
        }
        if !rest.bytes.is_empty() {
            return Err(damaged("bytes follow the last record"));
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = records.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Error::Name(pair[0].name.clone()));
        }
        Ok(Self { id, preamble, records })
    }
}

fn check_preamble(preamble: &Preamble, path: &Path) -> Result<(), Error> {
    let Preamble { host: _, memory_len, sums: _, disks, layers } = preamble;
    if memory_len % PAGE != 0 || *memory_len > MAX_MEMORY {
        return Err(Error::damaged(path, format!("guest RAM of {memory_len} bytes is impossible")));
    }
    if disks.len() > MAX_DISKS {
        return Err(Error::damaged(path, format!("{} disks are too many", disks.len())));
    }
    if layers.len() > MAX_LAYERS {
        return Err(Error::damaged(path, format!("{} layers are too many", layers.len())));
    }
    for (index, disk) in disks.iter().enumerate() {
        check_name(&disk.name)?;
        if disks[..index].iter().any(|other| other.name == disk.name) {
            return Err(Error::Name(disk.name.clone()));
        }
    }
    Ok(())
}

pub(crate) fn to_cbor<T: Serialize>(name: &str, value: &T) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out)
        .map_err(|e| Error::Record { name: name.into(), what: e.to_string() })?;
    Ok(out)
}

pub(crate) fn from_cbor<T: for<'a> Deserialize<'a>>(name: &str, bytes: &[u8]) -> Result<T, Error> {
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest)
        .map_err(|e| Error::Record { name: name.into(), what: e.to_string() })?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(Error::Record { name: name.into(), what: format!("{} bytes too many", rest.len()) })
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
}

struct Cursor<'a> {
    bytes: &'a [u8],
    path: &'a Path,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or_else(|| Error::damaged(self.path, "a length points past its end"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn sized(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    fn text(&mut self) -> Result<String, Error> {
        let [len] = self.array()?;
        let bytes = self.take(len.into())?;
        String::from_utf8(bytes.into())
            .map_err(|_| Error::damaged(self.path, "a record's name is not text"))
    }
}
