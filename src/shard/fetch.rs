//! Reading: fetches, probes for waiting fetches, offset lookups. Each function serves the parts of one
//! request that this shard owns.

use std::rc::Rc;

use super::Shard;
use super::message::{
    EpochEnd, EpochEndPart, FetchPart, FetchParts, Fetched, FoundOffset, ListOffsetPart, PartitionError,
    ProbeParts, Probed,
};
use super::partition::Partition;
use crate::log::ReadError;
use crate::rt::task;
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// `ListOffsetsRequest`'s special timestamps.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

impl Shard {
    /// Reads the parts in order until `max_bytes` are found.
    pub async fn fetch(self: &Rc<Self>, request: FetchParts) -> Vec<Fetched> {
        let mut bytes_left = request.max_bytes;
        let mut found_any = false;
        let mut answers = Vec::with_capacity(request.parts.len());
        for part in &request.parts {
            let fetched = match self.partition(part.id) {
                Err(error) => failed(error),
                Ok(partition) => self.read_part(&partition, part, bytes_left, !found_any).await,
            };
            bytes_left = bytes_left.saturating_sub(fetched.bytes);
            found_any |= 0 < fetched.bytes;
            answers.push(fetched);
            task::yield_if_needed().await;
        }
        answers
    }

    /// Counts what a fetch would find and registers it for a wake-up. Does not yield: the fetch may end
    /// meanwhile, and its watches could not be withdrawn before they are all registered.
    pub fn probe(&self, request: &ProbeParts, executor: usize) -> Probed {
        let mut probed = Probed { bytes: 0, answer_now: false };
        for part in &request.parts {
            let Ok(partition) = self.partition(part.id) else {
                probed.answer_now = true;
                continue;
            };
            match check_readable(&partition, part) {
                Ok(None) => {
                    let available =
                        partition.log.bytes_available(part.fetch_offset, partition.high_watermark());
                    probed.bytes += available.min(part.max_bytes as u64);
                }
                Ok(Some(_)) | Err(_) => probed.answer_now = true,
            }
            if let Some(token) = request.watch {
                partition.watch(token, executor);
            }
        }
        probed
    }

    /// Looks up offsets by timestamp.
    pub async fn list_offsets(
        self: &Rc<Self>,
        parts: Vec<ListOffsetPart>,
    ) -> Vec<Result<FoundOffset, PartitionError>> {
        let mut answers = Vec::with_capacity(parts.len());
        for part in parts {
            answers.push(self.find_offset(part).await);
            task::yield_if_needed().await;
        }
        answers
    }

    async fn find_offset(self: &Rc<Self>, part: ListOffsetPart) -> Result<FoundOffset, PartitionError> {
        let partition = self.partition(part.id)?;
        partition.check_readable()?;
        partition.check_epoch(part.current_leader_epoch)?;
        let (log, end) = (&partition.log, partition.high_watermark());
        let without_time =
            |offset, leader_epoch| FoundOffset { timestamp: Timestamp::NONE, offset, leader_epoch };
        let nothing = without_time(Offset::UNKNOWN, LeaderEpoch::UNKNOWN);
        let found = match part.timestamp {
            LATEST => return Ok(without_time(end, partition.leader_epoch())),
            EARLIEST | EARLIEST_LOCAL => {
                let start = log.log_start_offset();
                return Ok(without_time(start, log.epoch_for_offset(start).unwrap_or(LeaderEpoch::UNKNOWN)));
            }
            LATEST_TIERED => return Ok(nothing),
            MAX_TIMESTAMP => log.max_timestamp_offset(end, &**self).await,
            timestamp => log.offset_for_timestamp(Timestamp(timestamp), end, &**self).await,
        };
        let found = found.map_err(|error| self.read_error(&partition, Offset::UNKNOWN, error))?;
        Ok(found.map_or(nothing, |found| FoundOffset {
            timestamp: found.timestamp,
            offset: found.offset,
            leader_epoch: found.leader_epoch,
        }))
    }

    /// Looks up the ends of leader epochs (KIP-101, KIP-320).
    pub async fn epoch_ends(&self, parts: &[EpochEndPart]) -> Vec<Result<EpochEnd, PartitionError>> {
        let mut answers = Vec::with_capacity(parts.len());
        for part in parts {
            answers.push(self.epoch_end(part));
            task::yield_if_needed().await;
        }
        answers
    }

    fn epoch_end(&self, part: &EpochEndPart) -> Result<EpochEnd, PartitionError> {
        let partition = self.partition(part.id)?;
        partition.check_readable()?;
        partition.check_epoch(part.current_leader_epoch)?;
        let (leader_epoch, end_offset) = partition.log.end_offset_for_epoch(part.leader_epoch);
        Ok(EpochEnd { leader_epoch, end_offset })
    }

    async fn read_part(
        self: &Rc<Self>,
        partition: &Rc<Partition>,
        part: &FetchPart,
        bytes_left: usize,
        is_first: bool,
    ) -> Fetched {
        let mut answer = status(partition);
        match check_readable(partition, part) {
            Err(error) => answer.error = Some(error),
            Ok(Some(diverging)) => answer.diverging = Some(diverging),
            Ok(None) => {
                let max_bytes = part.max_bytes.min(bytes_left);
                if max_bytes == 0 && !is_first {
                    return answer;
                }
                match partition
                    .log
                    .read_to_send(part.fetch_offset, answer.high_watermark, max_bytes, is_first)
                    .await
                {
                    Ok(outcome) => {
                        answer.bytes = outcome.bytes;
                        answer.chunks = outcome.pieces;
                    }
                    Err(error) => answer.error = Some(self.read_error(partition, part.fetch_offset, error)),
                }
            }
        }
        answer
    }

    fn read_error(
        self: &Rc<Self>,
        partition: &Partition,
        offset: Offset,
        error: ReadError,
    ) -> PartitionError {
        match error {
            ReadError::OutOfRange { log_start_offset, .. } => PartitionError::OffsetOutOfRange {
                offset,
                log_start_offset,
                high_watermark: partition.high_watermark(),
            },
            ReadError::Corrupt { .. } => {
                tracing::error!(target: "log", tp = %partition.name, %error, "unreadable records");
                PartitionError::Corrupt(error.to_string())
            }
            ReadError::NoThread(_) => {
                tracing::error!(target: "log", tp = %partition.name, %error, "lookup failed");
                PartitionError::Storage(error.to_string())
            }
            ReadError::Disk(_) | ReadError::Offline { .. } | ReadError::Replaced => {
                tracing::error!(target: "log", tp = %partition.name, %error, "read failed");
                self.note_read_failure(partition, &error);
                PartitionError::Storage(error.to_string())
            }
        }
    }
}

/// Checks epoch, divergence and range, in Kafka's order (`Partition.readRecords`). `Some` is where the
/// client's log parts from ours.
fn check_readable(
    partition: &Partition,
    part: &FetchPart,
) -> Result<Option<(LeaderEpoch, Offset)>, PartitionError> {
    partition.check_readable()?;
    partition.check_epoch(part.current_leader_epoch)?;
    let log = &partition.log;
    let (log_start_offset, high_watermark) = (log.log_start_offset(), partition.high_watermark());
    let out_of_range =
        PartitionError::OffsetOutOfRange { offset: part.fetch_offset, log_start_offset, high_watermark };
    if part.last_fetched_epoch != LeaderEpoch::UNKNOWN {
        let (epoch, end) = log.end_offset_for_epoch(part.last_fetched_epoch);
        if epoch == LeaderEpoch::UNKNOWN || end == Offset::UNKNOWN || part.fetch_offset < log_start_offset {
            return Err(out_of_range);
        }
        if epoch < part.last_fetched_epoch || end < part.fetch_offset {
            return Ok(Some((epoch, end)));
        }
    }
    // Between the high watermark and the log's end there is nothing to see yet, but it is no error.
    if part.fetch_offset < log_start_offset || log.staged_end_offset() < part.fetch_offset {
        return Err(out_of_range);
    }
    Ok(None)
}

fn status(partition: &Partition) -> Fetched {
    let high_watermark = partition.high_watermark();
    Fetched {
        error: None,
        high_watermark,
        last_stable_offset: high_watermark,
        log_start_offset: partition.log.log_start_offset(),
        diverging: None,
        leader_epoch: partition.leader_epoch(),
        chunks: Vec::new(),
        bytes: 0,
    }
}

fn failed(error: PartitionError) -> Fetched {
    Fetched {
        error: Some(error),
        high_watermark: Offset::UNKNOWN,
        last_stable_offset: Offset::UNKNOWN,
        log_start_offset: Offset::UNKNOWN,
        diverging: None,
        leader_epoch: LeaderEpoch::UNKNOWN,
        chunks: Vec::new(),
        bytes: 0,
    }
}
