//! A consumer group as administrators see it.

use super::assignment::Assignment;
use super::group::{ConsumerGroup, GroupState};
use super::heartbeat::View;
use super::member::Member;
use super::requests::{DescribedConsumer, DescribedConsumerGroup, DescribedTopic};
use crate::group::events::ListedGroup;
use crate::metadata::MetadataImage;

/// `ConsumerProtocol.PROTOCOL_TYPE`
pub(super) const PROTOCOL_TYPE: &str = "consumer";

impl ConsumerGroup {
    pub(in crate::group) fn is_empty(&self) -> bool {
        self.state() == GroupState::Empty
    }

    pub(in crate::group) fn is_subscribed_to(&self, topic: &str) -> bool {
        0 < self.census.topics.count(topic)
    }

    pub(in crate::group) fn listed(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            state: self.state().name(),
            group_type: "consumer",
        }
    }

    /// `ConsumerGroup.asDescribedGroup`
    pub(super) fn described(&self, view: View<'_>) -> DescribedConsumerGroup {
        DescribedConsumerGroup {
            state: self.state().name(),
            epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor: Self::assignor(view, &self.census).name().to_owned(),
            members: self.members.values().map(|member| self.described_member(member, view.image)).collect(),
        }
    }

    fn described_member(&self, member: &Member, image: &MetadataImage) -> DescribedConsumer {
        let held = member.assigned.iter().chain(member.pending_revocation.iter());
        let held: Assignment = held.map(|(topic, partition, _)| (topic, partition)).collect();
        let target = self.targets.get(&member.id);
        DescribedConsumer {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            member_epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topic_names: member.topic_names.iter().cloned().collect(),
            topic_regex: member.topic_regex.clone(),
            assignment: described_topics(&held, image),
            target_assignment: target.map(|target| described_topics(target, image)).unwrap_or_default(),
            is_classic: member.classic.is_some(),
        }
    }
}

/// Topics that are gone have no name and are left out.
fn described_topics(assignment: &Assignment, image: &MetadataImage) -> Vec<DescribedTopic> {
    let described = |(id, partitions): (_, &std::collections::BTreeSet<i32>)| {
        let name = image.topic(id)?.name().to_string();
        Some(DescribedTopic { id, name, partitions: partitions.iter().copied().collect() })
    };
    assignment.topics().filter_map(described).collect()
}
