//! Reading: batches from the tail buffers, the cache or the disk, without a copy.

use bytes::Bytes;

use crate::disk::Disk;
use crate::record::batch::BatchHeader;
use crate::types::{LeaderEpoch, Offset, Piece, Timestamp};

use super::error::ReadError;
use super::index::{Floor, OffsetEntry};
use super::log::{Core, State};
use super::segment::{FileKind, SegmentView};
use super::segment_reader::{READ_PIECE_BYTES, SegmentReader};

/// Batches of one segment, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadOutcome {
    /// The bytes in order. The first byte is the first of a batch: the one that holds the offset asked
    /// for, which may start before it. The last batch may be cut short, as in Kafka.
    pub chunks: Vec<Bytes>,
    /// Bytes in all chunks.
    pub bytes: usize,
    /// The first batch is larger than the bytes asked for and was not to be exceeded; nothing was read.
    pub first_batch_too_large: bool,
}

/// A record found by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// The record's offset.
    pub offset: Offset,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// A batch and where it stands in its segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct FoundBatch {
    pub(super) position: u64,
    pub(super) header: BatchHeader,
}

/// As [`ReadOutcome`], on the way to a socket.
#[derive(Debug, Clone, Default)]
pub struct OutcomeToSend {
    /// The bytes in order.
    pub pieces: Vec<Piece>,
    /// Bytes in all pieces.
    pub bytes: usize,
}

/// Where in a segment the bytes are that answer a read.
enum Found<'a, D: Disk> {
    /// None of them.
    Nothing,
    /// The first batch is larger than the bytes asked for.
    TooLarge,
    Range(SegmentReader<'a, D>, u64, u64),
}

/// See [`super::Log::read`].
pub(super) async fn read<D: Disk>(
    core: &Core<D>,
    from: Offset,
    upto: Offset,
    max_bytes: usize,
    min_one: bool,
) -> Result<ReadOutcome, ReadError> {
    match find(core, from, upto, max_bytes, min_one).await? {
        Found::Nothing => Ok(ReadOutcome::default()),
        Found::TooLarge => Ok(ReadOutcome { first_batch_too_large: true, ..ReadOutcome::default() }),
        Found::Range(reader, start, end) => {
            let chunks = reader.read(start, end).await?;
            let bytes = chunks.iter().map(Bytes::len).sum();
            assert_eq!(bytes as u64, end - start, "all bytes up to the end");
            Ok(ReadOutcome { chunks, bytes, first_batch_too_large: false })
        }
    }
}

/// See [`super::Log::read_to_send`].
pub(super) async fn read_to_send<D: Disk>(
    core: &Core<D>,
    from: Offset,
    upto: Offset,
    max_bytes: usize,
    min_one: bool,
) -> Result<OutcomeToSend, ReadError> {
    match find(core, from, upto, max_bytes, min_one).await? {
        Found::Nothing | Found::TooLarge => Ok(OutcomeToSend::default()),
        Found::Range(reader, start, end) => {
            let pieces = reader.pieces_to_send(start, end).await?;
            let bytes = pieces.iter().map(Piece::len).sum();
            assert_eq!(bytes as u64, end - start, "all bytes up to the end");
            Ok(OutcomeToSend { pieces, bytes })
        }
    }
}

async fn find<D: Disk>(
    core: &Core<D>,
    from: Offset,
    upto: Offset,
    max_bytes: usize,
    min_one: bool,
) -> Result<Found<'_, D>, ReadError> {
    let upto = core.state.borrow().readable_end(from, upto)?;
    if upto <= from {
        return Ok(Found::Nothing);
    }
    let mut segment_of = from;
    loop {
        let Some((view, next_base)) = core.state.borrow().segment_of(segment_of) else { break };
        let reader = SegmentReader::new(core, view);
        if let Some(first) = find_batch(&reader, from, max_bytes.min(READ_PIECE_BYTES)).await? {
            let limit = limit_position(&reader, next_base, upto).await?;
            let limit = limit.min(reader.broken_after(first.position));
            return Ok(range(reader, &first, limit, max_bytes, min_one));
        }
        // Compaction or a broken end left a gap: the next segment begins behind it.
        match next_base {
            Some(next) => segment_of = next,
            None => break,
        }
    }
    Ok(Found::Nothing)
}

fn range<'a, D: Disk>(
    reader: SegmentReader<'a, D>,
    first: &FoundBatch,
    limit: u64,
    max_bytes: usize,
    min_one: bool,
) -> Found<'a, D> {
    let first_len = first.header.total_len();
    if limit <= first.position {
        return Found::Nothing;
    }
    if max_bytes < first_len && !min_one {
        return Found::TooLarge;
    }
    let end = limit.min(first.position + max_bytes.max(first_len) as u64);
    Found::Range(reader, first.position, end)
}

/// Where in the segment the records below `upto` end.
async fn limit_position<D: Disk>(
    reader: &SegmentReader<'_, D>,
    next_base: Option<Offset>,
    upto: Offset,
) -> Result<u64, ReadError> {
    let view = reader.view();
    {
        let state = reader.core().state.borrow();
        let is_whole = match next_base {
            Some(next) => next <= upto,
            None => state.written_end_offset <= upto,
        };
        if is_whole {
            return Ok(view.len);
        }
        let is_end = |mark: &&super::log::FlushMark| {
            mark.offset == upto && mark.segment_base == view.base_offset && mark.position <= view.len
        };
        if let Some(mark) = state.marks.iter().rev().find(is_end) {
            return Ok(mark.position);
        }
    }
    let found = find_batch(reader, upto, READ_PIECE_BYTES).await?;
    Ok(found.map_or(view.len, |batch| batch.position))
}

/// The first batch of the segment that ends at or after `offset`; `None` when there is none. `want` is
/// about how many bytes will be read from there.
pub(super) async fn find_batch<D: Disk>(
    reader: &SegmentReader<'_, D>,
    offset: Offset,
    want: usize,
) -> Result<Option<FoundBatch>, ReadError> {
    let view = reader.view();
    let mut position = 0;
    if let Some(entry) = index_floor(reader, offset).await? {
        let batch = reader.batch_at(u64::from(entry.position), want).await;
        let expected = view.base_offset + i64::from(entry.relative_offset);
        // An index that was not synced may have been lost in part: the log has the last word.
        if matches!(batch, Ok(Some(batch)) if batch.header.last_offset() == expected) {
            position = u64::from(entry.position);
        }
    }
    let mut previous_end = view.base_offset;
    while let Some(batch) = reader.batch_at(position, want).await? {
        if batch.header.base_offset < previous_end {
            let found = batch.header.base_offset;
            let reason = format!("expected an offset from {previous_end} on, found {found}");
            return Err(reader.corrupt(position, reason));
        }
        if offset <= batch.header.last_offset() {
            return Ok(Some(batch));
        }
        previous_end = batch.header.next_offset();
        position = batch.position + batch.header.total_len() as u64;
    }
    Ok(None)
}

/// The last index entry that is not above `offset`.
async fn index_floor<D: Disk>(
    reader: &SegmentReader<'_, D>,
    offset: Offset,
) -> Result<Option<OffsetEntry>, ReadError> {
    let view = reader.view();
    let relative = offset - view.base_offset;
    let is_at_most = |entry: OffsetEntry| i64::from(entry.relative_offset) <= relative;
    let floor = {
        let state = reader.core().state.borrow();
        let open = state.open.iter().find(|segment| segment.base_offset == view.base_offset);
        open.map_or(Floor::OnDisk, |segment| segment.offset_index.floor(is_at_most))
    };
    match floor {
        Floor::Entry(entry) => Ok(Some(entry)),
        Floor::None => Ok(None),
        Floor::OnDisk => reader.floor_on_disk(FileKind::OffsetIndex, is_at_most).await,
    }
}

impl<D: Disk> State<D> {
    /// How far a read from `from` may go: not beyond `upto`, the written end, or broken bytes. What is staged
    /// is in the log, only not readable yet (`LocalLog.read`).
    pub(super) fn readable_end(&self, from: Offset, upto: Offset) -> Result<Offset, ReadError> {
        if let Some(cause) = self.offline.as_ref().filter(|_| self.is_deleted) {
            return Err(ReadError::Offline { cause: cause.clone() });
        }
        let (log_start_offset, log_end_offset) = (self.log_start_offset, self.staged_end_offset);
        if from < log_start_offset || log_end_offset < from {
            return Err(ReadError::OutOfRange { offset: from, log_start_offset, log_end_offset });
        }
        let mut end = upto.min(self.written_end_offset);
        for (_, broken) in &self.broken {
            if broken.first_offset <= from && from < broken.end_offset {
                return Err(ReadError::Corrupt {
                    file: broken.file.clone(),
                    position: broken.position,
                    reason: broken.cause.clone(),
                });
            }
            if from < broken.first_offset {
                end = end.min(broken.first_offset);
            }
        }
        Ok(end)
    }

    /// The segment that holds `offset` if any does, and where the next one begins.
    pub(super) fn segment_of(&self, offset: Offset) -> Option<(SegmentView, Option<Offset>)> {
        let front = self.open.front().expect("there is always an open segment");
        if front.base_offset <= offset {
            return Some((front.view(), None));
        }
        let after = self.closed.partition_point(|segment| segment.view.base_offset <= offset);
        let next = self.closed.get(after).map_or(front.base_offset, |next| next.view.base_offset);
        let index = after.checked_sub(1)?;
        Some((self.closed[index].view, Some(next)))
    }
}
