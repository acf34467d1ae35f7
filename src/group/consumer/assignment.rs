//! Partitions of topics: what a group's target gives a member.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::types::TopicId;

/// A set of partitions by topic; a topic without partitions is never in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment(BTreeMap<TopicId, BTreeSet<i32>>);

impl Assignment {
    /// Adds a partition; whether it is new.
    pub fn insert(&mut self, topic: TopicId, partition: i32) -> bool {
        self.0.entry(topic).or_default().insert(partition)
    }

    /// Adds partitions of one topic.
    pub fn extend(&mut self, topic: TopicId, partitions: impl IntoIterator<Item = i32>) {
        for partition in partitions {
            self.insert(topic, partition);
        }
    }

    /// Takes a partition out; whether it was there.
    pub fn remove(&mut self, topic: TopicId, partition: i32) -> bool {
        let Entry::Occupied(mut partitions) = self.0.entry(topic) else { return false };
        let removed = partitions.get_mut().remove(&partition);
        if partitions.get().is_empty() {
            partitions.remove();
        }
        removed
    }

    /// Whether a partition is in the set.
    pub fn contains(&self, topic: TopicId, partition: i32) -> bool {
        self.0.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// All partitions, ascending by topic, then by index.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, i32)> {
        self.0.iter().flat_map(|(&topic, partitions)| partitions.iter().map(move |&index| (topic, index)))
    }

    /// The topics with their partitions, both ascending.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &BTreeSet<i32>)> {
        self.0.iter().map(|(&topic, partitions)| (topic, partitions))
    }

    /// Whether there is no partition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many partitions there are.
    pub fn partition_count(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }
}

impl FromIterator<(TopicId, i32)> for Assignment {
    fn from_iter<I: IntoIterator<Item = (TopicId, i32)>>(partitions: I) -> Self {
        let mut assignment = Self::default();
        for (topic, partition) in partitions {
            assignment.insert(topic, partition);
        }
        assignment
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    #[test]
    fn topics_without_partitions_are_not_kept() {
        let (topic, other) = (Uuid(7), Uuid(8));
        let mut assignment: Assignment = [(topic, 2), (topic, 0), (other, 1)].into_iter().collect();
        assert!(!assignment.insert(topic, 2) && assignment.contains(topic, 2));
        assert!(assignment.remove(other, 1) && !assignment.remove(other, 1));
        assert_eq!(assignment.iter().collect::<Vec<_>>(), [(topic, 0), (topic, 2)]);
        assert_eq!(assignment, [(topic, 0), (topic, 2)].into_iter().collect());
        assert_eq!(assignment.partition_count(), 2);
    }
}
