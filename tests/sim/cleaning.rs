//! What a shard's cleaner does for one log.

use std::cell::Cell;
use std::rc::Rc;

use corelog::disk::memory::{SimClock, yield_turns};
use corelog::log::{CleanerLimits, Log, LogDir};
use corelog::types::{Prng, Timestamp};

use super::sabotage::SabotagedDisk;

/// Compacts a log again and again, a batch at a time, and removes what is replaced.
pub(super) struct Cleaner {
    pub(super) dir: Rc<LogDir<SabotagedDisk>>,
    pub(super) log: Log<SabotagedDisk>,
    pub(super) prng: Prng,
    pub(super) stop: Rc<Cell<bool>>,
    pub(super) clock: SimClock,
    /// Compactions that went to their end, and the bytes they took away.
    pub(super) cleaned: Rc<Cell<(usize, u64)>>,
}

impl Cleaner {
    pub(super) async fn run(mut self) {
        while !self.stop.get() {
            yield_turns(self.prng.below(60)).await;
            self.clean().await;
            if self.prng.chance(1, 3) {
                let _ = self.log.remove_deleted(Timestamp(i64::MAX)).await;
            }
        }
    }

    /// Whatever the disk refuses is tried again, by this broker or the next.
    async fn clean(&mut self) {
        let log = &self.log;
        let checkpoint = self.dir.cleaned_end(log.topic_partition());
        let found = log.cleanable(checkpoint, log.written_end_offset(), self.clock.now()).await;
        let Ok(Some(cleanable)) = found else { return };
        if !cleanable.is_due(0.0) {
            return;
        }
        // The smallest map holds fewer keys than there are, so that a round ends before its time.
        let map_bytes = [8 * 24, 64 * 24, 1 << 16][self.prng.below(3) as usize];
        let limits = CleanerLimits { map_bytes, load_factor: 0.9 };
        let is_paced = self.prng.chance(1, 2);
        let pace = async |_: u64| {
            if is_paced {
                yield_turns(1).await
            }
        };
        if let Ok(report) = log.clean(cleanable, limits, self.clock.now(), pace).await
            && self.dir.set_cleaned_end(log.topic_partition(), report.end_offset).await.is_ok()
        {
            let (count, bytes) = self.cleaned.get();
            self.cleaned.set((count + 1, bytes + report.bytes_before.saturating_sub(report.bytes_after)));
        }
    }
}
