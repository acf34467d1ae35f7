//! The log of one partition: its state, and the operations that need no I/O.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::disk::{Disk, WriteSync};
use crate::types::{LeaderEpoch, Offset, ProducerId, Timestamp, TopicId, TopicPartition};

use super::append::{AppendContext, AppendInfo, BatchToAppend};
use super::block_cache::FileId;
use super::compaction::{CleanError, CleanReport, Cleanable, CleanerLimits};
use super::config::LogConfig;
use super::env::LogEnv;
use super::epoch_cache::EpochCache;
use super::error::{AppendError, LogError, ReadError};
use super::flush::{FlushOutcome, Store};
use super::long_work::LongWork;
use super::partition_metadata;
use super::prepare;
use super::producer_state::{ProducerState, ProducerSummary};
use super::read::{OutcomeToSend, ReadOutcome, TimestampOffset};
use super::read_ahead::ReadAhead;
use super::recovery::{BrokenRange, OpenWith, RecoveryReport};
use super::retention::DeletedSegment;
use super::segment::{ClosedSegment, OpenSegment, SegmentIds, SegmentView};
use super::verify::VerifyReport;

/// Ends of flushes that are remembered with their positions.
const MARKS_MAX: usize = 16;

/// A handle on the log of one partition; clones share it. See the module.
pub struct Log<D: Disk> {
    pub(super) core: Rc<Core<D>>,
}

impl<D: Disk> Clone for Log<D> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

pub(super) struct Core<D: Disk> {
    pub(super) env: LogEnv<D>,
    pub(super) topic_partition: TopicPartition,
    pub(super) topic_id: TopicId,
    /// Not borrowed across an await.
    pub(super) state: RefCell<State<D>>,
    pub(super) is_flushing: Cell<bool>,
    pub(super) maintenance: Cell<Maintenance>,
    /// The log file of a segment whose name is on its way.
    pinned: RefCell<Option<(SegmentIds, Rc<D::File>)>>,
}

/// Whether closed segments are being deleted or replaced; one such work at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maintenance {
    Idle,
    Running,
    /// It is to end soon.
    Aborted,
}

/// Holds a log's maintenance.
pub(super) struct MaintenanceGuard<'a, D: Disk>(&'a Core<D>);

impl<'a, D: Disk> MaintenanceGuard<'a, D> {
    /// Begins; `None` while another goes on.
    pub(super) fn begin(core: &'a Core<D>) -> Option<Self> {
        let is_idle = core.maintenance.get() == Maintenance::Idle;
        is_idle.then(|| {
            core.maintenance.set(Maintenance::Running);
            Self(core)
        })
    }
}

impl<D: Disk> Drop for MaintenanceGuard<'_, D> {
    fn drop(&mut self) {
        self.0.maintenance.set(Maintenance::Idle);
    }
}

/// What changes in a log. `log_start <= synced_end <= written_end <= staged_end`, and
/// `stored_end <= synced_end`.
pub(super) struct State<D: Disk> {
    pub(super) dir: Rc<Path>,
    pub(super) config: Rc<LogConfig>,
    /// Ascending; every closed segment ends where the next one, or the first open one, begins.
    pub(super) closed: Vec<Rc<ClosedSegment>>,
    /// The first is written, the last is appended to; those before the last wait to be closed. Never
    /// empty.
    pub(super) open: VecDeque<OpenSegment<D>>,
    pub(super) log_start_offset: Offset,
    /// Everything below is durable in segments; the rest up to the synced end is in the journal.
    pub(super) stored_end_offset: Offset,
    pub(super) synced_end_offset: Offset,
    pub(super) written_end_offset: Offset,
    pub(super) staged_end_offset: Offset,
    /// Where the latest flushes ended, ascending.
    pub(super) marks: VecDeque<FlushMark>,
    /// When the oldest record that is not synced was appended.
    pub(super) unsynced_since: Option<Timestamp>,
    pub(super) producers: ProducerState,
    /// Offsets of the producer snapshots on disk.
    pub(super) snapshots: BTreeSet<Offset>,
    pub(super) epochs: EpochCache,
    /// The epochs differ from their file.
    pub(super) epochs_dirty: bool,
    /// A recovery reads from here, at most.
    pub(super) checkpointed_offset: Offset,
    /// Bytes written since the last checkpoint.
    pub(super) bytes_since_checkpoint: u64,
    /// The files are as a clean start wants them.
    pub(super) is_clean: bool,
    /// Bytes known to be broken, with the base offsets of their segments.
    pub(super) broken: Vec<(Offset, BrokenRange)>,
    pub(super) deleted: Vec<DeletedSegment>,
    /// Where the last read of the disk ended, to tell sequential readers.
    pub(super) last_disk_read_end: u64,
    /// How far the kernel was told to read ahead.
    pub(super) read_ahead: ReadAhead,
    /// The first failure of a write or sync.
    pub(super) offline: Option<String>,
    /// Not even reads are answered.
    pub(super) is_deleted: bool,
}

/// The end of a flush.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlushMark {
    pub(super) offset: Offset,
    pub(super) segment_base: Offset,
    pub(super) position: u64,
}

impl<D: Disk> State<D> {
    /// The segment that is appended to.
    pub(super) fn open_back(&self) -> &OpenSegment<D> {
        self.open.back().expect("there is always an open segment")
    }

    /// The segment that is written.
    pub(super) fn open_front(&mut self) -> &mut OpenSegment<D> {
        self.open.front_mut().expect("there is always an open segment")
    }

    /// The end of what is staged moved to the kernel, and with `synced` to the device.
    pub(super) fn advance_written(&mut self, end: Offset, synced: bool) {
        assert!(self.stored_end_offset <= end, "end {end} after {}", self.stored_end_offset);
        assert!(end <= self.staged_end_offset, "end {end}, staged {}", self.staged_end_offset);
        // With a journal, records may have been synced before they are written here.
        self.written_end_offset = self.written_end_offset.max(end);
        if synced {
            self.stored_end_offset = end;
            self.synced_end_offset = self.synced_end_offset.max(end);
            if self.synced_end_offset == self.staged_end_offset {
                self.unsynced_since = None;
            }
        }
        let front = self.open.front().expect("there is always an open segment");
        self.push_mark(FlushMark {
            offset: end,
            segment_base: front.base_offset,
            position: front.written_len,
        });
    }

    /// Remembers where records that may be read end.
    pub(super) fn push_mark(&mut self, mark: FlushMark) {
        if self.marks.back().is_none_or(|last| last.offset < mark.offset) {
            self.marks.push_back(mark);
        }
        if MARKS_MAX < self.marks.len() {
            self.marks.pop_front();
        }
    }

    /// Bytes of all segments, staged ones included.
    pub(super) fn staged_len(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.view.len).sum();
        closed + self.open.iter().map(OpenSegment::staged_len).sum::<u64>()
    }

    /// About where in the log, in bytes from its first segment, the batch of `offset` begins.
    fn estimated_position(&self, offset: Offset) -> u64 {
        let mut before = 0;
        let closed = self.closed.iter().map(|segment| (segment.view.base_offset, segment.view.len));
        let open = self.open.iter().map(|segment| (segment.base_offset, segment.staged_len()));
        let mut segments = closed.chain(open).peekable();
        while let Some((base, len)) = segments.next() {
            let end = segments.peek().map_or(self.staged_end_offset, |(next, _)| *next);
            if offset < end {
                let mark = self.marks.iter().find(|mark| mark.offset == offset && mark.segment_base == base);
                let share = || {
                    let (part, whole) = ((offset - base).max(0) as u128, (end - base).max(1) as u128);
                    (u128::from(len) * part / whole) as u64
                };
                return before + mark.map_or_else(share, |mark| mark.position);
            }
            before += len;
        }
        before
    }
}

impl<D: Disk> Core<D> {
    pub(super) fn dir(&self) -> Rc<Path> {
        self.state.borrow().dir.clone()
    }

    pub(super) fn check_online(&self) -> Result<(), LogError> {
        match &self.state.borrow().offline {
            None => Ok(()),
            Some(cause) => Err(LogError::Offline { cause: cause.clone() }),
        }
    }

    pub(super) fn is_maintenance_aborted(&self) -> bool {
        self.maintenance.get() == Maintenance::Aborted
    }

    /// Keeps a file open for readers until its name is right.
    pub(super) fn pin(&self, ids: SegmentIds, file: Rc<D::File>) {
        *self.pinned.borrow_mut() = Some((ids, file));
    }

    pub(super) fn unpin(&self) {
        self.pinned.borrow_mut().take();
    }

    /// The pinned file, if it is this segment's.
    pub(super) fn pinned_file(&self, log: FileId) -> Option<Rc<D::File>> {
        self.pinned.borrow().as_ref().filter(|(ids, _)| ids.log == log).map(|(_, file)| file.clone())
    }

    /// Whether the segment is still the one at its offset, so that its names lead to its files.
    pub(super) fn is_current(&self, view: &SegmentView) -> bool {
        let state = self.state.borrow();
        let closed = state.closed.binary_search_by_key(&view.base_offset, |segment| segment.view.base_offset);
        closed.is_ok_and(|index| state.closed[index].view.ids.log == view.ids.log)
            || state.open.iter().any(|segment| segment.ids.log == view.ids.log)
    }

    /// Ends all writing after a failure. The first cause is kept.
    pub(super) fn take_offline(&self, cause: String) {
        self.state.borrow_mut().offline.get_or_insert(cause);
    }
}

impl<D: Disk> Log<D> {
    /// Creates the directory of a new, empty log below the log directory `parent`. Durable on return.
    ///
    /// # Errors
    /// A directory that holds files of another topic id is `Corrupt`.
    pub async fn create(
        env: LogEnv<D>,
        parent: &Path,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        let dir = parent.join(topic_partition.dir_name());
        env.disk().create_dir_all(&dir).await?;
        partition_metadata::claim(env.disk(), &dir, topic_id).await?;
        env.disk().sync_dir(parent).await?;
        Ok(Self::empty(env, dir, topic_partition, topic_id, Offset::ZERO, config, now))
    }

    /// A log without records that begins at `start`.
    pub(super) fn empty(
        env: LogEnv<D>,
        dir: PathBuf,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        start: Offset,
        config: LogConfig,
        now: Timestamp,
    ) -> Self {
        let active = OpenSegment::new(&env, start, &config, now);
        let state = State {
            dir: dir.into(),
            config: Rc::new(config),
            closed: Vec::new(),
            open: VecDeque::from([active]),
            log_start_offset: start,
            stored_end_offset: start,
            synced_end_offset: start,
            written_end_offset: start,
            staged_end_offset: start,
            marks: VecDeque::new(),
            unsynced_since: None,
            producers: ProducerState::default(),
            snapshots: BTreeSet::new(),
            epochs: EpochCache::default(),
            epochs_dirty: false,
            checkpointed_offset: start,
            bytes_since_checkpoint: 0,
            is_clean: true,
            broken: Vec::new(),
            deleted: Vec::new(),
            last_disk_read_end: 0,
            read_ahead: ReadAhead::default(),
            offline: None,
            is_deleted: false,
        };
        let core = Core {
            env,
            topic_partition,
            topic_id,
            state: RefCell::new(state),
            is_flushing: Cell::new(false),
            maintenance: Cell::new(Maintenance::Idle),
            pinned: RefCell::new(None),
        };
        Self { core: Rc::new(core) }
    }

    /// Opens the log below the log directory `parent`, recovering it unless it was closed cleanly.
    ///
    /// # Errors
    /// Only what keeps the whole log from being served; damage that leaves the rest readable is in the
    /// report.
    pub async fn open(
        env: LogEnv<D>,
        parent: &Path,
        topic_partition: TopicPartition,
        config: LogConfig,
        with: OpenWith,
        now: Timestamp,
    ) -> Result<(Self, RecoveryReport), LogError> {
        super::recovery::open(env, parent, topic_partition, config, with, now).await
    }

    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.core.topic_partition
    }

    /// The topic's id, from `partition.metadata`.
    pub fn topic_id(&self) -> TopicId {
        self.core.topic_id
    }

    /// The first offset that may be read.
    pub fn log_start_offset(&self) -> Offset {
        self.core.state.borrow().log_start_offset
    }

    /// The offset the next record will get.
    pub fn staged_end_offset(&self) -> Offset {
        self.core.state.borrow().staged_end_offset
    }

    /// Everything below survives the process.
    pub fn written_end_offset(&self) -> Offset {
        self.core.state.borrow().written_end_offset
    }

    /// Everything below survives the machine.
    pub fn synced_end_offset(&self) -> Offset {
        self.core.state.borrow().synced_end_offset
    }

    /// Whether a flush has something to do: staged batches, a roll, or a new leader epoch.
    pub fn has_staged(&self) -> bool {
        let state = self.core.state.borrow();
        let is_staged = state.written_end_offset < state.staged_end_offset || 1 < state.open.len();
        state.offline.is_none() && (is_staged || state.epochs_dirty)
    }

    /// Bytes that are not in segments yet: staged, on their way, or in the journal only. The driver makes
    /// producers wait beyond a bound of its own.
    pub fn staged_bytes(&self) -> u64 {
        let state = self.core.state.borrow();
        state.open.iter().map(|segment| segment.staged_len() - segment.written_len).sum()
    }

    /// Bytes that [`Self::store`] writes without a sync.
    pub fn full_bytes(&self) -> u64 {
        let state = self.core.state.borrow();
        let front = state.open.front().expect("there is always an open segment");
        let end = front.tail.full_end(front.readable_len);
        end.map_or(0, |end| end.saturating_sub(front.frozen_len))
    }

    /// Cuts off what recovery has left behind the end of the log, as far as nothing was written over it.
    pub(in crate::log) async fn cut_stray(&self) -> Result<(), LogError> {
        super::flush::cut_stray(&self.core).await
    }

    /// When `flush.ms` asks for the next sync; `None` while everything is synced or it never does.
    pub fn sync_due(&self) -> Option<Timestamp> {
        let state = self.core.state.borrow();
        let never = state.config.flush_ms == i64::MAX || state.offline.is_some();
        state.unsynced_since.filter(|_| !never).map(|since| since.saturating_add_ms(state.config.flush_ms))
    }

    /// The cause, when a failed write or sync ended all writing.
    pub fn offline_cause(&self) -> Option<String> {
        self.core.state.borrow().offline.clone()
    }

    /// The log's directory.
    pub fn dir(&self) -> Rc<Path> {
        self.core.dir()
    }

    /// Ends all writing, as a failed write of this log does. The first cause is kept.
    pub fn take_offline(&self, cause: &str) {
        self.core.take_offline(cause.to_owned());
    }

    /// Where the oldest segment begins; at most the log start.
    pub fn first_segment_base(&self) -> Offset {
        let state = self.core.state.borrow();
        let first = state.closed.first().map(|segment| segment.view.base_offset);
        first.unwrap_or_else(|| state.open.front().expect("there is always an open segment").base_offset)
    }

    /// Ends reading and writing; the directory is about to be renamed.
    pub(super) fn close_for_deletion(&self) {
        assert!(!self.core.is_flushing.get(), "no flush while {} is deleted", self.core.topic_partition);
        assert!(!self.is_under_maintenance(), "no cleaning while {} is deleted", self.core.topic_partition);
        self.core.take_offline("the log was deleted".to_owned());
        let mut state = self.core.state.borrow_mut();
        state.is_deleted = true;
        let closed = state.closed.iter().map(|segment| segment.view.ids);
        let ids: Vec<_> = closed.chain(state.open.iter().map(|segment| segment.ids)).collect();
        for id in ids.into_iter().flat_map(|ids| ids.all()) {
            self.core.env.blocks().borrow_mut().forget(id);
            self.core.env.files().borrow_mut().forget(id);
        }
        state.open.iter_mut().for_each(|segment| segment.file = None);
    }

    /// Assigns offsets to `batches` and stages them. All of them are stored, or none.
    pub fn append(
        &self,
        batches: &[BatchToAppend<'_>],
        context: AppendContext,
    ) -> Result<AppendInfo, AppendError> {
        self.core.state.borrow_mut().append(&self.core.env, batches, context)
    }

    /// Writes what is staged, and with [`WriteSync::Data`] makes it and everything before it durable.
    /// One flush at a time per log.
    ///
    /// # Errors
    /// Any failure takes the log offline: what was staged is lost, what was written stays readable.
    ///
    /// # Panics
    /// If another flush of this log is under way. A future dropped midway takes the log offline.
    pub async fn flush(&self, want: WriteSync) -> Result<FlushOutcome, LogError> {
        super::flush::flush(&self.core, want, false).await
    }

    /// Writes what the journal has into the segment. Appends and the journal go on meanwhile. Counts as a
    /// flush; see [`Log::flush`].
    pub async fn store(&self, what: Store) -> Result<(), LogError> {
        super::flush::store(&self.core, what).await
    }

    /// Whether [`Log::prepare`] would make the next synced flushes cheaper.
    pub fn wants_preparation(&self) -> bool {
        prepare::wants_preparation(&self.core)
    }

    /// Extends the file ahead of the next synced flushes. Counts as a flush; to be called when nobody waits
    /// for one.
    pub async fn prepare(&self) -> Result<(), LogError> {
        prepare::prepare(&self.core).await
    }

    /// Whether [`Log::trim`] would change anything.
    pub fn wants_trim(&self) -> bool {
        super::flush::wants_trim(&self.core)
    }

    /// Leaves the active segment of a quiet log with the length Kafka would give it: other tools take the
    /// zeros behind the last batch for a broken one. Counts as a flush.
    pub async fn trim(&self) -> Result<(), LogError> {
        super::flush::trim(&self.core).await
    }

    /// Reads the whole log and checks every CRC, while it is in use. What is broken is reported from then on
    /// by reads of it; what was known to be broken before is not returned again. Awaits `pace` with the bytes
    /// of each megabyte or so that was read.
    pub async fn verify(&self, pace: impl AsyncFnMut(u64)) -> Result<VerifyReport, LogError> {
        super::verify::verify(&self.core, pace).await
    }

    /// Makes everything durable and bounds what a recovery has to scan: indexes and producer state are
    /// written. Returns the recovery point. Counts as a flush; see [`Log::flush`].
    pub async fn checkpoint(&self) -> Result<Offset, LogError> {
        if !self.needs_checkpoint() {
            return Ok(self.synced_end_offset());
        }
        super::flush::flush(&self.core, WriteSync::Data, true).await?;
        Ok(self.synced_end_offset())
    }

    /// Whether a checkpoint would spare a recovery anything.
    pub fn needs_checkpoint(&self) -> bool {
        let state = self.core.state.borrow();
        state.offline.is_none() && state.checkpointed_offset < state.staged_end_offset
    }

    /// Bytes written since the last checkpoint: about what a recovery would have to scan.
    pub fn bytes_since_checkpoint(&self) -> u64 {
        self.core.state.borrow().bytes_since_checkpoint
    }

    /// Reads batches from the one that holds `from`, all below `upto`, at most `max_bytes` bytes; with
    /// `min_one`, the first batch whole whatever its size. `upto` is at most the written end.
    pub async fn read(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        min_one: bool,
    ) -> Result<ReadOutcome, ReadError> {
        until_current(async || super::read::read(&self.core, from, upto, max_bytes, min_one).await).await
    }

    /// As [`Self::read`], for bytes that go to a socket: what the page cache holds is named, not read.
    pub async fn read_to_send(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        min_one: bool,
    ) -> Result<OutcomeToSend, ReadError> {
        until_current(async || super::read::read_to_send(&self.core, from, upto, max_bytes, min_one).await)
            .await
    }

    /// About how many bytes the batches from `from` to `upto` have; exact at the ends of recent flushes.
    pub fn bytes_available(&self, from: Offset, upto: Offset) -> u64 {
        if upto <= from {
            return 0;
        }
        let state = self.core.state.borrow();
        // At least one: where there are records, there are bytes.
        state.estimated_position(upto).saturating_sub(state.estimated_position(from)).max(1)
    }

    /// The first record below `upto` whose timestamp is at least `timestamp`. Pauses after each batch.
    pub async fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        upto: Offset,
        work: &impl LongWork,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        until_current(async || {
            super::time_lookup::offset_for_timestamp(&self.core, timestamp, upto, work).await
        })
        .await
    }

    /// The first record below `upto` with the highest timestamp (ListOffsets -3). Pauses after each batch.
    pub async fn max_timestamp_offset(
        &self,
        upto: Offset,
        work: &impl LongWork,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        until_current(async || super::time_lookup::max_timestamp_offset(&self.core, upto, work).await).await
    }

    /// The last epoch that is not after `epoch`, and its end offset; `UNKNOWN` for both when this log
    /// cannot tell (`LeaderEpochFileCache.endOffsetFor`).
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        let state = self.core.state.borrow();
        state.epochs.end_offset_for(epoch, state.written_end_offset)
    }

    /// The epoch of the latest leader that is known.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.core.state.borrow().epochs.latest()
    }

    /// The epoch in which the record at `offset` was appended.
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.core.state.borrow().epochs.epoch_for_offset(offset)
    }

    /// A leader begins its reign, or goes on with it: records from `offset` on are its own. Drops higher
    /// epochs, which no leader had. Durable with the next flush.
    pub fn start_epoch(&self, epoch: LeaderEpoch, offset: Offset) {
        let mut state = self.core.state.borrow_mut();
        state.epochs_dirty |= state.epochs.reign(epoch, offset);
    }

    /// Stages a roll when the active segment and its records are older than `segment.ms`. The next flush does
    /// it.
    pub fn roll_if_due(&self, now: Timestamp) -> bool {
        let mut state = self.core.state.borrow_mut();
        let state = &mut *state;
        let back = state.open_back();
        let is_due = 0 < back.staged_len() && back.is_overdue(&state.config, now);
        if is_due && state.offline.is_none() {
            state.stage_roll(&self.core.env, now);
        }
        is_due
    }

    /// Stages a roll whatever the age. The next flush does it; an empty segment stays.
    pub fn roll(&self, now: Timestamp) {
        let mut state = self.core.state.borrow_mut();
        if 0 < state.open_back().staged_len() && state.offline.is_none() {
            state.stage_roll(&self.core.env, now);
        }
    }

    /// Deletes closed segments past the retention limits whose records are all below `upto`. Returns how
    /// many; their files are renamed and go with a later [`Log::remove_deleted`]. When the active segment is
    /// past them too, a roll is staged: the next call after the next flush deletes it. Does nothing while
    /// the log is cleaned.
    pub async fn enforce_retention(&self, now: Timestamp, upto: Offset) -> Result<usize, LogError> {
        super::retention::enforce(&self.core, now, upto).await
    }

    /// What compaction would clean of the records below `upto`, where `checkpoint` is the end of the last
    /// cleaning; `None` when there is nothing, or the log is under maintenance.
    pub async fn cleanable(
        &self,
        checkpoint: Option<Offset>,
        upto: Offset,
        now: Timestamp,
    ) -> Result<Option<Cleanable>, LogError> {
        super::compaction::cleanable(&self.core, checkpoint, upto, now).await
    }

    /// Cleans what [`Log::cleanable`] said. What is below the report's end is clean, durably. Pauses after
    /// each batch, for the bytes that were read and written.
    ///
    /// # Errors
    /// The log is as before, or cleaned up to some segment. Only a failed swap takes it offline.
    pub async fn clean(
        &self,
        cleanable: Cleanable,
        limits: CleanerLimits,
        now: Timestamp,
        work: impl LongWork,
    ) -> Result<CleanReport, CleanError> {
        super::compaction::clean(&self.core, cleanable, limits, now, work).await
    }

    /// Whether a cleaning or a deletion of old segments is under way.
    pub fn is_under_maintenance(&self) -> bool {
        self.core.maintenance.get() != Maintenance::Idle
    }

    /// Has a cleaning that is under way end at its next batch.
    pub fn abort_maintenance(&self) {
        if self.is_under_maintenance() {
            self.core.maintenance.set(Maintenance::Aborted);
        }
    }

    /// Whether [`Log::abort_maintenance`] was called and the cleaning has not ended yet.
    pub fn is_maintenance_aborted(&self) -> bool {
        self.core.is_maintenance_aborted()
    }

    /// Whether the next flush closes a segment.
    pub fn has_staged_roll(&self) -> bool {
        1 < self.core.state.borrow().open.len()
    }

    /// Whether [`Log::remove_deleted`] would find files to remove.
    pub fn has_removable(&self, now: Timestamp) -> bool {
        self.core.state.borrow().deleted.iter().any(|segment| segment.due <= now)
    }

    /// Removes the files of segments that were deleted `file.delete.delay.ms` ago. Returns how many.
    ///
    /// # Errors
    /// The first one; what could not be removed is due again later.
    pub async fn remove_deleted(&self, now: Timestamp) -> Result<usize, LogError> {
        super::retention::remove_deleted(&self.core, now).await
    }

    /// Records below `offset` are deleted; never moves back, nor beyond the written end. Whether it moved.
    pub fn raise_log_start(&self, offset: Offset) -> bool {
        let mut state = self.core.state.borrow_mut();
        let moves = state.log_start_offset < offset && offset <= state.written_end_offset;
        if moves {
            state.log_start_offset = offset;
            state.epochs_dirty |= state.epochs.truncate_from_start(offset);
        }
        moves
    }

    /// The configuration in force.
    pub fn config(&self) -> Rc<LogConfig> {
        self.core.state.borrow().config.clone()
    }

    /// Applies a changed configuration from the next append on.
    pub fn update_config(&self, config: LogConfig) {
        self.core.state.borrow_mut().config = Rc::new(config);
    }

    /// Bytes of all segments, staged ones included.
    pub fn size_bytes(&self) -> u64 {
        self.core.state.borrow().staged_len()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        let state = self.core.state.borrow();
        state.closed.len() + state.open.len()
    }

    /// Producers with sequence state, ascending.
    pub fn active_producers(&self) -> Vec<ProducerId> {
        self.core.state.borrow().producers.producer_ids()
    }

    /// What is known of each producer with sequence state, ascending by id.
    pub fn producers(&self) -> Vec<ProducerSummary> {
        self.core.state.borrow().producers.summaries()
    }

    /// Forgets producers that were idle for `producer.id.expiration.ms`.
    pub fn expire_producers(&self, now: Timestamp) {
        let mut state = self.core.state.borrow_mut();
        let expiration_ms = state.config.producer_id_expiration_ms;
        state.producers.expire(now, expiration_ms);
    }

    /// Lets go of buffers and open files of a log that is not written.
    pub fn release_idle(&self) {
        if self.core.is_flushing.get() {
            return;
        }
        let mut state = self.core.state.borrow_mut();
        state.marks.clear();
        for segment in &mut state.open {
            segment.tail.release();
            // A file with unsynced bytes stays: a later sync must reach it however it is buffered.
            if !segment.has_unsynced {
                segment.file = None;
            }
        }
    }

    /// Flushes, cuts files to their exact length and writes what a clean start needs. No append after.
    pub async fn close_clean(&self) -> Result<(), LogError> {
        super::flush::close_clean(&self.core).await
    }
}

/// Reads again for as long as a segment is deleted or compacted meanwhile.
async fn until_current<T>(read: impl AsyncFn() -> Result<T, ReadError>) -> Result<T, ReadError> {
    loop {
        match read().await {
            Err(ReadError::Replaced) => {}
            other => return other,
        }
    }
}
