//! A consumer group: what its records add up to (`ConsumerGroup`).
//!
//! All of it but the two flags at the end is durable and changes in [`ConsumerGroup::replay`] alone. What
//! records of a log contradict each other in is passed over, so that one broken group does not keep the
//! others from loading.

use std::collections::BTreeMap;

use super::assignment::Assignment;
use super::census::Census;
use super::member::{LEAVE_EPOCH, Member};
use super::owned::OwnedPartitions;
use super::partition_epochs::PartitionEpochs;
use super::records::{ConsumerGroupRecord, ConsumerGroupTargetAssignmentMemberValue, TargetTopicPartitions};
use super::refusal::Refusal;
use super::regex::ResolvedRegex;
use crate::types::ErrorCode;

/// The epoch of a group before its first member, and of its target (`TargetAssignmentMetadata.INITIAL`).
const INITIAL_EPOCH: i32 = 1;

/// The states of a group (`ConsumerGroupState`), which follow from its members and epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupState {
    /// There are no members; there may be offsets.
    Empty,
    /// The target is older than the group's epoch.
    Assigning,
    /// Not every member has what the target gives it.
    Reconciling,
    /// Everyone has.
    Stable,
}

impl GroupState {
    /// As Kafka spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// A group of the consumer protocol.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::group) struct ConsumerGroup {
    pub(super) id: String,
    pub(super) epoch: i32,
    pub(super) metadata_hash: i64,
    pub(super) members: BTreeMap<String, Member>,
    /// Members by `group.instance.id`.
    pub(super) static_members: BTreeMap<String, String>,
    pub(super) target_epoch: i32,
    /// Milliseconds on the wall clock; 0 when it is not known.
    pub(super) target_timestamp: i64,
    pub(super) targets: BTreeMap<String, Assignment>,
    /// Who may read a partition, or has yet to stop, by the epoch of that member.
    pub(super) partition_epochs: PartitionEpochs,
    /// What the members ask for.
    pub(super) census: Census,
    /// The topics that patterns stand for, as of the last search.
    pub(super) resolved: BTreeMap<String, ResolvedRegex>,
    /// A record from before 4.1 is still there and must get its tombstone.
    pub(super) has_partition_metadata_record: bool,
    /// Its topics may have changed since the hash was computed. Not durable: a group that was loaded looks.
    pub(super) needs_metadata_refresh: bool,
    /// A search for the topics of its patterns is under way. Not durable: it ends with the process.
    pub(super) is_searching: bool,
}

impl ConsumerGroup {
    /// A group without members.
    pub(in crate::group) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            epoch: INITIAL_EPOCH,
            metadata_hash: 0,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            target_epoch: INITIAL_EPOCH,
            target_timestamp: 0,
            targets: BTreeMap::new(),
            partition_epochs: PartitionEpochs::default(),
            census: Census::default(),
            resolved: BTreeMap::new(),
            has_partition_metadata_record: false,
            needs_metadata_refresh: true,
            is_searching: false,
        }
    }

    /// `ConsumerGroup.maybeUpdateGroupState`
    pub(super) fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.target_epoch < self.epoch {
            GroupState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.target_epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// A member by its id.
    pub(super) fn member(&self, member_id: &str) -> Result<&Member, Refusal> {
        self.members.get(member_id).ok_or_else(|| {
            let message = format!("Member {member_id} is not a member of group {}.", self.id);
            Refusal::new(ErrorCode::UnknownMemberId, message)
        })
    }

    /// A static member by its `group.instance.id`.
    pub(super) fn static_member(&self, instance_id: &str) -> Option<&Member> {
        self.members.get(self.static_members.get(instance_id)?)
    }

    /// Applies a record. The tombstone of the group's epoch is not for here: it removes the group.
    pub(in crate::group) fn replay(&mut self, record: ConsumerGroupRecord) {
        match record {
            ConsumerGroupRecord::Epoch(value) => {
                let value = value.unwrap_or_default();
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            ConsumerGroupRecord::PartitionMetadata(value) => {
                self.has_partition_metadata_record = value.is_some();
            }
            ConsumerGroupRecord::Member { member_id, value: Some(value) } => {
                self.update_member(&member_id, |member| member.apply_subscription(value));
            }
            ConsumerGroupRecord::Member { member_id, value: None } => self.remove_member(&member_id),
            ConsumerGroupRecord::TargetEpoch(Some(value)) => {
                self.target_epoch = value.assignment_epoch;
                self.target_timestamp = value.assignment_timestamp;
            }
            ConsumerGroupRecord::TargetEpoch(None) => {
                self.target_epoch = LEAVE_EPOCH;
                self.target_timestamp = 0;
            }
            ConsumerGroupRecord::Target { member_id, value: Some(value) } => {
                self.targets.insert(member_id, target_of(&value));
            }
            ConsumerGroupRecord::Target { member_id, value: None } => {
                self.targets.remove(&member_id);
            }
            ConsumerGroupRecord::Current { member_id, value: Some(value) } => {
                self.update_member(&member_id, |member| member.apply_current(&value));
            }
            ConsumerGroupRecord::Current { member_id, value: None }
                if self.members.contains_key(&member_id) =>
            {
                self.update_member(&member_id, |member| {
                    member.epoch = LEAVE_EPOCH;
                    member.previous_epoch = LEAVE_EPOCH;
                    member.assigned = OwnedPartitions::default();
                    member.pending_revocation = OwnedPartitions::default();
                });
            }
            ConsumerGroupRecord::Current { value: None, .. } => {}
            ConsumerGroupRecord::RegularExpression { regex, value } => {
                self.resolve(regex, value.map(ResolvedRegex::from_record));
            }
        }
    }

    fn update_member(&mut self, member_id: &str, update: impl FnOnce(&mut Member)) {
        let mut member = match self.members.remove(member_id) {
            Some(member) => {
                self.census.remove(&member);
                self.partition_epochs.remove(&member);
                member
            }
            None => Member::new(member_id),
        };
        update(&mut member);
        self.census.add(&member);
        self.partition_epochs.add(&member);
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member_id.to_owned());
        }
        self.members.insert(member_id.to_owned(), member);
    }

    fn remove_member(&mut self, member_id: &str) {
        let Some(member) = self.members.remove(member_id) else { return };
        self.census.remove(&member);
        self.partition_epochs.remove(&member);
        // A static member that was replaced has left its instance to its successor.
        if let Some(instance_id) = &member.instance_id
            && self.static_members.get(instance_id).is_some_and(|holder| holder == member_id)
        {
            self.static_members.remove(instance_id);
        }
    }

    fn resolve(&mut self, regex: String, resolved: Option<ResolvedRegex>) {
        if let Some(earlier) = self.resolved.remove(&regex) {
            self.census.remove_resolved(&earlier);
        }
        if let Some(resolved) = resolved {
            self.census.add_resolved(&resolved);
            self.resolved.insert(regex, resolved);
        }
    }
}

fn target_of(value: &ConsumerGroupTargetAssignmentMemberValue) -> Assignment {
    let mut target = Assignment::default();
    for topic in &value.topic_partitions {
        target.extend(topic.topic_id, topic.partitions.iter().copied());
    }
    target
}

/// A member's part of the target as a record.
pub(super) fn target_record(member_id: &str, target: &Assignment) -> ConsumerGroupRecord {
    let topic_partitions = target.topics().map(|(topic_id, partitions)| TargetTopicPartitions {
        topic_id,
        partitions: partitions.iter().copied().collect(),
    });
    let value = ConsumerGroupTargetAssignmentMemberValue { topic_partitions: topic_partitions.collect() };
    ConsumerGroupRecord::Target { member_id: member_id.to_owned(), value: Some(value) }
}
