//! Appending: the synchronous part that fixes the order, the flush tasks that write and sync, and the wait
//! for the acknowledgement.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shard;
use super::deferred::{Cause, Turn};
use super::message::{Acks, PartitionError, ProducePart, ProduceParts, Produced};
use super::partition::{AckLevel, Partition};
use crate::disk::WriteSync;
use crate::log::{
    AcksDurability, AppendContext, AppendError, AppendInfo, AppendOrigin, BatchToAppend, LogError,
};
use crate::record::validate::{BatchRules, Validated, validate_batch_in_turn};
use crate::rt::sync::OneshotReceiver;
use crate::rt::{task, time};
use crate::types::{ErrorCode, Timestamp};

/// The appends of one request on this shard, waiting for their acknowledgement.
pub struct PendingProduce {
    parts: Vec<PendingPart>,
    begun: Instant,
    /// How long an append may take to be acknowledged; `None` for as long as it takes.
    patience: Option<Duration>,
}

/// However short the timeout of a request is: it is for replicas, and Kafka's leader, which waits for no
/// device, has its own copy before the clock is looked at (`DelayedProduce.tryComplete`).
const DURABLE_WITHIN_MIN: Duration = Duration::from_secs(5);

enum PendingPart {
    Done(Result<Produced, PartitionError>),
    Appended(Appended),
    /// It has its place among the partition's appends and will be appended in a later turn.
    Deferred(OneshotReceiver<Result<Appended, PartitionError>>),
}

/// Where the first flush of a task writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    JournalIfItMay,
    Segment,
}

/// Records that have their offsets.
pub(super) struct Appended {
    produced: Produced,
    /// The acknowledgement, if one is owed.
    ack: Option<OneshotReceiver<Result<(), PartitionError>>>,
}

impl Appended {
    async fn acknowledged(
        self,
        begun: Instant,
        patience: Option<Duration>,
    ) -> Result<Produced, PartitionError> {
        let Some(ack) = self.ack else { return Ok(self.produced) };
        let answer = match patience {
            None => ack.await,
            Some(patience) => {
                let left = patience.saturating_sub(time::monotonic_now().saturating_duration_since(begun));
                time::timeout(left, ack).await.map_err(|_| PartitionError::TimedOut)?
            }
        };
        match answer {
            Ok(outcome) => outcome.map(|()| self.produced),
            // The partition went away with the acknowledgement still owed.
            Err(_) => Err(PartitionError::NotLeader),
        }
    }
}

/// What the parts of a produce request have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProduceTerms {
    pub(super) acks: Acks,
    pub(super) allows_zstd: bool,
}

impl PendingProduce {
    /// Waits until every part is as durable as asked for, or has failed.
    pub async fn finish(self) -> Vec<Result<Produced, PartitionError>> {
        let mut results = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            results.push(match part {
                PendingPart::Done(result) => result,
                PendingPart::Appended(appended) => appended.acknowledged(self.begun, self.patience).await,
                // The time for durability begins with the append, as Kafka's does; until then the request's
                // memory stays accounted for.
                PendingPart::Deferred(receiver) => match receiver.await {
                    Ok(Ok(appended)) => appended.acknowledged(time::monotonic_now(), self.patience).await,
                    Ok(Err(error)) => Err(error),
                    Err(_) => Err(PartitionError::NotLeader),
                },
            });
        }
        results
    }
}

impl Shard {
    /// Validates, orders and stages the records of a request. When this returns, the records of a later
    /// call come after these; [`PendingProduce::finish`] waits for their durability.
    pub fn begin_produce(self: &Rc<Self>, request: ProduceParts) -> PendingProduce {
        let now = time::wall_clock();
        let ProduceParts { acks, timeout, allows_zstd, parts } = request;
        let terms = ProduceTerms { acks, allows_zstd };
        let mut turn = Turn::begin();
        let begin = |part| match self.begin_append(part, terms, now, &mut turn) {
            Ok(pending) => pending,
            Err(error) => PendingPart::Done(Err(error)),
        };
        let parts = parts.into_iter().map(begin).collect();
        // Only the acknowledgement of all replicas has a time limit (`ReplicaManager`).
        let patience = (acks == Acks::All).then(|| timeout.max(DURABLE_WITHIN_MIN));
        PendingProduce { parts, begun: time::monotonic_now(), patience }
    }

    /// Appends, or takes a place behind what the partition has to append already.
    fn begin_append(
        self: &Rc<Self>,
        part: ProducePart,
        terms: ProduceTerms,
        now: Timestamp,
        turn: &mut Turn,
    ) -> Result<PendingPart, PartitionError> {
        let partition = self.partition(part.id)?;
        if turn.is_over() || partition.lane.is_busy() {
            return Ok(PendingPart::Deferred(self.defer(&partition, part, terms, Cause::TurnIsOver)));
        }
        match self.append_in_turn(&partition, &part, terms, now, turn)? {
            Some(appended) => Ok(PendingPart::Appended(appended)),
            None => Ok(PendingPart::Deferred(self.defer(&partition, part, terms, Cause::TakesLong))),
        }
    }

    /// Appends unless that takes too long for a turn.
    pub(super) fn append_in_turn(
        self: &Rc<Self>,
        partition: &Rc<Partition>,
        part: &ProducePart,
        terms: ProduceTerms,
        now: Timestamp,
        turn: &mut Turn,
    ) -> Result<Option<Appended>, PartitionError> {
        partition.check_online()?;
        let rules = BatchRules { allows_zstd: terms.allows_zstd, ..partition.rules() };
        let validated = {
            let mut scratch = self.validation_scratch.borrow_mut();
            let validated = validate_batch_in_turn(&part.records, &rules, now, &mut scratch);
            turn.charge(part.records.len() + scratch.take_unpacked_bytes());
            validated.map_err(PartitionError::Invalid)?
        };
        match validated {
            Some(validated) => self.append(partition, part, &validated, terms.acks, now).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn append(
        self: &Rc<Self>,
        partition: &Rc<Partition>,
        part: &ProducePart,
        validated: &Validated,
        acks: Acks,
        now: Timestamp,
    ) -> Result<Appended, PartitionError> {
        let info = self.append_batch(partition, part, validated, now)?;
        let produced = Produced {
            base_offset: info.base_offset,
            log_append_time: info.log_append_time,
            log_start_offset: info.log_start_offset,
        };
        let level = match (acks, partition.durability()) {
            (Acks::None, _) => None,
            (Acks::Leader, _) | (Acks::All, AcksDurability::Written) => Some(AckLevel::Written),
            (Acks::All, AcksDurability::Synced) => Some(AckLevel::Synced),
        };
        let ack = level.and_then(|level| partition.await_ack(info.last_offset + 1, level));
        self.persist(partition);
        Ok(Appended { produced, ack })
    }

    fn append_batch(
        &self,
        partition: &Partition,
        part: &ProducePart,
        validated: &Validated,
        now: Timestamp,
    ) -> Result<AppendInfo, PartitionError> {
        // `KafkaApis.handleProduceRequest`: a batch of a transaction whose request names none. Nobody would
        // ever end the transaction.
        if validated.header.attributes.is_transactional() {
            return Err(PartitionError::Producer {
                error: ErrorCode::TransactionalIdAuthorizationFailed,
                message: "the batch is transactional, but the request has no transactional id".to_owned(),
            });
        }
        let batch = BatchToAppend::new(validated, &part.records);
        let context =
            AppendContext { leader_epoch: partition.leader_epoch(), origin: AppendOrigin::Client, now };
        partition.log.append(&[batch], context).map_err(append_error)
    }

    /// Starts the partition's flush task unless one runs. It ends when nothing is staged, so an idle
    /// partition costs no task; while a write is in flight the next batches gather.
    pub(super) fn ensure_flushing(self: &Rc<Self>, partition: &Rc<Partition>) {
        self.begin_flush(partition, Way::JournalIfItMay);
    }

    /// The same for what the journal did not take: the first flush does not ask it again.
    pub(super) fn ensure_flushing_directly(self: &Rc<Self>, partition: &Rc<Partition>) {
        self.begin_flush(partition, Way::Segment);
    }

    fn begin_flush(self: &Rc<Self>, partition: &Rc<Partition>, way: Way) {
        if !partition.begin_flushing() {
            return;
        }
        let (shard, partition) = (Rc::clone(self), Rc::clone(partition));
        task::spawn(async move {
            shard.flush_until_clean(&partition, way).await;
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

    async fn flush_until_clean(self: &Rc<Self>, partition: &Rc<Partition>, mut way: Way) {
        while partition.wants_flush() {
            let asks_journal = way == Way::JournalIfItMay && !partition.wants_checkpoint();
            if asks_journal && self.gives_to_journal(partition) {
                return;
            }
            way = Way::JournalIfItMay;
            let want = if partition.take_sync_wanted() { WriteSync::Data } else { WriteSync::None };
            let flushed = match partition.take_checkpoint_wanted() {
                true => partition.log.checkpoint().await.map(drop),
                false => partition.log.flush(want).await.map(drop),
            };
            if !self.after_flush(partition, flushed) {
                return;
            }
            self.count_unchecked(partition);
            let is_alone = partition.dir.journal.get().is_none();
            if want == WriteSync::Data && is_alone && partition.log.wants_preparation() {
                let prepared = partition.log.prepare().await;
                if !self.after_flush(partition, prepared) {
                    return;
                }
            }
        }
    }

    /// Lets those go on who waited for a flush; `false` when the flush failed and the partition is offline.
    pub(super) fn after_flush(self: &Rc<Self>, partition: &Partition, flushed: Result<(), LogError>) -> bool {
        match &flushed {
            Ok(()) => partition.release_acks(),
            Err(error) => {
                tracing::error!(target: "log", tp = %partition.name, %error, "partition offline");
                partition.fail(&error.to_string());
                self.note_failure(&partition.dir, error);
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
