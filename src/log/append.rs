//! Appending: offsets, sequence checks, roll decisions, and one copy into the tail buffer.
//!
//! An append is synchronous and does no I/O: it either stages all of its batches or changes nothing.

use crate::disk::Disk;
use crate::record::RecordError;
use crate::record::batch::{
    self, ATTRIBUTES_AT, BatchHeader, HEADER_LEN, compute_crc, copy_with_crc, crc_matches,
};
use crate::record::validate::Validated;
use crate::types::{LeaderEpoch, Offset, Timestamp};

use super::env::LogEnv;
use super::error::AppendError;
use super::log::State;
use super::producer_state::{BatchMetadata, ProducerCheck};
use super::segment::{OpenSegment, RollParams};
use super::tail::Tail;

/// One whole batch to append. Its base offset and leader epoch are overwritten in the copy.
#[derive(Debug, Clone, Copy)]
pub struct BatchToAppend<'a> {
    /// The header of `bytes`.
    pub header: BatchHeader,
    /// The batch.
    pub bytes: &'a [u8],
    /// The leader's time to set on the copy (`message.timestamp.type=LogAppendTime`).
    pub append_time: Option<Timestamp>,
    /// Whether the bytes are known to match the header's CRC. If not, it is checked during the copy.
    pub is_crc_checked: bool,
}

impl<'a> BatchToAppend<'a> {
    /// A batch that passed validation; `input` is what was validated.
    pub fn new(validated: &'a Validated, input: &'a [u8]) -> Self {
        Self {
            header: validated.header,
            bytes: validated.batch(input),
            append_time: validated.append_time,
            is_crc_checked: validated.is_crc_checked,
        }
    }

    /// The header the stored batch will have, but for its CRC.
    fn stored_header(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> BatchHeader {
        let max_timestamp = self.append_time.unwrap_or(self.header.max_timestamp);
        BatchHeader { base_offset, partition_leader_epoch: leader_epoch, max_timestamp, ..self.header }
    }
}

/// Who appends; decides which producer checks apply (`AppendOrigin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: duplicates, sequences and epochs are checked.
    Client,
    /// A coordinator or the controller: epochs are checked.
    Coordinator,
}

/// What holds for all batches of one append.
#[derive(Debug, Clone, Copy)]
pub struct AppendContext {
    /// The leader epoch stored in the batches.
    pub leader_epoch: LeaderEpoch,
    /// Who appends.
    pub origin: AppendOrigin,
    /// The time by which segments age.
    pub now: Timestamp,
}

/// Where an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset of the last record. The append is acknowledged once the end the acknowledgement waits
    /// for is greater; that holds for a duplicate too, whose first copy may still be on its way.
    pub last_offset: Offset,
    /// The leader's time of the records, -1 where they keep the producer's.
    pub log_append_time: Timestamp,
    /// The log's first offset.
    pub log_start_offset: Offset,
    /// Nothing was appended: the producer sent this batch before, and the offsets are those it got then.
    pub duplicate: bool,
}

impl<D: Disk> State<D> {
    pub(super) fn append(
        &mut self,
        env: &LogEnv<D>,
        batches: &[BatchToAppend<'_>],
        context: AppendContext,
    ) -> Result<AppendInfo, AppendError> {
        if let Some(cause) = &self.offline {
            return Err(AppendError::Offline { cause: cause.clone() });
        }
        let params = self.roll_params(batches, context.now)?;
        let base_offset = self.staged_end_offset;
        let headers = batches.iter().map(|batch| batch.header);
        match self.producers.check(headers, base_offset, context.origin)? {
            ProducerCheck::Fresh => {}
            ProducerCheck::Duplicate(batch) => return Ok(self.duplicate_info(&batch)),
        }
        if self.open_back().should_roll(&self.config, &params) {
            self.stage_roll(env, context.now);
        }
        let start = self.open_back().staged_len();
        self.stage(env, batches, context.leader_epoch)?;
        self.commit(batches, context.leader_epoch, start);
        self.unsynced_since.get_or_insert(context.now);
        Ok(AppendInfo {
            base_offset,
            last_offset: params.last_offset,
            log_append_time: batches[0].append_time.unwrap_or(Timestamp::NONE),
            log_start_offset: self.log_start_offset,
            duplicate: false,
        })
    }

    fn roll_params(&self, batches: &[BatchToAppend<'_>], now: Timestamp) -> Result<RollParams, AppendError> {
        assert!(!batches.is_empty(), "an append has at least one batch");
        let mut params = RollParams {
            bytes: 0,
            max_timestamp: Timestamp::NONE,
            last_offset: self.staged_end_offset + -1,
            now,
        };
        for batch in batches {
            assert_eq!(batch.bytes.len(), batch.header.total_len(), "one whole batch");
            assert!(0 <= batch.header.last_offset_delta, "a batch to append has records");
            params.bytes += batch.bytes.len() as u64;
            let max_timestamp = batch.append_time.unwrap_or(batch.header.max_timestamp);
            params.max_timestamp = params.max_timestamp.max(max_timestamp);
            params.last_offset += i64::from(batch.header.last_offset_delta) + 1;
        }
        if u64::from(self.config.segment_bytes) < params.bytes {
            let max = self.config.segment_bytes;
            return Err(AppendError::LargerThanSegment { bytes: params.bytes, max });
        }
        Ok(params)
    }

    fn duplicate_info(&self, batch: &BatchMetadata) -> AppendInfo {
        AppendInfo {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset,
            log_append_time: batch.timestamp,
            log_start_offset: self.log_start_offset,
            duplicate: true,
        }
    }

    /// Starts a new segment at the staged end; the flush closes the one before.
    pub(super) fn stage_roll(&mut self, env: &LogEnv<D>, now: Timestamp) {
        let mut segment = OpenSegment::new(env, self.staged_end_offset, &self.config, now);
        segment.base_snapshot = Some(self.producers.encode_snapshot());
        self.open.push_back(segment);
    }

    /// Copies the batches into the tail; on an error none of them is there.
    fn stage(
        &mut self,
        env: &LogEnv<D>,
        batches: &[BatchToAppend<'_>],
        leader_epoch: LeaderEpoch,
    ) -> Result<(), AppendError> {
        let mut stamp = Stamp { base_offset: self.staged_end_offset, leader_epoch };
        let tail = &mut self.open.back_mut().expect("there is always an open segment").tail;
        let mark = tail.mark();
        for (index, batch) in batches.iter().enumerate() {
            if let Err(error) = stage_batch(tail, env.disk(), batch, stamp) {
                tail.rewind(mark);
                return Err(AppendError::CorruptBatch { index, error });
            }
            stamp.base_offset += i64::from(batch.header.last_offset_delta) + 1;
        }
        Ok(())
    }

    /// Accounts for batches that were copied to `position` and behind.
    fn commit(&mut self, batches: &[BatchToAppend<'_>], leader_epoch: LeaderEpoch, mut position: u64) {
        let base_offset = self.staged_end_offset;
        let segment = self.open.back_mut().expect("there is always an open segment");
        for batch in batches {
            let header = batch.stored_header(self.staged_end_offset, leader_epoch);
            segment.add_batch(&header, position, self.config.index_interval_bytes);
            self.producers.add_batch(&header, header.base_offset);
            position += batch.bytes.len() as u64;
            self.staged_end_offset = header.next_offset();
        }
        assert_eq!(position, segment.staged_len(), "every staged byte is accounted for");
        if LeaderEpoch::ZERO <= leader_epoch && self.epochs.latest() != Some(leader_epoch) {
            self.epochs_dirty |= self.epochs.reign(leader_epoch, base_offset);
        }
    }
}

/// What the log sets on the copy of a batch, besides the time that the batch may bring.
#[derive(Clone, Copy)]
struct Stamp {
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
}

impl Stamp {
    fn set_on(self, bytes: &mut [u8], batch: &BatchToAppend<'_>) {
        batch::set_base_offset(bytes, self.base_offset);
        batch::set_partition_leader_epoch(bytes, self.leader_epoch);
        if let Some(time) = batch.append_time {
            batch::set_append_time(bytes, time);
        }
    }
}

/// Copies one batch to the end of the tail and stamps it.
fn stage_batch<D: Disk>(
    tail: &mut Tail<D::Buf>,
    disk: &D,
    batch: &BatchToAppend<'_>,
    stamp: Stamp,
) -> Result<(), RecordError> {
    let Some(room) = tail.reserve(disk, batch.bytes.len()) else {
        return stage_across_chunks(tail, disk, batch, stamp);
    };
    if batch.is_crc_checked {
        room.copy_from_slice(batch.bytes);
    } else {
        room[..ATTRIBUTES_AT].copy_from_slice(&batch.bytes[..ATTRIBUTES_AT]);
        let crc = copy_with_crc(&batch.bytes[ATTRIBUTES_AT..], &mut room[ATTRIBUTES_AT..]);
        if crc != batch.header.crc {
            return Err(RecordError::CrcMismatch { expected: batch.header.crc, found: crc });
        }
    }
    stamp.set_on(room, batch);
    Ok(())
}

/// The batch does not fit the rest of the chunk: the one in about a megabyte that takes a detour.
fn stage_across_chunks<D: Disk>(
    tail: &mut Tail<D::Buf>,
    disk: &D,
    batch: &BatchToAppend<'_>,
    stamp: Stamp,
) -> Result<(), RecordError> {
    if !batch.is_crc_checked && !crc_matches(batch.bytes) {
        let found = compute_crc(batch.bytes);
        return Err(RecordError::CrcMismatch { expected: batch.header.crc, found });
    }
    if batch.append_time.is_some() {
        let mut copy = batch.bytes.to_vec();
        stamp.set_on(&mut copy, batch);
        tail.put(disk, &copy);
    } else {
        let (header, records) = batch.bytes.split_at(HEADER_LEN);
        let mut header: [u8; HEADER_LEN] = header.try_into().expect("split at its length");
        stamp.set_on(&mut header, batch);
        tail.put(disk, &header);
        tail.put(disk, records);
    }
    Ok(())
}
