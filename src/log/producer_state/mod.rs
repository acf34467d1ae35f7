//! Producer state: which batches of idempotent producers are in the log already, and which may follow.
//!
//! The rules are those of Kafka's `ProducerStateManager` and `ProducerAppendInfo`. The state follows from
//! the log; a snapshot at an offset bounds how much of the log has to be read to rebuild it. It changes
//! when a batch is staged, so that the next request sees it; a batch that is staged and never written
//! takes the log offline, so nobody sees a state that the log does not bear out.

mod entry;
mod snapshot;

use std::collections::HashMap;

use bytes::Bytes;

use crate::record::batch::BatchHeader;
use crate::record::records::RecordIter;
use crate::types::{Offset, ProducerEpoch, ProducerId, Timestamp};

use super::append::AppendOrigin;
use super::error::AppendError;
pub(super) use entry::{BatchMetadata, ProducerEntry};
pub(super) use snapshot::decode_snapshot;

/// The producers of one log.
#[derive(Debug, Default)]
pub(super) struct ProducerState {
    producers: HashMap<ProducerId, ProducerEntry>,
}

/// What a log knows of one producer (DescribeProducers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerSummary {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its incarnation.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of its last record, -1 for none.
    pub last_sequence: i32,
    /// When it last wrote.
    pub last_timestamp: Timestamp,
    /// The coordinator epoch of its last transaction marker, -1 for none.
    pub coordinator_epoch: i32,
    /// Where its open transaction began.
    pub current_txn_first_offset: Option<Offset>,
}

/// What a check of the batches of one append found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ProducerCheck {
    /// They may be appended.
    Fresh,
    /// This batch was appended before.
    Duplicate(BatchMetadata),
}

/// The end of a transaction, read from a control batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndTxnMarker {
    pub(super) coordinator_epoch: i32,
    pub(super) is_commit: bool,
}

/// Reads a transaction marker; `None` for other control batches, and for one that compaction emptied.
pub(super) fn read_marker(batch: &Bytes) -> Option<EndTxnMarker> {
    const ABORT: i16 = 0;
    const COMMIT: i16 = 1;
    let record = RecordIter::new(batch).ok()?.next()?.ok()?;
    let (key, value) = (record.key?, record.value?);
    let control_type = i16::from_be_bytes(*key.get(2..)?.first_chunk()?);
    if ![ABORT, COMMIT].contains(&control_type) {
        return None;
    }
    let coordinator_epoch = i32::from_be_bytes(*value.get(2..)?.first_chunk()?);
    Some(EndTxnMarker { coordinator_epoch, is_commit: control_type == COMMIT })
}

impl ProducerState {
    /// The state after a snapshot; producers idle for `expiration_ms` are left out.
    pub(super) fn from_entries(
        entries: impl IntoIterator<Item = (ProducerId, ProducerEntry)>,
        now: Timestamp,
        expiration_ms: i64,
    ) -> Self {
        let mut state = Self { producers: entries.into_iter().collect() };
        state.expire(now, expiration_ms);
        state
    }

    /// Checks the batches of one append, the first of which would get `base_offset`. Changes nothing.
    pub(super) fn check(
        &self,
        headers: impl Iterator<Item = BatchHeader>,
        base_offset: Offset,
        origin: AppendOrigin,
    ) -> Result<ProducerCheck, AppendError> {
        // Entries as they will be after the batches before; empty for the usual append of one batch.
        let mut updated: Vec<(ProducerId, ProducerEntry)> = Vec::new();
        let mut offset = base_offset;
        let mut headers = headers.peekable();
        while let Some(header) = headers.next() {
            if header.producer_id.is_some() {
                let entry = entry_of(&updated, header.producer_id)
                    .or_else(|| self.producers.get(&header.producer_id));
                if origin == AppendOrigin::Client
                    && let Some(entry) = entry
                    && let Some(batch) = entry.duplicate_of(
                        header.producer_epoch,
                        header.base_sequence,
                        header.last_sequence(),
                    )
                {
                    return Ok(ProducerCheck::Duplicate(*batch));
                }
                check_batch(entry, &header, offset, origin)?;
                if headers.peek().is_some() {
                    let mut entry = entry.copied().unwrap_or(ProducerEntry::empty());
                    add_data_batch(&mut entry, &header, offset);
                    updated.retain(|(producer_id, _)| *producer_id != header.producer_id);
                    updated.push((header.producer_id, entry));
                }
            }
            offset += i64::from(header.last_offset_delta) + 1;
        }
        Ok(ProducerCheck::Fresh)
    }

    /// Remembers a data batch whose first record has `base_offset`.
    pub(super) fn add_batch(&mut self, header: &BatchHeader, base_offset: Offset) {
        if header.producer_id.is_some() {
            let entry = self.producers.entry(header.producer_id).or_insert_with(ProducerEntry::empty);
            add_data_batch(entry, header, base_offset);
        }
    }

    /// Ends the transaction of a producer.
    pub(super) fn add_marker(&mut self, header: &BatchHeader, marker: EndTxnMarker) {
        if header.producer_id.is_some() {
            let entry = self.producers.entry(header.producer_id).or_insert_with(ProducerEntry::empty);
            entry.end_transaction(header.producer_epoch, marker.coordinator_epoch, header.max_timestamp);
        }
    }

    /// Whether the batch is the one that bears out what is remembered of its producer: its last data, or
    /// without any, a marker of its epoch (`Cleaner.checkBatchRetention`).
    pub(super) fn is_last_of(&self, header: &BatchHeader) -> bool {
        let Some(entry) = self.producers.get(&header.producer_id) else { return false };
        match entry.last_batch() {
            Some(batch) => batch.last_offset == header.last_offset(),
            None => header.attributes.is_control() && header.producer_epoch == entry.epoch,
        }
    }

    /// Forgets producers without an open transaction that were idle for `expiration_ms`.
    pub(super) fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        self.producers.retain(|_, entry| {
            entry.current_txn_first_offset.is_some() || now.ms_since(entry.last_timestamp) < expiration_ms
        });
    }

    /// The producers that are known.
    pub(super) fn producer_ids(&self) -> Vec<ProducerId> {
        let mut ids: Vec<_> = self.producers.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// What is known of each producer, ascending by id.
    pub(super) fn summaries(&self) -> Vec<ProducerSummary> {
        let summary = |(&producer_id, entry): (&ProducerId, &ProducerEntry)| ProducerSummary {
            producer_id,
            producer_epoch: entry.epoch,
            last_sequence: entry.last_batch().map_or(-1, |batch| batch.last_sequence),
            last_timestamp: entry.last_timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            current_txn_first_offset: entry.current_txn_first_offset,
        };
        let mut summaries: Vec<_> = self.producers.iter().map(summary).collect();
        summaries.sort_unstable_by_key(|summary| summary.producer_id);
        summaries
    }

    /// A snapshot in Kafka's format.
    pub(super) fn encode_snapshot(&self) -> Vec<u8> {
        snapshot::encode_snapshot(self.producers.iter().map(|(id, entry)| (*id, entry)))
    }
}

fn entry_of(entries: &[(ProducerId, ProducerEntry)], producer_id: ProducerId) -> Option<&ProducerEntry> {
    entries.iter().find(|(id, _)| *id == producer_id).map(|(_, entry)| entry)
}

/// `ProducerAppendInfo.appendDataBatch`
fn add_data_batch(entry: &mut ProducerEntry, header: &BatchHeader, base_offset: Offset) {
    let batch = BatchMetadata {
        last_sequence: header.last_sequence(),
        last_offset: base_offset + i64::from(header.last_offset_delta),
        offset_delta: header.last_offset_delta,
        timestamp: header.max_timestamp,
    };
    entry.add_batch(header.producer_epoch, batch);
    if header.attributes.is_transactional() && entry.current_txn_first_offset.is_none() {
        entry.current_txn_first_offset = Some(base_offset);
    }
}

fn check_batch(
    entry: Option<&ProducerEntry>,
    header: &BatchHeader,
    offset: Offset,
    origin: AppendOrigin,
) -> Result<(), AppendError> {
    // A producer that is not known may start anywhere: its state may have been deleted with its records.
    let Some(entry) = entry else { return Ok(()) };
    if header.producer_epoch < entry.epoch {
        return Err(AppendError::InvalidProducerEpoch {
            producer_id: header.producer_id,
            current: entry.epoch,
            found: header.producer_epoch,
        });
    }
    if origin == AppendOrigin::Client {
        check_sequence(entry, header, offset)?;
    }
    if entry.current_txn_first_offset.is_some() && !header.attributes.is_transactional() {
        return Err(AppendError::InvalidTxnState { producer_id: header.producer_id });
    }
    Ok(())
}

/// `ProducerAppendInfo.checkSequence`
fn check_sequence(entry: &ProducerEntry, header: &BatchHeader, offset: Offset) -> Result<(), AppendError> {
    let found = header.base_sequence;
    let expected = if entry.epoch == ProducerEpoch::NONE {
        return Ok(());
    } else if header.producer_epoch != entry.epoch {
        0
    } else {
        // Sequences wrap to 0; without a batch of this epoch, a marker bumped it and 0 is next.
        entry.last_batch().map_or(0, |batch| batch.last_sequence.checked_add(1).unwrap_or(0))
    };
    if found == expected {
        return Ok(());
    }
    Err(AppendError::OutOfOrderSequence {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        expected,
        found,
        offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::batch::{Attributes, MAGIC};
    use crate::types::LeaderEpoch;

    fn header(epoch: i16, base_sequence: i32, records: i32) -> BatchHeader {
        BatchHeader {
            base_offset: Offset::ZERO,
            batch_length: 100,
            partition_leader_epoch: LeaderEpoch::ZERO,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::default(),
            last_offset_delta: records - 1,
            base_timestamp: Timestamp(1),
            max_timestamp: Timestamp(1),
            producer_id: ProducerId(9),
            producer_epoch: ProducerEpoch(epoch),
            base_sequence,
            record_count: records,
        }
    }

    /// What becomes of a batch with these sequences: `Ok(true)` for appended, `Ok(false)` for a duplicate.
    fn append(state: &mut ProducerState, end: &mut Offset, header: BatchHeader) -> Result<bool, AppendError> {
        match state.check([header].into_iter(), *end, AppendOrigin::Client)? {
            ProducerCheck::Duplicate(_) => Ok(false),
            ProducerCheck::Fresh => {
                state.add_batch(&header, *end);
                *end += i64::from(header.record_count);
                Ok(true)
            }
        }
    }

    fn expected_of(result: Result<bool, AppendError>) -> Option<i32> {
        match result {
            Err(AppendError::OutOfOrderSequence { expected, .. }) => Some(expected),
            _ => None,
        }
    }

    #[test]
    fn sequences_follow_each_other() {
        let (mut state, mut end) = (ProducerState::default(), Offset::ZERO);
        let mut send = |header| append(&mut state, &mut end, header);
        assert_eq!(send(header(0, 0, 10)), Ok(true));
        assert_eq!(send(header(0, 10, 5)), Ok(true));
        assert_eq!(send(header(0, 10, 5)), Ok(false));
        assert_eq!(send(header(0, 0, 10)), Ok(false));
        assert_eq!(expected_of(send(header(0, 16, 1))), Some(15));
        assert_eq!(expected_of(send(header(0, 10, 4))), Some(15));
        assert_eq!(send(header(0, 15, 1)), Ok(true));
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
        let (mut state, mut end) = (ProducerState::default(), Offset::ZERO);
        let mut send = |header| append(&mut state, &mut end, header);
        assert_eq!(send(header(3, 7, 1)), Ok(true), "an unknown producer may start anywhere");
        assert_eq!(expected_of(send(header(4, 8, 1))), Some(0));
        assert_eq!(send(header(4, 0, 1)), Ok(true));
        let fenced = send(header(3, 8, 1));
        assert!(matches!(fenced, Err(AppendError::InvalidProducerEpoch { .. })), "{fenced:?}");
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let (mut state, mut end) = (ProducerState::default(), Offset::ZERO);
        let mut send = |header| append(&mut state, &mut end, header);
        assert_eq!(send(header(0, i32::MAX - 1, 2)), Ok(true));
        assert_eq!(send(header(0, 0, 3)), Ok(true));
        assert_eq!(send(header(0, i32::MAX - 1, 2)), Ok(false));
        assert_eq!(send(header(0, 3, 1)), Ok(true));
    }

    #[test]
    fn batches_of_one_append_follow_each_other_too() {
        let state = ProducerState::default();
        let check =
            |headers: [BatchHeader; 2]| state.check(headers.into_iter(), Offset::ZERO, AppendOrigin::Client);
        assert_eq!(check([header(0, 0, 2), header(0, 2, 1)]), Ok(ProducerCheck::Fresh));
        assert!(check([header(0, 0, 2), header(0, 3, 1)]).is_err());
    }

    #[test]
    fn idle_producers_expire() {
        let (mut state, mut end) = (ProducerState::default(), Offset::ZERO);
        append(&mut state, &mut end, header(0, 0, 1)).unwrap();
        state.expire(Timestamp(100), 100);
        assert_eq!(state.producer_ids(), [ProducerId(9)]);
        state.expire(Timestamp(101), 100);
        assert!(state.producer_ids().is_empty());
    }
}
