//! Reading: batches from the tail buffers, the cache or the disk, without a copy.

use bytes::Bytes;

use crate::types::{LeaderEpoch, Offset, Timestamp};

/// Batches of one segment, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOutcome {
    /// The bytes in order. The first byte is the first of a batch: the one that holds the offset asked
    /// for, which may start before it. The last batch may be cut short, as in Kafka.
    pub chunks: Vec<Bytes>,
    /// Bytes in all chunks.
    pub bytes: usize,
    /// The first batch is larger than the bytes asked for and was not to be exceeded; nothing was read.
    pub first_batch_too_large: bool,
}

/// A record found by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// The record's offset.
    pub offset: Offset,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}
