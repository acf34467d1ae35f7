//! Limits and times of consumer groups, and how a group overrides them.

use std::time::Duration;

use super::assignor::Assignor;
use crate::metadata::{ConfigResource, MetadataImage};

/// Which ways a group may change between the protocols while it has members (KIP-848).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Both ways.
    Bidirectional,
    /// From classic to consumer.
    Upgrade,
    /// From consumer to classic.
    Downgrade,
    /// Neither.
    Disabled,
}

impl MigrationPolicy {
    /// Reads `group.consumer.migration.policy`; case does not matter.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "bidirectional" => Self::Bidirectional,
            "upgrade" => Self::Upgrade,
            "downgrade" => Self::Downgrade,
            "disabled" => Self::Disabled,
            _ => return None,
        })
    }

    pub(super) fn allows_upgrade(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    pub(super) fn allows_downgrade(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

/// A time with the range in which a group may choose its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundedMs {
    /// For groups without one of their own.
    pub default: i32,
    /// The least.
    pub min: i32,
    /// The greatest.
    pub max: i32,
}

/// Configuration of the consumer groups of one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupConfig {
    /// `group.consumer.session.timeout.ms`: silence after which a member is out.
    pub session_timeout: BoundedMs,
    /// `group.consumer.heartbeat.interval.ms`: how often a member reports.
    pub heartbeat_interval: BoundedMs,
    /// `group.consumer.assignment.interval.ms`: the least time between two targets (KIP-1263).
    pub assignment_interval: BoundedMs,
    /// `group.consumer.max.size`
    pub size_max: usize,
    /// `group.consumer.assignors`: the first is for groups whose members ask for none.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`
    pub migration_policy: MigrationPolicy,
}

impl Default for ConsumerGroupConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            session_timeout: BoundedMs { default: 45_000, min: 45_000, max: 60_000 },
            heartbeat_interval: BoundedMs { default: 5_000, min: 5_000, max: 15_000 },
            assignment_interval: BoundedMs { default: 1_000, min: 0, max: 15_000 },
            size_max: i32::MAX as usize,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            migration_policy: MigrationPolicy::Bidirectional,
        }
    }
}

/// The times of one group: its own where it has set them (`GroupConfig`), the broker's otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupTimes<'a> {
    config: &'a ConsumerGroupConfig,
    image: &'a MetadataImage,
    group_id: &'a str,
}

impl<'a> GroupTimes<'a> {
    pub(super) fn new(config: &'a ConsumerGroupConfig, image: &'a MetadataImage, group_id: &'a str) -> Self {
        Self { config, image, group_id }
    }

    pub(super) fn session_timeout(self) -> Duration {
        let timeout_ms = self.effective("consumer.session.timeout.ms", self.config.session_timeout);
        Duration::from_millis(timeout_ms.unsigned_abs().into())
    }

    pub(super) fn heartbeat_interval_ms(self) -> i32 {
        self.effective("consumer.heartbeat.interval.ms", self.config.heartbeat_interval)
    }

    pub(super) fn assignment_interval_ms(self) -> i32 {
        self.effective("consumer.assignment.interval.ms", self.config.assignment_interval)
    }

    /// A group's own value may be from before the range was narrowed: it counts as the nearest that is
    /// allowed.
    fn effective(self, key: &str, bounds: BoundedMs) -> i32 {
        let configs = self.image.configs(&ConfigResource::group(self.group_id));
        let own = configs.and_then(|configs| configs.get(key)).and_then(|value| value.parse::<i32>().ok());
        own.map_or(bounds.default, |own| own.max(bounds.min).min(bounds.max))
    }
}
