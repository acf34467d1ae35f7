//! Work that nobody waits for: rolling by time, retention, idle logs. Checkpoints have a loop of their own.
//!
//! One loop per shard, in the background queue with its bounded share of the core. It wakes once in
//! [`TICK`]; a broker that does nothing does little more than look at its clock.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shard;
use super::partition::Partition;
use crate::log::LogError;
use crate::rt::{task, time};

/// How often the shard looks what is due.
const TICK: Duration = Duration::from_secs(1);
/// An open log that was not appended to for this long gives back its buffers and files.
const IDLE_AFTER: Duration = Duration::from_secs(10);

/// When each periodic job runs next.
struct Schedule {
    retention: Instant,
    idle: Instant,
}

impl Shard {
    /// Runs the background work for as long as the shard lives.
    pub async fn run_background(self: Rc<Self>) {
        self.started().await;
        let storage = self.config().storage.clone();
        let now = time::monotonic_now();
        let mut next = Schedule { retention: now + storage.initial_task_delay, idle: now + IDLE_AFTER };
        while !self.closing.is_cancelled() {
            time::sleep(TICK).await;
            let now = time::monotonic_now();
            self.roll_and_sync_due().await;
            self.store_overdue();
            self.remove_deleted().await;
            if next.retention <= now {
                next.retention = now + storage.retention_check_interval;
                self.enforce_retention().await;
            }
            if next.idle <= now {
                next.idle = now + IDLE_AFTER;
                self.release_idle().await;
            }
        }
    }

    /// Stages rolls that time makes due, and has a flush take them, or a sync that `flush.ms` makes due.
    async fn roll_and_sync_due(self: &Rc<Self>) {
        let now = time::wall_clock();
        for partition in self.snapshot_partitions() {
            if partition.log.sync_due().is_some_and(|due| due <= now) {
                partition.want_sync();
                self.ensure_flushing(&partition);
            } else if partition.log.roll_if_due(now) || partition.log.has_staged() {
                self.ensure_flushing(&partition);
            }
            task::yield_if_needed().await;
        }
    }

    async fn enforce_retention(self: &Rc<Self>) {
        for partition in self.snapshot_partitions() {
            partition.log.expire_producers(time::wall_clock());
            self.enforce_retention_of(&partition).await;
            task::yield_if_needed().await;
        }
    }

    /// Deletes what retention lets go of one log, down to an active segment that is due as well.
    pub(super) async fn enforce_retention_of(self: &Rc<Self>, partition: &Rc<Partition>) {
        let mut deleted = 0;
        // Twice: the first round may roll an active segment that the second one deletes.
        for _ in 0..2 {
            if self.closing.is_cancelled() || partition.log.offline_cause().is_some() {
                break;
            }
            let now = time::wall_clock();
            let enforced = partition.log.enforce_retention(now, partition.high_watermark()).await;
            partition.end_maintenance();
            match enforced {
                Ok(count) => deleted += count,
                // The topic was deleted, or the directory has failed, meanwhile.
                Err(LogError::Offline { .. }) => break,
                Err(error) => {
                    tracing::error!(target: "log", tp = %partition.name, %error, "retention failed");
                    self.note_failure(&partition.dir, &error);
                    break;
                }
            }
            if !partition.log.has_staged_roll() {
                break;
            }
            self.ensure_flushing(partition);
            // Beside steady producers a flush task has no end; the next enforcement will do.
            let _ = time::timeout(TICK, partition.flushed()).await;
        }
        if 0 < deleted {
            tracing::info!(
                target: "log", tp = %partition.name, segments = deleted,
                log_start_offset = %partition.log.log_start_offset(), "deleted old segments"
            );
        }
    }

    /// Removes files and directories whose `file.delete.delay.ms` is over.
    async fn remove_deleted(self: &Rc<Self>) {
        let now = time::wall_clock();
        for partition in self.snapshot_partitions() {
            if partition.dir.is_offline() || !partition.log.has_removable(now) {
                continue;
            }
            if let Err(error) = partition.log.remove_deleted(now).await {
                tracing::warn!(target: "log", tp = %partition.name, %error, "cannot remove deleted segments");
            }
            task::yield_if_needed().await;
        }
        let dirs: Vec<_> = self.dirs.borrow().clone();
        for own in dirs.into_iter().filter(|own| !own.is_offline()) {
            if let Err(error) = own.dir.remove_deleted(now).await {
                let dir = own.path.display();
                tracing::warn!(target: "log", %dir, %error, "cannot remove deleted logs");
                self.note_failure(&own, &error);
            }
        }
    }

    /// Gives back what quiet logs hold, and leaves their files as other tools expect them.
    async fn release_idle(self: &Rc<Self>) {
        for partition in self.snapshot_partitions() {
            if !partition.is_idle() {
                continue;
            }
            if partition.log.wants_trim() && partition.begin_flushing() {
                let trimmed = partition.log.trim().await;
                self.after_flush(&partition, trimmed);
                self.end_flushing(&partition);
                task::yield_if_needed().await;
            }
            partition.log.release_idle();
        }
    }

    pub(super) fn snapshot_partitions(&self) -> Vec<Rc<Partition>> {
        self.open_partitions().values().cloned().collect()
    }
}
