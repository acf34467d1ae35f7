//! Configuration as DescribeConfigs shows it (`ConfigHelper`): every key with its effective value, where
//! that comes from, and what else it could have come from.

use super::broker::BrokerConfig;
use super::dynamic::DynamicOverrides;
use super::error::Origin;
use super::group::GroupOverrides;
use super::key::{DynamicMode, Key, Kind, Value};
use super::keys;
use super::source::ConfigSource;
use super::topic::TopicOverrides;

/// Keys that mean the same in different units, finest first (`brokerConfigSynonyms`).
const SAME_MEANING: [&[&str]; 4] = [
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
];

/// One key of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConfig {
    /// The key.
    pub name: String,
    /// The effective value; `None` is null, or secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// The type; `None` for a key that no table has.
    pub kind: Option<Kind>,
    /// What the key does; empty for a key that no table has.
    pub doc: &'static str,
    /// Whether it cannot change while the broker runs.
    pub is_read_only: bool,
    /// Whether values are never shown.
    pub is_sensitive: bool,
    /// Every value there is for the key, the one that wins first.
    pub synonyms: Vec<ConfigSynonym>,
}

/// A value that a key has, or would have if others were not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key under which it is set.
    pub name: String,
    /// The value; `None` is secret.
    pub value: Option<String>,
    /// Where it is set.
    pub source: ConfigSource,
}

impl BrokerConfig {
    /// Every key of this broker.
    pub fn describe_broker(&self) -> Vec<DescribedConfig> {
        let known = keys::broker_keys().map(|key| self.describe_broker_key(key));
        let layers = self.dynamic_layers();
        let dynamic = layers
            .broker
            .keys()
            .chain(layers.cluster.keys().filter(|name| !layers.broker.contains_key(*name)));
        let others = dynamic.filter(|name| keys::broker_key(name).is_none());
        let others = others.map(|name| dynamic_only(name, self.layer_synonyms(name)));
        let mut all: Vec<_> = known.chain(others).collect();
        all.sort_by(|left, right| left.name.cmp(&right.name));
        all
    }

    /// The keys that are set for all brokers.
    pub fn describe_cluster_default(&self) -> Vec<DescribedConfig> {
        let set = self.dynamic_layers().cluster.keys();
        set.map(|name| {
            let mut synonyms = self.layer_synonyms(name);
            synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
            match keys::broker_key(name) {
                Some(key) => DescribedConfig {
                    value: synonyms.first().and_then(|synonym| synonym.value.clone()),
                    source: ConfigSource::DynamicDefaultBroker,
                    synonyms,
                    ..self.describe_broker_key(key)
                },
                None => dynamic_only(name, synonyms),
            }
        })
        .collect()
    }

    /// Every key of a topic.
    ///
    /// A value that comes from a synonym in another unit, such as `log.retention.minutes`, is shown as the
    /// default, as Kafka shows it.
    pub fn describe_topic(&self, overrides: &TopicOverrides) -> Vec<DescribedConfig> {
        let entries = self.topic_defaults.entries(overrides);
        entries
            .into_iter()
            .map(|entry| {
                let key = keys::topic_key(entry.name).expect("entries are rows of the table");
                let inherited = self.broker_synonyms_of_topic(key);
                described(key, entry.value, overrides.get(key.name), ConfigSource::DynamicTopic, inherited)
            })
            .collect()
    }

    /// Every key of a group.
    pub fn describe_group(&self, overrides: &GroupOverrides) -> Vec<DescribedConfig> {
        let mut all: Vec<_> = keys::group_keys()
            .map(|key| {
                let value = self.group_value(key.name, overrides).map(str::to_owned);
                let inherited = match key.synonyms.first() {
                    Some(synonym) => self.broker_synonyms(synonym.broker_key, &[synonym.broker_key]),
                    None => default_synonym(key).into_iter().collect(),
                };
                described(key, value, overrides.get(key.name), ConfigSource::Group, inherited)
            })
            .collect();
        all.sort_by(|left, right| left.name.cmp(&right.name));
        all
    }

    fn describe_broker_key(&self, key: &'static Key) -> DescribedConfig {
        let group = SAME_MEANING.iter().find(|group| group.contains(&key.name));
        // The scheduler's interval is only a default of the other.
        let own = [key.name];
        let names =
            group.filter(|_| key.name != "log.flush.scheduler.interval.ms").map_or(&own[..], |group| group);
        let synonyms = self.broker_synonyms(key.name, names);
        let is_id = matches!(key.name, "node.id" | "broker.id");
        let value = if is_id {
            Some(self.node_id.to_string())
        } else {
            self.settings().text(key.name).map(str::to_owned)
        };
        DescribedConfig {
            name: key.name.to_owned(),
            value: value.filter(|_| !is_sensitive(key)).map(|value| normalized(key, value)),
            source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
            kind: Some(key.kind),
            doc: key.doc.trim(),
            is_read_only: key.dynamic == DynamicMode::ReadOnly,
            is_sensitive: is_sensitive(key),
            synonyms,
        }
    }

    /// What a topic's key would inherit. The first of its synonyms has the key's own unit.
    fn broker_synonyms_of_topic(&self, key: &Key) -> Vec<ConfigSynonym> {
        let names: Vec<_> = key.synonyms.iter().map(|synonym| synonym.broker_key).collect();
        names.first().map_or_else(Vec::new, |first| self.broker_synonyms(first, &names))
    }

    /// Every value of these broker keys: all that are dynamic, all that are static, all defaults; without
    /// those before the first of `own` itself, which are not the source of its value
    /// (`ConfigHelper.configSynonyms`).
    fn broker_synonyms(&self, own: &str, names: &[&str]) -> Vec<ConfigSynonym> {
        let mut synonyms = Vec::new();
        let layers = self.dynamic_layers();
        for (layer, source) in [
            (&layers.broker, ConfigSource::DynamicBroker),
            (&layers.cluster, ConfigSource::DynamicDefaultBroker),
        ] {
            let set = names.iter().filter_map(|&name| Some((name, layer.get(name)?)));
            synonyms.extend(set.map(|(name, value)| synonym(name, Some(value), source)));
        }
        let fixed = self.static_settings();
        let set = names.iter().filter(|name| fixed.origin(name) != Origin::Default);
        synonyms.extend(set.map(|&name| synonym(name, fixed.text(name), ConfigSource::StaticBroker)));
        let rows = names.iter().filter_map(|&name| keys::broker_key(name));
        synonyms.extend(rows.filter_map(default_synonym));
        let first_own = synonyms.iter().position(|synonym| synonym.name == own);
        synonyms.drain(..first_own.unwrap_or(synonyms.len()));
        synonyms
    }

    /// The dynamic values of a key, whether or not a table has it.
    fn layer_synonyms(&self, name: &str) -> Vec<ConfigSynonym> {
        let layers = self.dynamic_layers();
        let of = |layer: &DynamicOverrides, source| Some(synonym(name, Some(layer.get(name)?), source));
        let own = of(&layers.broker, ConfigSource::DynamicBroker);
        own.into_iter().chain(of(&layers.cluster, ConfigSource::DynamicDefaultBroker)).collect()
    }
}

/// A key that exists as a dynamic one only. Kafka takes what no table has for a secret.
fn dynamic_only(name: &str, mut synonyms: Vec<ConfigSynonym>) -> DescribedConfig {
    let key = keys::dynamic_key(name);
    if key.is_none_or(is_sensitive) {
        synonyms.iter_mut().for_each(|synonym| synonym.value = None);
    }
    DescribedConfig {
        name: name.to_owned(),
        value: synonyms.first().and_then(|synonym| synonym.value.clone()),
        source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
        kind: key.map(|key| key.kind),
        doc: key.map_or("", |key| key.doc.trim()),
        is_read_only: key.is_none(),
        is_sensitive: key.is_none_or(is_sensitive),
        synonyms,
    }
}

/// A key of a topic or group, with the value set there, if any, and what it would inherit.
fn described(
    key: &'static Key,
    value: Option<String>,
    own: Option<&String>,
    own_source: ConfigSource,
    inherited: Vec<ConfigSynonym>,
) -> DescribedConfig {
    let value = value.map(|value| normalized(key, value));
    let own = own.map(|_| synonym(key.name, value.as_ref(), own_source));
    let synonyms: Vec<_> = own.into_iter().chain(inherited).collect();
    DescribedConfig {
        name: key.name.to_owned(),
        value,
        source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
        kind: Some(key.kind),
        doc: key.doc.trim(),
        is_read_only: false,
        is_sensitive: is_sensitive(key),
        synonyms,
    }
}

fn is_sensitive(key: &Key) -> bool {
    key.kind == Kind::Password
}

fn synonym(name: &str, value: Option<impl AsRef<str>>, source: ConfigSource) -> ConfigSynonym {
    ConfigSynonym { name: name.to_owned(), value: value.map(|value| value.as_ref().to_owned()), source }
}

fn default_synonym(key: &Key) -> Option<ConfigSynonym> {
    key.default.map(|default| synonym(key.name, Some(default), ConfigSource::Default))
}

/// As Kafka prints a parsed value: the entries of a list without spaces between them.
fn normalized(key: &Key, text: String) -> String {
    match key.check(&text) {
        Ok(Value::List(entries)) => entries.join(","),
        _ => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::dynamic::DynamicLayers;
    use super::super::settings::{ConfigFile, Sources};
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> DynamicOverrides {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn broker(text: &str) -> BrokerConfig {
        let file = Some(ConfigFile { path: "f", text });
        BrokerConfig::load(&Sources { file, host_name: "h", ..Sources::default() }).unwrap().0
    }

    /// `SOURCE:name=value` of the value and of every synonym.
    fn lines(all: &[DescribedConfig], name: &str) -> (String, Vec<String>) {
        let found = all.iter().find(|config| config.name == name).unwrap();
        let text = |value: &Option<String>| value.clone().unwrap_or("null".to_owned());
        let synonyms = found.synonyms.iter();
        let synonyms = synonyms.map(|of| format!("{}:{}={}", of.source.name(), of.name, text(&of.value)));
        (format!("{}:{}", found.source.name(), text(&found.value)), synonyms.collect())
    }

    #[test]
    fn a_topics_values_come_from_the_nearest_layer() {
        let base = broker("log.retention.minutes=90\nmessage.max.bytes=5000");
        let layers = DynamicLayers {
            cluster: overrides(&[("message.max.bytes", "6000")]),
            broker: overrides(&[("message.max.bytes", "7000")]),
        };
        let described =
            base.with_dynamic(layers).describe_topic(&overrides(&[("cleanup.policy", "compact, delete")]));
        let expected = [
            "DYNAMIC_BROKER_CONFIG:message.max.bytes=7000",
            "DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=6000",
            "STATIC_BROKER_CONFIG:message.max.bytes=5000",
            "DEFAULT_CONFIG:message.max.bytes=1048588",
        ];
        let (value, synonyms) = lines(&described, "max.message.bytes");
        assert_eq!(value, "DYNAMIC_BROKER_CONFIG:7000");
        assert_eq!(synonyms, expected);
        let (value, synonyms) = lines(&described, "cleanup.policy");
        assert_eq!(value, "DYNAMIC_TOPIC_CONFIG:compact,delete");
        assert_eq!(synonyms[0], "DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete");
        assert_eq!(lines(&described, "retention.ms"), ("DEFAULT_CONFIG:5400000".to_owned(), vec![]));
        assert!(described.is_sorted_by_key(|config| config.name.clone()));
    }

    #[test]
    fn a_brokers_keys_are_all_there() {
        let described = broker("log.retention.minutes=90").describe_broker();
        assert_eq!(described.len(), keys::broker_keys().count());
        let minutes = lines(&described, "log.retention.minutes");
        assert_eq!(minutes.0, "STATIC_BROKER_CONFIG:90");
        assert_eq!(
            minutes.1,
            ["STATIC_BROKER_CONFIG:log.retention.minutes=90", "DEFAULT_CONFIG:log.retention.hours=168"]
        );
        assert_eq!(lines(&described, "log.retention.ms"), ("DEFAULT_CONFIG:null".to_owned(), vec![]));
        assert_eq!(lines(&described, "node.id").0, "DEFAULT_CONFIG:1");
        let find = |name: &str| described.iter().find(|config| config.name == name).unwrap();
        assert!(find("num.partitions").is_read_only && !find("log.retention.ms").is_read_only);
    }

    #[test]
    fn only_what_is_set_for_all_brokers_is_the_clusters() {
        let layers = DynamicLayers {
            cluster: overrides(&[("log.roll.ms", "60000"), ("some.plugin.key", "x")]),
            broker: overrides(&[("log.roll.ms", "70000")]),
        };
        let broker = broker("").with_dynamic(layers);
        let described = broker.describe_cluster_default();
        assert_eq!(described.len(), 2);
        let roll = lines(&described, "log.roll.ms");
        assert_eq!(roll.0, "DYNAMIC_DEFAULT_BROKER_CONFIG:60000");
        assert_eq!(roll.1, ["DYNAMIC_DEFAULT_BROKER_CONFIG:log.roll.ms=60000"]);
        let plugin = described.iter().find(|config| config.name == "some.plugin.key").unwrap();
        assert!(plugin.is_sensitive && plugin.value.is_none());
    }

    #[test]
    fn a_groups_values_come_from_the_group_or_the_broker() {
        let broker = broker("group.consumer.heartbeat.interval.ms=6000");
        let described = broker.describe_group(&overrides(&[("consumer.session.timeout.ms", "50000")]));
        assert_eq!(lines(&described, "consumer.session.timeout.ms").0, "GROUP_CONFIG:50000");
        assert_eq!(lines(&described, "consumer.heartbeat.interval.ms").0, "STATIC_BROKER_CONFIG:6000");
        let reset = lines(&described, "share.auto.offset.reset");
        assert_eq!(reset.1, ["DEFAULT_CONFIG:share.auto.offset.reset=latest"]);
    }
}
