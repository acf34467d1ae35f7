//! Appending: offsets, sequence checks, roll decisions, and one copy into the tail buffer.

use crate::record::batch::BatchHeader;
use crate::record::validate::Validated;
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// One whole batch to append. Its base offset and leader epoch are overwritten in the copy.
#[derive(Debug, Clone, Copy)]
pub struct BatchToAppend<'a> {
    /// The header of `bytes`.
    pub header: BatchHeader,
    /// The batch.
    pub bytes: &'a [u8],
    /// The leader's time to set on the copy (`message.timestamp.type=LogAppendTime`).
    pub append_time: Option<Timestamp>,
    /// Whether the bytes are known to match the header's CRC. If not, it is checked during the copy.
    pub is_crc_checked: bool,
}

impl<'a> BatchToAppend<'a> {
    /// A batch that passed validation; `input` is what was validated.
    pub fn new(validated: &'a Validated, input: &'a [u8]) -> Self {
        Self {
            header: validated.header,
            bytes: validated.batch(input),
            append_time: validated.append_time,
            is_crc_checked: validated.is_crc_checked,
        }
    }
}

/// Who appends; decides which producer checks apply (`AppendOrigin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: duplicates, sequences and epochs are checked.
    Client,
    /// A coordinator or the controller: epochs are checked.
    Coordinator,
}

/// What holds for all batches of one append.
#[derive(Debug, Clone, Copy)]
pub struct AppendContext {
    /// The leader epoch stored in the batches.
    pub leader_epoch: LeaderEpoch,
    /// Who appends.
    pub origin: AppendOrigin,
    /// The time by which segments age.
    pub now: Timestamp,
}

/// Where an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset of the last record. The append is acknowledged once the end the acknowledgement waits
    /// for is greater.
    pub last_offset: Offset,
    /// The leader's time of the records, -1 where they keep the producer's.
    pub log_append_time: Timestamp,
    /// The log's first offset.
    pub log_start_offset: Offset,
    /// Nothing was appended: the producer sent this batch before, and the offsets are those it got then.
    pub duplicate: bool,
}
