//! What a shard does with its logs, and a consumer with one.

use std::cell::Cell;
use std::rc::Rc;

use corelog::disk::WriteSync;
use corelog::disk::memory::{SimClock, yield_turns};
use corelog::log::{Fate, Journal, Log, Store};
use corelog::types::{Prng, Timestamp};

use super::harness::Partition;
use super::model::Compaction;
use super::producer::Producer;
use super::sabotage::SabotagedDisk;

/// What a shard does for the logs of a directory together.
pub(super) struct Journaler {
    pub(super) journal: Journal<SabotagedDisk>,
    pub(super) logs: Vec<Log<SabotagedDisk>>,
    pub(super) partitions: Vec<Partition>,
    pub(super) prng: Prng,
    pub(super) stop: Rc<Cell<bool>>,
    pub(super) journaled: Rc<Cell<usize>>,
}

impl Journaler {
    pub(super) async fn run(mut self) {
        while !self.stop.get() {
            yield_turns(1 + self.prng.below(6)).await;
            match self.journal.commit(&self.logs).await {
                Ok(fates) => {
                    let journaled = fates.iter().filter(|fate| **fate == Fate::Journaled).count();
                    self.journaled.set(self.journaled.get() + journaled);
                }
                Err(error) => {
                    self.logs.iter().for_each(|log| log.take_offline(&error.to_string()));
                    return;
                }
            }
            for (log, partition) in self.logs.iter().zip(&self.partitions) {
                partition.note_ends(log);
            }
        }
    }
}

/// What a shard does for each of its logs.
pub(super) struct Flusher {
    pub(super) log: Log<SabotagedDisk>,
    pub(super) journal: Option<Journal<SabotagedDisk>>,
    pub(super) partition: Partition,
    pub(super) prng: Prng,
    pub(super) stop: Rc<Cell<bool>>,
    pub(super) clock: SimClock,
}

impl Flusher {
    pub(super) async fn run(mut self) {
        while !self.stop.get() || self.log.has_staged() {
            yield_turns(1 + self.prng.below(6)).await;
            if self.log.offline_cause().is_some() {
                return;
            }
            match self.prng.below(60) {
                0 => self.log.roll(self.clock.now()),
                1 => self.log.release_idle(),
                2 => drop(self.log.checkpoint().await),
                3 => drop(self.log.roll_if_due(self.clock.now())),
                4 if self.prng.chance(1, 4) => self.delete_records().await,
                _ => {}
            }
            self.flush().await;
            self.partition.note_ends(&self.log);
        }
    }

    /// Deletes some of the oldest records, and then their files.
    async fn delete_records(&mut self) {
        let (start, end) = (self.log.log_start_offset(), self.log.written_end_offset());
        let offset = start + self.prng.below((end - start) as u64 / 2 + 1) as i64;
        self.partition.model.borrow_mut().delete_below(offset);
        self.log.raise_log_start(offset);
        let _ = self.log.enforce_retention(self.clock.now(), end).await;
        let _ = self.log.remove_deleted(Timestamp(i64::MAX)).await;
    }

    async fn flush(&mut self) {
        let waits_for_sync = self.log.synced_end_offset() < self.log.written_end_offset()
            && self.partition.producers.borrow().iter().any(Producer::waits_for_sync);
        if let Some(journal) = &self.journal
            && !self.stop.get()
        {
            let is_pressing =
                journal.pressing().iter().any(|log| log.topic_partition() == self.log.topic_partition());
            // Long runs are written without a sync; what presses on the journal needs one.
            let is_long = 0 < self.log.full_bytes() && self.prng.chance(1, 2);
            let is_stored_now = is_pressing || is_long || self.prng.chance(1, 30);
            if is_stored_now && self.log.has_unstored() {
                let what = match self.prng.below(9) {
                    _ if is_long => Store::FullChunks,
                    0..3 => Store::FullChunks,
                    3..7 => Store::Synced,
                    _ => Store::Checkpoint,
                };
                let _ = self.log.store(what).await;
                return;
            }
            if journal.takes(&self.log) && !self.prng.chance(1, 30) {
                return;
            }
        }
        if !self.log.has_staged() && !waits_for_sync {
            return;
        }
        let wants_sync = self.partition.producers.borrow().iter().any(Producer::waits_for_sync);
        // A sync now and then comes later than its write.
        let sync = wants_sync && self.prng.chance(2, 3);
        let _ = self.log.flush(if sync { WriteSync::Data } else { WriteSync::None }).await;
        if self.log.wants_trim() && self.prng.chance(1, 20) {
            let _ = self.log.trim().await;
        }
        if sync && self.log.offline_cause().is_none() && self.log.wants_preparation() {
            let _ = self.log.prepare().await;
        }
    }
}

/// A consumer: what it is given is what was sent.
pub(super) async fn read_somewhere(
    log: &Log<SabotagedDisk>,
    partition: &Partition,
    prng: &mut Prng,
) -> Result<(), String> {
    let (start, end) = (log.log_start_offset(), log.written_end_offset());
    if end <= start {
        return Ok(());
    }
    let from = start + prng.below((end - start) as u64) as i64;
    let max_bytes = [1, 1_000, 50_000][prng.below(3) as usize];
    // The disk may refuse a read; that breaks no promise.
    let Ok(read) = log.read(from, end, max_bytes, true).await else { return Ok(()) };
    if partition.compaction != Compaction::Never {
        return partition.model.borrow().check_read(from, &read.chunks.concat().into());
    }
    let found = partition.model.borrow().parse(&read.chunks.concat().into())?;
    match found.first() {
        Some((_, header)) if header.base_offset <= from && from < header.next_offset() => Ok(()),
        first => Err(format!("read of {from} begins with {first:?}")),
    }
}
