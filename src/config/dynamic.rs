//! Broker configuration that changes while the broker runs (KIP-226, `DynamicBrokerConfig`).
//!
//! Two layers lie over what the broker was started with: values for all brokers of the cluster, and values
//! for this one. Which keys may be in them is each key's [`DynamicMode`].
//!
//! Differs from Kafka: listeners, cordoned directories and limits for single addresses change with a restart
//! only, and keys of parts that do not exist here are refused instead of being kept for them.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::key::{DynamicMode, Key};
use super::keys;

/// Dynamic values by key; one whose key or value is no longer known is kept and has no effect.
pub type DynamicOverrides = BTreeMap<String, String>;

/// What lies over a broker's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DynamicLayers {
    /// For all brokers.
    pub cluster: DynamicOverrides,
    /// For this broker; these win.
    pub broker: DynamicOverrides,
}

/// Which of the two layers is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynamicScope {
    /// All brokers.
    Cluster,
    /// One broker.
    Broker,
}

impl BrokerConfig {
    /// Checks what is to be one of this broker's layers, with the other as it is now; the error is the text
    /// of Kafka's `INVALID_REQUEST` answer.
    pub fn validate_dynamic(&self, scope: DynamicScope, overrides: &DynamicOverrides) -> Result<(), String> {
        refuse_any(overrides, "Cannot update these configs dynamically", |name| {
            keys::broker_key(name).is_some_and(|key| key.dynamic == DynamicMode::ReadOnly)
        })?;
        refuse_any(overrides, "These configs belong to parts that this broker does not have", |name| {
            keys::broker_key(name).is_none() && keys::is_future_key(name)
        })?;
        if scope == DynamicScope::Cluster {
            let text = "Cannot update these configs at default cluster level, broker id must be specified";
            let is_per_broker = |key: &Key| key.dynamic == DynamicMode::PerBroker;
            refuse_any(overrides, text, |name| keys::dynamic_key(name).is_some_and(is_per_broker))?;
        }
        for (name, value) in overrides {
            let checked = keys::dynamic_key(name).map_or(Ok(()), |key| key.check(value).map(drop));
            checked.map_err(|bad| format!("Invalid value {value} for configuration {name}: {bad}"))?;
        }
        let mut layers = self.dynamic_layers().clone();
        match scope {
            DynamicScope::Cluster => layers.cluster = overrides.clone(),
            DynamicScope::Broker => layers.broker = overrides.clone(),
        }
        self.with_dynamic(layers)
            .check_times()
            .map_err(|errors| format!("Invalid dynamic configuration: {errors}"))
    }
}

/// Refuses all keys of a kind at once.
fn refuse_any(
    overrides: &DynamicOverrides,
    text: &str,
    is_refused: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let refused: Vec<_> = overrides.keys().map(String::as_str).filter(|name| is_refused(name)).collect();
    if refused.is_empty() { Ok(()) } else { Err(format!("{text}: [{}]", refused.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::super::key::{Bounds, Kind, Support};
    use super::super::settings::{ConfigFile, Sources};
    use super::super::topic::TopicOverrides;
    use super::*;

    fn broker(text: &str) -> BrokerConfig {
        let file = Some(ConfigFile { path: "f", text });
        BrokerConfig::load(&Sources { file, host_name: "h", ..Sources::default() }).unwrap().0
    }

    fn overrides(pairs: &[(&str, &str)]) -> DynamicOverrides {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn refusals_are_kafkas() {
        let broker = broker("");
        let own = DynamicScope::Broker;
        let all = DynamicScope::Cluster;
        let cases = [
            (all, "log.retention.ms", "7", Ok(())),
            (own, "log.retention.ms", "7", Ok(())),
            (own, "leader.replication.throttled.rate", "1000", Ok(())),
            (all, "leader.replication.throttled.rate", "1000", Ok(())),
            (all, "some.plugin.key", "x", Ok(())),
            (own, "sasl.kerberos.min.time.before.relogin", "58000", Ok(())),
            (
                all,
                "sasl.kerberos.min.time.before.relogin",
                "58000",
                Err("Cannot update these configs at default cluster level, broker id must be specified: \
                     [sasl.kerberos.min.time.before.relogin]"),
            ),
            (all, "num.partitions", "3", Err("Cannot update these configs dynamically: [num.partitions]")),
            (own, "listeners", "A://:1", Err("Cannot update these configs dynamically: [listeners]")),
            (
                all,
                "log.segment.bytes",
                "1",
                Err("Invalid value 1 for configuration log.segment.bytes: \
                     Value must be at least 1048576"),
            ),
            (
                own,
                "listener.name.a.ssl.keystore.location",
                "/k",
                Err("These configs belong to parts that this broker does not have: \
                     [listener.name.a.ssl.keystore.location]"),
            ),
        ];
        for (scope, name, value, expected) in cases {
            let found = broker.validate_dynamic(scope, &overrides(&[(name, value)]));
            assert_eq!(found, expected.map_err(str::to_owned), "{name}={value}");
        }
        let conflict = overrides(&[
            ("log.cleaner.max.compaction.lag.ms", "5"),
            ("log.cleaner.min.compaction.lag.ms", "6"),
        ]);
        let refused = broker.validate_dynamic(all, &conflict).unwrap_err();
        assert!(refused.starts_with("Invalid dynamic configuration: "), "{refused}");
    }

    /// `name mode` of every dynamic key of Kafka 4.3 (`DynamicBrokerConfig.dynamicConfigUpdateModes`).
    const KAFKA_DYNAMIC_KEYS: &str = include_str!("keys/kafka-4.3-dynamic-keys.txt");

    /// Kafka's dynamic keys of parts that exist here and that change with a restart only.
    const NEED_A_RESTART: [&str; 4] = [
        "cordoned.log.dirs",
        "listener.security.protocol.map",
        "listeners",
        "max.connections.per.ip.overrides",
    ];

    #[test]
    fn kafkas_dynamic_keys_are_taken_up_or_refused() {
        let broker = broker("");
        for line in KAFKA_DYNAMIC_KEYS.lines() {
            let (name, mode) = line.split_once(' ').unwrap();
            let value = keys::dynamic_key(name).map_or("1".to_owned(), other_value);
            let found = broker.validate_dynamic(DynamicScope::Broker, &overrides(&[(name, &value)]));
            let refusal = if NEED_A_RESTART.contains(&name) {
                Some("Cannot update these configs dynamically: ")
            } else if keys::broker_key(name).is_none() && keys::is_future_key(name) {
                Some("These configs belong to parts that this broker does not have: ")
            } else {
                None
            };
            let expected = refusal.map_or(Ok(()), |text| Err(format!("{text}[{name}]")));
            assert_eq!(found, expected, "{name}={value}");
            if refusal.is_none() {
                assert_eq!(keys::dynamic_key(name).map(|key| key.dynamic.name()), Some(mode), "{name}");
            }
        }
    }

    #[test]
    fn no_other_key_is_dynamic() {
        let kafkas = |name: &str| KAFKA_DYNAMIC_KEYS.lines().any(|line| line.split(' ').next() == Some(name));
        for key in keys::broker_keys().filter(|key| key.dynamic != DynamicMode::ReadOnly) {
            assert!(kafkas(key.name) || key.name.starts_with("corelog."), "{}", key.name);
        }
    }

    /// What the broker works with; the texts of the settings are left out.
    fn in_force(config: &BrokerConfig) -> String {
        let of_topics = config.topic_defaults.effective(&BTreeMap::new());
        let of_groups = config.describe_group(&BTreeMap::new());
        let BrokerConfig { network, storage, groups, producer_id_expiration, .. } = config;
        format!("{network:?} {storage:?} {groups:?} {of_groups:?} {producer_id_expiration:?} {of_topics:?}")
    }

    /// Obeyed by a part of the broker that is still to come: transactions.
    const FOR_PARTS_TO_COME: [&str; 1] = ["transaction.partition.verification.enable"];

    #[test]
    fn obeyed_dynamic_keys_change_what_is_in_force() {
        let has_no_effect = |key: &&'static Key| {
            // These say more about a codec that is the broker's own choice.
            let codec = key.name.strip_prefix("compression.").and_then(|rest| rest.strip_suffix(".level"));
            let base = broker(&codec.map_or(String::new(), |codec| format!("compression.type={codec}")));
            let cluster = overrides(&[(key.name, &other_value(key))]);
            let changed = base.with_dynamic(DynamicLayers { cluster, ..DynamicLayers::default() });
            in_force(&changed) == in_force(&base)
        };
        let obeyed = keys::broker_keys()
            .filter(|key| key.dynamic != DynamicMode::ReadOnly && key.support == Support::Obeyed);
        let idle: Vec<_> = obeyed.filter(has_no_effect).map(|key| key.name).collect();
        assert_eq!(idle, FOR_PARTS_TO_COME);
    }

    /// A value that is allowed and not the default.
    fn other_value(key: &'static Key) -> String {
        let default = key.default.unwrap_or("");
        let candidates: Vec<String> = match (key.kind, key.bounds) {
            (Kind::Boolean, _) => vec!["true".to_owned(), "false".to_owned()],
            (Kind::Double, _) => vec!["0.25".to_owned()],
            (_, Bounds::OneOf(texts)) => texts.iter().map(|&text| text.to_owned()).collect(),
            (_, Bounds::AtLeast(least) | Bounds::Between(least, _)) => {
                vec![(least.max(0) + 1).to_string(), (least.max(0) + 2).to_string()]
            }
            _ => vec!["7".to_owned()],
        };
        candidates.into_iter().find(|candidate| candidate != default).expect("there is another value")
    }

    #[test]
    fn layers_lie_over_each_other() {
        let base = broker("log.retention.hours=2\nmessage.max.bytes=1000");
        let retention =
            |config: &BrokerConfig| config.topic_defaults.effective(&TopicOverrides::new()).retention_ms;
        let cluster = overrides(&[("log.retention.ms", "50"), ("message.max.bytes", "2000")]);
        let own = overrides(&[("log.retention.ms", "70"), ("log.roll.ms", "broken")]);
        let over = base.with_dynamic(DynamicLayers { cluster: cluster.clone(), broker: own });
        assert_eq!(retention(&over), Some(70));
        assert_eq!(over.settings().text("message.max.bytes"), Some("2000"));
        assert_eq!(over.settings().text("log.roll.ms"), None, "what cannot be read has no effect");
        let less = over.with_dynamic(DynamicLayers { cluster, ..DynamicLayers::default() });
        assert_eq!(retention(&less), Some(50));
        assert_eq!(retention(&less.with_dynamic(DynamicLayers::default())), Some(7_200_000));
    }
}
