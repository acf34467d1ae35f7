//! Records by timestamp, for ListOffsets.

use std::rc::Rc;

use crate::disk::Disk;
use crate::record::RecordError;
use crate::record::batch::{BatchHeader, TimestampType};
use crate::record::bounds::Bounds;
use crate::record::search::{FoundRecord, RecordSearch};
use crate::types::{Offset, Timestamp};

use super::error::ReadError;
use super::index::{Floor, IndexEntry, TimeEntry, entry_at};
use super::log::Core;
use super::long_work::LongWork;
use super::read::{FoundBatch, TimestampOffset, find_batch};
use super::segment::{ClosedSegment, FileKind, MaxTimestamp, SegmentView};
use super::segment_reader::{READ_PIECE_BYTES, SegmentReader};

/// A segment and the highest timestamp in it, if that is known without I/O.
enum Candidate {
    Closed(Rc<ClosedSegment>),
    Open(SegmentView, MaxTimestamp),
}

impl Candidate {
    fn view(&self) -> SegmentView {
        match self {
            Self::Closed(segment) => segment.view,
            Self::Open(view, _) => *view,
        }
    }
}

/// See [`super::Log::offset_for_timestamp`].
pub(super) async fn offset_for_timestamp<D: Disk>(
    core: &Core<D>,
    timestamp: Timestamp,
    upto: Offset,
    work: &impl LongWork,
) -> Result<Option<TimestampOffset>, ReadError> {
    for candidate in candidates(core) {
        if max_timestamp(core, &candidate).await?.timestamp < timestamp {
            continue;
        }
        let reader = SegmentReader::new(core, candidate.view());
        let start = time_index_floor(&reader, timestamp).await?;
        let search = RecordSearch { from: start, upto, timestamp };
        if let Some(found) = find_record(&reader, start, |_| search, work).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// See [`super::Log::max_timestamp_offset`].
pub(super) async fn max_timestamp_offset<D: Disk>(
    core: &Core<D>,
    upto: Offset,
    work: &impl LongWork,
) -> Result<Option<TimestampOffset>, ReadError> {
    let mut best: Option<(SegmentView, MaxTimestamp)> = None;
    for candidate in candidates(core) {
        let max = max_timestamp(core, &candidate).await?;
        if best.is_none_or(|(_, best)| best.timestamp < max.timestamp) {
            best = Some((candidate.view(), max));
        }
    }
    let Some((view, max)) = best.filter(|(_, max)| Timestamp::NONE < max.timestamp) else { return Ok(None) };
    let log_start = core.state.borrow().log_start_offset;
    // What is known of the highest timestamp is its batch's last offset. The record is the first of the
    // batch that has it, or the last if the broker set it (`DefaultRecordBatch.offsetOfMaxTimestamp`).
    let search_of = |batch: &BatchHeader| {
        let from = match batch.attributes.timestamp_type() {
            TimestampType::CreateTime => log_start,
            TimestampType::LogAppendTime => batch.last_offset(),
        };
        RecordSearch { from, upto, timestamp: max.timestamp }
    };
    find_record(&SegmentReader::new(core, view), max.offset, search_of, work).await
}

fn candidates<D: Disk>(core: &Core<D>) -> Vec<Candidate> {
    let state = core.state.borrow();
    let front = state.open.front().expect("there is always an open segment");
    let open = Candidate::Open(front.view(), front.readable_max_timestamp);
    state.closed.iter().cloned().map(Candidate::Closed).chain([open]).collect()
}

async fn max_timestamp<D: Disk>(core: &Core<D>, candidate: &Candidate) -> Result<MaxTimestamp, ReadError> {
    match candidate {
        Candidate::Open(_, max) => Ok(*max),
        Candidate::Closed(segment) => load_max_timestamp(core, segment).await,
    }
}

/// The highest timestamp of a closed segment: the last entry of its time index, kept once it was read.
pub(super) async fn load_max_timestamp<D: Disk>(
    core: &Core<D>,
    segment: &ClosedSegment,
) -> Result<MaxTimestamp, ReadError> {
    if let Some(max) = segment.max_timestamp.get() {
        return Ok(max);
    }
    let bytes = SegmentReader::new(core, segment.view).index_bytes(FileKind::TimeIndex).await?;
    let base_offset = segment.view.base_offset;
    let max = match (bytes.len() / TimeEntry::LEN).checked_sub(1) {
        None => MaxTimestamp { timestamp: Timestamp::NONE, offset: base_offset },
        Some(last) => {
            let entry: TimeEntry = entry_at(&bytes, last);
            let offset = base_offset + i64::from(entry.relative_offset);
            MaxTimestamp { timestamp: Timestamp(entry.timestamp), offset }
        }
    };
    segment.max_timestamp.set(Some(max));
    Ok(max)
}

/// An offset before which all records of the segment are older than `timestamp`.
async fn time_index_floor<D: Disk>(
    reader: &SegmentReader<'_, D>,
    timestamp: Timestamp,
) -> Result<Offset, ReadError> {
    let view = reader.view();
    // Batches up to the entry's offset are at most as new as the entry says.
    let is_older = |entry: TimeEntry| entry.timestamp < timestamp.0;
    let floor = {
        let state = reader.core().state.borrow();
        let open = state.open.iter().find(|segment| segment.base_offset == view.base_offset);
        open.map_or(Floor::OnDisk, |segment| segment.time_index.floor(is_older))
    };
    let entry = match floor {
        Floor::Entry(entry) => Some(entry),
        Floor::None => None,
        Floor::OnDisk => reader.floor_on_disk(FileKind::TimeIndex, is_older).await?,
    };
    let start = entry.map_or(view.base_offset, |entry| view.base_offset + i64::from(entry.relative_offset));
    Ok(start.max(reader.core().state.borrow().log_start_offset))
}

/// The first record that is searched for in the batch that holds `start` or a later one; a batch has one only
/// if its max timestamp says so. Without timestamps in order, that may be far behind.
async fn find_record<D: Disk>(
    reader: &SegmentReader<'_, D>,
    start: Offset,
    search_of: impl Fn(&BatchHeader) -> RecordSearch,
    work: &impl LongWork,
) -> Result<Option<TimestampOffset>, ReadError> {
    let mut next = find_batch(reader, start, READ_PIECE_BYTES).await?;
    while let Some(batch) = next {
        let search = search_of(&batch.header);
        if search.upto <= batch.header.base_offset {
            return Ok(None);
        }
        if search.timestamp <= batch.header.max_timestamp
            && let Some(FoundRecord { offset, timestamp }) =
                find_in_batch(reader, &batch, search, work).await?
        {
            let leader_epoch = batch.header.partition_leader_epoch;
            return Ok(Some(TimestampOffset { timestamp, offset, leader_epoch }));
        }
        let len = batch.header.total_len() as u64;
        work.pause(len).await;
        next = reader.batch_at(batch.position + len, READ_PIECE_BYTES).await?;
    }
    Ok(None)
}

async fn find_in_batch<D: Disk>(
    reader: &SegmentReader<'_, D>,
    batch: &FoundBatch,
    search: RecordSearch,
    work: &impl LongWork,
) -> Result<Option<FoundRecord>, ReadError> {
    let bytes = reader.batch_bytes(batch).await?;
    let found = match search.find(&bytes, Bounds::IN_TURN) {
        Err(error) if Bounds::IN_TURN.may_have_caused(&error) => {
            work.outside(move || search.find(&bytes, Bounds::WHOLE)).await?
        }
        found => found,
    };
    found.map_err(|error: RecordError| reader.corrupt(batch.position, error.to_string()))
}
