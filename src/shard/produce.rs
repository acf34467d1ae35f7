//! Appending: the synchronous part that fixes the order, the flush tasks that write and sync, and the wait
//! for the acknowledgement.

use std::rc::Rc;
use std::time::Instant;

use super::Shard;
use super::message::{Acks, PartitionError, ProducePart, ProduceParts, Produced};
use super::partition::{AckLevel, Partition};
use crate::disk::WriteSync;
use crate::log::{
    AcksDurability, AppendContext, AppendError, AppendInfo, AppendOrigin, BatchToAppend, LogError,
};
use crate::record::validate::{BatchRules, validate_batch};
use crate::rt::sync::OneshotReceiver;
use crate::rt::{task, time};
use crate::types::{ErrorCode, Timestamp};

/// The appends of one request on this shard, waiting for their acknowledgement.
pub struct PendingProduce {
    parts: Vec<PendingPart>,
    deadline: Instant,
}

enum PendingPart {
    Done(Result<Produced, PartitionError>),
    Waiting(Produced, OneshotReceiver<Result<(), PartitionError>>),
}

impl PendingProduce {
    /// Waits until every part is as durable as asked for, or has failed.
    pub async fn finish(self) -> Vec<Result<Produced, PartitionError>> {
        let is_waiting = |part: &PendingPart| matches!(part, PendingPart::Waiting(..));
        if !self.parts.iter().any(is_waiting) {
            return self.parts.into_iter().map(PendingPart::into_done).collect();
        }
        let mut results = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            results.push(match part {
                PendingPart::Done(result) => result,
                PendingPart::Waiting(produced, receiver) => {
                    let left = self.deadline.saturating_duration_since(time::monotonic_now());
                    match time::timeout(left, receiver).await {
                        Ok(Ok(Ok(()))) => Ok(produced),
                        Ok(Ok(Err(error))) => Err(error),
                        // The partition went away with the acknowledgement still owed.
                        Ok(Err(_)) => Err(PartitionError::NotLeader),
                        Err(_) => Err(PartitionError::TimedOut),
                    }
                }
            });
        }
        results
    }
}

impl PendingPart {
    fn into_done(self) -> Result<Produced, PartitionError> {
        match self {
            Self::Done(result) => result,
            Self::Waiting(..) => panic!("a waiting part was taken for a finished one"),
        }
    }
}

impl Shard {
    /// Validates, orders and stages the records of a request. When this returns, the records of a later
    /// call come after these; [`PendingProduce::finish`] waits for their durability.
    pub fn begin_produce(self: &Rc<Self>, request: ProduceParts) -> PendingProduce {
        let now = time::wall_clock();
        let parts = request
            .parts
            .iter()
            .map(|part| match self.append(part, &request, now) {
                Ok(pending) => pending,
                Err(error) => PendingPart::Done(Err(error)),
            })
            .collect();
        PendingProduce { parts, deadline: time::monotonic_now() + request.timeout }
    }

    fn append(
        self: &Rc<Self>,
        part: &ProducePart,
        request: &ProduceParts,
        now: Timestamp,
    ) -> Result<PendingPart, PartitionError> {
        let partition = self.partition(part.id)?;
        partition.check_online()?;
        let info = self.append_batches(&partition, part, request.allows_zstd, now)?;
        let produced = Produced {
            base_offset: info.base_offset,
            log_append_time: info.log_append_time,
            log_start_offset: info.log_start_offset,
        };
        let level = match (request.acks, partition.durability()) {
            (Acks::None, _) => None,
            (Acks::Leader, _) | (Acks::All, AcksDurability::Written) => Some(AckLevel::Written),
            (Acks::All, AcksDurability::Synced) => Some(AckLevel::Synced),
        };
        let waiting = level.and_then(|level| partition.await_ack(info.last_offset + 1, level));
        self.persist(&partition);
        Ok(match waiting {
            Some(receiver) => PendingPart::Waiting(produced, receiver),
            None => PendingPart::Done(Ok(produced)),
        })
    }

    fn append_batches(
        &self,
        partition: &Partition,
        part: &ProducePart,
        allows_zstd: bool,
        now: Timestamp,
    ) -> Result<AppendInfo, PartitionError> {
        let rules = BatchRules { allows_zstd, ..partition.rules() };
        let mut scratch = self.validation_scratch.borrow_mut();
        let validated =
            validate_batch(&part.records, &rules, now, &mut scratch).map_err(PartitionError::Invalid)?;
        // `KafkaApis.handleProduceRequest`: a batch of a transaction whose request names none. Nobody would
        // ever end the transaction.
        if validated.header.attributes.is_transactional() {
            return Err(PartitionError::Producer {
                error: ErrorCode::TransactionalIdAuthorizationFailed,
                message: "the batch is transactional, but the request has no transactional id".to_owned(),
            });
        }
        let batch = BatchToAppend::new(&validated, &part.records);
        let context =
            AppendContext { leader_epoch: partition.leader_epoch(), origin: AppendOrigin::Client, now };
        partition.log.append(&[batch], context).map_err(append_error)
    }

    /// Starts the partition's flush task unless one runs. It ends when nothing is staged, so an idle
    /// partition costs no task; while a write is in flight the next batches gather.
    pub(super) fn ensure_flushing(self: &Rc<Self>, partition: &Rc<Partition>) {
        if !partition.begin_flushing() {
            return;
        }
        let (shard, partition) = (Rc::clone(self), Rc::clone(partition));
        task::spawn(async move {
            shard.flush_until_clean(&partition).await;
            partition.end_flushing();
        })
        .detach();
    }

    /// Ends a flush of the background work; whoever came meanwhile gets a flush of their own.
    pub(super) fn end_flushing(self: &Rc<Self>, partition: &Rc<Partition>) {
        partition.end_flushing();
        if partition.wants_flush() {
            self.ensure_flushing(partition);
        }
    }

    async fn flush_until_clean(self: &Rc<Self>, partition: &Rc<Partition>) {
        while partition.wants_flush() {
            if !partition.wants_checkpoint() && self.gives_to_journal(partition) {
                return;
            }
            let want = if partition.take_sync_wanted() { WriteSync::Data } else { WriteSync::None };
            let unchecked_before = partition.log.bytes_since_checkpoint();
            let flushed = match partition.take_checkpoint_wanted() {
                true => partition.log.checkpoint().await.map(drop),
                false => partition.log.flush(want).await.map(drop),
            };
            if !self.after_flush(partition, flushed) {
                return;
            }
            self.count_unchecked(partition.log.bytes_since_checkpoint().saturating_sub(unchecked_before));
            if want == WriteSync::Data && partition.log.wants_preparation() {
                let prepared = partition.log.prepare().await;
                if !self.after_flush(partition, prepared) {
                    return;
                }
            }
        }
    }

    /// Lets those go on who waited for a flush; `false` when the flush failed and the partition is offline.
    pub(super) fn after_flush(&self, partition: &Partition, flushed: Result<(), LogError>) -> bool {
        match &flushed {
            Ok(()) => partition.release_acks(),
            Err(error) => {
                tracing::error!(target: "log", tp = %partition.name, %error, "partition offline");
                partition.fail(&error.to_string());
            }
        }
        self.wake_watchers(partition);
        flushed.is_ok()
    }
}

fn append_error(error: AppendError) -> PartitionError {
    let producer = |error_code| PartitionError::Producer { error: error_code, message: error.to_string() };
    match &error {
        AppendError::Offline { cause } => PartitionError::Storage(cause.clone()),
        AppendError::CorruptBatch { error, .. } => PartitionError::Invalid(error.clone().into()),
        AppendError::LargerThanSegment { .. } => producer(ErrorCode::RecordListTooLarge),
        AppendError::OutOfOrderSequence { .. } => producer(ErrorCode::OutOfOrderSequenceNumber),
        AppendError::InvalidProducerEpoch { .. } => producer(ErrorCode::InvalidProducerEpoch),
        AppendError::InvalidTxnState { .. } => producer(ErrorCode::InvalidTxnState),
        AppendError::CoordinatorFenced { .. } => producer(ErrorCode::TransactionCoordinatorFenced),
    }
}
