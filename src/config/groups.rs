//! The configuration of the group coordinators.

use std::time::Duration;

use super::settings::Settings;

/// Limits and times of groups, and the topic that holds them.
#[derive(Debug, Clone)]
pub struct GroupsConfig {
    /// `group.min.session.timeout.ms`
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay: Duration,
    /// `group.max.size`
    pub size_max: usize,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval: Duration,
    /// `offsets.commit.timeout.ms`
    pub commit_timeout: Duration,
    /// `__consumer_offsets`
    pub offsets_topic: OffsetsTopicConfig,
}

/// What `__consumer_offsets` is created with, and how it is written.
#[derive(Debug, Clone)]
pub struct OffsetsTopicConfig {
    /// `offsets.topic.num.partitions`
    pub partitions: i32,
    /// `offsets.topic.replication.factor`; `None` when nobody has set it.
    pub replication_factor: Option<i16>,
    /// `offsets.topic.segment.bytes`
    pub segment_bytes: i64,
    /// `offsets.topic.compression.codec`, by Kafka's number.
    pub codec: u8,
    /// `message.max.bytes`
    pub batch_bytes_max: usize,
}

impl GroupsConfig {
    pub(super) fn of(settings: &Settings) -> Self {
        let int = |name| i32::try_from(settings.integer(name)).expect("an INT");
        let millis = |name| Duration::from_millis(u64::try_from(settings.integer(name)).unwrap_or(0));
        let count = |name| usize::try_from(settings.integer(name)).unwrap_or(0);
        let replication_factor = "offsets.topic.replication.factor";
        Self {
            session_timeout_min_ms: int("group.min.session.timeout.ms"),
            session_timeout_max_ms: int("group.max.session.timeout.ms"),
            initial_rebalance_delay: millis("group.initial.rebalance.delay.ms"),
            size_max: count("group.max.size"),
            offset_metadata_bytes_max: count("offset.metadata.max.bytes"),
            offsets_retention_ms: settings.integer("offsets.retention.minutes").saturating_mul(60_000),
            offsets_retention_check_interval: millis("offsets.retention.check.interval.ms"),
            commit_timeout: millis("offsets.commit.timeout.ms"),
            offsets_topic: OffsetsTopicConfig {
                partitions: int("offsets.topic.num.partitions"),
                replication_factor: settings
                    .is_set(replication_factor)
                    .then(|| i16::try_from(settings.integer(replication_factor)).expect("a SHORT")),
                segment_bytes: settings.integer("offsets.topic.segment.bytes"),
                codec: u8::try_from(settings.integer("offsets.topic.compression.codec")).expect("bounded"),
                batch_bytes_max: settings.size("message.max.bytes"),
            },
        }
    }
}
