//! A partition as its shard sees it: the log, its leader epoch, and those who wait for it.
//!
//! `log_start <= high_watermark <= written_end <= staged_end`. This broker is the only replica, so the high
//! watermark is the written end: everything the kernel has taken is visible to consumers.
//!
//! Producers wait in [`AckQueue`]s for a written or a synced end; fetches leave a [`WatchToken`] and are
//! woken once. Nothing here waits itself.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use super::OwnDir;
use super::deferred::Lane;
use super::message::{PartitionError, PartitionId, WatchToken};
use super::topic_settings::TopicSettings;
use crate::log::{AcksDurability, Log};
use crate::record::validate::BatchRules;
use crate::rt::file::DirectDisk;
use crate::rt::sync::{Notify, OneshotReceiver, OneshotSender, oneshot};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// What an append waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckLevel {
    /// The kernel has it.
    Written,
    /// The device has it.
    Synced,
}

type AckResult = Result<(), PartitionError>;

/// Appends in offset order that wait for an end offset.
#[derive(Debug, Default)]
struct AckQueue(VecDeque<(Offset, OneshotSender<AckResult>)>);

impl AckQueue {
    fn push(&mut self, needed: Offset) -> OneshotReceiver<AckResult> {
        let (sender, receiver) = oneshot();
        self.0.push_back((needed, sender));
        receiver
    }

    /// Answers everything that needs at most `end`.
    fn release(&mut self, end: Offset) {
        while self.0.front().is_some_and(|(needed, _)| *needed <= end) {
            let (_, sender) = self.0.pop_front().expect("the front was just seen");
            // A producer that stopped waiting has dropped its end.
            let _ = sender.send(Ok(()));
        }
    }

    fn fail(&mut self, error: &PartitionError) {
        for (_, sender) in self.0.drain(..) {
            let _ = sender.send(Err(error.clone()));
        }
    }
}

/// A partition this shard owns.
pub(super) struct Partition {
    pub(super) id: PartitionId,
    pub(super) name: TopicPartition,
    pub(super) log: Log<DirectDisk>,
    leader_epoch: Cell<LeaderEpoch>,
    rules: Cell<BatchRules>,
    durability: Cell<AcksDurability>,
    /// A flush task runs; there is at most one.
    is_flushing: Cell<bool>,
    /// Some staged append is acknowledged only once synced.
    sync_wanted: Cell<bool>,
    /// The next flush is to be a checkpoint.
    checkpoint_wanted: Cell<bool>,
    written: RefCell<AckQueue>,
    synced: RefCell<AckQueue>,
    /// Waiting fetches, each with the executor it belongs to, which numbers its tokens by itself.
    watchers: RefCell<HashSet<(WatchToken, usize)>>,
    /// Why the log is offline, if it is.
    failure: RefCell<Option<String>>,
    end_at_last_look: Cell<Offset>,
    /// Appends that wait for a later turn.
    pub(super) lane: Lane,
    /// Notified when the flush task ends.
    flush_ended: Notify,
    /// The partition has a place in the queue of its directory's journal.
    pub(super) is_journal_queued: Cell<bool>,
    /// What the shard has counted of the log's bytes since its checkpoint.
    pub(super) unchecked_bytes: Cell<u64>,
    /// When records were first seen to be in the journal only.
    pub(super) unstored_since: Cell<Option<Instant>>,
    /// Notified when a cleaning or retention leaves the log alone.
    maintenance_ended: Notify,
    /// A cleaning found what it must not touch; not tried again before a restart.
    is_uncleanable: Cell<bool>,
    /// The directory the log is in.
    pub(super) dir: Rc<OwnDir>,
}

impl Partition {
    pub(super) fn new(
        id: PartitionId,
        name: TopicPartition,
        log: Log<DirectDisk>,
        leader_epoch: LeaderEpoch,
        settings: &TopicSettings,
        dir: Rc<OwnDir>,
    ) -> Self {
        Self {
            id,
            name,
            log,
            leader_epoch: Cell::new(leader_epoch),
            rules: Cell::new(settings.rules),
            durability: Cell::new(settings.log.durability),
            is_flushing: Cell::new(false),
            sync_wanted: Cell::new(false),
            checkpoint_wanted: Cell::new(false),
            written: RefCell::default(),
            synced: RefCell::default(),
            watchers: RefCell::default(),
            failure: RefCell::new(None),
            end_at_last_look: Cell::new(Offset::UNKNOWN),
            lane: Lane::default(),
            flush_ended: Notify::new(),
            is_journal_queued: Cell::new(false),
            unchecked_bytes: Cell::new(0),
            unstored_since: Cell::new(None),
            maintenance_ended: Notify::new(),
            is_uncleanable: Cell::new(false),
            dir,
        }
    }

    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch.get()
    }

    /// Begins, or goes on with, a reign. A new epoch starts where the log ends (rule 1).
    pub(super) fn lead(&self, epoch: LeaderEpoch) {
        assert!(self.leader_epoch.get() <= epoch, "a leader epoch never goes back");
        self.leader_epoch.set(epoch);
        self.log.start_epoch(epoch, self.log.staged_end_offset());
    }

    /// What producers' batches have to obey.
    pub(super) fn rules(&self) -> BatchRules {
        self.rules.get()
    }

    /// What `acks=all` waits for.
    pub(super) fn durability(&self) -> AcksDurability {
        self.durability.get()
    }

    /// Takes up a changed configuration.
    pub(super) fn configure(&self, settings: TopicSettings) {
        self.rules.set(settings.rules);
        self.durability.set(settings.log.durability);
        self.log.update_config(settings.log);
    }

    /// The exclusive end of what consumers may read.
    pub(super) fn high_watermark(&self) -> Offset {
        self.log.written_end_offset()
    }

    /// Checks a client's leader epoch (KIP-320, `Partition.checkCurrentLeaderEpoch`).
    pub(super) fn check_epoch(&self, found: LeaderEpoch) -> Result<(), PartitionError> {
        let expected = self.leader_epoch.get();
        if found == LeaderEpoch::UNKNOWN || found == expected {
            Ok(())
        } else if found < expected {
            Err(PartitionError::FencedEpoch { expected, found })
        } else {
            Err(PartitionError::UnknownEpoch { expected, found })
        }
    }

    /// Refuses writes to a log that is offline.
    pub(super) fn check_online(&self) -> Result<(), PartitionError> {
        match &*self.failure.borrow() {
            None => Ok(()),
            Some(cause) => Err(PartitionError::Storage(cause.clone())),
        }
    }

    /// Refuses reads of a log whose directory is offline. One that merely takes no writes can be read.
    pub(super) fn check_readable(&self) -> Result<(), PartitionError> {
        self.dir.check_online()
    }

    /// Waits for everything below `end`.
    pub(super) fn await_ack(&self, end: Offset, level: AckLevel) -> Option<OneshotReceiver<AckResult>> {
        match level {
            AckLevel::Written => {
                (self.log.written_end_offset() < end).then(|| self.written.borrow_mut().push(end))
            }
            AckLevel::Synced => (self.log.synced_end_offset() < end).then(|| {
                self.sync_wanted.set(true);
                self.synced.borrow_mut().push(end)
            }),
        }
    }

    /// Waits until everything below `end` is what `acks=all` promises.
    pub(super) fn await_committed(&self, end: Offset) -> Option<OneshotReceiver<AckResult>> {
        match self.durability() {
            AcksDurability::Written => self.await_ack(end, AckLevel::Written),
            AcksDurability::Synced => self.await_ack(end, AckLevel::Synced),
        }
    }

    /// Whether nothing was appended since this was last asked.
    pub(super) fn is_idle(&self) -> bool {
        let end = self.log.staged_end_offset();
        self.end_at_last_look.replace(end) == end && !self.is_flushing.get()
    }

    /// Claims the partition's flush task; `false` when it runs already.
    pub(super) fn begin_flushing(&self) -> bool {
        !self.is_flushing.replace(true)
    }

    /// Ends what [`Partition::begin_flushing`] began.
    pub(super) fn end_flushing(&self) {
        self.is_flushing.set(false);
        self.flush_ended.notify_all();
    }

    /// Resolves when no flush runs.
    pub(super) async fn flushed(&self) {
        while self.is_flushing.get() {
            self.flush_ended.wait().await;
        }
    }

    /// Waits until no flush runs and claims the log for good: it is about to be closed or deleted, and the
    /// background finds it busy from then on.
    pub(super) async fn end_flushes(&self) {
        while !self.begin_flushing() {
            self.flush_ended.wait().await;
        }
    }

    /// Ends what goes on with the log's closed segments, and resolves when it has ended.
    pub(super) async fn stop_maintenance(&self) {
        while self.log.is_under_maintenance() {
            self.log.abort_maintenance();
            self.maintenance_ended.wait().await;
        }
    }

    /// A cleaning or retention has left the log alone.
    pub(super) fn end_maintenance(&self) {
        self.maintenance_ended.notify_all();
    }

    /// Whether compaction gave the log up.
    pub(super) fn is_uncleanable(&self) -> bool {
        self.is_uncleanable.get()
    }

    /// Has compaction leave the log alone until a restart (`LogCleanerManager.markPartitionUncleanable`).
    pub(super) fn mark_uncleanable(&self) {
        self.is_uncleanable.set(true);
    }

    /// Whether the next flush has to sync; asking resets it.
    pub(super) fn take_sync_wanted(&self) -> bool {
        self.sync_wanted.replace(false)
    }

    /// Has the next flush sync, whether or not an acknowledgement waits for it.
    pub(super) fn want_sync(&self) {
        self.sync_wanted.set(true);
    }

    /// Whether the next flush is to be a checkpoint; asking resets it.
    pub(super) fn take_checkpoint_wanted(&self) -> bool {
        self.checkpoint_wanted.replace(false)
    }

    /// Whether the next flush is to be a checkpoint.
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.checkpoint_wanted.get()
    }

    /// Has the flush task that runs now checkpoint the log: a busy log may never be found without one.
    pub(super) fn want_checkpoint(&self) {
        self.checkpoint_wanted.set(true);
    }

    /// Whether a flush has something to do.
    pub(super) fn wants_flush(&self) -> bool {
        self.log.has_staged() || self.sync_wanted.get() || self.checkpoint_wanted.get()
    }

    /// Answers the producers that a finished flush satisfied.
    pub(super) fn release_acks(&self) {
        self.written.borrow_mut().release(self.log.written_end_offset());
        self.synced.borrow_mut().release(self.log.synced_end_offset());
    }

    /// Takes the partition offline: every waiting producer learns it, later ones are refused.
    pub(super) fn fail(&self, cause: &str) {
        let error = PartitionError::Storage(cause.to_owned());
        self.written.borrow_mut().fail(&error);
        self.synced.borrow_mut().fail(&error);
        self.failure.borrow_mut().get_or_insert_with(|| cause.to_owned());
    }

    /// Tells the producers that wait that the partition is gone.
    pub(super) fn abandon(&self) {
        self.written.borrow_mut().fail(&PartitionError::NotLeader);
        self.synced.borrow_mut().fail(&PartitionError::NotLeader);
    }

    pub(super) fn watch(&self, token: WatchToken, executor: usize) {
        self.watchers.borrow_mut().insert((token, executor));
    }

    pub(super) fn unwatch(&self, token: WatchToken, executor: usize) {
        self.watchers.borrow_mut().remove(&(token, executor));
    }

    /// The waiting fetches, each of which is woken once.
    pub(super) fn take_watchers(&self) -> Vec<(WatchToken, usize)> {
        let mut watchers = self.watchers.borrow_mut();
        if watchers.is_empty() { Vec::new() } else { watchers.drain().collect() }
    }
}
