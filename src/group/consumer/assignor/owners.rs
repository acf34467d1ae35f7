//! Who owns which partition while a target is computed.

use std::collections::BTreeMap;

use super::{Assignment, GroupSpec};
use crate::types::TopicId;

/// The owner of each partition of the topics that a group is subscribed to, as an index of the members.
#[derive(Debug)]
pub(super) struct Owners(BTreeMap<TopicId, Vec<Option<usize>>>);

impl Owners {
    /// The owners of the target so far, without what a member is no longer subscribed to, what does not exist
    /// any more, and what a broken log gives to two members: the first keeps it.
    pub(super) fn of_previous_target(spec: &GroupSpec<'_>) -> Self {
        let mut owners = Self(BTreeMap::new());
        for &topic in spec.members.iter().flat_map(|member| member.topics) {
            let count = usize::try_from(spec.partition_count(topic)).expect("a count is not negative");
            owners.0.entry(topic).or_insert_with(|| vec![None; count]);
        }
        for (index, member) in spec.members.iter().enumerate() {
            for (topic, partition) in member.assigned.iter() {
                let slot = member.topics.contains(&topic).then(|| owners.slot(topic, partition)).flatten();
                if let Some(vacant @ None) = slot {
                    *vacant = Some(index);
                }
            }
        }
        owners
    }

    fn slot(&mut self, topic: TopicId, partition: i32) -> Option<&mut Option<usize>> {
        self.0.get_mut(&topic)?.get_mut(usize::try_from(partition).ok()?)
    }

    /// Gives a partition to a member, or to nobody.
    pub(super) fn put(&mut self, topic: TopicId, partition: i32, owner: Option<usize>) {
        *self.slot(topic, partition).expect("only partitions of the group are assigned") = owner;
    }

    /// Who owns a partition; nobody owns one that is not the group's.
    pub(super) fn owner(&self, topic: TopicId, partition: i32) -> Option<usize> {
        *self.0.get(&topic)?.get(usize::try_from(partition).ok()?)?
    }

    /// The owners of a topic's partitions, by partition.
    pub(super) fn of_topic(&self, topic: TopicId) -> &[Option<usize>] {
        self.0.get(&topic).expect("only topics of the group are looked at")
    }

    /// The partitions nobody owns, ascending by topic, then by index.
    pub(super) fn vacant(&self) -> impl Iterator<Item = (TopicId, i32)> {
        self.iter().filter(|(.., owner)| owner.is_none()).map(|(topic, partition, _)| (topic, partition))
    }

    /// All partitions, ascending by topic, then by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TopicId, i32, Option<usize>)> {
        self.0
            .iter()
            .flat_map(|(&topic, owners)| (0..).zip(owners).map(move |(at, &owner)| (topic, at, owner)))
    }

    /// The partitions of each member.
    pub(super) fn into_assignments(self, member_count: usize) -> Vec<Assignment> {
        let mut assignments = vec![Assignment::default(); member_count];
        for (topic, partition, owner) in self.iter() {
            if let Some(owner) = owner {
                assignments[owner].insert(topic, partition);
            }
        }
        assignments
    }
}
