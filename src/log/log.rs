//! The log of one partition.

use std::marker::PhantomData;
use std::path::Path;

use crate::disk::{Disk, WriteSync};
use crate::types::{LeaderEpoch, Offset, ProducerId, Timestamp, TopicId, TopicPartition};

use super::append::{AppendContext, AppendInfo, BatchToAppend};
use super::config::LogConfig;
use super::env::LogEnv;
use super::error::{AppendError, LogError, ReadError};
use super::flush::FlushOutcome;
use super::read::{ReadOutcome, TimestampOffset};
use super::recovery::{OpenWith, RecoveryReport};

/// A handle on the log of one partition; clones share it.
pub struct Log<D: Disk> {
    disk: PhantomData<D>,
}

#[expect(clippy::unimplemented, unused_variables, reason = "signatures land first")]
impl<D: Disk> Log<D> {
    /// Creates the directory of a new, empty log below the log directory `parent`. Durable on return.
    pub async fn create(
        env: LogEnv<D>,
        parent: &Path,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        now: Timestamp,
    ) -> Result<Self, LogError> {
        unimplemented!()
    }

    /// Opens the log below the log directory `parent`, recovering it unless it was closed cleanly.
    pub async fn open(
        env: LogEnv<D>,
        parent: &Path,
        topic_partition: TopicPartition,
        config: LogConfig,
        with: OpenWith,
        now: Timestamp,
    ) -> Result<(Self, RecoveryReport), LogError> {
        unimplemented!()
    }

    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        unimplemented!()
    }

    /// The topic's id, from `partition.metadata`.
    pub fn topic_id(&self) -> TopicId {
        unimplemented!()
    }

    /// The first offset that may be read.
    pub fn log_start_offset(&self) -> Offset {
        unimplemented!()
    }

    /// The offset the next record will get.
    pub fn staged_end_offset(&self) -> Offset {
        unimplemented!()
    }

    /// Everything below survives the process.
    pub fn written_end_offset(&self) -> Offset {
        unimplemented!()
    }

    /// Everything below survives the machine.
    pub fn synced_end_offset(&self) -> Offset {
        unimplemented!()
    }

    /// Whether a flush has something to do: staged batches, a roll, or a new leader epoch.
    pub fn has_staged(&self) -> bool {
        unimplemented!()
    }

    /// Bytes staged and not yet written. The driver makes producers wait beyond a bound of its own.
    pub fn staged_bytes(&self) -> u64 {
        unimplemented!()
    }

    /// Assigns offsets to `batches` and stages them. All of them are stored, or none.
    pub fn append(
        &self,
        batches: &[BatchToAppend<'_>],
        context: AppendContext,
    ) -> Result<AppendInfo, AppendError> {
        unimplemented!()
    }

    /// Writes what is staged, and with [`WriteSync::Data`] makes it and everything before it durable.
    /// One flush at a time per log; dropping the future midway takes the log offline.
    pub async fn flush(&self, want: WriteSync) -> Result<FlushOutcome, LogError> {
        unimplemented!()
    }

    /// Makes everything durable and bounds what a recovery has to scan: indexes and producer state are
    /// written. Returns the recovery point. Counts as a flush.
    pub async fn checkpoint(&self) -> Result<Offset, LogError> {
        unimplemented!()
    }

    /// Reads batches from the one that holds `from`, all below `upto`, at most `max_bytes` bytes; with
    /// `min_one`, the first batch whole whatever its size.
    pub async fn read(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        min_one: bool,
    ) -> Result<ReadOutcome, ReadError> {
        unimplemented!()
    }

    /// About how many bytes the batches from `from` to `upto` have; exact at the ends of flushes.
    pub fn bytes_available(&self, from: Offset, upto: Offset) -> u64 {
        unimplemented!()
    }

    /// The first record below `upto` whose timestamp is at least `timestamp`.
    pub async fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        upto: Offset,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        unimplemented!()
    }

    /// The first record below `upto` with the highest timestamp (ListOffsets -3).
    pub async fn max_timestamp_offset(&self, upto: Offset) -> Result<Option<TimestampOffset>, ReadError> {
        unimplemented!()
    }

    /// The last epoch that is not after `epoch`, and its end offset; `UNKNOWN` for both when this log
    /// cannot tell (`LeaderEpochFileCache.endOffsetFor`).
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        unimplemented!()
    }

    /// The epoch of the latest leader that is known.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        unimplemented!()
    }

    /// A leader begins its reign: records from `offset` on are its own. Durable with the next flush.
    pub fn start_epoch(&self, epoch: LeaderEpoch, offset: Offset) {
        unimplemented!()
    }

    /// Stages a roll when the active segment is too old. The next flush does it.
    pub fn roll_if_due(&self, now: Timestamp) -> bool {
        unimplemented!()
    }

    /// Deletes closed segments past the retention limits whose records are all below `upto`. Returns how
    /// many; their files are renamed and go with a later [`Log::remove_deleted`].
    pub async fn enforce_retention(&self, now: Timestamp, upto: Offset) -> Result<usize, LogError> {
        unimplemented!()
    }

    /// Removes the files of segments that were deleted `file.delete.delay.ms` ago.
    pub async fn remove_deleted(&self, now: Timestamp) -> Result<usize, LogError> {
        unimplemented!()
    }

    /// Applies a changed configuration from the next append on.
    pub fn update_config(&self, config: LogConfig) {
        unimplemented!()
    }

    /// Bytes of all segments, staged ones included.
    pub fn size_bytes(&self) -> u64 {
        unimplemented!()
    }

    /// Producers with sequence state.
    pub fn active_producers(&self) -> Vec<ProducerId> {
        unimplemented!()
    }

    /// Forgets producers that were idle for `producer.id.expiration.ms`.
    pub fn expire_producers(&self, now: Timestamp) {
        unimplemented!()
    }

    /// Lets go of buffers and open files of a log that is not written.
    pub fn release_idle(&self) {
        unimplemented!()
    }

    /// Flushes, cuts files to their exact length and writes what a clean start needs. No append after.
    pub async fn close_clean(&self) -> Result<(), LogError> {
        unimplemented!()
    }
}
