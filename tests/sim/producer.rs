//! A producer that outlives the broker's crashes: it retries until it is answered.

use std::collections::VecDeque;

use corelog::log::{AppendContext, AppendError, AppendInfo, AppendOrigin, BatchToAppend, Log};
use corelog::record::batch::BatchHeader;
use corelog::record::builder::BatchFields;
use corelog::types::{LeaderEpoch, Prng, ProducerEpoch, ProducerId, Timestamp};

use super::model::{Acks, BatchId, Compaction, Content, Model};
use super::sabotage::{Sabotage, SabotagedDisk};

/// Requests an idempotent producer may have in flight.
const WINDOW: usize = 5;

/// See the module.
pub(crate) struct Producer {
    index: usize,
    acks: Acks,
    is_idempotent: bool,
    producer_id: ProducerId,
    next_sequence: i32,
    next_number: u64,
    pending: VecDeque<Pending>,
    prng: Prng,
    /// The last batch of a producer whose records were lost with the machine may be refused.
    may_be_refused: bool,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    content: Content,
    base_sequence: i32,
    /// Where it went, once it was sent to the broker that runs now.
    info: Option<AppendInfo>,
}

impl Producer {
    pub(crate) fn new(index: usize, acks: Acks, is_idempotent: bool, seed: u64) -> Self {
        Self {
            index,
            acks,
            is_idempotent,
            producer_id: ProducerId(100 + index as i64),
            next_sequence: 0,
            next_number: 0,
            pending: VecDeque::new(),
            prng: Prng::new(seed),
            may_be_refused: false,
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Whether every batch must be in the log once and in order.
    pub(crate) fn is_strict(&self) -> bool {
        self.is_idempotent && self.acks == Acks::All
    }

    /// Whether an answer depends on a sync that nothing staged asks for.
    pub(crate) fn waits_for_sync(&self) -> bool {
        self.acks == Acks::All && self.pending.iter().any(|pending| pending.info.is_some())
    }

    /// The broker is another one now: everything unanswered is sent again.
    pub(crate) fn reconnect(&mut self, lost_machine: bool) {
        self.pending.iter_mut().for_each(|pending| pending.info = None);
        self.may_be_refused |= lost_machine;
    }

    /// Sends, resends, or takes an answer.
    pub(crate) fn act(
        &mut self,
        log: &Log<SabotagedDisk>,
        model: &mut Model,
        now: Timestamp,
        sabotage: Sabotage,
    ) -> Result<(), String> {
        self.take_answers(log, model, sabotage);
        let unsent = self.pending.iter().position(|pending| pending.info.is_none());
        match unsent {
            Some(index) => self.send(index, log, now),
            None if self.is_idempotent && !self.pending.is_empty() && self.prng.chance(1, 8) => {
                // A retry whose first attempt did arrive.
                let index = self.prng.below(self.pending.len() as u64) as usize;
                self.send(index, log, now)
            }
            None if self.pending.len() < WINDOW && self.prng.chance(1, 3) => {
                self.draw(model, now);
                self.send(self.pending.len() - 1, log, now)
            }
            None => Ok(()),
        }
    }

    fn draw(&mut self, model: &mut Model, now: Timestamp) {
        let id = BatchId { producer: self.index, number: self.next_number };
        let content = Content::draw(id, &mut self.prng, now, model.compaction != Compaction::Never);
        model.send(content);
        self.pending.push_back(Pending { content, base_sequence: self.next_sequence, info: None });
        self.next_number += 1;
        self.next_sequence += content.records;
    }

    fn send(&mut self, index: usize, log: &Log<SabotagedDisk>, now: Timestamp) -> Result<(), String> {
        let Pending { content, base_sequence, info: before } = self.pending[index];
        let bytes = content.build(self.fields(base_sequence));
        let header = BatchHeader::decode(&bytes).expect("the builder writes headers");
        let batch = BatchToAppend { header, bytes: &bytes, append_time: None, is_crc_checked: false };
        let context = AppendContext { leader_epoch: LeaderEpoch(1), origin: AppendOrigin::Client, now };
        match log.append(&[batch], context) {
            Ok(info) => {
                if let Some(before) = before
                    && (before.base_offset != info.base_offset || !info.duplicate)
                {
                    return Err(format!("retry of {:?} at {before:?} went to {info:?}", content.id));
                }
                self.pending[index].info = Some(info);
                Ok(())
            }
            Err(AppendError::Offline { .. }) => Ok(()),
            Err(AppendError::OutOfOrderSequence { .. }) if self.may_be_refused && !self.is_strict() => {
                self.start_over();
                Ok(())
            }
            Err(error) => Err(format!("{:?}: {error}", content.id)),
        }
    }

    /// What an idempotent producer does that lost acknowledged records: a new id, the rest of its batches.
    fn start_over(&mut self) {
        self.producer_id = ProducerId(self.producer_id.0 + 1_000);
        self.next_sequence = 0;
        self.pending.clear();
        self.may_be_refused = false;
    }

    fn fields(&self, base_sequence: i32) -> BatchFields {
        if !self.is_idempotent {
            return BatchFields::default();
        }
        BatchFields {
            producer_id: self.producer_id,
            producer_epoch: ProducerEpoch(0),
            base_sequence,
            ..BatchFields::default()
        }
    }

    fn take_answers(&mut self, log: &Log<SabotagedDisk>, model: &mut Model, sabotage: Sabotage) {
        let end = match self.acks {
            Acks::All if sabotage != Sabotage::AcknowledgeBeforeSync => log.synced_end_offset(),
            Acks::All | Acks::One => log.written_end_offset(),
        };
        while let Some(Pending { content, info: Some(info), .. }) = self.pending.front()
            && info.last_offset < end
        {
            model.acknowledge(content.id, self.acks, *info);
            self.pending.pop_front();
        }
    }
}
