//! A member of a consumer group: what it subscribes to, which epoch it is in, and which partitions it has.

use std::collections::BTreeSet;
use std::time::Duration;

use super::owned::OwnedPartitions;
use super::records::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataValue, NullableStruct,
};

/// The epoch with which a member leaves (`ConsumerGroupHeartbeatRequest.LEAVE_GROUP_MEMBER_EPOCH`).
pub(super) const LEAVE_EPOCH: i32 = -1;
/// The epoch with which a static member goes for a while (`LEAVE_GROUP_STATIC_MEMBER_EPOCH`).
pub(super) const STATIC_LEAVE_EPOCH: i32 = -2;
/// The epoch with which a member joins, or joins again after it was fenced.
pub(super) const JOIN_EPOCH: i32 = 0;

/// How far a member has come towards its target; `reconcile` has the transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberState {
    /// It has what the target of its epoch gives it.
    Stable,
    /// It must give up partitions before it may go on to the next epoch.
    UnrevokedPartitions,
    /// It waits for partitions that others have yet to give up.
    UnreleasedPartitions,
    /// A state of a later Kafka: the member has to start over.
    Unknown,
}

impl MemberState {
    /// `MemberState.value`
    fn value(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }

    fn from_value(value: i8) -> Self {
        [Self::Stable, Self::UnrevokedPartitions, Self::UnreleasedPartitions]
            .into_iter()
            .find(|state| state.value() == value)
            .unwrap_or(Self::Unknown)
    }
}

/// A member. All of it is durable.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) id: String,
    /// The epoch it was last told; [`STATIC_LEAVE_EPOCH`] while a static member is away.
    pub(super) epoch: i32,
    /// The epoch before: a member whose answer was lost comes with it.
    pub(super) previous_epoch: i32,
    pub(super) state: MemberState,
    /// `group.instance.id` of a static member.
    pub(super) instance_id: Option<String>,
    pub(super) rack_id: Option<String>,
    /// Milliseconds it may take to give up partitions; -1 before it said so.
    pub(super) rebalance_timeout_ms: i32,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) topic_names: BTreeSet<String>,
    /// A pattern of topic names; empty for none.
    pub(super) topic_regex: String,
    pub(super) server_assignor: Option<String>,
    /// What it may read.
    pub(super) assigned: OwnedPartitions,
    /// What it must stop reading.
    pub(super) pending_revocation: OwnedPartitions,
    /// Of a member that speaks the classic protocol.
    pub(super) classic: Option<ClassicMemberMetadata>,
}

impl Member {
    /// A member that nobody knows yet.
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            epoch: JOIN_EPOCH,
            previous_epoch: -1,
            state: MemberState::Stable,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            client_id: String::new(),
            client_host: String::new(),
            topic_names: BTreeSet::new(),
            topic_regex: String::new(),
            server_assignor: None,
            assigned: OwnedPartitions::default(),
            pending_revocation: OwnedPartitions::default(),
            classic: None,
        }
    }

    /// The pattern it is subscribed to.
    pub(super) fn regex(&self) -> Option<&str> {
        Some(self.topic_regex.as_str()).filter(|regex| !regex.is_empty())
    }

    /// Whether it has all that the target of this epoch gives it.
    pub(super) fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }

    /// Moves to `epoch`, and remembers the one before.
    pub(super) fn move_to(&mut self, epoch: i32) {
        self.previous_epoch = std::mem::replace(&mut self.epoch, epoch);
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.rebalance_timeout_ms).unwrap_or(0))
    }

    /// What it can do, of a member of the classic protocol.
    pub(super) fn classic_protocols(&self) -> &[ClassicProtocol] {
        self.classic.as_ref().map_or(&[], |classic| &classic.supported_protocols)
    }

    /// Takes over what its subscription record says.
    pub(super) fn apply_subscription(&mut self, value: ConsumerGroupMemberMetadataValue) {
        self.instance_id = value.instance_id;
        self.rack_id = value.rack_id;
        self.client_id = value.client_id;
        self.client_host = value.client_host;
        self.topic_names = value.subscribed_topic_names.into_iter().collect();
        self.topic_regex = value.subscribed_topic_regex.unwrap_or_default();
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.server_assignor = value.server_assignor;
        self.classic = value.classic_member_metadata.0;
    }

    /// Takes over what its assignment record says.
    pub(super) fn apply_current(&mut self, value: &ConsumerGroupCurrentMemberAssignmentValue) {
        self.epoch = value.member_epoch;
        self.previous_epoch = value.previous_member_epoch;
        self.state = MemberState::from_value(value.state);
        self.assigned = OwnedPartitions::from_records(&value.assigned_partitions, value.member_epoch);
        self.pending_revocation =
            OwnedPartitions::from_records(&value.partitions_pending_revocation, value.member_epoch);
    }

    pub(super) fn subscription_record(&self) -> ConsumerGroupMemberMetadataValue {
        ConsumerGroupMemberMetadataValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            subscribed_topic_names: self.topic_names.iter().cloned().collect(),
            subscribed_topic_regex: Some(self.topic_regex.clone()),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.server_assignor.clone(),
            classic_member_metadata: NullableStruct(self.classic.clone()),
        }
    }

    pub(super) fn current_record(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.value(),
            assigned_partitions: self.assigned.to_records(),
            partitions_pending_revocation: self.pending_revocation.to_records(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    #[test]
    fn a_member_comes_back_from_its_two_records() {
        let mut member = Member::new("member");
        member.instance_id = Some("instance".to_owned());
        member.topic_names = BTreeSet::from(["orders".to_owned()]);
        member.topic_regex = "re.*".to_owned();
        member.assigned.insert(Uuid(1), 3, 5);
        member.pending_revocation.insert(Uuid(1), 4, 2);
        member.state = MemberState::UnrevokedPartitions;
        member.move_to(7);
        let mut read = Member::new("member");
        read.apply_subscription(member.subscription_record());
        read.apply_current(&member.current_record());
        assert_eq!(read, member);
    }

    #[test]
    fn a_state_of_a_later_kafka_is_unknown() {
        for value in [0, 1, 2, 127] {
            assert_eq!(MemberState::from_value(value).value(), value);
        }
        assert_eq!(MemberState::from_value(3), MemberState::Unknown);
        assert_eq!(MemberState::from_value(-1), MemberState::Unknown);
    }
}
