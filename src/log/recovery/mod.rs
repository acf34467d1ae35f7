//! Opening a log: what is trusted, what is scanned, what is cut off, and what is reported.
//!
//! - After a clean shutdown the files are trusted; only the end of the last segment is looked up.
//! - Otherwise everything below the recovery point was durable once. From there on every batch is read and
//!   its CRC checked. The first one that is broken is taken for the end: a write that was torn or lost.
//!   It and what follows is cut off, durably, before anything is appended.
//! - A batch below the recovery point that is broken is corruption. Where it is seen it stays, is reported,
//!   and its offsets are answered with an error; what recovery does not read, [`Log::verify`] finds.
//!
//! How much is read follows from the last checkpoint of the log, which left a producer snapshot and the
//! index entries up to there. A snapshot is written after the records it stands for are durable: a whole one
//! is a recovery point by itself, and the newer of it and the checkpoint file's counts. Segments before the
//! one that holds the recovery point are not opened at all.

mod files;
mod report;
pub(super) mod scanner;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::disk::{Disk, DiskFile, OpenMode, WriteSync};
use crate::record::batch::BatchHeader;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicPartition, Uuid};

use super::config::LogConfig;
use super::env::LogEnv;
use super::epoch_cache::EpochCache;
use super::error::LogError;
use super::flush::EPOCHS_NAME;
use super::index::{GrowingIndex, IndexEntry, OffsetEntry, TimeEntry, entry_at, valid_entries};
use super::log::Log;
use super::partition_metadata;
use super::producer_state::{ProducerState, decode_snapshot, read_marker};
use super::segment::{
    ClosedSegment, FileKind, FirstTimestamp, MaxTimestamp, OpenSegment, SegmentIds, SegmentView, file_path,
};
use super::tail::Tail;
use files::{PartitionFiles, SegmentFiles};
pub use report::{BrokenRange, OpenWith, RecoveryReport, Truncation};
use scanner::{CrcFrom, Scanner, Step};

/// The largest small file that is read whole: an index, a snapshot, the epochs.
const SMALL_FILE_BYTES_MAX: usize = 256 << 20;

/// See [`Log::open`].
pub(super) async fn open<D: Disk>(
    env: LogEnv<D>,
    parent: &Path,
    topic_partition: TopicPartition,
    config: LogConfig,
    with: OpenWith,
    now: Timestamp,
) -> Result<(Log<D>, RecoveryReport), LogError> {
    let dir = parent.join(topic_partition.dir_name());
    let files = PartitionFiles::load(env.disk(), &dir).await?;
    let topic_id = partition_metadata::read(env.disk(), &dir).await?.unwrap_or(Uuid::ZERO);
    let recovery = Recovery {
        env: env.clone(),
        dir: dir.clone(),
        config: config.clone(),
        now,
        with,
        files,
        producers: ProducerState::default(),
        epochs: EpochCache::default(),
        epochs_dirty: false,
        must_sync_dir: false,
        report: RecoveryReport::default(),
        broken: Vec::new(),
    };
    let log = Log::empty(env, dir, topic_partition, topic_id, with.log_start_offset, config, now);
    let report = recovery.run(&log).await?;
    Ok((log, report))
}

/// The state of an opening.
struct Recovery<D: Disk> {
    env: LogEnv<D>,
    dir: PathBuf,
    config: LogConfig,
    now: Timestamp,
    with: OpenWith,
    files: PartitionFiles,
    producers: ProducerState,
    epochs: EpochCache,
    epochs_dirty: bool,
    must_sync_dir: bool,
    report: RecoveryReport,
    /// With the base offset of the segment.
    broken: Vec<(Offset, BrokenRange)>,
}

/// What became of one segment.
struct Scanned<D: Disk> {
    segment: OpenSegment<D>,
    /// The next segments are to be cut off.
    is_cut: bool,
}

/// Where the walk over a segment ended.
struct Walked {
    /// Bytes of the segment.
    len: u64,
    /// Zeros follow up to the end of the block.
    is_padded: bool,
    /// What is none of the log's follows up to here, and was left there.
    stray_end: u64,
    /// The file was cut there.
    was_truncated: bool,
    /// What was cut off was not whole; the next segments are to be cut off too.
    is_cut: bool,
}

impl<D: Disk> Recovery<D> {
    async fn run(mut self, log: &Log<D>) -> Result<RecoveryReport, LogError> {
        self.load_epochs().await?;
        let replay_from = self.load_producers().await?;
        let mut closed = self.trusted_segments(replay_from);
        let mut open = self.scan_segments(&closed, replay_from).await?;
        let mut end = self.end_of(&mut open);
        if end < self.with.log_start_offset {
            self.remove_everything(&closed, &open).await?;
            (closed, open, end) = (Vec::new(), Vec::new(), self.with.log_start_offset);
        }
        self.must_sync_dir |= self.files.remove_snapshots_above(self.env.disk(), &self.dir, end).await?;
        self.epochs_dirty |= self.epochs.truncate_from_end(end);
        if self.must_sync_dir {
            self.env.disk().sync_dir(&self.dir).await?;
        }
        let report = self.report.clone();
        let wants_closing = 1 < open.len();
        self.install(log, closed, open, end);
        if wants_closing {
            log.flush(WriteSync::Data).await?;
        }
        log.release_idle();
        Ok(report)
    }

    /// The end of the log. Where records below the recovery point are lost, it is there all the same: their
    /// offsets were given away and are never given again.
    fn end_of(&mut self, open: &mut Vec<OpenSegment<D>>) -> Offset {
        let found = open.last().map_or(self.with.log_start_offset, |last| last.staged_end_offset);
        let recovery_point = self.with.recovery_point;
        if recovery_point <= found {
            return found;
        }
        let is_reported = self.broken.iter().any(|(_, broken)| broken.end_offset == recovery_point);
        if !is_reported {
            let base = open.last().map_or(found, |last| last.base_offset);
            let range = BrokenRange {
                file: file_path(&self.dir, FileKind::Log, base),
                position: open.last().map_or(0, |last| last.written_len),
                bytes: 0,
                first_offset: found,
                end_offset: recovery_point,
                cause: format!("the log ends at offset {found}, its recovery point is {recovery_point}"),
            };
            self.report.broken.push(range.clone());
            self.broken.push((base, range));
        }
        if let Some(last) = open.last_mut() {
            last.staged_end_offset = recovery_point;
        }
        let mut segment = OpenSegment::new(&self.env, recovery_point, &self.config, self.now);
        segment.base_snapshot = Some(self.producers.encode_snapshot());
        open.push(segment);
        recovery_point
    }

    /// Hands what was found to the log.
    fn install(self, log: &Log<D>, closed: Vec<Rc<ClosedSegment>>, open: Vec<OpenSegment<D>>, end: Offset) {
        let mut state = log.core.state.borrow_mut();
        let first = closed.first().map(|segment| segment.view.base_offset);
        let first = first.or(open.first().map(|segment| segment.base_offset)).unwrap_or(end);
        state.log_start_offset = self.with.log_start_offset.max(first);
        if !open.is_empty() {
            state.open = open.into();
        }
        let is_whole = state.open.len() == 1 && !state.open_front().is_padded && self.broken.is_empty();
        state.is_clean = self.with.clean && is_whole;
        // Without anything that a flush would sync, all there is is durable.
        let is_durable = state.open.iter().all(|segment| !segment.has_unsynced) && state.open.len() == 1;
        let durable = if is_durable { end } else { end.min(self.with.recovery_point) };
        let front_end = state.open_front().staged_end_offset;
        state.closed = closed;
        state.staged_end_offset = end;
        state.written_end_offset = front_end;
        state.synced_end_offset = front_end.min(durable);
        state.stored_end_offset = state.synced_end_offset;
        state.unsynced_since = (durable < end).then_some(self.now);
        state.checkpointed_offset = durable;
        state.bytes_since_checkpoint = if self.with.clean { 0 } else { self.report.walked_bytes };
        state.producers = self.producers;
        state.snapshots = self.files.snapshots;
        state.epochs = self.epochs;
        state.epochs_dirty = self.epochs_dirty;
        state.broken = self.broken;
    }

    async fn load_epochs(&mut self) -> Result<(), LogError> {
        if !self.files.has_epochs {
            return Ok(());
        }
        let file = self.dir.join(EPOCHS_NAME);
        let contents = self.env.disk().read_file(&file, SMALL_FILE_BYTES_MAX).await?;
        match EpochCache::parse(&contents) {
            Ok(epochs) => self.epochs = epochs,
            // The batches tell as well.
            Err(error) => {
                self.report.lost_epochs = Some(error.to_string());
                self.epochs_dirty = true;
            }
        }
        Ok(())
    }

    /// Loads the newest whole snapshot; from where on the log has to be replayed.
    async fn load_producers(&mut self) -> Result<Offset, LogError> {
        let candidates: Vec<_> = self.files.snapshots.iter().rev().copied().collect();
        for offset in candidates {
            let path = file_path(&self.dir, FileKind::Snapshot, offset);
            let contents = self.env.disk().read_file(&path, SMALL_FILE_BYTES_MAX).await?;
            if let Ok(entries) = decode_snapshot(&contents) {
                let expiration_ms = self.config.producer_id_expiration_ms;
                self.producers = ProducerState::from_entries(entries, self.now, expiration_ms);
                self.with.recovery_point = self.with.recovery_point.max(offset);
                return Ok(offset);
            }
            // Not synced, or damaged; an older one and more of the log do as well.
            self.files.snapshots.remove(&offset);
            super::flush::remove_if_there(self.env.disk(), &path).await?;
        }
        Ok(self.files.segments.keys().next().copied().unwrap_or(self.with.log_start_offset))
    }

    /// The segments that are closed and taken as they are.
    fn trusted_segments(&self, replay_from: Offset) -> Vec<Rc<ClosedSegment>> {
        let bases: Vec<_> = self.files.segments.keys().copied().collect();
        let mut closed = Vec::new();
        if self.report.lost_epochs.is_some() {
            // Walk over all of them for their epochs.
            return closed;
        }
        for pair in bases.windows(2) {
            let (base, next) = (pair[0], pair[1]);
            if !self.with.clean && self.with.recovery_point < next {
                break;
            }
            let files = self.files.segments[&base];
            let is_indexed = files.offset_index_len.is_some() && files.time_index_len.is_some();
            if !is_indexed || replay_from < next {
                // Walk over it: for its indexes, or for the producers it holds.
                break;
            }
            closed.push(Rc::new(ClosedSegment {
                view: self.view(base, files),
                max_timestamp: Cell::new(None),
            }));
        }
        closed
    }

    fn view(&self, base_offset: Offset, files: SegmentFiles) -> SegmentView {
        SegmentView {
            base_offset,
            ids: SegmentIds::new(&self.env),
            len: files.log_len,
            offset_index_len: files.offset_index_len.unwrap_or(0),
            time_index_len: files.time_index_len.unwrap_or(0),
        }
    }

    /// Walks over the segments behind the trusted ones, in order, up to where the log is cut off.
    async fn scan_segments(
        &mut self,
        closed: &[Rc<ClosedSegment>],
        replay_from: Offset,
    ) -> Result<Vec<OpenSegment<D>>, LogError> {
        let bases: Vec<_> = self.files.segments.keys().copied().skip(closed.len()).collect();
        let mut open: Vec<OpenSegment<D>> = Vec::new();
        for (index, base) in bases.iter().enumerate() {
            if let Some(previous) = open.last_mut() {
                if *base < previous.staged_end_offset {
                    let (end, file) =
                        (previous.staged_end_offset, file_path(&self.dir, FileKind::Log, *base));
                    let reason = format!("the segment before it ends at offset {end}");
                    return Err(LogError::Corrupt { file, position: 0, reason });
                }
                // Compaction leaves gaps between segments; the next one tells where this one ends.
                previous.staged_end_offset = *base;
            }
            let snapshot = (!open.is_empty()).then(|| self.producers.encode_snapshot());
            let next_base = bases.get(index + 1).copied();
            let Scanned { mut segment, is_cut } = self.scan_segment(*base, next_base, replay_from).await?;
            segment.base_snapshot = snapshot;
            open.push(segment);
            if is_cut {
                self.cut_after(&bases[index + 1..]).await?;
                break;
            }
        }
        Ok(open)
    }

    /// Walks over one segment: finds its end, builds the indexes, replays the producers.
    async fn scan_segment(
        &mut self,
        base: Offset,
        next_base: Option<Offset>,
        replay_from: Offset,
    ) -> Result<Scanned<D>, LogError> {
        let files = self.files.segments[&base];
        let mut segment = OpenSegment::new(&self.env, base, &self.config, self.now);
        (segment.exists, segment.is_name_synced) = (true, self.with.clean);
        if files.log_len == 0 {
            return Ok(Scanned { segment, is_cut: false });
        }
        let path = file_path(&self.dir, FileKind::Log, base);
        let file = self.env.disk().open(&path, OpenMode::Write).await?;
        let start = self.load_indexes(&mut segment, files, &file, replay_from).await?;
        if next_base.is_some() {
            self.unindex(&mut segment, files).await?;
        }
        segment.first_timestamp = FirstTimestamp::NotLoaded;
        let crc_from = match self.with.clean {
            true => CrcFrom::Never,
            false => CrcFrom::Offset(self.with.recovery_point),
        };
        let mut scanner = Scanner::new(&file, files.log_len, base, start);
        let walked = loop {
            let step = scanner.next(crc_from).await?;
            if let Step::Batch { position, header, bytes } = step {
                segment.add_batch(&header, position, self.config.index_interval_bytes);
                self.replay(&header, bytes, replay_from);
            } else if let Some(walked) = self.end_walk(&mut scanner, step, &file, next_base).await? {
                break walked;
            }
        };
        self.report.walked_bytes += walked.len - start;
        self.report.scanned_bytes += scanner.checked_bytes;
        segment.tail = Tail::new(walked.len);
        segment.set_written(walked.len);
        (segment.is_padded, segment.stray_end) = (walked.is_padded, walked.stray_end);
        // Beyond the recovery point, nothing is known to be durable.
        let is_beyond = !self.with.clean && self.with.recovery_point < segment.staged_end_offset;
        segment.has_unsynced = walked.was_truncated || is_beyond;
        segment.is_name_synced = !segment.has_unsynced;
        Ok(Scanned { segment, is_cut: walked.is_cut })
    }

    /// Whether the walk over a segment ends at something that is no batch. Corruption below the recovery
    /// point is stepped over instead.
    async fn end_walk(
        &mut self,
        scanner: &mut Scanner<'_, D::File>,
        step: Step,
        file: &D::File,
        next_base: Option<Offset>,
    ) -> Result<Option<Walked>, LogError> {
        let (position, is_last) = (scanner.position(), next_base.is_none());
        // After a clean shutdown, everything was durable.
        let is_complete = self.with.recovery_point <= scanner.expected();
        let is_below = self.with.clean || !is_complete;
        let mut walked =
            Walked { len: position, is_padded: false, stray_end: 0, was_truncated: false, is_cut: false };
        let is_half = matches!(step, Step::Half { .. });
        let cause = match step {
            Step::Batch { .. } => unreachable!("a walk goes on after a batch"),
            Step::End => return Ok(Some(walked)),
            Step::Padding if is_last => {
                walked.is_padded = true;
                return Ok(Some(walked));
            }
            Step::Padding => None,
            Step::Zeros if is_last && is_complete => {
                // As a busy log is left by a kill: cutting it now would cost the start a sync per log.
                (walked.is_padded, walked.stray_end) = (true, scanner.len());
                return Ok(Some(walked));
            }
            Step::Zeros => Some("expected a batch, found zeros".to_owned()),
            Step::Half { cause } | Step::Broken { cause } => Some(cause),
        };
        let path = file_path(&self.dir, FileKind::Log, scanner.base_offset());
        if let Some(cause) = cause {
            if is_below {
                let lost_to = next_base.unwrap_or(self.with.recovery_point);
                let range = skip_broken(scanner, path, lost_to, cause).await?;
                self.report.broken.push(range.clone());
                self.broken.push((scanner.base_offset(), range));
                return Ok(None);
            }
            let bytes = scanner.len() - position;
            self.report.truncated = Some(Truncation { file: path, position, bytes, cause });
            if is_half && is_last && self.with.is_journaled {
                // The journal should have the whole of it.
                (walked.is_padded, walked.stray_end) = (true, scanner.len());
                return Ok(Some(walked));
            }
            walked.is_cut = true;
        }
        file.truncate(position).await?;
        file.sync_data().await?;
        walked.was_truncated = true;
        Ok(Some(walked))
    }

    fn replay(&mut self, header: &BatchHeader, bytes: Option<bytes::Bytes>, replay_from: Offset) {
        let (epoch, latest) = (header.partition_leader_epoch, self.epochs.latest());
        if LeaderEpoch::ZERO <= epoch && latest < Some(epoch) {
            self.epochs_dirty |= self.epochs.assign(epoch, header.base_offset);
        }
        if header.base_offset < replay_from {
            return;
        }
        if header.attributes.is_control() {
            if let Some(marker) = bytes.and_then(|bytes| read_marker(&bytes)) {
                self.producers.add_marker(header, marker);
            }
        } else {
            self.producers.add_batch(header, header.base_offset);
        }
    }

    /// Takes over the index entries that the log bears out; the position of the last one's batch.
    async fn load_indexes(
        &mut self,
        segment: &mut OpenSegment<D>,
        files: SegmentFiles,
        file: &D::File,
        replay_from: Offset,
    ) -> Result<u64, LogError> {
        if self.report.lost_epochs.is_some() {
            return Ok(0);
        }
        let base = segment.base_offset;
        let limit = if self.with.clean { replay_from } else { replay_from.min(self.with.recovery_point) };
        let offsets = self.index_file(FileKind::OffsetIndex, base, files.offset_index_len).await?;
        let count = partition_point(valid_entries::<OffsetEntry>(&offsets), |index| {
            let entry: OffsetEntry = entry_at(&offsets, index);
            base + i64::from(entry.relative_offset) < limit && u64::from(entry.position) < files.log_len
        });
        // Written before the offset index: without it, nothing is known of the timestamps.
        let count = if files.time_index_len.is_some() { count } else { 0 };
        let Some(last) = count.checked_sub(1).map(|last| entry_at::<OffsetEntry>(&offsets, last)) else {
            self.report.rebuilt_indexes += usize::from(files.offset_index_len.is_none());
            return Ok(0);
        };
        let position = u64::from(last.position);
        let bytes = file.read_at(position, crate::record::batch::HEADER_LEN).await?;
        let expected = base + i64::from(last.relative_offset);
        if !BatchHeader::decode(&bytes).is_ok_and(|header| header.last_offset() == expected) {
            self.report.rebuilt_indexes += 1;
            return Ok(0);
        }
        let times = self.index_file(FileKind::TimeIndex, base, files.time_index_len).await?;
        let time_count = partition_point(valid_entries::<TimeEntry>(&times), |index| {
            entry_at::<TimeEntry>(&times, index).relative_offset <= last.relative_offset
        });
        let last_time = time_count.checked_sub(1).map(|last| entry_at::<TimeEntry>(&times, last));
        if let Some(entry) = last_time {
            segment.max_timestamp = MaxTimestamp {
                timestamp: Timestamp(entry.timestamp),
                offset: base + i64::from(entry.relative_offset),
            };
        }
        segment.offset_index = GrowingIndex::reopened(count, Some(last));
        segment.time_index = GrowingIndex::reopened(time_count, last_time);
        Ok(position)
    }

    /// Has the indexes of a segment that is closed anew written as a whole. A crash midway must not leave
    /// them half written and trusted, as they are where the recovery point is behind the segment: the offset
    /// index goes first, durably, and is written last.
    async fn unindex(&self, segment: &mut OpenSegment<D>, files: SegmentFiles) -> Result<(), LogError> {
        let base = segment.base_offset;
        let offsets = self.index_file(FileKind::OffsetIndex, base, files.offset_index_len).await?;
        let times = self.index_file(FileKind::TimeIndex, base, files.time_index_len).await?;
        segment.offset_index = entries_before(&offsets, segment.offset_index.count());
        segment.time_index = entries_before(&times, segment.time_index.count());
        let path = file_path(&self.dir, FileKind::OffsetIndex, base);
        super::flush::remove_if_there(self.env.disk(), &path).await?;
        Ok(self.env.disk().sync_dir(&self.dir).await?)
    }

    async fn index_file(&self, kind: FileKind, base: Offset, len: Option<u64>) -> Result<Vec<u8>, LogError> {
        match len {
            None | Some(0) => Ok(Vec::new()),
            Some(_) => {
                let path = file_path(&self.dir, kind, base);
                Ok(self.env.disk().read_file(&path, SMALL_FILE_BYTES_MAX).await?)
            }
        }
    }

    /// Removes the segments behind the one that was cut.
    async fn cut_after(&mut self, bases: &[Offset]) -> Result<(), LogError> {
        for base in bases {
            let bytes = self.files.remove_segment(self.env.disk(), &self.dir, *base).await?;
            if let Some(truncated) = &mut self.report.truncated {
                truncated.bytes += bytes;
            }
            self.must_sync_dir = true;
        }
        Ok(())
    }

    /// The log ends before its first offset: its files were lost.
    async fn remove_everything(
        &mut self,
        closed: &[Rc<ClosedSegment>],
        open: &[OpenSegment<D>],
    ) -> Result<(), LogError> {
        let closed = closed.iter().map(|segment| segment.view.base_offset);
        let bases: Vec<_> = closed.chain(open.iter().map(|segment| segment.base_offset)).collect();
        self.cut_after(&bases).await?;
        self.producers = ProducerState::default();
        self.must_sync_dir |=
            self.files.remove_snapshots_above(self.env.disk(), &self.dir, Offset::UNKNOWN).await?;
        Ok(())
    }
}

/// Moves the scanner behind broken bytes; `lost_to` is where the offsets in them end if nothing whole
/// follows.
pub(super) async fn skip_broken<F: DiskFile>(
    scanner: &mut Scanner<'_, F>,
    file: PathBuf,
    lost_to: Offset,
    cause: String,
) -> Result<BrokenRange, LogError> {
    let (position, first_offset) = (scanner.position(), scanner.expected());
    let end_offset = match scanner.resynchronize().await? {
        true => scanner.peek_base_offset().await?,
        false => lost_to.max(first_offset),
    };
    let bytes = scanner.position() - position;
    Ok(BrokenRange { file, position, bytes, first_offset, end_offset, cause })
}

/// The first `count` entries, to be written again.
fn entries_before<E: IndexEntry>(bytes: &[u8], count: usize) -> GrowingIndex<E> {
    GrowingIndex::unpersisted((0..count).map(|index| entry_at(bytes, index)).collect())
}

/// How many of the first `count` indexes satisfy `holds`, which must hold for a prefix.
fn partition_point(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
