//! The overrides of one group (`GroupConfig`): what is allowed, and what holds without them.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::key::{Key, Value};
use super::keys;

/// Overrides of one group, by key; every entry passed [`BrokerConfig::validate_group`].
pub type GroupOverrides = BTreeMap<String, String>;

/// For each kind of group, the timeout that must be greater than the interval.
const SESSIONS: [(&str, &str); 3] = [
    ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", "streams.heartbeat.interval.ms"),
];

impl BrokerConfig {
    /// Checks a group's overrides, each for itself, against the broker's bounds and together; the error is
    /// the text of Kafka's `INVALID_CONFIG` answer.
    pub fn validate_group(&self, overrides: &GroupOverrides) -> Result<(), String> {
        for (name, value) in overrides {
            let key = keys::group_key(name).ok_or_else(|| format!("Unknown group config name: {name}"))?;
            key.check(value)
                .map_err(|bad| format!("Invalid value {value} for configuration {name}: {bad}"))?;
        }
        for key in keys::group_keys() {
            self.check_group_bounds(key, overrides)?;
        }
        for (session, heartbeat) in SESSIONS {
            let integer = |name| self.group_integer(keys::group_key(name).expect("a row"), overrides);
            if integer(session) <= integer(heartbeat) {
                return Err(format!("{session} must be greater than {heartbeat}"));
            }
        }
        Ok(())
    }

    /// The value of a group's key as text: the override, else the broker's. An override outside of the
    /// broker's bounds, which may have changed since, stays as it is: whoever uses it clamps it.
    pub fn group_value<'a>(&'a self, name: &str, overrides: &'a GroupOverrides) -> Option<&'a str> {
        let key = keys::group_key(name)?;
        let overridden = overrides.get(name).filter(|text| key.check(text).is_ok());
        match (overridden, key.synonyms.first()) {
            (Some(text), _) => Some(text),
            (None, Some(synonym)) => self.settings().text(synonym.broker_key),
            (None, None) => key.default,
        }
    }

    fn check_group_bounds(&self, key: &Key, overrides: &GroupOverrides) -> Result<(), String> {
        // A broker whose own default is out of its own bounds keeps no group from other changes.
        if !overrides.contains_key(key.name) {
            return Ok(());
        }
        let name = key.name;
        let (least, most) = bounding_keys(name);
        if let Some(least) = least.filter(|least| self.group_integer(key, overrides) < self.bound(least)) {
            return Err(format!("{name} must be greater than or equal to {}", least.name));
        }
        if let Some(most) = most.filter(|most| self.bound(most) < self.group_integer(key, overrides)) {
            return Err(format!("{name} must be less than or equal to {}", most.name));
        }
        Ok(())
    }

    fn bound(&self, key: &Key) -> i64 {
        self.settings().integer(key.name)
    }

    fn group_integer(&self, key: &Key, overrides: &GroupOverrides) -> i64 {
        match self.group_value(key.name, overrides).map(|text| key.check(text)) {
            Some(Ok(Value::Integer(value))) => value,
            other => unreachable!("{} is a checked integer, found {other:?}", key.name),
        }
    }
}

/// The broker's keys for the least and the greatest value of a group's key: `group.consumer.min.x` and
/// `group.consumer.max.x` for `consumer.x`.
fn bounding_keys(name: &str) -> (Option<&'static Key>, Option<&'static Key>) {
    let (kind, rest) = name.split_once('.').unwrap_or((name, ""));
    let rest = if name == "streams.num.standby.replicas" { "standby.replicas" } else { rest };
    let key = |bound: &str| keys::broker_key(&format!("group.{kind}.{bound}.{rest}"));
    (key("min"), key("max"))
}

#[cfg(test)]
mod tests {
    use super::super::settings::{ConfigFile, Sources};
    use super::*;

    fn broker(text: &str) -> BrokerConfig {
        let file = Some(ConfigFile { path: "f", text });
        BrokerConfig::load(&Sources { file, host_name: "h", ..Sources::default() }).unwrap().0
    }

    #[test]
    fn overrides_stay_within_the_brokers_bounds() {
        let broker = broker("group.consumer.max.session.timeout.ms=50000");
        let cases = [
            ("consumer.session.timeout.ms", "50000", Ok(())),
            (
                "consumer.session.timeout.ms",
                "50001",
                Err("consumer.session.timeout.ms must be less than or equal to \
                     group.consumer.max.session.timeout.ms"),
            ),
            (
                "consumer.heartbeat.interval.ms",
                "4999",
                Err("consumer.heartbeat.interval.ms must be greater than or equal to \
                     group.consumer.min.heartbeat.interval.ms"),
            ),
            (
                "streams.num.standby.replicas",
                "3",
                Err("streams.num.standby.replicas must be less than or equal to \
                     group.streams.max.standby.replicas"),
            ),
            ("share.auto.offset.reset", "by_duration:PT1H", Ok(())),
            (
                "share.auto.offset.reset",
                "never",
                Err("Invalid value never for configuration share.auto.offset.reset: String must be one of: \
                     earliest, latest, by_duration:PnDTnHnMn.nS"),
            ),
            (
                "consumer.session.timeout.ms",
                "x",
                Err("Invalid value x for configuration consumer.session.timeout.ms: \
                     Not a number of type INT"),
            ),
            ("retention.ms", "1", Err("Unknown group config name: retention.ms")),
        ];
        for (name, value, expected) in cases {
            let overrides = GroupOverrides::from([(name.to_owned(), value.to_owned())]);
            let found = broker.validate_group(&overrides);
            assert_eq!(found, expected.map_err(str::to_owned), "{name}={value}");
        }
    }

    #[test]
    fn sessions_outlast_heartbeats() {
        let broker = broker("group.consumer.max.heartbeat.interval.ms=60000");
        let overrides =
            GroupOverrides::from([("consumer.heartbeat.interval.ms".to_owned(), "45000".to_owned())]);
        let expected = "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms";
        assert_eq!(broker.validate_group(&overrides), Err(expected.to_owned()));
    }

    #[test]
    fn the_broker_fills_in() {
        let broker = broker("group.share.delivery.count.limit=7");
        let none = GroupOverrides::new();
        assert_eq!(broker.group_value("share.delivery.count.limit", &none), Some("7"));
        assert_eq!(broker.group_value("share.isolation.level", &none), Some("read_uncommitted"));
        let own = GroupOverrides::from([("share.delivery.count.limit".to_owned(), "3".to_owned())]);
        assert_eq!(broker.group_value("share.delivery.count.limit", &own), Some("3"));
        assert_eq!(broker.group_value("unheard.of", &none), None);
    }
}
