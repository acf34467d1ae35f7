//! What one event of a coordinator works with: the time, the limits, the timers, and where decisions go.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::config::GroupConfig;
use super::events::{Output, Response, Token};
use super::records::{EncodedRecord, GroupRecord};
use super::timers::{Timer, Timers};
use crate::metadata::MetadataImage;
use crate::types::{Offset, Prng, Timestamp, Uuid};

/// What an event finds: the time on both clocks, and the cluster's topics. Deadlines are on the monotonic
/// clock, records carry the other.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The monotonic clock.
    pub monotonic: Instant,
    /// The wall clock.
    pub wall: Timestamp,
    /// The committed metadata.
    pub image: &'a MetadataImage,
}

/// A batch that no configuration lets the log take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchTooLarge;

/// Decisions that the driver has not taken yet.
#[derive(Debug)]
pub(super) struct Outbox {
    outputs: VecDeque<Output>,
    /// Appended by the event at hand and not yet replayed.
    unreplayed: Vec<(Offset, GroupRecord)>,
    /// Groups that go on when what they appended is committed, with its exclusive end, in the order of it. As
    /// many at most as there are requests under way.
    uncommitted: VecDeque<(Offset, String)>,
    /// The offset that the next record gets.
    end_offset: Offset,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            outputs: VecDeque::new(),
            unreplayed: Vec::new(),
            uncommitted: VecDeque::new(),
            end_offset: Offset::ZERO,
        }
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Moves the end on for records that came from the log.
    pub(super) fn advance_to(&mut self, end: Offset) {
        assert!(self.end_offset <= end, "offsets of {end} follow {}", self.end_offset);
        self.end_offset = end;
    }

    pub(super) fn take_unreplayed(&mut self) -> Vec<(Offset, GroupRecord)> {
        std::mem::take(&mut self.unreplayed)
    }

    /// The next group that needs no more than `end` to be committed.
    pub(super) fn take_committed(&mut self, end: Offset) -> Option<String> {
        let is_committed = self.uncommitted.front().is_some_and(|(after, _)| *after <= end);
        if is_committed { self.uncommitted.pop_front().map(|(_, group_id)| group_id) } else { None }
    }
}

/// The surroundings of one event.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) now: Moment<'a>,
    pub(super) config: &'a GroupConfig,
    pub(super) timers: &'a mut Timers,
    pub(super) prng: &'a mut Prng,
    pub(super) outbox: &'a mut Outbox,
}

impl Context<'_> {
    /// Answers a request once everything appended so far is committed. Whatever an answer says follows from
    /// nothing later, as in Kafka's coordinator runtime, which holds back reads and heartbeats just the same.
    pub(super) fn reply(&mut self, token: Token, response: Response) {
        self.reply_after(self.outbox.end_offset, token, response);
    }

    /// Answers a request once everything before `after` is committed, which is all that the answer says.
    pub(super) fn reply_after(&mut self, after: Offset, token: Token, response: Response) {
        self.outbox.outputs.push_back(Output::Reply { token, after, response });
    }

    /// Has a group told when everything appended so far is committed; returns the end of that.
    pub(super) fn await_commit(&mut self, group_id: &str) -> Offset {
        let after = self.outbox.end_offset;
        self.outbox.uncommitted.push_back((after, group_id.to_owned()));
        after
    }

    /// Appends records as one batch: all of them or none.
    pub(super) fn append(&mut self, records: Vec<GroupRecord>) -> Result<(), BatchTooLarge> {
        let encoded: Vec<_> = records.iter().map(GroupRecord::encode).collect();
        let bytes: usize = encoded.iter().map(EncodedRecord::len_in_batch).sum();
        if self.config.batch_bytes_max < bytes {
            return Err(BatchTooLarge);
        }
        self.push_batch(records, encoded);
        Ok(())
    }

    /// Appends small records in as many batches as it takes.
    pub(super) fn append_split(&mut self, records: Vec<GroupRecord>) {
        let mut batch = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for record in records {
            let encoded = record.encode();
            let len = encoded.len_in_batch();
            if self.config.batch_bytes_max < bytes + len && bytes != 0 {
                let (records, encoded) = std::mem::take(&mut batch);
                self.push_batch(records, encoded);
                bytes = 0;
            }
            bytes += len;
            batch.0.push(record);
            batch.1.push(encoded);
        }
        self.push_batch(batch.0, batch.1);
    }

    fn push_batch(&mut self, records: Vec<GroupRecord>, encoded: Vec<EncodedRecord>) {
        if records.is_empty() {
            return;
        }
        let outbox = &mut *self.outbox;
        let first_offset = outbox.end_offset;
        for record in records {
            outbox.unreplayed.push((outbox.end_offset, record));
            outbox.end_offset += 1;
        }
        let timestamp = self.now.wall;
        outbox.outputs.push_back(Output::Append { first_offset, timestamp, records: encoded });
    }

    /// A new member id in Kafka's form (`Uuid.randomUuid`).
    pub(super) fn new_uuid(&mut self) -> String {
        loop {
            let bits = u128::from(self.prng.next_u64()) << 64 | u128::from(self.prng.next_u64());
            if let Some(id) = Uuid::from_random(bits) {
                return id.to_string();
            }
        }
    }

    /// Sets a timer to `delay` from now; an earlier setting is forgotten.
    pub(super) fn schedule(&mut self, timer: Timer, delay: Duration) {
        self.timers.schedule(timer, self.now.monotonic + delay);
    }
}
