//! The one place where failures become Kafka's error codes.

use crate::shard::{ControlError, PartitionError};
use crate::types::ErrorCode;

/// The code of a partition's failure, as Kafka answers it.
pub(super) fn partition_error_code(error: &PartitionError) -> ErrorCode {
    match error {
        PartitionError::NotLeader => ErrorCode::NotLeaderOrFollower,
        PartitionError::FencedEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        PartitionError::UnknownEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        PartitionError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        PartitionError::Invalid(invalid) => invalid.error_code(),
        PartitionError::Producer { error, .. } => *error,
        PartitionError::Corrupt(_) => ErrorCode::CorruptMessage,
        PartitionError::Storage(_) => ErrorCode::KafkaStorageError,
        PartitionError::TimedOut => ErrorCode::RequestTimedOut,
        PartitionError::Policy(_) => ErrorCode::PolicyViolation,
        PartitionError::Unsupported(_) => ErrorCode::UnsupportedVersion,
    }
}

/// The code of a request that control did not decide on.
pub(super) fn control_error_code(error: &ControlError) -> ErrorCode {
    match error {
        // Retriable, and what Kafka's clients expect of a broker on its way out.
        ControlError::Stopping => ErrorCode::BrokerNotAvailable,
    }
}
