//! Appends that do not fit into the turn of the request that brought them.
//!
//! A request may bring a thousand batches, and a batch of a few kilobytes may unpack to hundreds of
//! megabytes: done at a stretch, they would keep the core from every other client. What goes beyond a
//! [`Turn`] waits in its partition's [`Lane`], where later appends to the partition queue up behind it, so
//! that order holds; other partitions are not held up. A batch that takes long by itself is validated on a
//! thread of its own.
//!
//! The lanes are bounded by the memory for requests: a deferred append keeps its request unanswered.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::Shard;
use super::message::{PartitionError, ProducePart};
use super::partition::Partition;
use super::produce::{Appended, ProduceTerms};
use crate::log::{LongWork, NoThread};
use crate::record::bounds::UNPACKED_IN_TURN_MAX;
use crate::record::validate::{BatchRules, Scratch, validate_batch};
use crate::rt::offload::offload;
use crate::rt::sync::{OneshotReceiver, OneshotSender, oneshot};
use crate::rt::{task, time};

/// Batches of a request that are appended at a stretch: half a millisecond of small ones.
const TURN_BATCHES: usize = 128;

/// Bytes that are gone over at a stretch, before and after unpacking. What one batch may unpack to comes on
/// top.
const TURN_BYTES: usize = UNPACKED_IN_TURN_MAX;

/// Batches that a shard has validated or searched outside at a time; each takes memory for what its codec
/// unpacks to.
pub(super) const LONG_VALIDATIONS_MAX: usize = 1;

type Outcome = Result<Appended, PartitionError>;

/// How a request searches batches: like an append, it leaves to a thread what takes longer than a turn.
impl LongWork for Shard {
    async fn pause(&self, _bytes: u64) {
        task::yield_if_needed().await;
    }

    async fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoThread> {
        let _outside = self.long_validation.acquire(1).await;
        on_a_thread(work).await
    }
}

/// Does what takes longer than a turn on a thread of its own.
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoThread> {
    offload(work).await.map_err(|error| NoThread { cause: error.to_string() })
}

/// What may still be done before other clients have their turn.
#[derive(Debug)]
pub(super) struct Turn {
    batches_left: usize,
    bytes_left: usize,
}

impl Turn {
    pub(super) fn begin() -> Self {
        Self { batches_left: TURN_BATCHES, bytes_left: TURN_BYTES }
    }

    /// Accounts for a batch.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.batches_left = self.batches_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }

    pub(super) fn is_over(&self) -> bool {
        self.batches_left == 0 || self.bytes_left == 0
    }
}

/// The appends of one partition that wait for a later turn, in order.
#[derive(Default)]
pub(super) struct Lane {
    waiting: RefCell<VecDeque<Deferred>>,
    /// A task works on them.
    is_busy: Cell<bool>,
}

/// Why an append is deferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Others have to have their turn, or come before it.
    TurnIsOver,
    /// It takes longer than a turn.
    TakesLong,
}

struct Deferred {
    part: ProducePart,
    terms: ProduceTerms,
    cause: Cause,
    done: OneshotSender<Outcome>,
}

impl Lane {
    /// Whether an append has to take its place here.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy.get()
    }

    /// The next append; without one the lane is free again.
    fn next(&self) -> Option<Deferred> {
        let next = self.waiting.borrow_mut().pop_front();
        self.is_busy.set(next.is_some());
        next
    }
}

impl Shard {
    /// Has a part appended in a later turn, behind all that is deferred for the partition.
    pub(super) fn defer(
        self: &Rc<Self>,
        partition: &Rc<Partition>,
        part: ProducePart,
        terms: ProduceTerms,
        cause: Cause,
    ) -> OneshotReceiver<Outcome> {
        let (done, receiver) = oneshot();
        partition.lane.waiting.borrow_mut().push_back(Deferred { part, terms, cause, done });
        if !partition.lane.is_busy.replace(true) {
            task::spawn(Rc::clone(self).run_lane(Rc::clone(partition))).detach();
        }
        receiver
    }

    async fn run_lane(self: Rc<Self>, partition: Rc<Partition>) {
        while let Some(next) = partition.lane.next() {
            task::yield_if_needed().await;
            let outcome = self.append_deferred(&partition, &next).await;
            // A connection that was cut off has dropped its end.
            let _ = next.done.send(outcome);
        }
    }

    async fn append_deferred(self: &Rc<Self>, partition: &Rc<Partition>, next: &Deferred) -> Outcome {
        let Deferred { part, terms, cause, .. } = next;
        self.check_appendable(partition)?;
        if *cause == Cause::TurnIsOver {
            let now = time::wall_clock();
            let in_turn = self.append_in_turn(partition, part, *terms, now, &mut Turn::begin())?;
            if let Some(appended) = in_turn {
                return Ok(appended);
            }
        }
        let _outside = self.long_validation.acquire(1).await;
        let now = time::wall_clock();
        let rules = BatchRules { allows_zstd: terms.allows_zstd, ..partition.rules() };
        let records = part.records.clone();
        let validated = offload(move || validate_batch(&records, &rules, now, &mut Scratch::default()))
            .await
            .map_err(|error| PartitionError::Storage(format!("no thread to validate the batch: {error}")))?
            .map_err(PartitionError::Invalid)?;
        self.check_appendable(partition)?;
        self.append(partition, part, &validated, terms.acks, time::wall_clock())
    }

    /// Time has passed: the partition may be gone or offline, and a log that is being closed takes nothing.
    fn check_appendable(&self, partition: &Partition) -> Result<(), PartitionError> {
        if self.closing.is_cancelled() {
            return Err(PartitionError::NotLeader);
        }
        self.partition(partition.id)?;
        partition.check_online()
    }
}
