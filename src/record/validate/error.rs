//! Why a leader refuses a batch.

use crate::record::RecordError;
use crate::types::{ErrorCode, Timestamp};

/// Record errors reported for one batch.
///
/// Differs from Kafka, which reports every one: a megabyte of empty records would be answered with
/// a hundred times as much.
pub const RECORD_ERRORS_MAX: usize = 100;

/// One refused record, as ProduceResponse v8 reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFault {
    /// The record's index in its batch, from zero.
    pub index: i32,
    /// What is wrong with it, for the client's log.
    pub message: String,
}

/// Why a leader refuses a batch. One answer of Kafka each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// The bytes are not a batch, or the records inside are not what the header says.
    #[error(transparent)]
    Malformed(#[from] RecordError),
    /// There are no bytes.
    #[error("a partition's records hold no batch")]
    NoBatch,
    /// There are bytes behind the batch.
    #[error("a partition's records hold {found} bytes, the first batch is {expected} long")]
    MoreThanOneBatch {
        /// Bytes of the first batch.
        expected: usize,
        /// Bytes of all.
        found: usize,
    },
    /// `max.message.bytes`, before or after recompression.
    #[error("the batch has {found} bytes, at most {max} are allowed")]
    TooLarge {
        /// The bound in bytes.
        max: usize,
        /// Bytes of the batch.
        found: usize,
    },
    /// Clients do not assign offsets.
    #[error("the base offset is {found}, expected 0")]
    BaseOffset {
        /// The base offset.
        found: i64,
    },
    /// The header contradicts itself.
    #[error("the batch has {record_count} records and a last offset delta of {last_offset_delta}")]
    OffsetRange {
        /// The count field.
        record_count: i32,
        /// The delta field.
        last_offset_delta: i32,
    },
    /// Clients do not write control records.
    #[error("clients may not write control records")]
    ControlBatch,
    /// An idempotent batch without a sequence number.
    #[error("producer {producer_id} sent base sequence {base_sequence}")]
    BaseSequence {
        /// The producer.
        producer_id: i64,
        /// The sequence, below zero.
        base_sequence: i32,
    },
    /// zstd in a request of a version that cannot have it (KIP-110).
    #[error("zstd needs a later version of the request")]
    ZstdNotAllowed,
    /// Records of a compacted topic without a key.
    #[error("{} records without a key in a compacted topic, the first with index {}", .0.len(), first(.0))]
    KeyMissing(Vec<RecordFault>),
    /// Records whose time the topic does not allow, perhaps besides others without a key.
    #[error("{} records with a timestamp out of range, the first with index {}", .0.len(), first(.0))]
    InvalidTimestamp(Vec<RecordFault>),
}

impl InvalidBatch {
    /// The answer to the producer.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::Malformed(error) => malformed_code(error),
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::ZstdNotAllowed => ErrorCode::UnsupportedCompressionType,
            Self::InvalidTimestamp(_) => ErrorCode::InvalidTimestamp,
            Self::NoBatch
            | Self::MoreThanOneBatch { .. }
            | Self::BaseOffset { .. }
            | Self::OffsetRange { .. }
            | Self::ControlBatch
            | Self::BaseSequence { .. }
            | Self::KeyMissing(_) => ErrorCode::InvalidRecord,
        }
    }

    /// The records to blame, at most [`RECORD_ERRORS_MAX`]; empty when it is the batch.
    pub fn record_errors(&self) -> &[RecordFault] {
        match self {
            Self::KeyMissing(faults) | Self::InvalidTimestamp(faults) => faults,
            _ => &[],
        }
    }
}

/// `CORRUPT_MESSAGE` makes a client send again, so it is the answer only where the bytes changed on
/// their way.
fn malformed_code(error: &RecordError) -> ErrorCode {
    match error {
        RecordError::CrcMismatch { .. } | RecordError::InvalidLength { .. } => ErrorCode::CorruptMessage,
        RecordError::UnsupportedMagic { found } => match found {
            0 | 1 => ErrorCode::InvalidRecord,
            _ => ErrorCode::CorruptMessage,
        },
        RecordError::UnknownCodec { .. } => ErrorCode::UnsupportedCompressionType,
        RecordError::DecompressedTooLarge { .. } => ErrorCode::MessageTooLarge,
        RecordError::Truncated { .. }
        | RecordError::Compression { .. }
        | RecordError::MalformedRecord { .. }
        | RecordError::CountMismatch { .. } => ErrorCode::InvalidRecord,
    }
}

fn first(faults: &[RecordFault]) -> i32 {
    faults.first().map_or(-1, |fault| fault.index)
}

/// Gathers the faults of a batch's records.
#[derive(Debug, Default)]
pub(super) struct RecordFaults {
    faults: Vec<RecordFault>,
    has_invalid_timestamp: bool,
}

impl RecordFaults {
    pub(super) fn push_key_missing(&mut self, index: i32) {
        self.push(index, || "a compacted topic takes no record without a key".to_owned());
    }

    pub(super) fn push_timestamp(&mut self, index: i32, timestamp: Timestamp, range: (Timestamp, Timestamp)) {
        self.has_invalid_timestamp = true;
        let (lowest, highest) = range;
        self.push(index, || format!("timestamp {timestamp} is outside of {lowest} to {highest}"));
    }

    pub(super) fn push_append_time(&mut self, index: i32) {
        self.has_invalid_timestamp = true;
        self.push(index, || "a producer may not set the timestamp type LogAppendTime".to_owned());
    }

    fn push(&mut self, index: i32, message: impl FnOnce() -> String) {
        if self.faults.len() < RECORD_ERRORS_MAX {
            self.faults.push(RecordFault { index, message: message() });
        }
    }

    /// `LogValidator.processRecordErrors`: one wrong timestamp decides the code for all.
    pub(super) fn into_result(self) -> Result<(), InvalidBatch> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(match self.has_invalid_timestamp {
            true => InvalidBatch::InvalidTimestamp(self.faults),
            false => InvalidBatch::KeyMissing(self.faults),
        })
    }
}
