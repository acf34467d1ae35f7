//! The errors of the log, one enum per question a caller asks.

use std::path::PathBuf;

use crate::disk::DiskError;
use crate::record::RecordError;
use crate::types::{Offset, ProducerEpoch, ProducerId};

use super::long_work::NoThread;

/// Why a log, or its directory, cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The disk refused an operation.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An earlier write or sync failed: nothing is written any more, reads go on.
    #[error("the log is offline: {cause}")]
    Offline {
        /// The first failure.
        cause: String,
    },
    /// A file of the log is not what it should be.
    #[error("{}: {reason} at position {position}", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Bytes from its start.
        position: u64,
        /// What was expected and what is there.
        reason: String,
    },
}

/// Why an append was refused. Nothing of it was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// See [`LogError::Offline`].
    #[error("the log is offline: {cause}")]
    Offline {
        /// The first failure.
        cause: String,
    },
    /// The bytes are not those the producer sent.
    #[error("batch {index} is broken: {error}")]
    CorruptBatch {
        /// Which of the batches.
        index: usize,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The batches of one append go into one segment, and are larger than `segment.bytes`.
    #[error("{bytes} bytes in one append exceed segment.bytes={max}")]
    LargerThanSegment {
        /// Bytes of all batches.
        bytes: u64,
        /// `segment.bytes`
        max: u32,
    },
    /// A batch of this producer is missing before this one.
    #[error(
        "producer {producer_id} epoch {producer_epoch} sent sequence {found}, expected {expected} \
         (offset {offset})"
    )]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// Its incarnation.
        producer_epoch: ProducerEpoch,
        /// The sequence that would follow the last stored one.
        expected: i32,
        /// The batch's base sequence.
        found: i32,
        /// The offset the batch would have had.
        offset: Offset,
    },
    /// A later incarnation of this producer has written already.
    #[error("producer {producer_id} sent epoch {found}, last seen was {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The last epoch stored.
        current: ProducerEpoch,
        /// The batch's epoch.
        found: ProducerEpoch,
    },
    /// A batch outside of the transaction that is open for this producer.
    #[error("producer {producer_id} sent a batch that is not part of its open transaction")]
    InvalidTxnState {
        /// The producer.
        producer_id: ProducerId,
    },
    /// A transaction marker of a coordinator that was replaced.
    #[error("transaction marker of coordinator epoch {found}, last seen was {current}")]
    CoordinatorFenced {
        /// The last coordinator epoch stored.
        current: i32,
        /// The marker's.
        found: i32,
    },
}

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The offset is not in the log.
    #[error("offset {offset} is outside of {log_start_offset} to {log_end_offset}")]
    OutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The first offset of the log.
        log_start_offset: Offset,
        /// The offset that the next record gets.
        log_end_offset: Offset,
    },
    /// The bytes at this offset are known to be broken.
    #[error("{}: {reason} at position {position}", file.display())]
    Corrupt {
        /// The segment.
        file: PathBuf,
        /// Bytes from its start.
        position: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The log was deleted.
    #[error("the log is offline: {cause}")]
    Offline {
        /// Why.
        cause: String,
    },
    /// The disk refused the read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Batches could not be searched.
    #[error(transparent)]
    NoThread(#[from] NoThread),
    /// The segment was deleted or compacted meanwhile. The methods of the log start over; none returns it.
    #[error("the segment was replaced while it was read")]
    Replaced,
}

impl ReadError {
    /// The same of a read of a whole file, under maintenance: nothing is out of range, replaced,
    /// or searched.
    pub(super) fn into_log_error(self) -> LogError {
        match self {
            Self::Disk(error) => LogError::Disk(error),
            Self::Corrupt { file, position, reason } => LogError::Corrupt { file, position, reason },
            Self::Offline { cause } => LogError::Offline { cause },
            Self::OutOfRange { .. } | Self::NoThread(_) | Self::Replaced => {
                unreachable!("a read under maintenance: {self}")
            }
        }
    }
}

impl From<LogError> for ReadError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Disk(error) => Self::Disk(error),
            LogError::Corrupt { file, position, reason } => Self::Corrupt { file, position, reason },
            LogError::Offline { cause } => Self::Offline { cause },
        }
    }
}
