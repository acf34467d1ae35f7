//! What compaction knows of transactions while it walks over a log (`CleanedTransactionMetadata`).
//!
//! Records of aborted transactions go. A marker stays for as long as records of its transaction may be left,
//! and then until its delete horizon.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::log::txn_index::AbortedTxn;
use crate::record::batch::BatchHeader;
use crate::types::{Offset, ProducerId};

/// What a control batch says, as far as compaction has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Abort,
    Commit,
    /// A leader change, or another control record that is not a transaction's.
    Other,
    /// An earlier compaction emptied the batch.
    Empty,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct TransactionTracker {
    /// Those that begin behind the walk, by their first offset.
    ahead: BinaryHeap<Reverse<(Offset, ProducerId, AbortedKey)>>,
    aborted: HashMap<ProducerId, OngoingAborted>,
    committed: HashSet<ProducerId>,
    /// Aborted transactions of which batches were seen: what the index of the cleaned segment lists.
    retained: Vec<AbortedTxn>,
}

/// The other fields of an [`AbortedTxn`]: last offset, last stable offset.
type AbortedKey = (Offset, Offset);

#[derive(Debug)]
struct OngoingAborted {
    transaction: AbortedTxn,
    has_batches: bool,
}

impl TransactionTracker {
    /// Adds the aborted transactions of the next part of the log.
    pub(super) fn add_aborted(&mut self, transactions: impl IntoIterator<Item = AbortedTxn>) {
        self.ahead.extend(transactions.into_iter().map(|aborted| {
            let rest = (aborted.last_offset, aborted.last_stable_offset);
            Reverse((aborted.first_offset, aborted.producer_id, rest))
        }));
    }

    /// Walks over a data batch; whether it is part of an aborted transaction.
    pub(super) fn see_data(&mut self, header: &BatchHeader) -> bool {
        self.begin_aborted_upto(header.last_offset());
        if !header.attributes.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some(ongoing) => {
                ongoing.has_batches = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// Walks over a control batch; whether nothing is left of what it ends, so that it may go.
    pub(super) fn see_control(&mut self, header: &BatchHeader, control: Control) -> bool {
        self.begin_aborted_upto(header.last_offset());
        match control {
            Control::Abort => match self.aborted.remove(&header.producer_id) {
                Some(ongoing) if ongoing.has_batches => {
                    self.retained.push(ongoing.transaction);
                    false
                }
                _ => true,
            },
            Control::Commit => !self.committed.remove(&header.producer_id),
            Control::Other => false,
            Control::Empty => true,
        }
    }

    /// The aborted transactions whose batches were still there, since the last call.
    pub(super) fn take_retained(&mut self) -> Vec<AbortedTxn> {
        std::mem::take(&mut self.retained)
    }

    fn begin_aborted_upto(&mut self, offset: Offset) {
        while self.ahead.peek().is_some_and(|Reverse((first, ..))| *first <= offset) {
            let Some(Reverse((first_offset, producer_id, rest))) = self.ahead.pop() else { return };
            let (last_offset, last_stable_offset) = rest;
            let transaction = AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset };
            let ongoing = OngoingAborted { transaction, has_batches: false };
            self.aborted.entry(producer_id).or_insert(ongoing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::builder::{BatchBuilder, BatchFields};
    use crate::types::{ProducerEpoch, Timestamp};

    fn header(offset: i64, producer: i64, is_transactional: bool) -> BatchHeader {
        let fields = BatchFields {
            base_offset: Offset(offset),
            producer_id: ProducerId(producer),
            producer_epoch: ProducerEpoch(0),
            base_sequence: 0,
            is_transactional,
            ..BatchFields::default()
        };
        let mut builder = BatchBuilder::new(fields);
        builder.append(Timestamp(1), Some(b"k"), None, &[]);
        BatchHeader::decode(&builder.build()).unwrap()
    }

    fn aborted(producer: i64, first: i64, last: i64) -> AbortedTxn {
        AbortedTxn {
            producer_id: ProducerId(producer),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(first),
        }
    }

    #[test]
    fn aborted_records_go_and_their_marker_after_them() {
        let mut tracker = TransactionTracker::default();
        tracker.add_aborted([aborted(1, 10, 14), aborted(1, 2, 4), aborted(2, 6, 7)]);
        assert!(!tracker.see_data(&header(1, 1, false)), "not transactional");
        assert!(tracker.see_data(&header(3, 1, true)));
        assert!(!tracker.see_control(&header(4, 1, true), Control::Abort), "records were there");
        assert_eq!(tracker.take_retained(), [aborted(1, 2, 4)]);
        assert!(tracker.see_control(&header(7, 2, true), Control::Abort), "nothing is left");
        assert_eq!(tracker.take_retained(), []);
        assert!(!tracker.see_data(&header(8, 1, true)), "the next transaction commits");
        assert!(!tracker.see_control(&header(9, 1, true), Control::Commit));
        assert!(tracker.see_data(&header(11, 1, true)));
    }

    #[test]
    fn markers_without_records_may_go_and_others_stay() {
        let mut tracker = TransactionTracker::default();
        assert!(tracker.see_control(&header(1, 1, true), Control::Commit));
        assert!(tracker.see_control(&header(2, 1, true), Control::Empty));
        assert!(!tracker.see_control(&header(3, -1, false), Control::Other));
        tracker.see_data(&header(4, 1, true));
        assert!(!tracker.see_control(&header(5, 1, true), Control::Commit));
        assert!(tracker.see_control(&header(6, 1, true), Control::Commit), "the one before was ended");
    }
}
