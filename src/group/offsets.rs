//! The committed offsets of all groups of a coordinator. Changed by replayed records alone.

use std::collections::{BTreeMap, HashMap};

use super::records::CommittedOffset;
use crate::types::TopicName;

/// Offsets a coordinator keeps at most; a commit that would go beyond is refused. At some 200 bytes each
/// that is 2 GiB, which no honest set of groups comes near.
pub(super) const OFFSETS_MAX: usize = 10_000_000;

/// The offsets of one group, by topic and partition.
pub(super) type GroupOffsets = BTreeMap<TopicName, BTreeMap<i32, CommittedOffset>>;

/// Offsets by group, topic and partition. No inner map is empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct OffsetStore {
    by_group: HashMap<String, GroupOffsets>,
    len: usize,
}

impl OffsetStore {
    /// Offsets in all.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The offsets of one group, if it has any.
    pub(super) fn group(&self, group_id: &str) -> Option<&GroupOffsets> {
        self.by_group.get(group_id)
    }

    /// The offset of one partition.
    pub(super) fn get(&self, group_id: &str, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.by_group.get(group_id)?.get(topic)?.get(&partition)
    }

    /// All groups that have offsets, in no order.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&String, &GroupOffsets)> {
        self.by_group.iter()
    }

    pub(super) fn put(&mut self, group_id: &str, topic: TopicName, partition: i32, value: CommittedOffset) {
        if !self.by_group.contains_key(group_id) {
            self.by_group.insert(group_id.to_owned(), GroupOffsets::new());
        }
        let topics = self.by_group.get_mut(group_id).expect("it was just put there");
        if topics.entry(topic).or_default().insert(partition, value).is_none() {
            self.len += 1;
        }
    }

    pub(super) fn remove(&mut self, group_id: &str, topic: &TopicName, partition: i32) {
        let Some(topics) = self.by_group.get_mut(group_id) else { return };
        let Some(partitions) = topics.get_mut(topic) else { return };
        if partitions.remove(&partition).is_some() {
            self.len -= 1;
        }
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.by_group.remove(group_id);
        }
    }
}
