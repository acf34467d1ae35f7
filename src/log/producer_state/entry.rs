//! What the log remembers of one producer: its epoch and its last five batches (`ProducerStateEntry`).

use crate::types::{Offset, ProducerEpoch, Timestamp};

/// `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`: as many requests as an idempotent producer may have in
/// flight.
pub(in crate::log) const BATCHES_RETAINED: usize = 5;

/// A stored batch, as far as a repetition of it is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct BatchMetadata {
    pub(in crate::log) last_sequence: i32,
    pub(in crate::log) last_offset: Offset,
    pub(in crate::log) offset_delta: i32,
    pub(in crate::log) timestamp: Timestamp,
}

impl BatchMetadata {
    pub(in crate::log) fn base_offset(&self) -> Offset {
        self.last_offset + -i64::from(self.offset_delta)
    }

    /// `DefaultRecordBatch.decrementSequence`
    pub(in crate::log) fn base_sequence(&self) -> i32 {
        let unwrapped = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        (unwrapped & i64::from(i32::MAX)) as i32
    }
}

/// The state of one producer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct ProducerEntry {
    pub(in crate::log) epoch: ProducerEpoch,
    /// The coordinator epoch of the last transaction marker, -1 for none.
    pub(in crate::log) coordinator_epoch: i32,
    pub(in crate::log) last_timestamp: Timestamp,
    /// Where the open transaction began.
    pub(in crate::log) current_txn_first_offset: Option<Offset>,
    batches: [BatchMetadata; BATCHES_RETAINED],
    batch_count: u8,
}

impl ProducerEntry {
    /// The state of a producer of which nothing is known (`ProducerStateEntry.empty`).
    pub(in crate::log) fn empty() -> Self {
        const UNUSED: BatchMetadata = BatchMetadata {
            last_sequence: -1,
            last_offset: Offset::UNKNOWN,
            offset_delta: 0,
            timestamp: Timestamp::NONE,
        };
        Self {
            epoch: ProducerEpoch::NONE,
            coordinator_epoch: -1,
            last_timestamp: Timestamp::NONE,
            current_txn_first_offset: None,
            batches: [UNUSED; BATCHES_RETAINED],
            batch_count: 0,
        }
    }

    /// The retained batches, oldest first.
    pub(in crate::log) fn batches(&self) -> &[BatchMetadata] {
        &self.batches[..usize::from(self.batch_count)]
    }

    /// The newest batch.
    pub(in crate::log) fn last_batch(&self) -> Option<&BatchMetadata> {
        self.batches().last()
    }

    /// Remembers a batch; the oldest is forgotten, and with a new epoch all of them.
    pub(in crate::log) fn add_batch(&mut self, epoch: ProducerEpoch, batch: BatchMetadata) {
        self.set_epoch(epoch);
        if usize::from(self.batch_count) == BATCHES_RETAINED {
            self.batches.rotate_left(1);
            self.batch_count -= 1;
        }
        self.batches[usize::from(self.batch_count)] = batch;
        self.batch_count += 1;
        self.last_timestamp = batch.timestamp;
    }

    /// A transaction of this producer ended.
    pub(in crate::log) fn end_transaction(
        &mut self,
        epoch: ProducerEpoch,
        coordinator_epoch: i32,
        timestamp: Timestamp,
    ) {
        self.set_epoch(epoch);
        self.coordinator_epoch = coordinator_epoch;
        self.current_txn_first_offset = None;
        self.last_timestamp = timestamp;
    }

    fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batch_count = 0;
        }
    }

    /// The stored batch with exactly these sequences (`findDuplicateBatch`).
    pub(in crate::log) fn duplicate_of(
        &self,
        epoch: ProducerEpoch,
        base_sequence: i32,
        last_sequence: i32,
    ) -> Option<&BatchMetadata> {
        if epoch != self.epoch {
            return None;
        }
        let is_same = |batch: &&BatchMetadata| {
            batch.base_sequence() == base_sequence && batch.last_sequence == last_sequence
        };
        self.batches().iter().find(is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(last_sequence: i32, offset_delta: i32) -> BatchMetadata {
        BatchMetadata {
            last_sequence,
            last_offset: Offset(100 + i64::from(last_sequence)),
            offset_delta,
            timestamp: Timestamp(1),
        }
    }

    #[test]
    fn five_batches_of_one_epoch_are_remembered() {
        let mut entry = ProducerEntry::empty();
        for sequence in 0..7 {
            entry.add_batch(ProducerEpoch(0), batch(sequence, 0));
        }
        assert!(entry.duplicate_of(ProducerEpoch(0), 1, 1).is_none());
        for sequence in 2..7 {
            let found = entry.duplicate_of(ProducerEpoch(0), sequence, sequence).unwrap();
            assert_eq!(found.base_offset(), Offset(100 + i64::from(sequence)));
        }
        assert!(entry.duplicate_of(ProducerEpoch(1), 6, 6).is_none());
        entry.add_batch(ProducerEpoch(1), batch(0, 0));
        assert_eq!(entry.batches().len(), 1);
    }

    #[test]
    fn sequences_wrap_backwards_too() {
        assert_eq!(batch(1, 4).base_sequence(), i32::MAX - 2);
        assert_eq!(batch(4, 4).base_sequence(), 0);
    }
}
