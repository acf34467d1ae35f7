//! One cleaning of one log: the map of keys, the new segments, the swaps.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::log::error::{LogError, ReadError};
use crate::log::log::{Core, MaintenanceGuard};
use crate::log::long_work::{LongWork, NoThread};
use crate::log::producer_state::read_marker;
use crate::log::recovery::scanner::{CrcFrom, Scanner, Step};
use crate::log::segment::{ClosedSegment, FileKind, file_path};
use crate::log::segment_reader::SegmentReader;
use crate::log::time_lookup::load_max_timestamp;
use crate::log::txn_index::{AbortedTxn, decode_entries};
use crate::record::RecordError;
use crate::record::batch::{BatchHeader, HEADER_LEN};
use crate::record::bounds::Bounds;
use crate::record::raw::RawRecords;
use crate::types::{Offset, Timestamp};

use super::filter::{BatchContext, Filtered, Round, filter_batch, unpack};
use super::offset_map::OffsetMap;
use super::plan::{self, Cleanable, GroupLimits, SegmentSummary};
use super::swap::{swap, take_back};
use super::transactions::{Control, TransactionTracker};
use super::writer::{CleanedSegment, CleanedWriter};

/// The largest transaction index that is read.
const TXN_INDEX_BYTES_MAX: usize = 64 << 20;

/// What a cleaning may take.
#[derive(Debug, Clone, Copy)]
pub struct CleanerLimits {
    /// Memory for the offsets of keys, in bytes.
    pub map_bytes: usize,
    /// How full the table of keys may get, 0 to 1.
    pub load_factor: f64,
}

/// Why a cleaning ended early. What it had swapped in by then stays.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The log is needed otherwise: it is being closed, deleted, or retention is at work.
    #[error("the cleaning was stopped")]
    Stopped,
    /// One batch has more keys than fit the memory.
    #[error(
        "the batch at offset {offset} has more keys than fit {map_bytes} bytes; \
         raise log.cleaner.dedupe.buffer.size"
    )]
    MapTooSmall {
        /// Where the cleaning got stuck.
        offset: Offset,
        /// What the map could take.
        map_bytes: usize,
    },
    /// A batch takes longer than a turn, and there is nobody else to go over it.
    #[error(transparent)]
    NoThread(#[from] NoThread),
    /// The log cannot be read, or the new segments cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What a cleaning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleanReport {
    /// Everything below is clean.
    pub end_offset: Offset,
    /// Bytes read to find the last offsets of keys.
    pub indexed_bytes: u64,
    /// Keys found there.
    pub keys: usize,
    /// Memory of the map of keys.
    pub map_bytes: usize,
    /// Bytes of the segments that were written anew.
    pub bytes_before: u64,
    /// Bytes of the new ones.
    pub bytes_after: u64,
    /// Segments before and after.
    pub segments_before: usize,
    /// See above.
    pub segments_after: usize,
}

/// What there is to clean below `upto`; `None` for a log without closed segments, or under maintenance.
pub(in crate::log) async fn cleanable<D: Disk>(
    core: &Core<D>,
    checkpoint: Option<Offset>,
    upto: Offset,
    now: Timestamp,
) -> Result<Option<Cleanable>, LogError> {
    let Some(_guard) = MaintenanceGuard::begin(core) else { return Ok(None) };
    let (closed, active, first_dirty, config) = {
        let state = core.state.borrow();
        let active = state.open.front().expect("there is always an open segment").base_offset;
        let first = plan::first_dirty_offset(checkpoint, state.log_start_offset, state.written_end_offset);
        (state.closed.clone(), active, first, state.config.clone())
    };
    let dirty = closed.partition_point(|segment| segment.view.base_offset <= first_dirty).saturating_sub(1);
    let dirty = &closed[dirty..];
    let mut bound = upto;
    if 0 < config.min_compaction_lag_ms {
        let young_from = now.saturating_add_ms(-config.min_compaction_lag_ms);
        bound = bound.min(first_younger(core, dirty, young_from).await?.unwrap_or(active));
    }
    let mut cleanable = plan::cleanable(&summaries(&closed), first_dirty, bound, active);
    let overdue_before = now.saturating_add_ms(-config.max_compaction_lag_ms);
    if config.max_compaction_lag_ms < i64::MAX {
        cleanable.is_overdue = has_older(core, dirty, overdue_before).await?;
    }
    Ok((0 < cleanable.clean_bytes + cleanable.cleanable_bytes).then_some(cleanable))
}

fn summaries(segments: &[Rc<ClosedSegment>]) -> Vec<SegmentSummary> {
    let summary = |segment: &Rc<ClosedSegment>| SegmentSummary {
        base_offset: segment.view.base_offset,
        len: segment.view.len,
        offset_index_len: segment.view.offset_index_len,
        time_index_len: segment.view.time_index_len,
    };
    segments.iter().map(summary).collect()
}

/// The first segment with a record younger than `timestamp` (`findFirstUncleanableSegment`).
async fn first_younger<D: Disk>(
    core: &Core<D>,
    segments: &[Rc<ClosedSegment>],
    timestamp: Timestamp,
) -> Result<Option<Offset>, LogError> {
    for segment in segments {
        let max = load_max_timestamp(core, segment).await.map_err(ReadError::into_log_error)?;
        if timestamp < max.timestamp {
            return Ok(Some(segment.view.base_offset));
        }
    }
    Ok(None)
}

/// Whether the first batch of a segment is older than `timestamp` (`maxCompactionDelay`).
async fn has_older<D: Disk>(
    core: &Core<D>,
    segments: &[Rc<ClosedSegment>],
    timestamp: Timestamp,
) -> Result<bool, LogError> {
    for segment in segments {
        let reader = SegmentReader::new(core, segment.view);
        let first = reader.batch_at(0, HEADER_LEN).await.map_err(ReadError::into_log_error)?;
        let first = first.map(|batch| batch.header.max_timestamp).filter(|first| Timestamp(0) < *first);
        if first.is_some_and(|first| first < timestamp) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Cleans what `cleanable` says, as of `now`. Pauses after every batch, for the bytes that were read or
/// written.
pub(in crate::log) async fn clean<D: Disk, W: LongWork>(
    core: &Core<D>,
    cleanable: Cleanable,
    limits: CleanerLimits,
    now: Timestamp,
    work: W,
) -> Result<CleanReport, CleanError> {
    let Some(_guard) = MaintenanceGuard::begin(core) else { return Err(CleanError::Stopped) };
    let end = cleanable.first_uncleanable_offset;
    let cleaning = Cleaning { core, cleanable, limits, now, work };
    cleaning.check()?;
    // Beside a `.cleaned` file of an earlier failure, a start would take a swap back that has removed the
    // old.
    take_back(core).await.map_err(LogError::from)?;
    let mut report = CleanReport::default();
    let map = Arc::new(cleaning.build_map(&mut report).await?);
    report.end_offset = (map.latest_offset() + 1).min(end);
    if report.end_offset <= cleanable.first_dirty_offset {
        let offset = cleanable.first_dirty_offset;
        return Err(CleanError::MapTooSmall { offset, map_bytes: map.bytes() });
    }
    let segments = cleaning.segments_below(report.end_offset);
    let config = core.state.borrow().config.clone();
    let limits = GroupLimits {
        bytes: config.segment_bytes.into(),
        index_bytes: config.segment_index_bytes.into(),
        end_offset: end,
    };
    let mut transactions = TransactionTracker::default();
    for group in plan::group(&summaries(&segments), limits) {
        cleaning.clean_group(&segments[group], &map, &mut transactions, &mut report).await?;
    }
    Ok(report)
}

/// A cleaning under way.
struct Cleaning<'a, D: Disk, W> {
    core: &'a Core<D>,
    cleanable: Cleanable,
    limits: CleanerLimits,
    now: Timestamp,
    work: W,
}

impl<D: Disk, W: LongWork> Cleaning<'_, D, W> {
    /// Fails when the cleaning has to end, or must not touch the log.
    fn check(&self) -> Result<(), CleanError> {
        if self.core.is_maintenance_aborted() {
            return Err(CleanError::Stopped);
        }
        self.core.check_online()?;
        let end = self.cleanable.first_uncleanable_offset;
        let state = self.core.state.borrow();
        match state.broken.iter().find(|(base, _)| *base < end) {
            None => Ok(()),
            // What is broken is to be restored, not to be cleaned away.
            Some((_, broken)) => Err(CleanError::Log(LogError::Corrupt {
                file: broken.file.clone(),
                position: broken.position,
                reason: broken.cause.clone(),
            })),
        }
    }

    async fn pace(&self, bytes: u64) -> Result<(), CleanError> {
        self.work.pause(bytes).await;
        self.check()
    }

    fn segments_below(&self, end: Offset) -> Vec<Rc<ClosedSegment>> {
        let state = self.core.state.borrow();
        state.closed.iter().take_while(|segment| segment.view.base_offset < end).cloned().collect()
    }

    /// Notes the last offset of each key in the dirty part (`buildOffsetMap`).
    async fn build_map(&self, report: &mut CleanReport) -> Result<OffsetMap, CleanError> {
        let (start, end) = (self.cleanable.first_dirty_offset, self.cleanable.first_uncleanable_offset);
        let secret = self.core.env.random_u128();
        let expected = u64::try_from(end - start).unwrap_or(0);
        let mut map = OffsetMap::new(secret, self.limits.map_bytes, expected, self.limits.load_factor);
        let below = self.segments_below(end);
        let range = plan::segments_of(&summaries(&below), start..end);
        let dirty = &below[range];
        let mut transactions = TransactionTracker::default();
        transactions.add_aborted(collect_aborted(self.core, start, end).await?);
        for (index, segment) in dirty.iter().enumerate() {
            let next_base = dirty.get(index + 1).map_or(end, |next| next.view.base_offset);
            if !self.map_segment(segment, &mut map, &mut transactions, report).await? {
                break;
            }
            map.cover(next_base + -1);
        }
        (report.keys, report.map_bytes) = (map.key_count(), map.bytes());
        Ok(map)
    }

    /// Adds a segment to the map; false when the map is full.
    async fn map_segment(
        &self,
        segment: &ClosedSegment,
        map: &mut OffsetMap,
        transactions: &mut TransactionTracker,
        report: &mut CleanReport,
    ) -> Result<bool, CleanError> {
        let start = self.cleanable.first_dirty_offset;
        let source = SourceFile::open(self.core, segment).await?;
        let mut walk = BatchWalk::new(&source, segment);
        let mut unpacked = Vec::new();
        while let Some((header, batch)) = walk.next().await? {
            self.pace(batch.len() as u64).await?;
            report.indexed_bytes += batch.len() as u64;
            let is_data = match header.attributes.is_control() {
                true => {
                    transactions.see_control(&header, control_of(&header, &batch));
                    false
                }
                false => !transactions.see_data(&header),
            };
            if header.last_offset() < start {
                continue;
            }
            if is_data {
                let in_turn = map_batch(&batch, &header, start, map, Bounds::IN_TURN, &mut unpacked);
                let fits = match in_turn.transpose() {
                    Some(fits) => fits,
                    None => self.map_outside(batch, header, map).await?,
                };
                if !fits.map_err(|error| walk.broken(error))? {
                    return Ok(false);
                }
            }
            map.cover(header.last_offset());
        }
        Ok(true)
    }

    /// Adds a batch to the map that takes longer than a turn. The map goes there and comes back.
    async fn map_outside(
        &self,
        batch: Bytes,
        header: BatchHeader,
        map: &mut OffsetMap,
    ) -> Result<Result<bool, RecordError>, NoThread> {
        let start = self.cleanable.first_dirty_offset;
        let mut sent = std::mem::take(map);
        let add = move || {
            let fits = map_batch(&batch, &header, start, &mut sent, Bounds::WHOLE, &mut Vec::new());
            (sent, fits)
        };
        let (returned, fits) = self.work.outside(add).await?;
        *map = returned;
        Ok(fits.map(|fits| fits.expect("the whole work is within its bounds")))
    }

    /// Writes the group anew as one segment and swaps it in (`cleanSegments`).
    async fn clean_group(
        &self,
        group: &[Rc<ClosedSegment>],
        map: &Arc<OffsetMap>,
        transactions: &mut TransactionTracker,
        report: &mut CleanReport,
    ) -> Result<(), CleanError> {
        let swapped = match self.write_group(group, map, transactions, report).await {
            Ok(cleaned) => swap(self.core, cleaned, group, self.now).await.map_err(CleanError::from),
            Err(error) => Err(error),
        };
        if swapped.is_err() && self.core.check_online().is_ok() {
            // What cannot be removed now is removed by the next cleaning before anything else.
            let _ = take_back(self.core).await;
        }
        swapped?;
        report.segments_before += group.len();
        report.segments_after += 1;
        Ok(())
    }

    async fn write_group(
        &self,
        group: &[Rc<ClosedSegment>],
        map: &Arc<OffsetMap>,
        transactions: &mut TransactionTracker,
        report: &mut CleanReport,
    ) -> Result<CleanedSegment<D>, CleanError> {
        let mut writer = CleanedWriter::create(self.core, group[0].view.base_offset).await?;
        for segment in group {
            let range_end = self.end_of(segment);
            let aborted = collect_aborted(self.core, segment.view.base_offset, range_end).await?;
            transactions.add_aborted(aborted);
            self.clean_into(segment, &mut writer, map, transactions).await?;
            report.bytes_before += segment.view.len;
        }
        self.check()?;
        report.bytes_after += writer.len();
        Ok(writer.finish(&transactions.take_retained()).await?)
    }

    /// Where the segment behind begins.
    fn end_of(&self, segment: &ClosedSegment) -> Offset {
        let state = self.core.state.borrow();
        let next = state.segment_of(segment.view.base_offset).and_then(|(_, next)| next);
        next.unwrap_or(self.cleanable.first_uncleanable_offset)
    }

    async fn clean_into(
        &self,
        segment: &ClosedSegment,
        writer: &mut CleanedWriter<'_, D>,
        map: &Arc<OffsetMap>,
        transactions: &mut TransactionTracker,
    ) -> Result<(), CleanError> {
        let delete_retention_ms = self.core.state.borrow().config.delete_retention_ms;
        let end_offset = self.cleanable.first_uncleanable_offset;
        let round = Round { map: Arc::clone(map), now: self.now, delete_retention_ms, end_offset };
        let source = SourceFile::open(self.core, segment).await?;
        let mut walk = BatchWalk::new(&source, segment);
        let mut unpacked = Vec::new();
        while let Some((header, batch)) = walk.next().await? {
            let may_discard = match header.attributes.is_control() {
                true => transactions.see_control(&header, control_of(&header, &batch)),
                false => transactions.see_data(&header),
            };
            let is_last_of_producer = self.core.state.borrow().producers.is_last_of(&header);
            let context = BatchContext { may_discard, is_last_of_producer };
            let in_turn = filter_batch(&batch, &header, &round, context, Bounds::IN_TURN, &mut unpacked);
            let filtered = match in_turn.transpose() {
                Some(filtered) => filtered,
                None => self.filter_outside(batch.clone(), header, round.clone(), context).await?,
            };
            let written = match filtered.map_err(|error| walk.broken(error))? {
                Filtered::Dropped => 0,
                Filtered::AsIs => {
                    writer.append(&header, &batch).await?;
                    batch.len()
                }
                Filtered::Rewritten(bytes, _) => {
                    let header = BatchHeader::decode(&bytes).map_err(|error| walk.broken(error))?;
                    writer.append(&header, &bytes).await?;
                    bytes.len()
                }
            };
            self.pace((batch.len() + written) as u64).await?;
        }
        Ok(())
    }

    /// Decides about a batch that takes longer than a turn.
    async fn filter_outside(
        &self,
        batch: Bytes,
        header: BatchHeader,
        round: Round,
        context: BatchContext,
    ) -> Result<Result<Filtered, RecordError>, NoThread> {
        let filter = move || filter_batch(&batch, &header, &round, context, Bounds::WHOLE, &mut Vec::new());
        let filtered = self.work.outside(filter).await?;
        Ok(filtered.map(|filtered| filtered.expect("the whole work is within its bounds")))
    }
}

/// Notes the keys of one batch; false when the map is full, `None` when `bounds` do not suffice.
fn map_batch(
    batch: &[u8],
    header: &BatchHeader,
    start: Offset,
    map: &mut OffsetMap,
    bounds: Bounds,
    unpacked: &mut Vec<u8>,
) -> Result<Option<bool>, RecordError> {
    let Some(body) = unpack(batch, header, bounds, unpacked)? else { return Ok(None) };
    for record in RawRecords::new(body, header.record_count) {
        let record = record?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        let Some(key) = record.key.filter(|_| start <= offset) else { continue };
        if !map.put(key, offset) {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

fn control_of(header: &BatchHeader, batch: &Bytes) -> Control {
    if header.record_count == 0 {
        return Control::Empty;
    }
    match read_marker(batch) {
        Some(marker) if marker.is_commit => Control::Commit,
        Some(_) => Control::Abort,
        None => Control::Other,
    }
}

/// The file of a closed segment.
struct SourceFile<D: Disk> {
    file: D::File,
    path: PathBuf,
}

impl<D: Disk> SourceFile<D> {
    async fn open(core: &Core<D>, segment: &ClosedSegment) -> Result<Self, LogError> {
        let path = file_path(&core.dir(), FileKind::Log, segment.view.base_offset);
        let file = core.env.disk().open(&path, OpenMode::Read).await?;
        Ok(Self { file, path })
    }
}

/// The batches of a closed segment, each with its CRC checked: a cleaning must not put a good CRC over bad
/// bytes.
struct BatchWalk<'a, F> {
    scanner: Scanner<'a, F>,
    path: &'a Path,
    /// Where the last batch begins.
    position: u64,
}

impl<'a, F: DiskFile> BatchWalk<'a, F> {
    fn new<D: Disk<File = F>>(source: &'a SourceFile<D>, segment: &ClosedSegment) -> Self {
        let view = &segment.view;
        let scanner = Scanner::new(&source.file, view.len, view.base_offset, 0);
        Self { scanner, path: &source.path, position: 0 }
    }

    async fn next(&mut self) -> Result<Option<(BatchHeader, Bytes)>, LogError> {
        self.position = self.scanner.position();
        let from = self.scanner.base_offset();
        match self.scanner.next(CrcFrom::Offset(from)).await? {
            Step::Batch { header, bytes, .. } => {
                Ok(Some((header, bytes.expect("a batch whose CRC is checked is read whole"))))
            }
            Step::End => Ok(None),
            Step::Padding | Step::Zeros => Err(self.corrupt("expected a batch, found zeros".to_owned())),
            Step::Half { cause } | Step::Broken { cause } => Err(self.corrupt(cause)),
        }
    }

    fn corrupt(&self, reason: String) -> LogError {
        LogError::Corrupt { file: self.path.to_owned(), position: self.position, reason }
    }

    /// The error for records that are not what their batch says.
    fn broken(&self, error: RecordError) -> LogError {
        self.corrupt(error.to_string())
    }
}

/// The aborted transactions that reach into the offsets from `start` to `end`
/// (`UnifiedLog.collectAbortedTransactions`). A transaction is listed where its marker is, which may be
/// behind.
async fn collect_aborted<D: Disk>(
    core: &Core<D>,
    start: Offset,
    end: Offset,
) -> Result<Vec<AbortedTxn>, LogError> {
    let bases: Vec<Offset> = {
        let state = core.state.borrow();
        let first =
            state.closed.partition_point(|segment| segment.view.base_offset <= start).saturating_sub(1);
        let closed = state.closed[first..].iter().map(|segment| segment.view.base_offset);
        closed.chain(state.open.iter().map(|segment| segment.base_offset)).collect()
    };
    let mut found = Vec::new();
    for base in bases {
        let path = file_path(&core.dir(), FileKind::TxnIndex, base);
        let bytes = match core.env.disk().read_file(&path, TXN_INDEX_BYTES_MAX).await {
            Err(error) if error.is_not_found() => continue,
            other => other?,
        };
        let entries = decode_entries(&bytes).ok_or_else(|| LogError::Corrupt {
            file: path,
            position: 0,
            reason: "expected entries of aborted transactions, found other bytes".to_owned(),
        })?;
        for aborted in entries {
            if start <= aborted.last_offset && aborted.first_offset < end {
                found.push(aborted);
            }
            if end <= aborted.last_stable_offset {
                return Ok(found);
            }
        }
    }
    Ok(found)
}
