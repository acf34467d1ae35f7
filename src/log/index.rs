//! Sparse indexes in Kafka's formats: `.index` (offset to position) and `.timeindex` (timestamp to offset).
//!
//! An index gains an entry when more than `index.interval.bytes` of the log lie behind the last one
//! (`LogSegment.append`). The newest entries of an active segment are in memory; older ones, and those of
//! closed segments, are on disk and looked up in their encoded form. Nothing here does I/O.

/// An entry of fixed size whose keys grow.
pub(super) trait IndexEntry: Copy {
    /// Bytes of an encoded entry.
    const LEN: usize;

    /// Appends the encoded entry.
    fn encode(self, out: &mut Vec<u8>);

    /// Reads an entry; `bytes` has [`Self::LEN`] bytes.
    fn decode(bytes: &[u8]) -> Self;

    /// Whether `self` may follow `earlier`: what a torn or zeroed index file breaks.
    fn follows(self, earlier: Self) -> bool;
}

/// `OffsetIndex`: the last offset of a batch, relative to the segment's base, and where the batch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OffsetEntry {
    pub(super) relative_offset: u32,
    pub(super) position: u32,
}

impl IndexEntry for OffsetEntry {
    const LEN: usize = 8;

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { relative_offset: u32_at(bytes, 0), position: u32_at(bytes, 4) }
    }

    fn follows(self, earlier: Self) -> bool {
        earlier.relative_offset < self.relative_offset && earlier.position < self.position
    }
}

/// `TimeIndex`: the highest timestamp so far, and the last offset of the batch that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeEntry {
    pub(super) timestamp: i64,
    pub(super) relative_offset: u32,
}

impl IndexEntry for TimeEntry {
    const LEN: usize = 12;

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        let timestamp = bytes[..8].try_into().expect("an entry has 12 bytes");
        Self { timestamp: i64::from_be_bytes(timestamp), relative_offset: u32_at(bytes, 8) }
    }

    fn follows(self, earlier: Self) -> bool {
        earlier.timestamp < self.timestamp && earlier.relative_offset <= self.relative_offset
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("the range has four bytes"))
}

/// Where the last entry that is not above a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Floor<E> {
    /// This entry.
    Entry(E),
    /// Every entry is above the key.
    None,
    /// Among the entries on disk.
    OnDisk,
}

/// The index of an active segment: a count of entries on disk and the newest entries in memory.
#[derive(Debug)]
pub(super) struct GrowingIndex<E> {
    /// Entries on disk; all entries before `first_in_memory`, at least.
    persisted: usize,
    first_in_memory: usize,
    entries: Vec<E>,
    last: Option<E>,
}

impl<E: IndexEntry> GrowingIndex<E> {
    /// An index without entries.
    pub(super) fn new() -> Self {
        Self::reopened(0, None)
    }

    /// An index of which `persisted` entries are on disk, `last` the newest of them.
    pub(super) fn reopened(persisted: usize, last: Option<E>) -> Self {
        assert_eq!(persisted == 0, last.is_none(), "an index with entries has a last one");
        Self { persisted, first_in_memory: persisted, entries: Vec::new(), last }
    }

    /// An index of these entries, none of which count as being on disk.
    pub(super) fn unpersisted(entries: Vec<E>) -> Self {
        Self { persisted: 0, first_in_memory: 0, last: entries.last().copied(), entries }
    }

    pub(super) fn count(&self) -> usize {
        self.first_in_memory + self.entries.len()
    }

    pub(super) fn last(&self) -> Option<E> {
        self.last
    }

    /// Bytes of the entries on disk.
    pub(super) fn persisted_len(&self) -> u64 {
        (self.persisted * E::LEN) as u64
    }

    pub(super) fn push(&mut self, entry: E) {
        assert!(self.last.is_none_or(|last| entry.follows(last)), "index entries grow");
        self.entries.push(entry);
        self.last = Some(entry);
    }

    /// The last entry for which `is_at_most` holds; it must hold for a prefix of the entries.
    pub(super) fn floor(&self, is_at_most: impl Fn(E) -> bool) -> Floor<E> {
        match self.entries.partition_point(|entry| is_at_most(*entry)) {
            0 if self.first_in_memory == 0 => Floor::None,
            0 => Floor::OnDisk,
            found => Floor::Entry(self.entries[found - 1]),
        }
    }

    /// The encoded entries from the last multiple of `block` bytes that is on disk, and where they go; up
    /// to the entry `count`, which may be less than all. `None` when these are on disk already.
    ///
    /// The first bytes may belong to entries that are on disk only: as many as `Pending::missing` says.
    pub(super) fn pending(&self, count: usize, block: usize) -> Option<Pending> {
        if count <= self.persisted {
            return None;
        }
        let start = self.persisted * E::LEN / block * block;
        let memory_start = self.first_in_memory * E::LEN;
        let mut bytes = vec![0; memory_start.saturating_sub(start)];
        let missing = bytes.len();
        let skip = start.saturating_sub(memory_start) / E::LEN;
        let skipped = (self.first_in_memory + skip) * E::LEN;
        for entry in &self.entries[skip..count - self.first_in_memory] {
            entry.encode(&mut bytes);
        }
        // The first entry may straddle the block's start.
        let straddling = start.saturating_sub(skipped.min(start + missing));
        bytes.drain(..straddling);
        Some(Pending { position: start as u64, missing, bytes, count })
    }

    /// The first `count` entries are on disk now; keeps the newest `keep` of them in memory.
    pub(super) fn mark_persisted(&mut self, count: usize, keep: usize) {
        assert!(self.persisted <= count && count <= self.count(), "{count} of {} entries", self.count());
        self.persisted = count;
        let drop_to = count.saturating_sub(keep).max(self.first_in_memory);
        self.entries.drain(..drop_to - self.first_in_memory);
        self.first_in_memory = drop_to;
    }
}

/// Encoded entries to be written; see [`GrowingIndex::pending`].
#[derive(Debug)]
pub(super) struct Pending {
    /// Where the bytes go: a multiple of the block.
    pub(super) position: u64,
    /// How many bytes at the front are to be read from the file first.
    pub(super) missing: usize,
    pub(super) bytes: Vec<u8>,
    /// Entries on disk once the bytes are written.
    pub(super) count: usize,
}

/// The last entry in `bytes` for which `is_at_most` holds; it must hold for a prefix of the entries. Bytes
/// of a partial entry at the end are ignored.
pub(super) fn floor_in_bytes<E: IndexEntry>(bytes: &[u8], is_at_most: impl Fn(E) -> bool) -> Option<E> {
    let (mut low, mut high) = (0, bytes.len() / E::LEN);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_at_most(entry_at(bytes, middle)) { low = middle + 1 } else { high = middle }
    }
    (0 < low).then(|| entry_at(bytes, low - 1))
}

/// The entry with this index in `bytes`.
pub(super) fn entry_at<E: IndexEntry>(bytes: &[u8], index: usize) -> E {
    E::decode(&bytes[index * E::LEN..(index + 1) * E::LEN])
}

/// How many entries at the front of `bytes` are in order: an index file that was not synced may end in
/// zeros or older bytes.
pub(super) fn valid_entries<E: IndexEntry>(bytes: &[u8]) -> usize {
    let count = bytes.len() / E::LEN;
    (1..count)
        .find(|&index| !entry_at::<E>(bytes, index).follows(entry_at(bytes, index - 1)))
        .unwrap_or(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: u32) -> OffsetEntry {
        OffsetEntry { relative_offset: key, position: key * 10 }
    }

    fn encoded<E: IndexEntry>(entries: impl Iterator<Item = E>) -> Vec<u8> {
        let mut bytes = Vec::new();
        entries.for_each(|entry| entry.encode(&mut bytes));
        bytes
    }

    #[test]
    fn entries_are_kafkas() {
        let offset = OffsetEntry { relative_offset: 0x0102, position: 0x0304 };
        assert_eq!(encoded([offset].into_iter()), [0, 0, 1, 2, 0, 0, 3, 4]);
        let time = TimeEntry { timestamp: 0x05, relative_offset: 6 };
        assert_eq!(encoded([time].into_iter()), [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 6]);
        assert_eq!(TimeEntry::decode(&encoded([time].into_iter())), time);
    }

    #[test]
    fn floor_is_the_last_entry_not_above_the_key() {
        let mut index = GrowingIndex::new();
        for key in [2, 4, 6] {
            index.push(entry(key));
        }
        let bytes = encoded([2, 4, 6].into_iter().map(entry));
        for (key, expected) in [(1, None), (2, Some(2)), (3, Some(2)), (6, Some(6)), (9, Some(6))] {
            let is_at_most = |entry: OffsetEntry| entry.relative_offset <= key;
            assert_eq!(floor_in_bytes(&bytes, is_at_most), expected.map(entry));
            let in_memory = expected.map_or(Floor::None, |key| Floor::Entry(entry(key)));
            assert_eq!(index.floor(is_at_most), in_memory);
        }
        index.mark_persisted(2, 0);
        assert_eq!(index.floor(|entry: OffsetEntry| entry.relative_offset <= 5), Floor::OnDisk);
        assert_eq!((index.count(), index.persisted_len()), (3, 16));
    }

    #[test]
    fn pending_bytes_complete_the_file() {
        const BLOCK: usize = 32;
        for keep in [0, 1, 3, 100] {
            let mut index = GrowingIndex::new();
            let mut file: Vec<u8> = Vec::new();
            for round in 1..40u32 {
                for key in 0..round % 5 {
                    let timestamp = i64::from(round * 10 + key);
                    index.push(TimeEntry { timestamp, relative_offset: round });
                }
                let Some(mut pending) = index.pending(index.count(), BLOCK) else { continue };
                let start = pending.position as usize;
                assert_eq!(start % BLOCK, 0);
                pending.bytes[..pending.missing].copy_from_slice(&file[start..][..pending.missing]);
                file.truncate(start);
                file.extend_from_slice(&pending.bytes);
                index.mark_persisted(pending.count, keep);
                assert_eq!(file.len() as u64, index.persisted_len());
                assert_eq!(valid_entries::<TimeEntry>(&file), index.count());
            }
        }
    }

    #[test]
    fn order_ends_where_zeros_begin() {
        let mut bytes = encoded([2, 4, 6].into_iter().map(entry));
        bytes.extend_from_slice(&[0; 20]);
        assert_eq!(valid_entries::<OffsetEntry>(&bytes), 3);
    }
}
