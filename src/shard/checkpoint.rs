//! Checkpoints: what bounds the work of a start after a crash.
//!
//! Recovery walks every log from its last checkpoint on. A log is checkpointed when it comes first by the
//! bytes it got since, once all logs of the shard got [`DUE_BYTES`] together; and at least every
//! `log.flush.offset.checkpoint.interval.ms`, when the checkpoint files are written as well. A log that is
//! synced for the journal's sake shortly before has its checkpoint then. A log that got nothing is left
//! alone, and so are files whose contents would be the same. After a crash the first round
//! follows the start at once: what was recovered is synced there, and not walked over again.

use std::cmp::Reverse;
use std::rc::Rc;
use std::time::Duration;

use super::Shard;
use super::lifecycle::logs_of;
use super::partition::Partition;
use crate::rt::sync::Semaphore;
use crate::rt::{task, time};

/// Bytes without a checkpoint, in all logs of a shard, that make one due: about what a shard reads and
/// checks after a crash. An eighth of a second at a gigabyte a second.
const DUE_BYTES: u64 = 128 << 20;

/// A checkpoint is near from here on.
const NEAR_BYTES: u64 = DUE_BYTES / 4 * 3;

/// A round that bytes made due ends when no more than this is left, in many logs with little each.
const LEFT_BYTES: u64 = DUE_BYTES / 4;

/// Logs that are checkpointed side by side.
const SIDE_BY_SIDE_MAX: usize = 8;

/// How often, at least, the shard looks whether its end has come.
const TICK: Duration = Duration::from_secs(1);

/// The least time between two rounds that time makes due.
const PAUSE: Duration = Duration::from_millis(10);

impl Shard {
    /// Checkpoints logs for as long as the shard lives.
    pub async fn run_checkpoints(self: Rc<Self>) {
        self.started().await;
        let interval = self.config().storage.recovery_point_checkpoint_interval;
        // After a clean stop, none needs one.
        self.checkpoint_logs(0).await;
        let mut next = time::monotonic_now() + interval;
        while !self.closing.is_cancelled() {
            let left = next.saturating_duration_since(time::monotonic_now());
            // Woken or not, both are looked at.
            let _ = time::timeout(left.clamp(PAUSE, TICK), self.checkpoint_due.wait()).await;
            let now = time::monotonic_now();
            if next <= now {
                next = now + interval;
                self.checkpoint_logs(0).await;
                self.write_checkpoint_files().await;
            } else if DUE_BYTES <= self.unchecked_bytes.get() {
                self.checkpoint_logs(LEFT_BYTES).await;
            }
        }
    }

    /// Counts what a flush has changed of the bytes since the checkpoint of a log.
    pub(super) fn count_unchecked(&self, partition: &Partition) {
        let bytes = partition.log.bytes_since_checkpoint();
        let counted = partition.unchecked_bytes.replace(bytes);
        let before = self.unchecked_bytes.get();
        let after = (before + bytes).saturating_sub(counted);
        self.unchecked_bytes.set(after);
        if before < DUE_BYTES && DUE_BYTES <= after {
            self.checkpoint_due.notify_one();
        }
    }

    /// Whether a log that is made durable for another reason should be checkpointed at once: that spares it
    /// the flush of its own that it would have soon.
    pub(super) fn is_checkpoint_near(&self) -> bool {
        NEAR_BYTES <= self.unchecked_bytes.get()
    }

    /// Checkpoints logs, those with the most bytes first, until the others have `left_bytes` together.
    async fn checkpoint_logs(self: &Rc<Self>, left_bytes: u64) {
        let mut due: Vec<_> = self.snapshot_partitions();
        due.retain(|partition| partition.log.needs_checkpoint());
        due.sort_by_cached_key(|partition| Reverse(partition.log.bytes_since_checkpoint()));
        let mut left: u64 = due.iter().map(|partition| partition.log.bytes_since_checkpoint()).sum();
        let slots = Semaphore::new(SIDE_BY_SIDE_MAX);
        for partition in due {
            if 0 < left_bytes && left <= left_bytes {
                break;
            }
            left = left.saturating_sub(partition.log.bytes_since_checkpoint());
            let slot = slots.acquire(1).await;
            let shard = Rc::clone(self);
            task::spawn(async move {
                shard.checkpoint_log(&partition).await;
                drop(slot);
            })
            .detach();
            task::yield_if_needed().await;
        }
        slots.acquire(SIDE_BY_SIDE_MAX).await;
        // Anew: partitions go, and with them what was counted of theirs.
        self.unchecked_bytes.set(0);
        for partition in self.snapshot_partitions() {
            partition.unchecked_bytes.set(0);
            self.count_unchecked(&partition);
        }
    }

    async fn checkpoint_log(self: &Rc<Self>, partition: &Rc<Partition>) {
        if !partition.begin_flushing() {
            partition.want_checkpoint();
            return;
        }
        let done = partition.log.checkpoint().await;
        self.after_flush(partition, done.map(drop));
        self.end_flushing(partition);
    }

    async fn write_checkpoint_files(self: &Rc<Self>) {
        let partitions = self.snapshot_partitions();
        let dirs: Vec<_> = self.dirs.borrow().clone();
        for own in dirs.into_iter().filter(|own| !own.is_offline()) {
            if let Err(error) = own.dir.write_checkpoints(&logs_of(&partitions, &own)).await {
                tracing::error!(target: "log", dir = %own.path.display(), %error, "cannot write checkpoints");
                self.note_failure(&own, &error);
            }
        }
    }
}
