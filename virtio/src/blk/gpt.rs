//! A GUID partition table over given files (UEFI 2.10, section 5).

use sha2::{Digest, Sha256};

use super::disk::SECTOR;

/// Partitions start at multiples of this many bytes, so that guests of any page size map them well.
const ALIGNMENT: u64 = 1 << 20;
/// UEFI 2.10, 5.3.2: room for at least 16 KiB of entries.
const MIN_ENTRIES: usize = 128;
const ENTRY_LEN: usize = 128;
/// Linux numbers at most 255 partitions of one disk.
const MAX_PARTITIONS: usize = 255;
const HEADER_LEN: usize = 92;
/// "Linux filesystem data", 0FC63DAF-8483-4772-8E79-3D69D8477DE4, in its mixed-endian form.
const LINUX_DATA: [u8; 16] = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];
/// Attribute bit 60, read-only (as systemd and Linux distributions use it).
const READ_ONLY: u64 = 1 << 60;

/// The bytes around the partitions, and where these start.
pub(super) struct Table {
    /// Protective MBR, header and entries: the disk's first bytes.
    pub(super) primary: Vec<u8>,
    /// Offset of each partition in bytes.
    pub(super) starts: Vec<u64>,
    /// Offset of the backup in bytes.
    pub(super) backup_start: u64,
    /// Backup entries and header: the disk's last bytes.
    pub(super) backup: Vec<u8>,
    /// Length of the disk in bytes.
    pub(super) len: u64,
}

impl Table {
    /// Lays out partitions of `(label, bytes)`. The same input gives the same bytes.
    pub(super) fn new(id: &str, parts: &[(&str, u64)]) -> Result<Self, String> {
        if parts.is_empty() {
            return Err("it has no part; give at least one file".to_owned());
        }
        if parts.len() > MAX_PARTITIONS {
            return Err(format!(
                "it has {} parts and Linux numbers at most {MAX_PARTITIONS} partitions of a disk; use several disks",
                parts.len()
            ));
        }
        let too_big =
            || "its parts add up to more than a disk can hold; use several disks".to_owned();
        let count = parts.len().max(MIN_ENTRIES).next_multiple_of(4);
        let entries_len = (count * ENTRY_LEN) as u64;
        let mut entries = vec![0; count * ENTRY_LEN];
        let mut starts = Vec::with_capacity(parts.len());
        let mut end = 2 * SECTOR + entries_len;
        for (index, (&(label, len), entry)) in
            parts.iter().zip(entries.chunks_exact_mut(ENTRY_LEN)).enumerate()
        {
            if len == 0 {
                return Err(format!("its part \"{label}\" is empty; leave it out"));
            }
            let start = end.next_multiple_of(ALIGNMENT);
            end = len
                .checked_next_multiple_of(SECTOR)
                .and_then(|len| start.checked_add(len))
                .filter(|end| *end < i64::MAX as u64)
                .ok_or_else(too_big)?;
            write_entry(entry, guid(id, index as u64 + 1), start, end, label)?;
            starts.push(start);
        }
        let backup_start = end.next_multiple_of(ALIGNMENT);
        let len = backup_start + entries_len + SECTOR;
        let header = Header {
            first_usable: 2 + entries_len / SECTOR,
            last_usable: backup_start / SECTOR - 1,
            disk: guid(id, 0),
            count: count as u32,
            entries_crc: crc32fast::hash(&entries),
        };
        let last = len / SECTOR - 1;
        let mut primary = protective_mbr(last);
        primary.extend(header.to_sector(1, last, 2));
        primary.extend(&entries);
        let mut backup = entries;
        backup.extend(header.to_sector(last, 1, backup_start / SECTOR));
        Ok(Self { primary, starts, backup_start, backup, len })
    }
}

/// UEFI 2.10, table 5-7.
fn write_entry(
    entry: &mut [u8],
    guid: [u8; 16],
    start: u64,
    end: u64,
    label: &str,
) -> Result<(), String> {
    let name: Vec<u16> = label.encode_utf16().collect();
    if name.len() > 36 {
        return Err(format!("the label \"{label}\" has more than 36 characters; shorten it"));
    }
    entry[..16].copy_from_slice(&LINUX_DATA);
    entry[16..32].copy_from_slice(&guid);
    entry[32..40].copy_from_slice(&(start / SECTOR).to_le_bytes());
    entry[40..48].copy_from_slice(&(end / SECTOR - 1).to_le_bytes());
    entry[48..56].copy_from_slice(&READ_ONLY.to_le_bytes());
    for (to, unit) in entry[56..].chunks_exact_mut(2).zip(name) {
        to.copy_from_slice(&unit.to_le_bytes());
    }
    Ok(())
}

struct Header {
    first_usable: u64,
    last_usable: u64,
    disk: [u8; 16],
    count: u32,
    entries_crc: u32,
}

impl Header {
    /// UEFI 2.10, table 5-5.
    fn to_sector(&self, own: u64, other: u64, entries: u64) -> Vec<u8> {
        let mut h = Vec::with_capacity(SECTOR as usize);
        h.extend(b"EFI PART");
        h.extend(0x0001_0000u32.to_le_bytes());
        h.extend((HEADER_LEN as u32).to_le_bytes());
        h.extend([0; 8]);
        for lba in [own, other, self.first_usable, self.last_usable] {
            h.extend(lba.to_le_bytes());
        }
        h.extend(self.disk);
        h.extend(entries.to_le_bytes());
        for field in [self.count, ENTRY_LEN as u32, self.entries_crc] {
            h.extend(field.to_le_bytes());
        }
        let crc = crc32fast::hash(&h);
        h[16..20].copy_from_slice(&crc.to_le_bytes());
        h.resize(SECTOR as usize, 0);
        h
    }
}

/// UEFI 2.10, 5.2.3: one partition of type 0xee over the disk.
fn protective_mbr(last_lba: u64) -> Vec<u8> {
    let mut mbr = vec![0; SECTOR as usize];
    let sectors = u32::try_from(last_lba).unwrap_or(u32::MAX);
    mbr[446..462].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0]);
    mbr[458..462].copy_from_slice(&sectors.to_le_bytes());
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    mbr
}

/// A version 8 UUID (RFC 9562) of the disk's id and a number, in GPT's mixed-endian form.
fn guid(id: &str, number: u64) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(number.to_le_bytes());
    hash.update(id);
    let mut guid = [0; 16];
    guid.copy_from_slice(&hash.finalize()[..16]);
    guid[7] = guid[7] & 0x0f | 0x80;
    guid[8] = guid[8] & 0x3f | 0x80;
    guid
}
