//! ListGroups, DescribeGroups and DeleteGroups: groups as administrators see them.

use kafka_protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use kafka_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup as WireDescribedGroup, DescribedGroupMember,
};
use kafka_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup as WireListedGroup};
use kafka_protocol::messages::{DeleteGroupsRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest};
use kafka_protocol::protocol::StrBytes;

use super::group_offsets::wire_group_id;
use super::offsets::unreachable_reply;
use super::operations::Resource;
use super::retain_distinct;
use super::split::Split;
use crate::group::{DescribedGroup, ListGroups, ListedGroup, OFFSETS_TOPIC, Request, Response};
use crate::server::Server;
use crate::shard::{GroupPart, GroupReply, ShardReply, ShardRequest};
use crate::types::ErrorCode;

/// From this version on a group that does not exist is an error; before, it is a dead group (KIP-1043).
const NOT_FOUND_VERSION: i16 = 6;
/// From this version on members have instance ids (KIP-345).
const INSTANCE_ID_VERSION: i16 = 4;

impl Server {
    pub(in crate::server) async fn list_groups(&self, request: ListGroupsRequest) -> ListGroupsResponse {
        let texts = |filter: Vec<StrBytes>| filter.iter().map(|text| text.to_string()).collect();
        let filters = ListGroups { states: texts(request.states_filter), types: texts(request.types_filter) };
        let image = self.shard().image();
        let mut split = Split::new();
        // Before there was a group, there is no topic, and nothing to list.
        for partition in image.topic_by_name(OFFSETS_TOPIC).into_iter().flat_map(|topic| topic.partitions()) {
            if let Ok((owner, id)) = self.shard().locate_by_name(OFFSETS_TOPIC, partition.id) {
                split.push(owner, (), GroupPart { id, request: Request::List(filters.clone()) });
            }
        }
        let mut groups = Vec::new();
        for (_, reply) in self.ask_all(split, ShardRequest::Groups).await {
            let ShardReply::Groups(replies) = reply else { unreachable_reply("ListGroups") };
            for reply in replies {
                match reply {
                    Ok(Response::List(listed)) => groups.extend(listed.into_iter().map(listed_group)),
                    // Another broker's by now, which lists it.
                    Err(ErrorCode::NotCoordinator) => {}
                    Err(error) => return ListGroupsResponse::default().with_error_code(error.code()),
                    Ok(_) => unreachable_reply("ListGroups"),
                }
            }
        }
        ListGroupsResponse::default().with_groups(groups)
    }

    pub(in crate::server) async fn describe_groups(
        &self,
        version: i16,
        mut request: DescribeGroupsRequest,
    ) -> DescribeGroupsResponse {
        retain_distinct(&mut request.groups, GroupId::clone);
        let asks_for_operations = request.include_authorized_operations;
        let replies = self.ask_each(&request.groups, Request::Describe).await;
        let groups = request.groups.into_iter().zip(replies);
        let groups = groups
            .map(|(group_id, reply)| match reply {
                Ok(Response::Describe(Ok(described))) => described_group(group_id, described, version),
                Ok(Response::Describe(Err(refusal))) => {
                    undescribed_group(group_id, refusal.error, Some(refusal.message), version)
                }
                Err(error) => undescribed_group(group_id, error, None, version),
                Ok(_) => unreachable_reply("DescribeGroups"),
            })
            .map(|group| {
                let operations = Resource::Group
                    .operations_if(asks_for_operations && group.error_code == ErrorCode::None.code());
                group.with_authorized_operations(operations)
            })
            .collect();
        DescribeGroupsResponse::default().with_groups(groups)
    }

    pub(in crate::server) async fn delete_groups(
        &self,
        request: DeleteGroupsRequest,
    ) -> DeleteGroupsResponse {
        let replies = self.ask_each(&request.groups_names, Request::Delete).await;
        let results = request.groups_names.into_iter().zip(replies);
        let results = results
            .map(|(group_id, reply)| {
                let error = match reply {
                    Ok(Response::Delete(error)) | Err(error) => error,
                    Ok(_) => unreachable_reply("DeleteGroups"),
                };
                DeletableGroupResult::default().with_group_id(group_id).with_error_code(error.code())
            })
            .collect();
        DeleteGroupsResponse::default().with_results(results)
    }

    /// Asks the coordinators of all groups at once. Answers in the order of the groups.
    pub(super) async fn ask_each(
        &self,
        group_ids: &[GroupId],
        request: impl Fn(String) -> Request,
    ) -> Vec<GroupReply> {
        let mut split = Split::new();
        let mut replies: Vec<GroupReply> = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            match self.locate_group(group_id) {
                Err(error) => replies.push(Err(error)),
                Ok((owner, id)) => {
                    let request = request(group_id.to_string());
                    split.push(owner, replies.len(), GroupPart { id, request });
                    replies.push(Err(ErrorCode::NotCoordinator));
                }
            }
        }
        for (places, reply) in self.ask_all(split, ShardRequest::Groups).await {
            let ShardReply::Groups(answers) = reply else { unreachable_reply("groups") };
            for (place, answer) in places.into_iter().zip(answers) {
                replies[place] = answer;
            }
        }
        replies
    }
}

fn listed_group(group: ListedGroup) -> WireListedGroup {
    WireListedGroup::default()
        .with_group_id(wire_group_id(group.group_id))
        .with_protocol_type(StrBytes::from_string(group.protocol_type))
        .with_group_state(StrBytes::from_static_str(group.state))
        .with_group_type(StrBytes::from_static_str(group.group_type))
}

fn described_group(group_id: GroupId, group: DescribedGroup, version: i16) -> WireDescribedGroup {
    let members = group.members.into_iter();
    let members = members
        .map(|member| {
            let instance_id = member.group_instance_id.filter(|_| INSTANCE_ID_VERSION <= version);
            DescribedGroupMember::default()
                .with_member_id(StrBytes::from_string(member.member_id))
                .with_group_instance_id(instance_id.map(StrBytes::from_string))
                .with_client_id(StrBytes::from_string(member.client_id))
                .with_client_host(StrBytes::from_string(member.client_host))
                .with_member_metadata(member.metadata)
                .with_member_assignment(member.assignment)
        })
        .collect();
    WireDescribedGroup::default()
        .with_group_id(group_id)
        .with_group_state(StrBytes::from_static_str(group.state))
        .with_protocol_type(StrBytes::from_string(group.protocol_type))
        .with_protocol_data(StrBytes::from_string(group.protocol_name))
        .with_members(members)
}

fn undescribed_group(
    group_id: GroupId,
    error: ErrorCode,
    message: Option<String>,
    version: i16,
) -> WireDescribedGroup {
    let group = WireDescribedGroup::default().with_group_id(group_id);
    match error {
        ErrorCode::GroupIdNotFound if version < NOT_FOUND_VERSION => {
            group.with_group_state(StrBytes::from_static_str("Dead"))
        }
        ErrorCode::GroupIdNotFound => group
            .with_group_state(StrBytes::from_static_str("Dead"))
            .with_error_code(error.code())
            .with_error_message(message.map(StrBytes::from_string)),
        other => group.with_error_code(other.code()),
    }
}
