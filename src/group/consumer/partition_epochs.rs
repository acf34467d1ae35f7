//! Which partitions of a group someone may be reading.

use std::collections::BTreeMap;

use super::member::Member;
use crate::types::TopicId;

/// The epoch of the member that has a partition, or must still give it up
/// (`ConsumerGroup.currentPartitionEpoch`). Nobody else gets it until it is free.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PartitionEpochs(BTreeMap<(TopicId, i32), i32>);

impl PartitionEpochs {
    /// Whether nobody has the partition.
    pub(super) fn is_free(&self, topic: TopicId, partition: i32) -> bool {
        !self.0.contains_key(&(topic, partition))
    }

    /// Takes up what a member has. A partition that another member has at a later epoch stays that member's,
    /// which only a broken log can bring about.
    pub(super) fn add(&mut self, member: &Member) {
        for (topic, partition) in held(member) {
            let epoch = self.0.entry((topic, partition)).or_insert(member.epoch);
            *epoch = member.epoch.max(*epoch);
        }
    }

    /// Frees what a member has.
    pub(super) fn remove(&mut self, member: &Member) {
        for key in held(member) {
            if self.0.get(&key) == Some(&member.epoch) {
                self.0.remove(&key);
            }
        }
    }
}

fn held(member: &Member) -> impl Iterator<Item = (TopicId, i32)> {
    let held = member.assigned.iter().chain(member.pending_revocation.iter());
    held.map(|(topic, partition, _)| (topic, partition))
}
