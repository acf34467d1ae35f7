//! What a topic's configuration means for its log and for the validation of its batches.

use std::time::Duration;

use crate::config::{self, CompressionType, MessageTimestampType, TopicConfig};
use crate::log::{AcksDurability, CleanupPolicy, LogConfig};
use crate::record::batch::TimestampType;
use crate::record::compression::Codec;
use crate::record::validate::{BatchRules, CrcCheck, TargetCompression};

/// A topic's configuration, as its partitions need it.
#[derive(Debug, Clone)]
pub(super) struct TopicSettings {
    /// For the log.
    pub(super) log: LogConfig,
    /// For the validation of producers' batches.
    pub(super) rules: BatchRules,
}

impl TopicSettings {
    /// The settings of a topic; producers are broker-wide.
    pub(super) fn new(topic: &TopicConfig, producer_id_expiration: Duration) -> Self {
        Self { log: log_config(topic, producer_id_expiration), rules: batch_rules(topic) }
    }
}

fn log_config(topic: &TopicConfig, producer_id_expiration: Duration) -> LogConfig {
    LogConfig {
        segment_bytes: topic.segment_bytes,
        segment_ms: topic.segment_ms,
        segment_jitter_ms: topic.segment_jitter_ms,
        segment_index_bytes: topic.segment_index_bytes,
        index_interval_bytes: topic.index_interval_bytes,
        flush_messages: topic.flush_messages,
        flush_ms: topic.flush_ms,
        retention_bytes: topic.retention_bytes,
        retention_ms: topic.retention_ms,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        max_message_bytes: topic.max_message_bytes,
        message_timestamp_type: timestamp_type(topic.message_timestamp_type),
        message_timestamp_before_max_ms: topic.message_timestamp_before_max_ms,
        message_timestamp_after_max_ms: topic.message_timestamp_after_max_ms,
        cleanup_policy: CleanupPolicy { delete: topic.cleanup_delete, compact: topic.cleanup_compact },
        delete_retention_ms: topic.delete_retention_ms,
        min_compaction_lag_ms: topic.min_compaction_lag_ms,
        max_compaction_lag_ms: topic.max_compaction_lag_ms,
        min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio,
        compression: target_compression(topic.compression_type),
        producer_id_expiration_ms: i64::try_from(producer_id_expiration.as_millis()).unwrap_or(i64::MAX),
        durability: match topic.acks_durability {
            config::AcksDurability::Synced => AcksDurability::Synced,
            config::AcksDurability::Written => AcksDurability::Written,
        },
    }
}

fn batch_rules(topic: &TopicConfig) -> BatchRules {
    BatchRules {
        batch_bytes_max: topic.max_message_bytes as usize,
        timestamp_type: timestamp_type(topic.message_timestamp_type),
        timestamp_before_max_ms: topic.message_timestamp_before_max_ms,
        timestamp_after_max_ms: topic.message_timestamp_after_max_ms,
        requires_keys: topic.cleanup_compact,
        compression: target_compression(topic.compression_type),
        allows_zstd: true,
        crc_check: CrcCheck::Here,
    }
}

fn timestamp_type(of_topic: MessageTimestampType) -> TimestampType {
    match of_topic {
        MessageTimestampType::CreateTime => TimestampType::CreateTime,
        MessageTimestampType::LogAppendTime => TimestampType::LogAppendTime,
    }
}

fn target_compression(of_topic: CompressionType) -> TargetCompression {
    let (codec, level) = match of_topic {
        CompressionType::Producer => return TargetCompression::Producer,
        CompressionType::Uncompressed => (Codec::None, 0),
        CompressionType::Gzip { level } => (Codec::Gzip, level),
        CompressionType::Snappy => (Codec::Snappy, 0),
        CompressionType::Lz4 { level } => (Codec::Lz4, level),
        CompressionType::Zstd { level } => (Codec::Zstd, level),
    };
    TargetCompression::Codec { codec, level }
}
