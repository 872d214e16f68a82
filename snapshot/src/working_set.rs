//! Which parts of guest RAM a restored machine touches first, so that the next one finds them in memory.
//!
//! The file is a hint beside a finished snapshot: it may be missing, and one that does not hold is as good as none. It has a
//! magic, the snapshot's id, the number of parts, start and length of each part, and the same of what is written, all
//! little-endian.

#[cfg(not(target_vendor = "apple"))]
use std::num::NonZeroU64;
use std::{
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    os::unix::fs::OpenOptionsExt,
};

use rustix::fs::OFlags;

use crate::{Error, HEADER_LEN, Snapshot, directory};

const MAGIC: &[u8; 8] = b"KILNWSET";
/// Most parts of one set.
const MAX_PARTS: usize = 1 << 14;
/// Most bytes of guest RAM in one set; what lies beyond them comes when it is touched.
const MAX_BYTES: u64 = 256 << 20;
/// Parts that are no farther from each other are one: reading what lies between takes less time than another request.
const GAP: u64 = 16 << 10;
/// Longest piece that is asked for at once, in bytes.
const PIECE: u64 = 256 << 10;

/// Parts of guest RAM, as ascending ranges of offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkingSet {
    parts: Vec<Range<u64>>,
    written: Vec<Range<u64>>,
}

/// The ranges in ascending order, those that are no farther apart than `gap` as one; the first ones if they are too many.
fn merged(ranges: impl IntoIterator<Item = Range<u64>>, gap: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut all: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => {
                last.end = last.end.max(range.end);
            }
            _ => all.push(range),
        }
    }
    let mut left = MAX_BYTES;
    let cut = |range: Range<u64>| {
        let end = range.end.min(range.start + left);
        left -= end - range.start;
        range.start..end
    };
    all.into_iter().take(MAX_PARTS).map(cut).take_while(|range| !range.is_empty()).collect()
}

impl WorkingSet {
    /// The set of these parts, in any order, and of what lies between close ones; the first ones if they are too many.
    /// `written` are those that are not only read.
    pub fn new(
        parts: impl IntoIterator<Item = Range<u64>>,
        written: impl IntoIterator<Item = Range<u64>>,
    ) -> Self {
        Self { parts: merged(parts, GAP), written: merged(written, 0) }
    }

    /// Bytes of all parts.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.end - part.start).sum()
    }

    /// What begins within this piece and is not only read.
    pub fn written_in(&self, piece: &Range<u64>) -> &[Range<u64>] {
        let at = |offset| self.written.partition_point(|written| written.start < offset);
        &self.written[at(piece.start)..at(piece.end)]
    }

    /// The parts, none longer than [`PIECE`].
    fn pieces(&self) -> impl Iterator<Item = Range<u64>> {
        self.parts.iter().flat_map(|part| {
            let starts = (part.start..part.end).step_by(PIECE as usize);
            starts.map(|start| start..part.end.min(start + PIECE))
        })
    }

    fn encode(&self, id: &[u8; 16]) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], id].concat();
        bytes.extend((self.parts.len() as u64).to_le_bytes());
        for range in self.parts.iter().chain(&self.written) {
            bytes.extend(range.start.to_le_bytes());
            bytes.extend((range.end - range.start).to_le_bytes());
        }
        bytes
    }

    /// `None` for what [`encode`](Self::encode) never makes of a set within `memory_len`.
    fn decode(bytes: &[u8], id: &[u8; 16], memory_len: u64) -> Option<Self> {
        let (count, ranges) = bytes.strip_prefix(MAGIC)?.strip_prefix(id)?.split_first_chunk()?;
        let (ranges, rest) = ranges.as_chunks::<16>();
        let range = |range: &[u8; 16]| {
            let numbers = range.as_chunks().0;
            let (start, len) = (u64::from_le_bytes(numbers[0]), u64::from_le_bytes(numbers[1]));
            start.checked_add(len).filter(|end| *end <= memory_len).map(|end| start..end)
        };
        let ranges: Vec<_> = ranges.iter().map(range).collect::<Option<_>>()?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        let (parts, written) = ranges.split_at_checked(count)?;
        let set = Self::new(parts.iter().cloned(), written.iter().cloned());
        (rest.is_empty() && set.parts == parts && set.written == written).then_some(set)
    }
}

impl Snapshot {
    /// What a machine that was restored from it has touched first, unless none has told yet.
    pub fn working_set(&self) -> Option<WorkingSet> {
        const LIMIT: usize = 32 + 2 * MAX_PARTS * 16;
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            // Whoever made the snapshot may have put something there that has no end, or no beginning.
            let file = File::options()
                .read(true)
                .custom_flags(OFlags::NONBLOCK.bits() as i32)
                .open(self.path().join(directory::WORKING_SET))?;
            file.take(LIMIT as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        WorkingSet::decode(&read().ok()?, &self.id(), self.memory_len())
    }

    /// Keeps what a machine that was restored from it has touched first, in place of what was told before.
    ///
    /// # Errors
    /// [`Error::Io`], for instance if the snapshot is gone.
    pub fn keep_working_set(&self, set: &WorkingSet) -> Result<(), Error> {
        let path = self.path().join(directory::WORKING_SET);
        // One name: what a killed process has left is used up by the next one. Of two at once either wins.
        let partial = self.path().join(directory::WORKING_SET_PART);
        fs::write(&partial, set.encode(&self.id()))
            .and_then(|()| fs::rename(&partial, &path))
            .map_err(Error::io("write", &path))
    }

    /// Has the host read these parts of the RAM file into its page cache. `then` is called for each piece, in ascending order,
    /// and waits for it by using it; at most `window` bytes after it are on their way. Many are fast, since a disk reads
    /// scattered pieces well only side by side; with few, whatever else is read meanwhile gets its turn.
    pub fn read_ahead(&self, set: &WorkingSet, window: u64, mut then: impl FnMut(&Range<u64>)) {
        let mut ahead = set.pieces();
        let mut asked = 0;
        let mut done = 0;
        for piece in set.pieces() {
            while asked <= done + window
                && let Some(next) = ahead.next()
            {
                let len = next.end - next.start;
                advise(self.memory_file(), HEADER_LEN + next.start, len, Advice::WillNeed);
                asked += len;
            }
            then(&piece);
            done += piece.end - piece.start;
        }
    }

    /// Has the host forget what it holds of the RAM file in its page cache, as far as no machine uses it.
    pub fn evict(&self) {
        advise(self.memory_file(), 0, HEADER_LEN + self.memory_len(), Advice::DontNeed);
    }
}

enum Advice {
    WillNeed,
    DontNeed,
}

/// A file system without such advice is as fast as it is.
#[cfg(not(target_vendor = "apple"))]
fn advise(file: &File, offset: u64, len: u64, advice: Advice) {
    let advice = match advice {
        Advice::WillNeed => rustix::fs::Advice::WillNeed,
        Advice::DontNeed => rustix::fs::Advice::DontNeed,
    };
    let _ = rustix::fs::fadvise(file, offset, NonZeroU64::new(len), advice);
}

/// As above; this host knows of no way to forget.
#[cfg(target_vendor = "apple")]
fn advise(file: &File, offset: u64, len: u64, advice: Advice) {
    if let Advice::WillNeed = advice {
        let _ = rustix::fs::fcntl_rdadvise(file, offset, len);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: [u8; 16] = *b"0123456789abcdef";
    const LEN: u64 = 1 << 30;

    #[test]
    fn close_parts_become_one_and_far_ones_do_not() {
        let page = |number: u64| number * 4096..(number + 1) * 4096;
        let pages = [page(500), page(0), page(3), page(8), page(100)];
        let set = WorkingSet::new(pages, [page(3), page(100), page(0), page(1)]);
        assert_eq!(set.parts, [0..9 * 4096, page(100), page(500)]);
        assert_eq!(set.bytes(), 11 * 4096);
        assert_eq!(set.written_in(&(0..9 * 4096)), [0..2 * 4096, page(3)]);
        assert_eq!(set.written_in(&page(500)), []);
        assert_eq!(WorkingSet::new([5..5, 9..9], []), WorkingSet::default());
    }

    #[test]
    fn a_set_is_bounded() {
        let many = (0..2 * MAX_PARTS as u64).map(|n| n << 20..(n << 20) + 1);
        assert_eq!(WorkingSet::new(many, []).parts.len(), MAX_PARTS);
        let large = (0..9).map(|n| n << 30..(n << 30) + (64 << 20));
        assert_eq!(WorkingSet::new(large, []).bytes(), MAX_BYTES);
        let cut = WorkingSet::new([0..200 << 20, 1 << 30..(1 << 30) + (100 << 20)], []);
        assert_eq!(cut.parts, [0..200 << 20, 1 << 30..(1 << 30) + (56 << 20)]);
    }

    #[test]
    fn pieces_are_the_parts_in_order() {
        let set = WorkingSet::new([0..PIECE * 2 + 5, PIECE * 4..PIECE * 5], []);
        let pieces: Vec<_> = set.pieces().collect();
        let last = PIECE * 2..PIECE * 2 + 5;
        assert_eq!(pieces, [0..PIECE, PIECE..PIECE * 2, last, PIECE * 4..PIECE * 5]);
    }

    proptest! {
        #[test]
        fn every_set_comes_back(parts in prop::collection::vec((0..LEN, 1u64..1 << 20), 0..50)) {
            let parts = parts.into_iter().map(|(start, len)| start..(start + len).min(LEN));
            let set = WorkingSet::new(parts.clone(), parts.step_by(2));
            let bytes = set.encode(&ID);
            prop_assert_eq!(WorkingSet::decode(&bytes, &ID, LEN), Some(set));
            prop_assert_eq!(WorkingSet::decode(&bytes, b"another snapshot", LEN), None);
        }

        /// Whatever a file holds, a set that is read lies within memory.
        #[test]
        fn hostile_files_lead_nowhere(
            mut parts in prop::collection::vec(any::<(u64, u64)>(), 0..9),
            count in 0u64..10,
            small in any::<bool>(),
            cut in 0usize..40,
        ) {
            if small {
                parts.iter_mut().for_each(|part| *part = (part.0 % (2 * LEN), part.1 % LEN));
            }
            let mut bytes = [&MAGIC[..], &ID, &count.to_le_bytes()].concat();
            for (start, len) in parts {
                bytes.extend(start.to_le_bytes());
                bytes.extend(len.to_le_bytes());
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Some(set) = WorkingSet::decode(&bytes, &ID, LEN) {
                for ranges in [&set.parts, &set.written] {
                    prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= LEN));
                    prop_assert!(ranges.is_sorted_by(|a, b| a.end < b.start));
                }
                prop_assert!(set.bytes() <= MAX_BYTES);
            }
        }
    }
}
