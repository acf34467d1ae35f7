//! Listing, describing, moving and deleting consumer groups.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::cluster::{Cluster, topic_name};
use super::connection::Connection;
use super::error::{ClientError, accepted};
use super::retry::retrying;
use crate::types::{ErrorCode, Offset};
use crate::wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use crate::wire::messages::{
    ApiKey, ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    GroupId, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest, StrBytes,
};
use crate::wire::offsets::{LAG_TAG, WireLag};

/// The first version of FindCoordinator that asks for several keys.
const BATCHED_COORDINATORS: i16 = 4;
/// The first version of OffsetFetch that asks for several groups.
const BATCHED_FETCH: i16 = 8;
/// The epoch of a commit from outside of the group's members.
const NO_GENERATION: i32 = -1;

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group_id: String,
    /// Its protocol type, such as `consumer`.
    pub protocol_type: String,
    /// Its state; empty before version 4 of ListGroups.
    pub state: String,
}

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its state, as Kafka spells it.
    pub state: String,
    /// The protocol its members agreed on.
    pub protocol: String,
    /// Its members.
    pub members: Vec<MemberInfo>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its id.
    pub member_id: String,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client is.
    pub host: String,
}

/// Who commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committer {
    /// The member; empty from outside of the group.
    pub member_id: String,
    /// Its epoch, or generation.
    pub epoch: i32,
}

impl Committer {
    /// Someone who is no member, which a group without members takes.
    pub fn outside() -> Self {
        Self { member_id: String::new(), epoch: NO_GENERATION }
    }
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to be read.
    pub offset: Offset,
}

/// The groups of all brokers, by id.
pub async fn list_groups(cluster: &Cluster) -> Result<Vec<ListedGroup>, ClientError> {
    cluster.describe(Some(&[])).await?;
    let mut groups = Vec::new();
    for broker in cluster.brokers() {
        let connection = cluster.broker(broker.id).await?;
        let response = connection.call(&ListGroupsRequest::default()).await?;
        accepted(response.error_code, None, || format!("list the groups of broker {}", broker.id))?;
        groups.extend(response.groups.iter().map(|group| ListedGroup {
            group_id: group.group_id.to_string(),
            protocol_type: group.protocol_type.to_string(),
            state: group.group_state.to_string(),
        }));
    }
    groups.sort_by(|left, right| left.group_id.cmp(&right.group_id));
    Ok(groups)
}

/// A connection to the broker that coordinates the group.
pub async fn coordinator(cluster: &Cluster, group: &str) -> Result<Connection, ClientError> {
    cluster.describe(Some(&[])).await?;
    let spoken = cluster.any().version(ApiKey::FindCoordinator)?;
    let request = FindCoordinatorRequest::default();
    let key = StrBytes::from_string(group.to_owned());
    let is_batched = BATCHED_COORDINATORS <= spoken.version;
    let request = if is_batched { request.with_coordinator_keys(vec![key]) } else { request.with_key(key) };
    let id = retrying(async || {
        let response = cluster.any().call(&request).await?;
        let found = response.coordinators.first();
        let (code, id) = match found.filter(|_| is_batched) {
            Some(found) => (found.error_code, found.node_id),
            None => (response.error_code, response.node_id),
        };
        accepted(code, None, || format!("find the coordinator of group {group}"))?;
        Ok(id.0)
    })
    .await?;
    cluster.broker(id).await
}

/// The state and members of a group; `None` if there is none.
pub async fn find_group(coordinator: &Connection, group: &str) -> Result<Option<GroupInfo>, ClientError> {
    match describe_group(coordinator, group).await {
        // Before version 6 of DescribeGroups, a group that is not there is a dead one (KIP-1043).
        Ok(found) => Ok(Some(found).filter(|found| found.state != "Dead")),
        Err(ClientError::Refused { refusal, .. })
            if refusal.error_code() == Some(ErrorCode::GroupIdNotFound) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The state and members of a group, of whichever protocol.
pub async fn describe_group(coordinator: &Connection, group: &str) -> Result<GroupInfo, ClientError> {
    match describe_classic_group(coordinator, group).await {
        Err(ClientError::Refused { refusal, .. })
            if refusal.error_code() == Some(ErrorCode::GroupIdNotFound)
                && coordinator.version(ApiKey::ConsumerGroupDescribe).is_ok() =>
        {
            describe_consumer_group(coordinator, group).await
        }
        other => other,
    }
}

async fn describe_consumer_group(coordinator: &Connection, group: &str) -> Result<GroupInfo, ClientError> {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
    retrying(async || {
        let response = coordinator.call(&request).await?;
        let found = only_group(&response.groups, group)?;
        accepted(found.error_code, found.error_message.as_deref(), || describing(group))?;
        let members = found.members.iter();
        Ok(GroupInfo {
            state: found.group_state.to_string(),
            protocol: found.assignor_name.to_string(),
            members: members
                .map(|member| member_info(&member.member_id, &member.client_id, &member.client_host))
                .collect(),
        })
    })
    .await
}

async fn describe_classic_group(coordinator: &Connection, group: &str) -> Result<GroupInfo, ClientError> {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    retrying(async || {
        let response = coordinator.call(&request).await?;
        let found = only_group(&response.groups, group)?;
        accepted(found.error_code, found.error_message.as_deref(), || describing(group))?;
        let members = found.members.iter();
        Ok(GroupInfo {
            state: found.group_state.to_string(),
            protocol: found.protocol_data.to_string(),
            members: members
                .map(|member| member_info(&member.member_id, &member.client_id, &member.client_host))
                .collect(),
        })
    })
    .await
}

fn describing(group: &str) -> String {
    format!("describe group {group}")
}

/// The group that was asked about.
fn only_group<'a, T>(groups: &'a [T], group: &str) -> Result<&'a T, ClientError> {
    groups.first().ok_or_else(|| ClientError::Unavailable {
        what: describing(group),
        detail: "the answer names no group".to_owned(),
    })
}

fn member_info(member_id: &StrBytes, client_id: &StrBytes, host: &StrBytes) -> MemberInfo {
    let (member_id, client_id) = (member_id.to_string(), client_id.to_string());
    MemberInfo { member_id, client_id, host: host.to_string() }
}

/// An offset that a group has committed, and what its broker knows of the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// The offset.
    pub committed: CommittedOffset,
    /// How far the group was behind when the broker last looked; `None` from a broker that does not tell.
    pub lag: Option<WireLag>,
}

/// Every offset the group has committed.
pub async fn committed_offsets(
    coordinator: &Connection,
    group: &str,
) -> Result<Vec<CommittedOffset>, ClientError> {
    let offsets = group_offsets(coordinator, group).await?;
    Ok(offsets.into_iter().map(|offset| offset.committed).collect())
}

/// Every offset the group has committed, with its lag.
pub async fn group_offsets(coordinator: &Connection, group: &str) -> Result<Vec<GroupOffset>, ClientError> {
    let spoken = coordinator.version(ApiKey::OffsetFetch)?;
    let request = OffsetFetchRequest::default();
    let request = if BATCHED_FETCH <= spoken.version {
        let asked = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(None);
        request.with_groups(vec![asked]).with_unknown_tagged_field(LAG_TAG, Bytes::new())
    } else {
        request.with_group_id(group_id(group)).with_topics(None)
    };
    let what = || format!("offsets of group {group}");
    let mut offsets = retrying(async || {
        let response = coordinator.call(&request).await?;
        accepted(response.error_code, None, what)?;
        let mut offsets = Vec::new();
        for of_group in &response.groups {
            accepted(of_group.error_code, None, what)?;
            for topic in &of_group.topics {
                offsets.extend(topic.partitions.iter().map(|partition| GroupOffset {
                    committed: CommittedOffset {
                        topic: topic.name.to_string(),
                        partition: partition.partition_index,
                        offset: Offset(partition.committed_offset),
                    },
                    lag: lag_in(&partition.unknown_tagged_fields),
                }));
            }
        }
        for topic in &response.topics {
            offsets.extend(topic.partitions.iter().map(|partition| GroupOffset {
                committed: CommittedOffset {
                    topic: topic.name.to_string(),
                    partition: partition.partition_index,
                    offset: Offset(partition.committed_offset),
                },
                lag: None,
            }));
        }
        Ok(offsets)
    })
    .await?;
    offsets.sort_by(|left, right| {
        let place = |of: &GroupOffset| (of.committed.topic.clone(), of.committed.partition);
        place(left).cmp(&place(right))
    });
    Ok(offsets)
}

fn lag_in(tagged: &BTreeMap<i32, Bytes>) -> Option<WireLag> {
    WireLag::decode(tagged.get(&LAG_TAG)?.clone()).ok()
}

/// Commits offsets. The error names the first that is refused.
pub async fn commit_offsets(
    coordinator: &Connection,
    group: &str,
    committer: &Committer,
    offsets: &[CommittedOffset],
) -> Result<(), ClientError> {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for commit in offsets {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(commit.partition)
            .with_committed_offset(commit.offset.0)
            .with_committed_metadata(Some(StrBytes::default()));
        match topics.iter_mut().find(|topic| topic.name.as_str() == commit.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(
                OffsetCommitRequestTopic::default()
                    .with_name(topic_name(&commit.topic))
                    .with_partitions(vec![partition]),
            ),
        }
    }
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(StrBytes::from_string(committer.member_id.clone()))
        .with_generation_id_or_member_epoch(committer.epoch)
        .with_topics(topics);
    retrying(async || {
        let response = coordinator.call(&request).await?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                let place = || format!("{}-{}", topic.name.as_str(), partition.partition_index);
                accepted(partition.error_code, None, || format!("commit for group {group}, {}", place()))?;
            }
        }
        Ok(())
    })
    .await
}

/// Deletes a group without members, with its offsets.
pub async fn delete_group(coordinator: &Connection, group: &str) -> Result<(), ClientError> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
    retrying(async || {
        let response = coordinator.call(&request).await?;
        let code = response.results.first().map_or(0, |result| result.error_code);
        accepted(code, None, || format!("delete group {group}"))
    })
    .await
}

fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}
