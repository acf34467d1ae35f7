//! Applying what the journal has of a log, after the log itself was recovered.
//!
//! The log's own end has the last word: entries before it are in the segments already, an entry that
//! begins behind it follows records that nobody was promised, and is left out together with what follows.

use crate::disk::{Disk, WriteSync};
use crate::log::env::LogEnv;
use crate::log::error::LogError;
use crate::log::log::{Log, State};
use crate::log::producer_state::read_marker;
use crate::record::batch::{BatchHeader, Batches};
use crate::types::{LeaderEpoch, Offset, Timestamp};

use super::pending::PendingEntry;

/// Bytes that are staged before they are flushed.
const FLUSH_BYTES: u64 = 1 << 20;

/// The longest segment, and the largest relative offset in it.
const SEGMENT_MAX: i64 = i32::MAX as i64;

/// What of the journal went into a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreReport {
    /// Batches that were added to the segments.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first offset of entries that do not follow the log's end; no acknowledgement covers them.
    pub behind_hole: Option<Offset>,
}

impl<D: Disk> Log<D> {
    /// Adds the batches of `entries` that follow the log's end, and makes them durable.
    pub(in crate::log) async fn restore(
        &self,
        entries: &[PendingEntry],
        now: Timestamp,
    ) -> Result<RestoreReport, LogError> {
        let mut report = RestoreReport::default();
        if entries.is_empty() {
            return Ok(report);
        }
        for entry in entries {
            {
                let mut state = self.core.state.borrow_mut();
                state.restore(&self.core.env, entry, now, &mut report);
            }
            if FLUSH_BYTES <= self.staged_bytes() {
                self.flush(WriteSync::Data).await?;
            }
            if report.behind_hole.is_some() {
                break;
            }
        }
        // What was in the segments already may not be durable there, and the journal ends with the start.
        if self.has_staged() || self.synced_end_offset() < self.staged_end_offset() {
            self.flush(WriteSync::Data).await?;
        }
        self.release_idle();
        Ok(report)
    }
}

impl<D: Disk> State<D> {
    fn restore(&mut self, env: &LogEnv<D>, entry: &PendingEntry, now: Timestamp, report: &mut RestoreReport) {
        if entry.next_offset <= self.staged_end_offset {
            return;
        }
        for (position, header, batch) in Batches::new(&entry.bytes).map_while(Result::ok) {
            if header.next_offset() <= self.staged_end_offset {
                continue;
            }
            if header.base_offset != self.staged_end_offset {
                report.behind_hole = Some(header.base_offset);
                return;
            }
            self.restore_roll(env, entry.segment_base, &header, now);
            self.restore_batch(env, &header, batch);
            let marker = header.attributes.is_control();
            let marker = marker.then(|| entry.bytes.slice(position..position + batch.len()));
            match marker.map(|batch| read_marker(&batch)) {
                Some(Some(marker)) => self.producers.add_marker(&header, marker),
                Some(None) => {}
                None => self.producers.add_batch(&header, header.base_offset),
            }
            report.batches += 1;
            report.bytes += batch.len() as u64;
        }
    }

    /// Rolls where the log had rolled before the batch, and where its bytes would not fit.
    fn restore_roll(&mut self, env: &LogEnv<D>, segment_base: Offset, header: &BatchHeader, now: Timestamp) {
        let back = self.open_back();
        let rolled = back.base_offset < segment_base && segment_base == header.base_offset;
        let end = back.staged_len() as i64 + header.total_len() as i64;
        let is_full = SEGMENT_MAX < end || SEGMENT_MAX < header.last_offset() - back.base_offset;
        if 0 < back.staged_len() && (rolled || is_full) {
            self.stage_roll(env, now);
        }
    }

    fn restore_batch(&mut self, env: &LogEnv<D>, header: &BatchHeader, batch: &[u8]) {
        let epoch = header.partition_leader_epoch;
        if LeaderEpoch::ZERO <= epoch && self.epochs.latest() < Some(epoch) {
            self.epochs_dirty |= self.epochs.assign(epoch, header.base_offset);
        }
        let index_interval_bytes = self.config.index_interval_bytes;
        let segment = self.open.back_mut().expect("there is always an open segment");
        let position = segment.staged_len();
        segment.tail.put(env.disk(), batch);
        segment.add_batch(header, position, index_interval_bytes);
        self.staged_end_offset = header.next_offset();
    }
}
