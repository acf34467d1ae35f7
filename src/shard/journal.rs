//! The journals of this shard's log directories: who commits to them, and who writes the segments later.
//!
//! A partition whose append may go into the journal is queued. One task per directory takes the queue, has
//! [`Journal::commit`] write a frame for all of it, answers the producers, and goes on while anything is
//! queued: while a frame is in flight, the next appends of all partitions gather. An idle directory has no
//! task and no timer.
//!
//! Segments are written from memory, [`STORES_MAX`] partitions side by side: those with long runs, without a
//! sync; and with one those that keep the oldest journal file from being used again, and those that waited
//! for `corelog.journal.segment.delay.ms`. So a busy partition costs few large writes and hardly any sync.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use super::message::PartitionId;
use super::partition::Partition;
use super::{OwnDir, Shard};
use crate::config::JournalSettings;
use crate::log::{Fate, Journal, JournalConfig, Log, LogError, Store};
use crate::rt::file::DirectDisk;
use crate::rt::sync::{Notify, Semaphore};
use crate::rt::{task, time};

/// A journal consists of this many files at most.
const FILES: u64 = 8;
/// A partition with so much to write that will not change any more has it written: a run that costs the
/// device little more than its bytes.
const RUN_BYTES: u64 = 512 << 10;
/// Longer runs go to the journal without a copy. Below, one more piece of a write, and what two blocks have
/// besides, cost as much as the copy.
const COPY_BYTES: usize = 32 << 10;
/// Partitions whose segments are written side by side.
const STORES_MAX: usize = 16;

/// The journal of one log directory, and who works on it.
pub(super) struct JournalDriver {
    journal: Journal<DirectDisk>,
    /// Partitions with appends for the next frame, each once.
    queued: RefCell<Vec<Rc<Partition>>>,
    /// Partitions whose runs are long.
    long: RefCell<Vec<Rc<Partition>>>,
    is_committing: Cell<bool>,
    /// Long runs are written.
    is_writing: Cell<bool>,
    /// Segments are made durable.
    is_storing: Cell<bool>,
    is_maintaining: Cell<bool>,
    /// Notified when one of the four ends.
    ended: Notify,
}

impl JournalDriver {
    fn new(journal: Journal<DirectDisk>) -> Self {
        Self {
            journal,
            queued: RefCell::default(),
            long: RefCell::default(),
            is_committing: Cell::new(false),
            is_writing: Cell::new(false),
            is_storing: Cell::new(false),
            is_maintaining: Cell::new(false),
            ended: Notify::new(),
        }
    }

    fn queue(&self, partition: &Rc<Partition>) {
        if partition.enter_journal_queue() {
            self.queued.borrow_mut().push(Rc::clone(partition));
        }
    }

    fn end(&self, flag: &Cell<bool>) {
        flag.set(false);
        self.ended.notify_all();
    }

    /// Whether segments are written for this reason.
    fn is_busy_with(&self, what: Store) -> &Cell<bool> {
        match what {
            Store::FullChunks => &self.is_writing,
            Store::Synced | Store::Checkpoint => &self.is_storing,
        }
    }

    /// Waits until nobody works on the journal.
    async fn idle(&self) {
        let work = [&self.is_committing, &self.is_writing, &self.is_storing, &self.is_maintaining];
        while work.iter().any(|is_busy| is_busy.get()) {
            self.ended.wait().await;
        }
    }
}

/// The sizes that follow from the configuration.
fn journal_config(settings: &JournalSettings) -> JournalConfig {
    JournalConfig {
        file_bytes: settings.bytes / FILES,
        files_max: FILES as usize,
        bypass_bytes: settings.bypass_bytes,
        copy_bytes: COPY_BYTES,
    }
}

impl Shard {
    /// Begins the journals of all directories, whose logs are loaded.
    pub(super) async fn start_journals(&self) -> Result<(), LogError> {
        let settings = self.config().storage.journal;
        let dirs: Vec<_> = self.dirs.borrow().clone();
        for own in dirs {
            let started = own.dir.start_journal(settings.as_ref().map(journal_config)).await?;
            if 0 < started.logs_gone {
                let (dir, logs) = (own.path.display(), started.logs_gone);
                tracing::warn!(target: "log", %dir, logs, "records of partitions that are gone were dropped");
            }
            if let Some(journal) = own.dir.journal() {
                let _ = own.journal.set(JournalDriver::new(journal));
            }
        }
        Ok(())
    }

    /// Sees to it that what a partition has staged is written: in the next frame of its journal, or in its
    /// segment.
    pub(super) fn persist(self: &Rc<Self>, partition: &Rc<Partition>) {
        if !self.gives_to_journal(partition) {
            self.ensure_flushing(partition);
        }
    }

    /// Queues a partition for its journal; `false` when what it has staged is not for the journal.
    pub(super) fn gives_to_journal(self: &Rc<Self>, partition: &Rc<Partition>) -> bool {
        let Some(driver) = partition.dir.journal.get() else { return false };
        if !driver.journal.takes(&partition.log) {
            return false;
        }
        driver.queue(partition);
        if !driver.is_committing.replace(true) {
            let (shard, own) = (Rc::clone(self), Rc::clone(&partition.dir));
            task::spawn(async move { shard.run_commits(&own).await }).detach();
        }
        true
    }

    async fn run_commits(self: &Rc<Self>, own: &Rc<OwnDir>) {
        let driver = own.journal.get().expect("partitions are queued for a journal");
        loop {
            let partitions = driver.queued.take();
            if partitions.is_empty() {
                break;
            }
            let logs: Vec<_> = partitions
                .iter()
                .map(|partition| {
                    partition.leave_journal_queue();
                    partition.log.clone()
                })
                .collect();
            match driver.journal.commit(&logs).await {
                Ok(fates) => {
                    for (partition, fate) in partitions.iter().zip(fates) {
                        self.after_commit(driver, partition, fate);
                        task::yield_if_needed().await;
                    }
                }
                // Like a failed sync: nothing in the directory is written any more.
                Err(error) => self.fail_directory(own, &error.to_string()),
            }
            self.keep_journal(own);
        }
        driver.end(&driver.is_committing);
    }

    fn after_commit(self: &Rc<Self>, driver: &JournalDriver, partition: &Rc<Partition>, fate: Fate) {
        match fate {
            Fate::Nothing => {}
            Fate::Direct => self.ensure_flushing_directly(partition),
            Fate::Later => driver.queue(partition),
            Fate::Journaled => {
                if partition.log.synced_end_offset() == partition.log.staged_end_offset() {
                    partition.take_sync_wanted();
                }
                partition.release_acks();
                self.wake_watchers(partition);
                if RUN_BYTES <= partition.log.full_bytes() {
                    driver.long.borrow_mut().push(Rc::clone(partition));
                }
            }
        }
    }

    /// Has segments written and files freed, as far as they are due.
    fn keep_journal(self: &Rc<Self>, own: &Rc<OwnDir>) {
        let driver = own.journal.get().expect("the directory has a journal");
        if self.closing.is_cancelled() || own.is_offline() {
            return;
        }
        if driver.journal.wants_maintenance() && !driver.is_maintaining.replace(true) {
            let (shard, own) = (Rc::clone(self), Rc::clone(own));
            task::spawn(async move { shard.maintain_journal(&own).await }).detach();
        }
        if !driver.is_writing.get() {
            self.store_all(own, driver.long.take(), Store::FullChunks);
        }
        if !driver.is_storing.get() {
            self.store_all(own, self.pressing(driver), Store::Synced);
        }
    }

    async fn maintain_journal(self: &Rc<Self>, own: &Rc<OwnDir>) {
        let driver = own.journal.get().expect("the directory has a journal");
        match driver.journal.maintain().await {
            Ok(None) => {}
            Ok(Some(error)) => {
                let dir = own.path.display();
                tracing::warn!(target: "log", %dir, %error, "no room for the whole journal");
            }
            Err(error) => self.fail_directory(own, &error.to_string()),
        }
        driver.end(&driver.is_maintaining);
    }

    fn pressing(&self, driver: &JournalDriver) -> Vec<Rc<Partition>> {
        let partition_of = |log: &Log<DirectDisk>| {
            let id = PartitionId { topic_id: log.topic_id(), partition: log.topic_partition().partition };
            self.partition(id).ok()
        };
        driver.journal.pressing().iter().filter_map(partition_of).collect()
    }

    /// Writes what partitions have in the journal into their segments, in a task of its own.
    fn store_all(self: &Rc<Self>, own: &Rc<OwnDir>, due: Vec<Rc<Partition>>, what: Store) {
        let driver = own.journal.get().expect("the directory has a journal");
        if due.is_empty() || driver.is_busy_with(what).replace(true) {
            return;
        }
        let (shard, own) = (Rc::clone(self), Rc::clone(own));
        task::spawn(async move {
            let driver = own.journal.get().expect("the directory has a journal");
            let slots = Semaphore::new(STORES_MAX);
            let has_stored = Rc::new(Cell::new(false));
            for partition in due {
                let slot = slots.acquire(1).await;
                let (shard, has_stored) = (Rc::clone(&shard), Rc::clone(&has_stored));
                task::spawn(async move {
                    if shard.store(&partition, what).await {
                        has_stored.set(true);
                    }
                    drop(slot);
                })
                .detach();
                task::yield_if_needed().await;
            }
            slots.acquire(STORES_MAX).await;
            driver.end(driver.is_busy_with(what));
            // Those that are being flushed would be due again at once: the next frame asks for them.
            if has_stored.get() || what == Store::FullChunks {
                shard.keep_journal(&own);
            }
        })
        .detach();
    }

    /// Writes what one partition has in the journal; `false` when there is nothing, or a flush of it runs.
    async fn store(self: &Rc<Self>, partition: &Rc<Partition>, what: Store) -> bool {
        if !partition.log.has_unstored() || !partition.begin_flushing() {
            return false;
        }
        let what = match what {
            Store::Synced if self.is_checkpoint_near() => Store::Checkpoint,
            what => what,
        };
        let stored = partition.log.store(what).await;
        self.after_flush(partition, stored);
        self.count_unchecked(partition);
        if what != Store::FullChunks {
            partition.unstored_since.set(None);
        }
        self.end_flushing(partition);
        true
    }

    /// Has those segments written whose records have been in a journal for long; called now and then.
    pub(super) fn store_overdue(self: &Rc<Self>) {
        let Some(settings) = self.config().storage.journal else { return };
        let now = time::monotonic_now();
        let mut partitions = self.snapshot_partitions();
        partitions.retain(|partition| {
            let since = partition.unstored_since(now);
            since.is_some_and(|since| settings.segment_delay <= now.saturating_duration_since(since))
        });
        let dirs: Vec<_> = self.dirs.borrow().clone();
        for own in dirs {
            let due: Vec<_> = partitions.iter().filter(|of| of.dir.id == own.id).cloned().collect();
            self.store_all(&own, due, Store::Synced);
        }
    }

    /// Waits until nobody works on the journals; to be called when nothing is appended any more.
    pub(super) async fn end_journals(&self) {
        let dirs: Vec<_> = self.dirs.borrow().clone();
        for own in dirs {
            if let Some(driver) = own.journal.get() {
                driver.idle().await;
            }
        }
    }
}

impl Partition {
    /// Claims a place in the queue of the journal; `false` when the partition has one.
    fn enter_journal_queue(&self) -> bool {
        !self.is_journal_queued.replace(true)
    }

    fn leave_journal_queue(&self) {
        self.is_journal_queued.set(false);
    }

    /// Since when, about, acknowledged records are in the journal only.
    fn unstored_since(&self, now: Instant) -> Option<Instant> {
        let since = self.log.has_unstored().then(|| self.unstored_since.get().unwrap_or(now));
        self.unstored_since.set(since);
        since
    }
}
