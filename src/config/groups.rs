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
    /// `corelog.group.lag.interval.ms`; `None` for never.
    pub lag_interval: Option<Duration>,
    /// Groups of the consumer protocol (KIP-848).
    pub consumer: ConsumerGroupsConfig,
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
}

/// Groups of the consumer protocol. Times are in milliseconds: for groups without one of their own, the
/// least and the greatest of those.
#[derive(Debug, Clone)]
pub struct ConsumerGroupsConfig {
    /// Whether `group.coordinator.rebalance.protocols` has `consumer`.
    pub is_enabled: bool,
    /// `group.consumer.session.timeout.ms`
    pub session_timeout_ms: [i32; 3],
    /// `group.consumer.heartbeat.interval.ms`
    pub heartbeat_interval_ms: [i32; 3],
    /// `group.consumer.assignment.interval.ms`
    pub assignment_interval_ms: [i32; 3],
    /// `group.consumer.max.size`
    pub size_max: usize,
    /// `group.consumer.assignors`, as Kafka's names.
    pub assignors: Vec<String>,
    /// `group.consumer.migration.policy`
    pub migration_policy: String,
}

impl ConsumerGroupsConfig {
    fn of(settings: &Settings) -> Self {
        let int = |name: &str| i32::try_from(settings.integer(name)).expect("an INT");
        let list = |name| settings.list(name).unwrap_or_default();
        let bounded = |name: &str| {
            let key = |bound: &str| format!("group.consumer.{bound}{name}");
            [int(&key("")), int(&key("min.")), int(&key("max."))]
        };
        Self {
            is_enabled: list("group.coordinator.rebalance.protocols").iter().any(|name| name == "consumer"),
            session_timeout_ms: bounded("session.timeout.ms"),
            heartbeat_interval_ms: bounded("heartbeat.interval.ms"),
            assignment_interval_ms: bounded("assignment.interval.ms"),
            size_max: usize::try_from(settings.integer("group.consumer.max.size")).unwrap_or(0),
            assignors: list("group.consumer.assignors"),
            migration_policy: settings.text("group.consumer.migration.policy").unwrap_or_default().to_owned(),
        }
    }
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
            lag_interval: Some(millis("corelog.group.lag.interval.ms"))
                .filter(|interval| !interval.is_zero()),
            consumer: ConsumerGroupsConfig::of(settings),
            offsets_topic: OffsetsTopicConfig {
                partitions: int("offsets.topic.num.partitions"),
                replication_factor: settings
                    .is_set(replication_factor)
                    .then(|| i16::try_from(settings.integer(replication_factor)).expect("a SHORT")),
                segment_bytes: settings.integer("offsets.topic.segment.bytes"),
                codec: u8::try_from(settings.integer("offsets.topic.compression.codec")).expect("bounded"),
            },
        }
    }
}
