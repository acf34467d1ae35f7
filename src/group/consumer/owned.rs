//! Partitions that a member has, each with the epoch at which it got it.

use std::collections::BTreeMap;

use super::assignment::Assignment;
use super::records::CurrentTopicPartitions;
use crate::types::TopicId;

/// Partitions by topic with their assignment epochs (KIP-1251); a topic without partitions is never in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct OwnedPartitions(BTreeMap<TopicId, BTreeMap<i32, i32>>);

impl OwnedPartitions {
    /// All of `partitions`, got at `epoch`.
    pub(super) fn at_epoch(partitions: &Assignment, epoch: i32) -> Self {
        partitions.iter().map(|(topic, partition)| (topic, partition, epoch)).collect()
    }

    /// As the log has it. Records from before 4.3 say no epochs: the member's own stands in, 0 for a static
    /// member that is away.
    pub(super) fn from_records(topics: &[CurrentTopicPartitions], member_epoch: i32) -> Self {
        let mut owned = Self::default();
        for topic in topics {
            let epochs = topic.assignment_epochs.as_deref().filter(|it| it.len() == topic.partitions.len());
            for (index, &partition) in topic.partitions.iter().enumerate() {
                let epoch = epochs.map_or(member_epoch.max(0), |epochs| epochs[index]);
                owned.insert(topic.topic_id, partition, epoch);
            }
        }
        owned
    }

    pub(super) fn to_records(&self) -> Vec<CurrentTopicPartitions> {
        let topic = |(&topic_id, partitions): (&TopicId, &BTreeMap<i32, i32>)| CurrentTopicPartitions {
            topic_id,
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
        };
        self.0.iter().map(topic).collect()
    }

    pub(super) fn insert(&mut self, topic: TopicId, partition: i32, epoch: i32) {
        self.0.entry(topic).or_default().insert(partition, epoch);
    }

    /// The epoch at which a partition was got; `None` when it is not in the set.
    pub(super) fn epoch_of(&self, topic: TopicId, partition: i32) -> Option<i32> {
        self.0.get(&topic)?.get(&partition).copied()
    }

    pub(super) fn contains(&self, topic: TopicId, partition: i32) -> bool {
        self.epoch_of(topic, partition).is_some()
    }

    /// Whether a partition of `others` is in this set.
    pub(super) fn contains_any(&self, others: &Assignment) -> bool {
        others.iter().any(|(topic, partition)| self.contains(topic, partition))
    }

    /// Whether all of `others` are in this set.
    pub(super) fn contains_all(&self, others: &Assignment) -> bool {
        others.iter().all(|(topic, partition)| self.contains(topic, partition))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Topic, partition, epoch, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TopicId, i32, i32)> {
        let topics = self.0.iter();
        topics.flat_map(|(&topic, partitions)| {
            partitions.iter().map(move |(&partition, &epoch)| (topic, partition, epoch))
        })
    }

    /// The partitions alone.
    pub(super) fn partitions(&self) -> Assignment {
        self.iter().map(|(topic, partition, _)| (topic, partition)).collect()
    }

    /// Those for which `keep` holds, and the others.
    pub(super) fn split(&self, mut keep: impl FnMut(TopicId, i32) -> bool) -> (Self, Self) {
        self.iter().partition(|&(topic, partition, _)| keep(topic, partition))
    }
}

impl FromIterator<(TopicId, i32, i32)> for OwnedPartitions {
    fn from_iter<I: IntoIterator<Item = (TopicId, i32, i32)>>(partitions: I) -> Self {
        let mut owned = Self::default();
        owned.extend(partitions);
        owned
    }
}

impl Extend<(TopicId, i32, i32)> for OwnedPartitions {
    fn extend<I: IntoIterator<Item = (TopicId, i32, i32)>>(&mut self, partitions: I) {
        for (topic, partition, epoch) in partitions {
            self.insert(topic, partition, epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    #[test]
    fn records_round_trip_and_old_ones_take_the_members_epoch() {
        let owned: OwnedPartitions =
            [(Uuid(1), 0, 3), (Uuid(1), 2, 5), (Uuid(2), 1, 4)].into_iter().collect();
        assert_eq!(OwnedPartitions::from_records(&owned.to_records(), 9), owned);

        let without = |epochs| CurrentTopicPartitions {
            topic_id: Uuid(1),
            partitions: vec![0, 2],
            assignment_epochs: epochs,
        };
        for (epochs, member_epoch, expected) in [(None, 9, 9), (None, -2, 0), (Some(vec![1]), 9, 9)] {
            let read = OwnedPartitions::from_records(&[without(epochs)], member_epoch);
            assert_eq!(read.epoch_of(Uuid(1), 2), Some(expected));
        }
    }

    #[test]
    fn sets_are_compared_by_partition() {
        let owned: OwnedPartitions = [(Uuid(1), 0, 3), (Uuid(1), 2, 5)].into_iter().collect();
        let set = |partitions: &[i32]| partitions.iter().map(|&at| (Uuid(1), at)).collect::<Assignment>();
        assert!(owned.contains_all(&set(&[0])) && !owned.contains_all(&set(&[0, 1])));
        assert!(owned.contains_any(&set(&[1, 2])) && !owned.contains_any(&set(&[1])));
        let (kept, rest) = owned.split(|_, partition| partition == 2);
        assert_eq!((kept.partitions(), rest.partitions()), (set(&[2]), set(&[0])));
    }
}
