//! Every configuration key there is: one row a key, in tables by subject.
//!
//! A new key is a row in one table (and, when a topic can override it, one in `topic`). Names, types, bounds
//! and defaults of Kafka's keys are those of Kafka 4.3, pinned by a golden file.

mod group;
mod groups;
mod identity;
mod network;
mod own;
mod quotas;
mod replication;
mod security;
mod storage;
mod throttles;
mod topic;
mod transactions;

use super::key::Key;

/// Writes a table of keys: documentation, name, then a chain of [`Key`]'s builder methods.
macro_rules! keys {
    ($($(#[doc = $doc:literal])+ $name:literal => $kind:ident $(.$method:ident($($argument:tt)*))*;)*) => {
        pub(super) static KEYS: &[$crate::config::key::Key] = &[
            $($crate::config::key::Key::$kind($name, concat!($($doc),+))$(.$method($($argument)*))*,)*
        ];
    };
}
use keys;

const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
const DURABILITIES: &[&str] = &["synced", "written"];

static BROKER_TABLES: [&[Key]; 9] = [
    identity::KEYS,
    network::KEYS,
    storage::KEYS,
    replication::KEYS,
    groups::KEYS,
    transactions::KEYS,
    quotas::KEYS,
    security::KEYS,
    own::KEYS,
];

/// Kafka's keys for parts that do not exist yet, by prefix: they are not unknown, they do nothing.
const FUTURE_PREFIXES: [&str; 14] = [
    "allow.everyone.if.no.acl.found",
    "config.providers",
    "delegation.token.",
    "follower.fetch.last.tiered.offset.enable",
    "kafka.metrics.",
    "listener.name.",
    "metric",
    "principal.builder.class",
    "remote.",
    "sasl.",
    "security.providers",
    "ssl.",
    "super.users",
    "telemetry.",
];

/// The keys of a broker, by subject.
pub fn broker_keys() -> impl Iterator<Item = &'static Key> {
    BROKER_TABLES.iter().flat_map(|table| table.iter())
}

/// The keys of a topic.
pub fn topic_keys() -> impl Iterator<Item = &'static Key> {
    topic::KEYS.iter()
}

/// The keys of a group.
pub fn group_keys() -> impl Iterator<Item = &'static Key> {
    group::KEYS.iter()
}

/// The group key with this name.
pub fn group_key(name: &str) -> Option<&'static Key> {
    group_keys().find(|key| key.name == name)
}

/// The broker key with this name, those included that exist only as dynamic ones.
pub fn dynamic_key(name: &str) -> Option<&'static Key> {
    broker_key(name).or_else(|| throttles::KEYS.iter().find(|key| key.name == name))
}

/// The broker key with this name.
pub fn broker_key(name: &str) -> Option<&'static Key> {
    broker_keys().find(|key| key.name == name)
}

/// The topic key with this name.
pub fn topic_key(name: &str) -> Option<&'static Key> {
    topic_keys().find(|key| key.name == name)
}

/// Whether Kafka knows a broker key like this for a part that does not exist here yet.
pub fn is_future_key(name: &str) -> bool {
    FUTURE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The broker key whose name is nearest to `name`, if any is near enough to be what was meant.
pub fn nearest_broker_key(name: &str) -> Option<&'static str> {
    nearest_key(name, broker_keys())
}

/// The same among other keys.
pub fn nearest_key(name: &str, among: impl Iterator<Item = &'static Key>) -> Option<&'static str> {
    let far = name.len() / 3 + 1;
    among
        // A wrong letter is likelier than one too many or too few.
        .map(|key| (edit_distance(name, key.name), name.len().abs_diff(key.name.len()), key.name))
        .min()
        .filter(|&(distance, ..)| distance < far)
        .map(|(.., nearest)| nearest)
}

/// Insertions, removals and replacements of bytes that turn one text into the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (left_index, left_byte) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = left_index + 1;
        for (right_index, right_byte) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(left_byte != right_byte);
            diagonal = row[right_index + 1];
            row[right_index + 1] = replaced.min(diagonal + 1).min(row[right_index] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// `scope name type default` of Kafka 4.3, a line a key; `node.id`, `process.roles` and
    /// `controller.listener.names` have no default there.
    const KAFKA_KEYS: &str = include_str!("kafka-4.3-keys.txt");

    #[test]
    fn defaults_and_types_are_kafkas() {
        for line in KAFKA_KEYS.lines() {
            let mut words = line.splitn(4, ' ');
            let mut word = || words.next().unwrap_or("");
            let (scope, name, kind, default) = (word(), word(), word(), word());
            let key = if scope == "topic" { topic_key(name) } else { broker_key(name) };
            let key = key.unwrap_or_else(|| panic!("{line}: not in the table"));
            assert_eq!(key.kind.name(), kind, "{line}");
            assert_eq!(key.default.unwrap_or("null"), default, "{line}");
        }
    }

    #[test]
    fn every_other_key_is_our_own() {
        let kafkas: BTreeSet<_> = KAFKA_KEYS.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        for key in broker_keys().chain(topic_keys()) {
            assert!(kafkas.contains(key.name) || key.name.starts_with("corelog."), "{}", key.name);
        }
    }

    #[test]
    fn rows_are_sound() {
        let mut names = BTreeSet::new();
        for key in broker_keys() {
            assert!(names.insert(key.name), "{} is there twice", key.name);
        }
        for key in broker_keys().chain(topic_keys()).chain(group_keys()).chain(throttles::KEYS) {
            if let Some(default) = key.default {
                assert!(key.check(default).is_ok(), "{}: its default breaks its bounds", key.name);
            }
            assert!(key.doc.trim().ends_with('.'), "{}: its documentation is no sentence", key.name);
            for synonym in key.synonyms {
                let broker_key = broker_key(synonym.broker_key);
                assert!(broker_key.is_some(), "{}: {} is no broker key", key.name, synonym.broker_key);
            }
        }
    }

    #[test]
    fn nearest_key_helps_with_typing_errors() {
        assert_eq!(nearest_broker_key("log.dir"), Some("log.dir"));
        assert_eq!(nearest_broker_key("log.dirz"), Some("log.dirs"));
        assert_eq!(nearest_broker_key("log.retention.hour"), Some("log.retention.hours"));
        assert_eq!(nearest_broker_key("corelog.cpu"), Some("corelog.cpus"));
        assert_eq!(nearest_broker_key("utterly.different.thing"), None);
        assert_eq!(nearest_key("retention.mss", topic_keys()), Some("retention.ms"));
    }
}
