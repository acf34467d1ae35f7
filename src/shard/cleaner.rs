//! Compaction: which log is cleaned next, and how fast (`LogCleaner`).
//!
//! One loop per shard, in the background queue with its bounded share of the core, cleans one log at a time:
//! the dirtiest of those that are due. With nothing to clean it rests for `log.cleaner.backoff.ms`. What a
//! cleaning does to a log is `log::compaction`'s.
//!
//! A log that a cleaning found broken is left alone until a restart. A disk that refuses is asked again.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shard;
use super::deferred::on_a_thread;
use super::partition::Partition;
use crate::log::{CleanError, CleanReport, Cleanable, CleanerLimits, Log, LogError, LongWork, NoThread};
use crate::rt::file::DirectDisk;
use crate::rt::{task, time};

/// The longest nap between two looks at whether the shard is closing.
const NAP_MAX: Duration = Duration::from_millis(500);

/// The shortest wait that is worth a timer.
const THROTTLE_MIN: Duration = Duration::from_millis(2);

/// Holds reads and writes back to a rate.
struct Throttle {
    bytes_per_second_max: f64,
    begun: Instant,
    bytes: Cell<u64>,
}

impl Throttle {
    fn new(bytes_per_second_max: f64) -> Self {
        Self { bytes_per_second_max, begun: time::monotonic_now(), bytes: Cell::new(0) }
    }

    /// Waits until the bytes so far, and these, are within the rate, or `is_over`.
    async fn account(&self, bytes: u64, is_over: impl Fn() -> bool) {
        self.bytes.set(self.bytes.get() + bytes);
        let least = self.bytes.get() as f64 / self.bytes_per_second_max;
        // A byte a second makes more seconds of some logs than a duration holds.
        let least = Duration::try_from_secs_f64(least).unwrap_or(Duration::MAX);
        loop {
            let ahead = least.saturating_sub(time::monotonic_now() - self.begun);
            if ahead < THROTTLE_MIN || is_over() {
                return;
            }
            time::sleep(ahead.min(NAP_MAX)).await;
        }
    }
}

/// How a cleaning, of which there is one at a time, leaves its core to others.
struct CleaningWork<'a> {
    throttle: &'a Throttle,
    log: &'a Log<DirectDisk>,
}

impl LongWork for CleaningWork<'_> {
    async fn pause(&self, bytes: u64) {
        self.throttle.account(bytes, || self.log.is_maintenance_aborted()).await;
        task::yield_if_needed().await;
    }

    async fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoThread> {
        on_a_thread(work).await
    }
}

impl Shard {
    /// Compacts the logs that are due, for as long as the shard lives.
    pub async fn run_cleaner(self: Rc<Self>) {
        self.started().await;
        while self.config().storage.cleaner.enable && !self.closing.is_cancelled() {
            let has_cleaned = match self.filthiest().await {
                Some((partition, cleanable)) => self.clean(&partition, cleanable).await,
                None => false,
            };
            for partition in self.snapshot_partitions() {
                let policy = partition.log.config().cleanup_policy;
                if policy.compact && policy.delete {
                    self.enforce_retention_of(&partition).await;
                }
            }
            if has_cleaned {
                task::yield_now().await;
            } else {
                self.rest(self.config().storage.cleaner.backoff).await;
            }
        }
    }

    /// Sleeps, but not while the shard closes.
    pub(super) async fn rest(&self, backoff: Duration) {
        let end = time::monotonic_now() + backoff.max(Duration::from_millis(1));
        while !self.closing.is_cancelled() {
            let left = end.saturating_duration_since(time::monotonic_now());
            if left.is_zero() {
                return;
            }
            time::sleep(left.min(NAP_MAX)).await;
        }
    }

    /// The log with the largest dirty part among those that are due (`grabFilthiestCompactedLog`).
    async fn filthiest(self: &Rc<Self>) -> Option<(Rc<Partition>, Cleanable)> {
        let mut filthiest: Option<(Rc<Partition>, Cleanable)> = None;
        for partition in self.snapshot_partitions() {
            let Some(cleanable) = self.cleanable(&partition).await else { continue };
            let is_filthier =
                filthiest.as_ref().is_none_or(|(_, other)| other.dirty_ratio() < cleanable.dirty_ratio());
            if is_filthier {
                filthiest = Some((partition, cleanable));
            }
            task::yield_if_needed().await;
        }
        filthiest
    }

    /// What there is to clean of a log, if it is due.
    async fn cleanable(self: &Rc<Self>, partition: &Partition) -> Option<Cleanable> {
        let config = partition.log.config();
        if !config.cleanup_policy.compact
            || partition.is_uncleanable()
            || partition.log.offline_cause().is_some()
        {
            return None;
        }
        let checkpoint = partition.dir.dir.cleaned_end(&partition.name);
        let upto = partition.high_watermark();
        let found = partition.log.cleanable(checkpoint, upto, time::wall_clock()).await;
        partition.end_maintenance();
        match found {
            Ok(cleanable) => cleanable.filter(|found| found.is_due(config.min_cleanable_dirty_ratio)),
            Err(error) => {
                give_up(partition, &error);
                self.note_failure(&partition.dir, &error);
                None
            }
        }
    }

    /// Cleans a log; whether anything was done.
    async fn clean(self: &Rc<Self>, partition: &Partition, cleanable: Cleanable) -> bool {
        let config = self.config().storage.cleaner;
        let shards = self.mesh.executors() - 1;
        let limits =
            CleanerLimits { map_bytes: config.dedupe_buffer_bytes / shards, load_factor: config.load_factor };
        let throttle = Throttle::new(config.io_bytes_per_second_max / shards as f64);
        let work = CleaningWork { throttle: &throttle, log: &partition.log };
        let cleaned = partition.log.clean(cleanable, limits, time::wall_clock(), work).await;
        let noted = match &cleaned {
            Ok(report) => partition.dir.dir.set_cleaned_end(&partition.name, report.end_offset).await,
            Err(_) => Ok(()),
        };
        partition.end_maintenance();
        if let Err(error) = noted {
            tracing::error!(target: "log", tp = %partition.name, %error, "cannot note what was compacted");
            self.note_failure(&partition.dir, &error);
            return false;
        }
        match cleaned {
            Ok(report) => {
                report_cleaning(partition, &cleanable, &report, throttle.begun.elapsed());
                return true;
            }
            Err(CleanError::Stopped) => {}
            Err(CleanError::Log(error)) => {
                give_up(partition, &error);
                self.note_failure(&partition.dir, &error);
                // A swap that fails midway ends all writing: no flush comes to answer those who wait for one.
                if let Some(cause) = partition.log.offline_cause() {
                    partition.fail(&cause);
                    self.wake_watchers(partition);
                }
            }
            Err(error @ CleanError::NoThread(_)) => {
                tracing::error!(target: "log", tp = %partition.name, %error, "compaction failed");
            }
            Err(error @ CleanError::MapTooSmall { .. }) => {
                tracing::error!(target: "log", tp = %partition.name, %error, "compaction does not get on");
                partition.mark_uncleanable();
            }
        }
        false
    }
}

/// Reports a failure once, or for as long as it lasts where it may pass.
fn give_up(partition: &Partition, error: &LogError) {
    match error {
        LogError::Corrupt { .. } => {
            tracing::error!(target: "log", tp = %partition.name, %error, "compaction leaves the log alone");
            partition.mark_uncleanable();
        }
        LogError::Offline { .. } => {}
        LogError::Disk(_) => {
            tracing::error!(target: "log", tp = %partition.name, %error, "compaction failed");
        }
    }
}

fn report_cleaning(partition: &Partition, cleanable: &Cleanable, report: &CleanReport, elapsed: Duration) {
    tracing::info!(
        target: "log", tp = %partition.name,
        first_dirty_offset = %cleanable.first_dirty_offset, end_offset = %report.end_offset,
        bytes_before = report.bytes_before, bytes_after = report.bytes_after,
        segments_before = report.segments_before, segments_after = report.segments_after,
        keys = report.keys, map_bytes = report.map_bytes, elapsed_ms = elapsed.as_millis() as u64,
        "compacted"
    );
}
