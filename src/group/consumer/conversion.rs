//! Groups that change between the protocols (KIP-848, `group.consumer.migration.policy`).
//!
//! A classic group becomes a consumer group with the first member that comes with the consumer protocol.
//! Its other members go on with the classic protocol, for which the coordinator then plays the leader. A
//! consumer group becomes a classic one when the last member of the consumer protocol goes. An empty
//! group takes whatever comes.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::assignment::Assignment;
use super::describe::PROTOCOL_TYPE;
use super::embedded::{LeadersAssignment, Subscription, encode_assignment};
use super::group::{ConsumerGroup, target_record};
use super::heartbeat::{View, current_record, epoch_record, subscription_record};
use super::member::Member;
use super::metadata_hash::metadata_hash;
use super::owned::OwnedPartitions;
use super::records::{ClassicMemberMetadata, ClassicProtocol, ConsumerGroupRecord};
use super::refusal::Refusal;
use super::target::target_epoch_record;
use crate::group::classic::{ClassicGroup, HandedOverMember};
use crate::group::context::Context;
use crate::group::events::JoinProtocol;
use crate::group::protocol_choice;
use crate::group::records::{GroupMetadataValue, GroupRecord, MemberMetadata};
use crate::group::timers::Timer;
use crate::metadata::MetadataImage;
use crate::metadata::codec::ByteField;
use crate::types::ErrorCode;

/// A consumer group that begins with a member's request.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// The group as it is before the request.
    pub(super) group: ConsumerGroup,
    /// What makes it so.
    pub(super) records: Vec<GroupRecord>,
    /// The session timeouts of members that were there before.
    sessions: Vec<(String, Duration)>,
}

impl Upgrade {
    /// A group that nobody knew.
    pub(super) fn from_nothing(group_id: &str) -> Self {
        Self { group: ConsumerGroup::new(group_id), records: Vec::new(), sessions: Vec::new() }
    }

    /// Sessions of members go on with the timeouts that they asked for.
    pub(super) fn start_sessions(&self, context: &mut Context<'_>) {
        for (member_id, timeout) in &self.sessions {
            let (group_id, member_id) = (self.group.id.clone(), member_id.clone());
            context.schedule(Timer::Session { group_id, member_id }, *timeout);
        }
    }
}

/// Takes over a classic group, with its members if it has any (`convertToConsumerGroup`).
pub(super) fn upgrade(group_id: &str, classic: &ClassicGroup, view: View<'_>) -> Result<Upgrade, Refusal> {
    let mut upgrade = Upgrade::from_nothing(group_id);
    upgrade.records.push(GroupRecord::GroupMetadata { group_id: group_id.to_owned(), value: None });
    if classic.is_empty() {
        return Ok(upgrade);
    }
    check_upgrade(group_id, classic, view)?;
    let handover = classic.handover();
    let mut members = Vec::with_capacity(handover.members.len());
    for member in handover.members {
        upgrade.sessions.push((member.id.clone(), duration(member.session_timeout_ms)));
        members.push(member_from(group_id, member, handover.generation_id, view.image)?);
    }
    for record in takeover_records(&members, handover.generation_id, view.image) {
        upgrade.group.replay(record.clone());
        upgrade.records.push(GroupRecord::Consumer { group_id: group_id.to_owned(), record });
    }
    Ok(upgrade)
}

/// `validateOnlineUpgrade`
fn check_upgrade(group_id: &str, classic: &ClassicGroup, view: View<'_>) -> Result<(), Refusal> {
    let reason = if !view.config.migration_policy.allows_upgrade() {
        "online upgrade is disabled"
    } else if !classic.is_of_consumers() {
        "the group does not use the consumer embedded protocol"
    } else if view.config.size_max < classic.member_count() {
        "the group size exceeds the consumer group maximum size"
    } else {
        return Ok(());
    };
    Err(cannot_upgrade(group_id, reason))
}

fn cannot_upgrade(group_id: &str, reason: &str) -> Refusal {
    let message = format!("Cannot upgrade classic group {group_id} to consumer group because {reason}.");
    Refusal::new(ErrorCode::GroupIdNotFound, message)
}

fn duration(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

/// A member as the consumer group knows it: stable at the last generation, with what the leader gave it.
fn member_from(
    group_id: &str,
    member: HandedOverMember,
    generation_id: i32,
    image: &MetadataImage,
) -> Result<Member, Refusal> {
    let malformed = |_| cannot_upgrade(group_id, "the embedded consumer protocol is malformed");
    let subscription = Subscription::decode(&member.subscription).map_err(malformed)?;
    let mut assigned = Assignment::default();
    if !member.assignment.is_empty() {
        let assignment = LeadersAssignment::decode(&member.assignment).map_err(malformed)?;
        if assignment.user_data.as_ref().is_some_and(|data| !data.is_empty()) {
            let reason = "an unsupported custom assignor is in use. Please refer to the documentation or \
                          switch to a default assignor before re-attempting the upgrade";
            return Err(cannot_upgrade(group_id, reason));
        }
        assigned = assignment.known_partitions(image);
    }
    Ok(Member {
        epoch: generation_id,
        previous_epoch: generation_id,
        instance_id: member.group_instance_id,
        rack_id: subscription.rack_id,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        client_id: member.client_id,
        client_host: member.client_host,
        topic_names: subscription.topics.into_iter().collect(),
        assigned: OwnedPartitions::at_epoch(&assigned, generation_id),
        classic: Some(ClassicMemberMetadata {
            session_timeout_ms: member.session_timeout_ms,
            supported_protocols: protocols_as_records(&member.protocols),
        }),
        ..Member::new(&member.id)
    })
}

/// What a member can do, as its record says it.
pub(super) fn protocols_as_records(protocols: &[JoinProtocol]) -> Vec<ClassicProtocol> {
    let protocol = |protocol: &JoinProtocol| ClassicProtocol {
        name: protocol.name.clone(),
        metadata: ByteField(protocol.metadata.to_vec()),
    };
    protocols.iter().map(protocol).collect()
}

/// `ConsumerGroup.createConsumerGroupRecords`
fn takeover_records(
    members: &[Member],
    generation_id: i32,
    image: &MetadataImage,
) -> Vec<ConsumerGroupRecord> {
    let topics: BTreeSet<&str> =
        members.iter().flat_map(|member| member.topic_names.iter().map(String::as_str)).collect();
    let hash = metadata_hash(image, topics.into_iter());
    let targets = members.iter().map(|member| target_record(&member.id, &member.assigned.partitions()));
    members
        .iter()
        .map(subscription_record)
        .chain([epoch_record(generation_id, hash)])
        .chain(targets)
        .chain([target_epoch_record(generation_id, 0)])
        .chain(members.iter().map(current_record))
        .collect()
}

/// A consumer group that becomes a classic one.
#[derive(Debug)]
pub(super) struct Downgrade {
    /// What makes it so.
    pub(super) records: Vec<GroupRecord>,
    /// Whether its members have to join again.
    pub(super) needs_rebalance: bool,
}

/// The classic group that is left once members are gone, if it may become one
/// (`validateOnlineDowngradeWithFencedMembers`).
pub(super) fn downgrade_without(
    group: &ConsumerGroup,
    view: View<'_>,
    classic_size_max: usize,
    leaving: &BTreeSet<&str>,
) -> Option<Downgrade> {
    let remaining: Vec<&Member> =
        group.members.values().filter(|member| !leaving.contains(member.id.as_str())).collect();
    let is_classic = !remaining.is_empty() && remaining.iter().all(|member| member.classic.is_some());
    let is_allowed = view.config.migration_policy.allows_downgrade() && remaining.len() <= classic_size_max;
    if !is_classic || !is_allowed {
        return None;
    }
    let targets = remaining.iter().map(|member| (*member, group.targets.get(&member.id))).collect();
    let mut records: Vec<_> =
        group.dissolution(None).into_iter().map(|record| in_group(&group.id, record)).collect();
    records.push(classic_record(group, targets, view)?);
    Some(Downgrade { records, needs_rebalance: true })
}

/// The classic group that is left once `heir`, of the classic protocol, has taken the place of the last
/// member of the other (`validateOnlineDowngradeWithReplacedMember`). `records` have put the heir there.
pub(super) fn downgrade_with(
    group: &ConsumerGroup,
    view: View<'_>,
    classic_size_max: usize,
    replaced: &Member,
    heir: &Member,
    mut records: Vec<ConsumerGroupRecord>,
    needs_rebalance: bool,
) -> Option<Downgrade> {
    records.extend(group.dissolution(Some((&replaced.id, &heir.id))));
    let others = group.members.values().filter(|member| member.id != replaced.id);
    let mut targets: Vec<_> = others.map(|member| (member, group.targets.get(&member.id))).collect();
    targets.push((heir, group.targets.get(&replaced.id)));
    if classic_size_max < targets.len() {
        return None;
    }
    let mut records: Vec<_> = records.into_iter().map(|record| in_group(&group.id, record)).collect();
    records.push(classic_record(group, targets, view)?);
    Some(Downgrade { records, needs_rebalance })
}

/// Whether all members but this one speak the classic protocol, and the group may become classic without it.
pub(super) fn is_last_consumer(group: &ConsumerGroup, view: View<'_>, member: &Member) -> bool {
    let others = group.members.len() - 1;
    view.config.migration_policy.allows_downgrade()
        && member.classic.is_none()
        && group.census.classic_members == others
}

fn in_group(group_id: &str, record: ConsumerGroupRecord) -> GroupRecord {
    GroupRecord::Consumer { group_id: group_id.to_owned(), record }
}

/// `ClassicGroup.fromConsumerGroup`; `None` when what members say cannot be read.
fn classic_record(
    group: &ConsumerGroup,
    members: Vec<(&Member, Option<&Assignment>)>,
    view: View<'_>,
) -> Option<GroupRecord> {
    let protocol = common_protocol(&members)?;
    let nothing = Assignment::default();
    let mut records = Vec::with_capacity(members.len());
    for (member, target) in &members {
        let said = member.classic_protocols().iter().find(|said| said.name == protocol)?;
        let subscription = Bytes::copy_from_slice(&said.metadata.0);
        let assignment = encode_assignment(target.unwrap_or(&nothing), &subscription, view.image).ok()?;
        records.push(MemberMetadata {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.classic.as_ref()?.session_timeout_ms,
            subscription,
            assignment,
        });
    }
    let value = GroupMetadataValue {
        protocol_type: PROTOCOL_TYPE.to_owned(),
        generation_id: group.epoch,
        leader: records.first().map(|member| member.member_id.clone()),
        protocol_name: Some(protocol),
        current_state_timestamp: view.now.0,
        members: records,
    };
    Some(GroupRecord::GroupMetadata { group_id: group.id.clone(), value: Some(value) })
}

/// The protocol of the group's first generation as a classic one.
fn common_protocol(members: &[(&Member, Option<&Assignment>)]) -> Option<String> {
    let names = members
        .iter()
        .map(|(member, _)| member.classic_protocols().iter().map(|protocol| protocol.name.as_str()));
    protocol_choice::most_preferred(names).map(str::to_owned)
}
