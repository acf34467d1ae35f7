//! What a topic's configuration means to its logs, typed. The shard maps configuration keys to this.

use crate::record::batch::TimestampType;
use crate::record::validate::TargetCompression;

/// What an acknowledgement waits for (`corelog.acks.durability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcksDurability {
    /// `acks=all` is answered after the bytes are on the device, `acks=1` after the completed write.
    Synced,
    /// Both are answered after the completed write, as Kafka does: the bytes survive the process.
    Written,
}

/// What becomes of old records (`cleanup.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Segments past `retention.ms` or `retention.bytes` are deleted.
    pub delete: bool,
    /// Only the last record of each key is kept.
    pub compact: bool,
}

/// A log's configuration. Sizes in bytes, times in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is rolled before it would grow beyond. At most `i32::MAX`.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment older than this is rolled.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: a segment is rolled up to this much earlier, so that not all roll at once.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: a segment whose index would grow beyond is rolled.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: log bytes between two index entries.
    pub index_interval_bytes: u32,
    /// `flush.messages`: unsynced records that force a sync; `i64::MAX` for never.
    pub flush_messages: i64,
    /// `flush.ms`: age of the oldest unsynced record that forces a sync; `i64::MAX` for never.
    pub flush_ms: i64,
    /// `retention.bytes`; `None` is unlimited.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; `None` is unlimited.
    pub retention_ms: Option<i64>,
    /// `file.delete.delay.ms`: how long a deleted segment's files stay, renamed.
    pub file_delete_delay_ms: i64,
    /// `max.message.bytes`: the largest batch a producer may send.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub message_timestamp_after_max_ms: i64,
    /// `cleanup.policy`
    pub cleanup_policy: CleanupPolicy,
    /// `delete.retention.ms`: how long tombstones and transaction markers outlive the first cleaning.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: the age a record reaches before it may be cleaned away.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: the age at which a record makes a cleaning due; `i64::MAX` for never.
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`: the part of the bytes, 0 to 1, that makes a cleaning due.
    pub min_cleanable_dirty_ratio: f64,
    /// `compression.type`
    pub compression: TargetCompression,
    /// `producer.id.expiration.ms`: idle producers are forgotten after this.
    pub producer_id_expiration_ms: i64,
    /// `corelog.acks.durability`
    pub durability: AcksDurability,
}

impl LogConfig {
    /// The age at which a segment is rolled (`LogConfig.maxSegmentMs`): a record that has to be cleaned by
    /// then must not be in the active segment.
    pub(super) fn segment_ms_max(&self) -> i64 {
        match self.cleanup_policy.compact && 0 < self.max_compaction_lag_ms {
            true => self.segment_ms.min(self.max_compaction_lag_ms),
            false => self.segment_ms,
        }
    }
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            retention_bytes: None,
            retention_ms: Some(7 * DAY_MS),
            file_delete_delay_ms: 60_000,
            max_message_bytes: (1 << 20) + 12,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 60 * 60 * 1_000,
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            compression: TargetCompression::Producer,
            producer_id_expiration_ms: DAY_MS,
            durability: AcksDurability::Synced,
        }
    }
}
