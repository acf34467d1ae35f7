//! The target of a group: who is to get which partition at some epoch (`TargetAssignmentBuilder`).

use std::collections::{BTreeMap, BTreeSet};

use super::assignment::Assignment;
use super::assignor::{Assignor, GroupSpec, MemberSpec};
use super::group::{ConsumerGroup, target_record};
use super::member::Member;
use super::records::{ConsumerGroupRecord, ConsumerGroupTargetAssignmentMetadataValue};
use crate::metadata::MetadataImage;
use crate::types::{Timestamp, TopicId};

/// A target that was just computed.
#[derive(Debug)]
pub(super) struct NewTarget {
    /// The part of the member that gave rise to it.
    pub(super) of_member: Assignment,
    /// What makes it durable: the parts that have changed, and its epoch.
    pub(super) records: Vec<ConsumerGroupRecord>,
}

/// The topics of a subscription that exist.
pub(super) fn subscribed_topics(
    group: &ConsumerGroup,
    member: &Member,
    image: &MetadataImage,
) -> BTreeSet<TopicId> {
    let resolved = member.regex().and_then(|regex| group.resolved.get(regex));
    let by_regex = resolved.into_iter().flat_map(|resolved| &resolved.topics);
    member.topic_names.iter().chain(by_regex).filter_map(|name| image.topic_id(name)).collect()
}

/// Computes the target for `epoch` with `member` as it is after the request at hand. A static member comes in
/// place of the one that had its instance id before, and inherits what that was to get.
pub(super) fn compute(
    group: &ConsumerGroup,
    member: &Member,
    epoch: i32,
    assignor: Assignor,
    image: &MetadataImage,
    now: Timestamp,
) -> NewTarget {
    let replaced = member.instance_id.as_deref().and_then(|instance| group.static_members.get(instance));
    let replaced = replaced.filter(|&replaced| *replaced != member.id);
    let mut members: BTreeMap<&str, &Member> =
        group.members.iter().map(|(id, it)| (id.as_str(), it)).collect();
    if let Some(replaced) = replaced {
        members.remove(replaced.as_str());
    }
    members.insert(&member.id, member);

    let topics = Subscriptions::of(group, members.values().copied(), image);
    let nothing = Assignment::default();
    let mut spec = GroupSpec { members: Vec::new(), partition_counts: topics.partition_counts(image) };
    for (&id, &each) in &members {
        let predecessor = replaced.filter(|_| id == member.id).map(String::as_str);
        spec.members.push(MemberSpec {
            instance_id: each.instance_id.as_deref(),
            topics: topics.of_member(each),
            assigned: group.targets.get(predecessor.unwrap_or(id)).unwrap_or(&nothing),
        });
    }
    let targets = assignor.assign(&spec);

    let mut of_member = Assignment::default();
    let mut records = Vec::new();
    for (&id, target) in members.keys().zip(targets) {
        if group.targets.get(id) != Some(&target) {
            records.push(target_record(id, &target));
        }
        if id == member.id {
            of_member = target;
        }
    }
    records.push(target_epoch_record(epoch, now.0));
    NewTarget { of_member, records }
}

/// The epoch of a target as a record.
pub(super) fn target_epoch_record(epoch: i32, timestamp: i64) -> ConsumerGroupRecord {
    ConsumerGroupRecord::TargetEpoch(Some(ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch: epoch,
        assignment_timestamp: timestamp,
    }))
}

/// The topics of all members. Members who subscribe alike share one set.
struct Subscriptions<'a>(BTreeMap<(&'a BTreeSet<String>, &'a str), BTreeSet<TopicId>>);

impl<'a> Subscriptions<'a> {
    fn of(group: &ConsumerGroup, members: impl Iterator<Item = &'a Member>, image: &MetadataImage) -> Self {
        let mut topics = BTreeMap::new();
        for member in members {
            let subscription = (&member.topic_names, member.topic_regex.as_str());
            topics.entry(subscription).or_insert_with(|| subscribed_topics(group, member, image));
        }
        Self(topics)
    }

    fn of_member<'b>(&'b self, member: &'b Member) -> &'b BTreeSet<TopicId> {
        let subscription = (&member.topic_names, member.topic_regex.as_str());
        self.0.get(&subscription).expect("the topics of every member were looked up")
    }

    fn partition_counts(&self, image: &MetadataImage) -> BTreeMap<TopicId, i32> {
        let count = |&id: &TopicId| {
            let topic = image.topic(id).expect("only topics that exist are subscribed to");
            (id, i32::try_from(topic.partitions().len()).expect("partition indexes are of 32 bits"))
        };
        self.0.values().flatten().map(count).collect()
    }
}
