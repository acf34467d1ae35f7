//! A segment: one `.log` file with its indexes, closed or still growing.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;

use crate::disk::{Disk, DiskBuf};
use crate::record::batch::BatchHeader;
use crate::types::{Offset, Timestamp};

use super::block_cache::FileId;
use super::config::LogConfig;
use super::env::LogEnv;
use super::index::{GrowingIndex, IndexEntry, OffsetEntry, TimeEntry};
use super::tail::Tail;

/// Digits of the base offset in a file name.
const NAME_DIGITS: usize = 20;

/// The files of a segment and those beside it, by their suffix (`LogFileUtils`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum FileKind {
    Log,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    Snapshot,
}

impl FileKind {
    pub(super) const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TxnIndex, Self::Snapshot];

    fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }

    /// The file of this kind for `offset`.
    pub(super) fn name(self, offset: Offset) -> String {
        format!("{:0width$}{}", offset.0, self.suffix(), width = NAME_DIGITS)
    }

    /// Reads a file name back.
    pub(super) fn parse(name: &str) -> Option<(Self, Offset)> {
        let (digits, _) = name.split_at_checked(NAME_DIGITS)?;
        let kind = Self::ALL.into_iter().find(|kind| &name[NAME_DIGITS..] == kind.suffix())?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some((kind, Offset(digits.parse().ok()?)))
    }
}

/// The ids of a segment's files in the shard's caches.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentIds {
    pub(super) log: FileId,
    pub(super) offset_index: FileId,
    pub(super) time_index: FileId,
}

impl SegmentIds {
    pub(super) fn new<D: Disk>(env: &LogEnv<D>) -> Self {
        Self { log: env.new_file_id(), offset_index: env.new_file_id(), time_index: env.new_file_id() }
    }

    pub(super) fn all(self) -> [FileId; 3] {
        [self.log, self.offset_index, self.time_index]
    }
}

/// The highest timestamp of a segment, and the last offset of the first batch that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MaxTimestamp {
    pub(super) timestamp: Timestamp,
    pub(super) offset: Offset,
}

/// What a reader needs to know of a segment; a copy taken before I/O stays true.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentView {
    pub(super) base_offset: Offset,
    pub(super) ids: SegmentIds,
    /// Bytes of whole batches that may be read.
    pub(super) len: u64,
    /// Bytes of the index entries on disk.
    pub(super) offset_index_len: u64,
    pub(super) time_index_len: u64,
}

/// A segment that is not written any more.
#[derive(Debug)]
pub(super) struct ClosedSegment {
    pub(super) view: SegmentView,
    /// Loaded when first asked for.
    pub(super) max_timestamp: Cell<Option<MaxTimestamp>>,
}

impl ClosedSegment {
    /// An open segment that was written, cut and synced.
    pub(super) fn from_open<D: Disk>(segment: &OpenSegment<D>) -> Self {
        assert_eq!(segment.staged_len(), segment.written_len, "everything was written");
        Self { view: segment.view(), max_timestamp: Cell::new(Some(segment.max_timestamp)) }
    }
}

/// A segment that is written, or waits for the one before it to be closed.
pub(super) struct OpenSegment<D: Disk> {
    pub(super) base_offset: Offset,
    pub(super) ids: SegmentIds,
    /// What is staged.
    pub(super) tail: Tail<D::Buf>,
    /// The offset after the last staged batch.
    pub(super) staged_end_offset: Offset,
    /// Bytes the kernel has in this file. `whole_len <= written_len <= readable_len <= staged_len`
    pub(super) written_len: u64,
    /// The last of its values that was the end of a batch.
    pub(super) whole_len: u64,
    /// Bytes that may be read: the kernel has them, in this file or in the journal.
    pub(super) readable_len: u64,
    /// Up to here, bytes are written or on their way.
    pub(super) frozen_len: u64,
    /// What is on its way to the file, with positions; after a failure, what did not get there.
    pub(super) in_flight: Vec<(u64, Bytes)>,
    /// Behind `written_len`, the file goes on with zeros.
    pub(super) is_padded: bool,
    /// Up to here the file was extended ahead with zeros.
    pub(super) prepared_end: u64,
    /// Up to here, behind `written_len`, are bytes that are none of the log's: a write that leaves some of
    /// them has them cut off first, durably, or they could follow it as if they had been appended. Then no
    /// file is open.
    pub(super) stray_end: u64,
    pub(super) offset_index: GrowingIndex<OffsetEntry>,
    pub(super) time_index: GrowingIndex<TimeEntry>,
    /// Of what is staged.
    pub(super) max_timestamp: MaxTimestamp,
    /// Of what may be read.
    pub(super) readable_max_timestamp: MaxTimestamp,
    /// Bytes since the batch that has the last offset-index entry, that batch included.
    pub(super) bytes_since_index_entry: u64,
    /// The max timestamp of the first batch, from which the segment ages; loaded with the first flush.
    pub(super) first_timestamp: FirstTimestamp,
    pub(super) created: Timestamp,
    pub(super) roll_jitter_ms: i64,
    /// The file, while it is written.
    pub(super) file: Option<Rc<D::File>>,
    pub(super) exists: bool,
    /// The file's name is durable.
    pub(super) is_name_synced: bool,
    /// Completed writes that are not durable.
    pub(super) has_unsynced: bool,
    /// The producer state at the base offset, to be written when the segment before is closed.
    pub(super) base_snapshot: Option<Vec<u8>>,
}

/// What is known of the timestamp of a segment's first batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstTimestamp {
    /// The segment has no batch.
    Empty,
    /// It has, but it was not read since the log was opened.
    NotLoaded,
    /// The first batch's max timestamp.
    Loaded(Timestamp),
}

impl<D: Disk> OpenSegment<D> {
    /// A new segment without batches or file.
    pub(super) fn new(env: &LogEnv<D>, base_offset: Offset, config: &LogConfig, now: Timestamp) -> Self {
        let no_timestamp = MaxTimestamp { timestamp: Timestamp::NONE, offset: base_offset };
        Self {
            base_offset,
            ids: SegmentIds::new(env),
            tail: Tail::new(0),
            staged_end_offset: base_offset,
            written_len: 0,
            whole_len: 0,
            readable_len: 0,
            frozen_len: 0,
            in_flight: Vec::new(),
            is_padded: false,
            prepared_end: 0,
            stray_end: 0,
            offset_index: GrowingIndex::new(),
            time_index: GrowingIndex::new(),
            max_timestamp: no_timestamp,
            readable_max_timestamp: no_timestamp,
            bytes_since_index_entry: 0,
            first_timestamp: FirstTimestamp::Empty,
            created: now,
            roll_jitter_ms: env.jitter_ms(config.segment_jitter_ms.min(config.segment_ms_max())),
            file: None,
            exists: false,
            is_name_synced: false,
            has_unsynced: false,
            base_snapshot: None,
        }
    }

    /// Bytes of the segment, staged ones included.
    pub(super) fn staged_len(&self) -> u64 {
        self.tail.end()
    }

    pub(super) fn view(&self) -> SegmentView {
        SegmentView {
            base_offset: self.base_offset,
            ids: self.ids,
            len: self.readable_len,
            offset_index_len: self.offset_index.persisted_len(),
            time_index_len: self.time_index.persisted_len(),
        }
    }

    /// The view of the batches that are in the file.
    pub(super) fn file_view(&self) -> SegmentView {
        SegmentView { len: self.whole_len, ..self.view() }
    }

    /// The first `len` bytes are in the file, and end with a batch.
    pub(super) fn set_written(&mut self, len: u64) {
        self.set_written_in_part(len);
        self.whole_len = len;
    }

    /// The first `len` bytes are in the file. Where more is staged, they may be read already.
    pub(super) fn set_written_in_part(&mut self, len: u64) {
        if self.readable_len < len {
            assert_eq!(len, self.staged_len(), "the highest timestamp is that of all that is staged");
            self.set_readable(len, self.max_timestamp);
        }
        self.written_len = len;
        self.frozen_len = self.frozen_len.max(len);
    }

    /// The first `len` bytes, whose highest timestamp this is, may be read.
    pub(super) fn set_readable(&mut self, len: u64, max_timestamp: MaxTimestamp) {
        if self.readable_len < len {
            (self.readable_len, self.readable_max_timestamp) = (len, max_timestamp);
        }
    }

    /// Whether everything that may not be read yet is still being gathered.
    pub(super) fn is_gathering(&self) -> bool {
        self.frozen_len <= self.readable_len
    }

    /// Bytes from `position` on that are not in the file yet.
    pub(super) fn bytes_in_memory(&self, position: u64) -> Option<Bytes> {
        let in_flight = self.in_flight.iter().find_map(|(start, bytes)| {
            let skip = usize::try_from(position.checked_sub(*start)?).ok()?;
            (skip < bytes.len()).then(|| bytes.slice(skip..))
        });
        // The tail goes on changing behind these bytes: a reader gets a copy.
        in_flight.or_else(|| self.tail.bytes_at(position).map(Bytes::copy_from_slice))
    }

    /// Accounts for a batch at `position` whose offsets are assigned: `LogSegment.append`.
    pub(super) fn add_batch(&mut self, header: &BatchHeader, position: u64, index_interval_bytes: u32) {
        let last_offset = header.last_offset();
        if self.first_timestamp == FirstTimestamp::Empty {
            self.first_timestamp = FirstTimestamp::Loaded(header.max_timestamp);
        }
        if self.max_timestamp.timestamp < header.max_timestamp {
            self.max_timestamp = MaxTimestamp { timestamp: header.max_timestamp, offset: last_offset };
        }
        if u64::from(index_interval_bytes) < self.bytes_since_index_entry {
            self.offset_index.push(OffsetEntry {
                relative_offset: (last_offset - self.base_offset) as u32,
                position: u32::try_from(position).expect("a segment is at most 2 GiB long"),
            });
            self.push_max_timestamp();
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry += header.total_len() as u64;
        self.staged_end_offset = header.next_offset();
    }

    /// `TimeIndex.maybeAppend` of the highest timestamp so far.
    pub(super) fn push_max_timestamp(&mut self) {
        let last = self.time_index.last().map_or(Timestamp::NONE.0, |entry| entry.timestamp);
        if last < self.max_timestamp.timestamp.0 {
            self.time_index.push(TimeEntry {
                timestamp: self.max_timestamp.timestamp.0,
                relative_offset: (self.max_timestamp.offset - self.base_offset) as u32,
            });
        }
    }

    /// `LogSegment.shouldRoll` before an append of `bytes`.
    pub(super) fn should_roll(&self, config: &LogConfig, append: &RollParams) -> bool {
        let len = self.staged_len();
        if len == 0 {
            return false;
        }
        u64::from(config.segment_bytes) < len + append.bytes
            || self.is_roll_time(config, append.max_timestamp, append.now)
            || i64::from(i32::MAX) < append.last_offset - self.base_offset
            || self.is_index_full(config)
    }

    /// Whether the segment is older than `segment.ms`, or than `max.compaction.lag.ms` if that is less;
    /// by the timestamps of its batches if it has any.
    pub(super) fn is_roll_time(&self, config: &LogConfig, max_timestamp: Timestamp, now: Timestamp) -> bool {
        let waited = match self.first_timestamp {
            FirstTimestamp::Loaded(first) if Timestamp(0) <= first => max_timestamp.ms_since(first),
            _ => now.ms_since(self.created),
        };
        config.segment_ms_max().saturating_sub(self.roll_jitter_ms) < waited
    }

    /// Whether the clock alone closes the segment: its records are old, and it has been open for as long.
    /// Otherwise records that are old when they arrive would get a segment for each look at the clock.
    pub(super) fn is_overdue(&self, config: &LogConfig, now: Timestamp) -> bool {
        let limit = config.segment_ms_max().saturating_sub(self.roll_jitter_ms);
        self.is_roll_time(config, now, now) && limit < now.ms_since(self.created)
    }

    fn is_index_full(&self, config: &LogConfig) -> bool {
        let max = config.segment_index_bytes as usize;
        max / OffsetEntry::LEN <= self.offset_index.count()
            || max / TimeEntry::LEN <= self.time_index.count() + 1
    }
}

/// What is about to be appended (`RollParams`).
#[derive(Debug, Clone, Copy)]
pub(super) struct RollParams {
    pub(super) bytes: u64,
    pub(super) max_timestamp: Timestamp,
    pub(super) last_offset: Offset,
    pub(super) now: Timestamp,
}

/// The path of a file of a segment.
pub(super) fn file_path(dir: &Path, kind: FileKind, offset: Offset) -> PathBuf {
    dir.join(kind.name(offset))
}

/// The path with something behind its name.
pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A buffer of whole blocks with `bytes` at its front and zeros behind.
pub(super) fn padded_buf<D: Disk>(disk: &D, bytes: &[u8]) -> D::Buf {
    let mut buf = disk.alloc(crate::disk::align_up(bytes.len() as u64) as usize);
    let (front, rest) = buf.as_mut_slice().split_at_mut(bytes.len());
    front.copy_from_slice(bytes);
    rest.fill(0);
    buf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_kafkas() {
        assert_eq!(FileKind::Log.name(Offset(0)), "00000000000000000000.log");
        assert_eq!(FileKind::TimeIndex.name(Offset(123)), "00000000000000000123.timeindex");
        for kind in FileKind::ALL {
            let name = kind.name(Offset(i64::MAX));
            assert_eq!(FileKind::parse(&name), Some((kind, Offset(i64::MAX))), "{name}");
        }
        for bad in [
            "",
            "leader-epoch-checkpoint",
            "00000000000000000000.log.deleted",
            "0.log",
            "-0000000000000000001.log",
        ] {
            assert_eq!(FileKind::parse(bad), None, "{bad}");
        }
    }
}
