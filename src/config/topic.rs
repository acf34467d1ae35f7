//! The effective configuration of a topic: its overrides over the broker's keys over the defaults.

use std::collections::BTreeMap;

use super::key::{Key, Support, Value};
use super::keys;
use super::settings::Settings;
use super::source::ConfigSource;

/// Overrides of one topic, by key; every entry passed [`validate_topic_override`].
pub type TopicOverrides = BTreeMap<String, String>;

/// What an acknowledged produce has survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcksDurability {
    /// `acks=all` waits for the device, `acks=1` for the kernel.
    Synced,
    /// Both wait for the kernel, as with Kafka.
    Written,
}

/// Whose clock stamps records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageTimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

/// The codec that batches are stored with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// The one they came with.
    Producer,
    /// None.
    Uncompressed,
    /// gzip at a level of 1 to 9, or -1 for the codec's default.
    Gzip {
        /// The level.
        level: i32,
    },
    /// snappy.
    Snappy,
    /// lz4 at a level of 1 to 17.
    Lz4 {
        /// The level.
        level: i32,
    },
    /// zstd at a level of up to 22.
    Zstd {
        /// The level.
        level: i32,
    },
}

/// The effective configuration of a topic, typed. Limits that are turned off are `None`.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is the key of the same name, documented in the key table")]
pub struct TopicConfig {
    pub cleanup_compact: bool,
    pub cleanup_delete: bool,
    pub compression_type: CompressionType,
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub index_interval_bytes: u32,
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: u32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: MessageTimestampType,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: u32,
    pub preallocate: bool,
    pub retention_bytes: Option<u64>,
    pub retention_ms: Option<i64>,
    pub segment_bytes: u32,
    pub segment_index_bytes: u32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    pub unclean_leader_election_enable: bool,
    pub acks_durability: AcksDurability,
}

/// One effective value with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The topic's key.
    pub name: &'static str,
    /// The effective value; `None` is null.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
}

#[derive(Debug, Clone)]
struct TopicDefault {
    key: &'static Key,
    text: Option<String>,
    source: ConfigSource,
}

/// What a topic's keys are when the topic does not override them.
#[derive(Debug, Clone)]
pub struct TopicDefaults(Vec<TopicDefault>);

/// Checks one override as Kafka does; the error is the text of its `INVALID_CONFIG` answer.
pub fn validate_topic_override(name: &str, value: &str) -> Result<(), String> {
    let key = keys::topic_key(name).ok_or_else(|| format!("Unknown topic config name: {name}"))?;
    match key.support {
        Support::Refused(remedy) => Err(format!("Invalid value {value} for configuration {name}: {remedy}")),
        Support::Obeyed | Support::Inert(_) => key
            .check(value)
            .map(drop)
            .map_err(|bad| format!("Invalid value {value} for configuration {name}: {bad}")),
    }
}

impl TopicDefaults {
    /// The defaults that follow from a broker's settings.
    pub(super) fn of(settings: &Settings) -> Self {
        Self(keys::topic_keys().map(|key| default_of(key, settings)).collect())
    }

    /// Checks the overrides, each for itself and together; the error is the text of Kafka's
    /// `INVALID_CONFIG` answer.
    pub fn validate(&self, overrides: &TopicOverrides) -> Result<(), String> {
        for (name, value) in overrides {
            validate_topic_override(name, value)?;
        }
        let values = Effective { defaults: self, overrides };
        let (least, most) =
            (values.integer("min.compaction.lag.ms"), values.integer("max.compaction.lag.ms"));
        if most < least {
            return Err(format!(
                "conflict topic config setting min.compaction.lag.ms ({least}) > \
                 max.compaction.lag.ms ({most})"
            ));
        }
        if values.boolean("remote.storage.enable") {
            return Err("Tiered Storage functionality is disabled in the broker. \
                        Topic cannot be configured with remote log storage."
                .to_owned());
        }
        Ok(())
    }

    /// The effective configuration. An override that no longer passes its checks, as after a downgrade,
    /// counts as absent: the topic stays usable.
    pub fn effective(&self, overrides: &TopicOverrides) -> TopicConfig {
        Effective { defaults: self, overrides }.config()
    }

    /// Every key with its effective value and source, ordered by name, without Kafka's internal ones.
    pub fn entries(&self, overrides: &TopicOverrides) -> Vec<ConfigEntry> {
        let public = self.0.iter().filter(|default| !default.key.name.starts_with("internal."));
        let mut entries: Vec<_> = public
            .map(|default| match overrides.get(default.key.name) {
                Some(value) => ConfigEntry {
                    name: default.key.name,
                    value: Some(value.clone()),
                    source: ConfigSource::DynamicTopic,
                },
                None => ConfigEntry {
                    name: default.key.name,
                    value: default.text.clone(),
                    source: default.source,
                },
            })
            .collect();
        entries.sort_by_key(|entry| entry.name);
        entries
    }
}

/// The first synonym that somebody set, else the first that is not null, converted to the topic key's unit;
/// else the topic key's own default.
fn default_of(key: &'static Key, settings: &Settings) -> TopicDefault {
    let set = key.synonyms.iter().find(|synonym| settings.is_set(synonym.broker_key));
    let source = set.map_or(ConfigSource::Default, |set| ConfigSource::of(&settings.origin(set.broker_key)));
    let text = set.and_then(|synonym| {
        let text = settings.text(synonym.broker_key)?;
        match text.parse::<i64>() {
            Ok(number) if synonym.factor != 1 => Some(scaled(number, synonym.factor).to_string()),
            _ => Some(text.to_owned()),
        }
    });
    TopicDefault { key, text: text.or_else(|| key.default.map(str::to_owned)), source }
}

/// -1 means "no limit" in any unit.
fn scaled(number: i64, factor: i64) -> i64 {
    if number < 0 { -1 } else { number.saturating_mul(factor) }
}

struct Effective<'a> {
    defaults: &'a TopicDefaults,
    overrides: &'a TopicOverrides,
}

impl Effective<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        let default = self.defaults.0.iter().find(|default| default.key.name == name);
        let default = default.unwrap_or_else(|| unreachable!("{name} is in the key table"));
        let overridden = self.overrides.get(name).and_then(|text| default.key.check(text).ok());
        overridden.or_else(|| Some(default.key.check(default.text.as_deref()?).expect("checked at start")))
    }

    fn integer(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Integer(value)) => value,
            other => unreachable!("{name} is an integer with a default, found {other:?}"),
        }
    }

    /// The value of an `INT` that its bounds keep from being negative.
    fn size(&self, name: &str) -> u32 {
        u32::try_from(self.integer(name)).unwrap_or_else(|_| unreachable!("{name} is an INT of at least 0"))
    }

    fn boolean(&self, name: &str) -> bool {
        self.value(name) == Some(Value::Boolean(true))
    }

    fn text(&self, name: &str) -> String {
        match self.value(name) {
            Some(Value::Text(text)) => text,
            other => unreachable!("{name} is a STRING with a default, found {other:?}"),
        }
    }

    fn list_contains(&self, name: &str, entry: &str) -> bool {
        matches!(self.value(name), Some(Value::List(entries)) if entries.iter().any(|found| found == entry))
    }

    /// `internal.segment.bytes` beats `segment.bytes`, so that tests can use tiny segments.
    fn segment_bytes(&self) -> u32 {
        match self.value("internal.segment.bytes") {
            Some(Value::Integer(bytes)) => u32::try_from(bytes.max(1)).expect("an INT of at least 1"),
            _ => self.size("segment.bytes"),
        }
    }

    fn compression_type(&self) -> CompressionType {
        let level = |name| i32::try_from(self.integer(name)).expect("an INT");
        match self.text("compression.type").as_str() {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip { level: level("compression.gzip.level") },
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4 { level: level("compression.lz4.level") },
            "zstd" => CompressionType::Zstd { level: level("compression.zstd.level") },
            _ => CompressionType::Producer,
        }
    }

    fn config(&self) -> TopicConfig {
        let retention_ms = self.integer("retention.ms");
        let timestamp_type = match self.text("message.timestamp.type").as_str() {
            "LogAppendTime" => MessageTimestampType::LogAppendTime,
            _ => MessageTimestampType::CreateTime,
        };
        let acks_durability = match self.text("corelog.acks.durability").as_str() {
            "written" => AcksDurability::Written,
            _ => AcksDurability::Synced,
        };
        let min_cleanable_dirty_ratio = match self.value("min.cleanable.dirty.ratio") {
            Some(Value::Double(ratio)) => ratio,
            other => unreachable!("min.cleanable.dirty.ratio is a DOUBLE, found {other:?}"),
        };
        TopicConfig {
            cleanup_compact: self.list_contains("cleanup.policy", "compact"),
            cleanup_delete: self.list_contains("cleanup.policy", "delete"),
            compression_type: self.compression_type(),
            delete_retention_ms: self.integer("delete.retention.ms"),
            file_delete_delay_ms: self.integer("file.delete.delay.ms"),
            flush_messages: self.integer("flush.messages"),
            flush_ms: self.integer("flush.ms"),
            index_interval_bytes: self.size("index.interval.bytes"),
            max_compaction_lag_ms: self.integer("max.compaction.lag.ms"),
            max_message_bytes: self.size("max.message.bytes"),
            message_timestamp_after_max_ms: self.integer("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: self.integer("message.timestamp.before.max.ms"),
            message_timestamp_type: timestamp_type,
            min_cleanable_dirty_ratio,
            min_compaction_lag_ms: self.integer("min.compaction.lag.ms"),
            min_insync_replicas: self.size("min.insync.replicas"),
            preallocate: self.boolean("preallocate"),
            retention_bytes: u64::try_from(self.integer("retention.bytes")).ok(),
            retention_ms: (0 <= retention_ms).then_some(retention_ms),
            segment_bytes: self.segment_bytes(),
            segment_index_bytes: self.size("segment.index.bytes"),
            segment_jitter_ms: self.integer("segment.jitter.ms"),
            segment_ms: self.integer("segment.ms"),
            unclean_leader_election_enable: self.boolean("unclean.leader.election.enable"),
            acks_durability,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{ConfigFile, Sources};
    use super::*;

    fn defaults(text: &str) -> TopicDefaults {
        let file = Some(ConfigFile { path: "f", text });
        TopicDefaults::of(&Settings::load(&Sources { file, ..Sources::default() }).unwrap().0)
    }

    fn overrides(pairs: &[(&str, &str)]) -> TopicOverrides {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn refusals_are_kafkas() {
        let cases = [
            ("retention.ms", "1000", Ok(())),
            ("cleanup.policy", "compact,delete", Ok(())),
            ("cleanup.policy", "", Ok(())),
            ("no.such.key", "1", Err("Unknown topic config name: no.such.key")),
            ("log.segment.bytes", "1", Err("Unknown topic config name: log.segment.bytes")),
            (
                "segment.bytes",
                "5",
                Err("Invalid value 5 for configuration segment.bytes: Value must be at least 1048576"),
            ),
            (
                "retention.ms",
                "x",
                Err("Invalid value x for configuration retention.ms: Not a number of type LONG"),
            ),
            (
                "compression.type",
                "lzma",
                Err("Invalid value lzma for configuration compression.type: String must be one of: \
                     uncompressed, zstd, lz4, snappy, gzip, producer"),
            ),
        ];
        for (name, value, expected) in cases {
            assert_eq!(validate_topic_override(name, value), expected.map_err(str::to_owned), "{name}");
        }
        let conflict = overrides(&[("min.compaction.lag.ms", "9"), ("max.compaction.lag.ms", "8")]);
        assert!(defaults("").validate(&conflict).unwrap_err().starts_with("conflict topic config setting"));
        assert!(defaults("").validate(&overrides(&[("remote.storage.enable", "true")])).is_err());
        assert_eq!(defaults("").validate(&overrides(&[("segment.ms", "1")])), Ok(()));
    }

    #[test]
    fn finer_units_win_over_coarser_ones() {
        let retention = |text: &str| defaults(text).effective(&TopicOverrides::new()).retention_ms;
        assert_eq!(retention(""), Some(604_800_000));
        assert_eq!(retention("log.retention.hours=2"), Some(7_200_000));
        assert_eq!(retention("log.retention.hours=2\nlog.retention.minutes=3"), Some(180_000));
        assert_eq!(retention("log.retention.ms=4\nlog.retention.minutes=3"), Some(4));
        assert_eq!(retention("log.retention.hours=-1"), None);
        let roll = |text: &str| defaults(text).effective(&TopicOverrides::new()).segment_ms;
        assert_eq!(roll("log.roll.hours=1\nlog.roll.ms=5"), 5);
        assert_eq!(roll("log.roll.hours=1"), 3_600_000);
        let flush = |text: &str| defaults(text).effective(&TopicOverrides::new()).flush_ms;
        assert_eq!(flush("log.flush.scheduler.interval.ms=7"), 7);
        assert_eq!(flush("log.flush.scheduler.interval.ms=7\nlog.flush.interval.ms=5"), 5);
    }

    #[test]
    fn overrides_win_over_the_broker() {
        let defaults =
            defaults("compression.type=zstd\nlog.cleanup.policy=compact\ncorelog.acks.durability=written");
        let broker = defaults.effective(&TopicOverrides::new());
        assert_eq!(broker.compression_type, CompressionType::Zstd { level: 3 });
        assert_eq!((broker.cleanup_compact, broker.cleanup_delete), (true, false));
        assert_eq!(broker.acks_durability, AcksDurability::Written);
        let overrides = overrides(&[
            ("compression.type", "gzip"),
            ("cleanup.policy", ""),
            ("corelog.acks.durability", "synced"),
            ("internal.segment.bytes", "512"),
            ("max.message.bytes", "not checked"),
        ]);
        let topic = defaults.effective(&overrides);
        assert_eq!(topic.compression_type, CompressionType::Gzip { level: -1 });
        assert_eq!((topic.cleanup_compact, topic.cleanup_delete), (false, false));
        assert_eq!(topic.acks_durability, AcksDurability::Synced);
        assert_eq!(topic.segment_bytes, 512);
        assert_eq!(topic.max_message_bytes, 1_048_588);
    }

    #[test]
    fn listing_names_the_source_of_each_value() {
        let entries = defaults("log.retention.hours=1").entries(&overrides(&[("segment.bytes", "1048576")]));
        let find = |name: &str| {
            let entry = entries.iter().find(|entry| entry.name == name).unwrap();
            (entry.value.as_deref().unwrap(), entry.source)
        };
        assert_eq!(find("segment.bytes"), ("1048576", ConfigSource::DynamicTopic));
        assert_eq!(find("retention.ms"), ("3600000", ConfigSource::StaticBroker));
        assert_eq!(find("max.message.bytes"), ("1048588", ConfigSource::Default));
        assert!(entries.is_sorted_by_key(|entry| entry.name));
        assert!(entries.iter().all(|entry| entry.name != "internal.segment.bytes"));
    }
}
