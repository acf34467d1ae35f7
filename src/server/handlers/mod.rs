//! One file per group of APIs. A handler takes a decoded request and makes the response; what it needs to
//! know is in the shard.

mod alter_configs;
pub(super) mod api_versions;
mod cluster;
mod consumer_groups;
mod coordinators;
mod create_partitions;
mod delete_records;
mod describe_configs;
mod features;
mod fetch;
mod group_admin;
mod group_offsets;
mod groups;
mod leaders;
mod log_dirs;
mod metadata;
mod offsets;
mod operations;
mod produce;
mod producer_id;
mod producers;
mod quorum;
mod reassignments;
mod split;
mod topic_partitions;
mod topics;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::SocketAddr;
use std::rc::Rc;

use kafka_protocol::protocol::StrBytes;

use super::affinity::Affinity;
use super::listener::ListenerContext;
use crate::wire::api::ApiRow;

/// What a handler knows of a request besides its body.
#[derive(Debug, Clone)]
pub(super) struct RequestContext {
    /// The listener the request came in by.
    pub(super) listener: Rc<ListenerContext>,
    /// The client's address.
    pub(super) peer: SocketAddr,
    /// Which shards the connection asks.
    pub(super) affinity: Rc<Affinity>,
    /// What the client calls itself.
    pub(super) client_id: Option<StrBytes>,
    /// The API.
    pub(super) api: &'static ApiRow,
    /// The request's version.
    pub(super) api_version: i16,
    /// What the response repeats.
    pub(super) correlation_id: i32,
}

/// Which partitions of which topics a request has named so far. A partition that is named again is answered
/// once, where each answer may be far longer than its question; clients know answers by the partition.
#[derive(Debug, Default)]
struct NamedPartitions<Topic> {
    by_topic: HashMap<Topic, HashSet<i32>>,
}

impl<Topic: Eq + Hash> NamedPartitions<Topic> {
    /// Keeps those partitions of a topic that are named for the first time.
    fn retain_new(&mut self, topic: Topic, partitions: &mut Vec<i32>) {
        let seen = self.by_topic.entry(topic).or_default();
        partitions.retain(|partition| seen.insert(*partition));
    }
}

/// Keeps the first of those that have the same key; clients know the answers by it.
fn retain_distinct<T, Key: Eq + Hash>(asked: &mut Vec<T>, key: impl Fn(&T) -> Key) {
    let mut seen = HashSet::with_capacity(asked.len());
    asked.retain(|item| seen.insert(key(item)));
}

impl RequestContext {
    /// The client's host as Kafka writes it down (`InetAddress.toString`).
    fn client_host(&self) -> String {
        format!("/{}", self.peer.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_again_is_asked_for_once() {
        let mut groups = vec!["a", "b", "a", "a", "c", "b"];
        retain_distinct(&mut groups, |group| *group);
        assert_eq!(groups, ["a", "b", "c"]);

        let mut named = NamedPartitions::default();
        for (topic, mut partitions, expected) in [
            ("a", vec![2, 0, 2], vec![2, 0]),
            ("b", vec![0], vec![0]),
            ("a", vec![1, 0], vec![1]),
            ("a", vec![1], vec![]),
        ] {
            named.retain_new(topic, &mut partitions);
            assert_eq!(partitions, expected, "{topic}");
        }
    }
}
