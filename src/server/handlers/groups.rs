//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup: what members of classic groups say.

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use kafka_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
    SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::RequestContext;
use super::offsets::unreachable_reply;
use crate::group::{
    Heartbeat, JoinGroup, JoinProtocol, JoinedGroup, LeaveGroup, LeavingMember, LeftMember, Request,
    Response, SyncGroup, SyncedGroup,
};
use crate::server::Server;
use crate::types::ErrorCode;

/// A request of version 0 has one timeout for both.
const REBALANCE_TIMEOUT_VERSION: i16 = 1;
/// From this version on a dynamic member asks for an id first (KIP-394).
const KNOWN_MEMBER_ID_VERSION: i16 = 4;
/// Before this version a response cannot leave out the protocol (KIP-559).
const NULL_PROTOCOL_VERSION: i16 = 7;
/// From this version on a leader understands `SkipAssignment` (KIP-814).
const SKIP_ASSIGNMENT_VERSION: i16 = 9;
/// From this version on SyncGroup has to say what the member believes the protocol to be (KIP-559).
const SYNC_PROTOCOL_VERSION: i16 = 5;
/// From this version on LeaveGroup names several members (KIP-345).
const BATCHED_LEAVE_VERSION: i16 = 3;

impl Server {
    pub(in crate::server) async fn join_group(
        &self,
        context: &RequestContext,
        request: JoinGroupRequest,
    ) -> JoinGroupResponse {
        let version = context.api_version;
        let member_id = request.member_id.to_string();
        let group_id = request.group_id.to_string();
        let outcome = match group_id.is_empty() {
            true => Err(ErrorCode::InvalidGroupId),
            false => self.ask_group(&group_id, Request::Join(joining(context, request))).await,
        };
        let joined = match outcome {
            Ok(Response::Join(joined)) => joined,
            Ok(_) => unreachable_reply("JoinGroup"),
            Err(error) => JoinedGroup::refused(&member_id, error),
        };
        join_response(joined, version)
    }

    pub(in crate::server) async fn sync_group(
        &self,
        version: i16,
        request: SyncGroupRequest,
    ) -> SyncGroupResponse {
        let group_id = request.group_id.to_string();
        let outcome = match group_id.is_empty() {
            _ if !names_protocol(&request, version) => Err(ErrorCode::InconsistentGroupProtocol),
            true => Err(ErrorCode::InvalidGroupId),
            false => self.ask_group(&group_id, Request::Sync(syncing(request))).await,
        };
        let synced = match outcome {
            Ok(Response::Sync(synced)) => synced,
            Ok(_) => unreachable_reply("SyncGroup"),
            Err(error) => SyncedGroup::refused(error),
        };
        SyncGroupResponse::default()
            .with_error_code(synced.error.code())
            .with_protocol_type(synced.protocol_type.map(StrBytes::from_string))
            .with_protocol_name(synced.protocol_name.map(StrBytes::from_string))
            .with_assignment(synced.assignment)
    }

    pub(in crate::server) async fn heartbeat(&self, request: HeartbeatRequest) -> HeartbeatResponse {
        let group_id = request.group_id.to_string();
        let heartbeat = Heartbeat {
            group_id: group_id.clone(),
            generation_id: request.generation_id,
            member_id: request.member_id.to_string(),
            group_instance_id: owned(request.group_instance_id),
        };
        let outcome = match group_id.is_empty() {
            true => Err(ErrorCode::InvalidGroupId),
            false => self.ask_group(&group_id, Request::Heartbeat(heartbeat)).await,
        };
        let error = match outcome {
            Ok(Response::Heartbeat(error)) => error,
            Ok(_) => unreachable_reply("Heartbeat"),
            // The member is as alive as it can show; its session starts once the group is loaded.
            Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
            Err(error) => error,
        };
        HeartbeatResponse::default().with_error_code(error.code())
    }

    pub(in crate::server) async fn leave_group(
        &self,
        version: i16,
        request: LeaveGroupRequest,
    ) -> LeaveGroupResponse {
        let group_id = request.group_id.to_string();
        let members = if BATCHED_LEAVE_VERSION <= version {
            let members = request.members.into_iter();
            members
                .map(|member| LeavingMember {
                    member_id: member.member_id.to_string(),
                    group_instance_id: owned(member.group_instance_id),
                })
                .collect()
        } else {
            vec![LeavingMember { member_id: request.member_id.to_string(), group_instance_id: None }]
        };
        let leave = LeaveGroup { group_id: group_id.clone(), members };
        let outcome = match group_id.is_empty() {
            true => Err(ErrorCode::InvalidGroupId),
            false => self.ask_group(&group_id, Request::Leave(leave)).await,
        };
        let left = match outcome {
            Ok(Response::Leave(left)) => left,
            Ok(_) => unreachable_reply("LeaveGroup"),
            Err(error) => Err(error),
        };
        leave_response(left, version)
    }
}

fn joining(context: &RequestContext, request: JoinGroupRequest) -> JoinGroup {
    let version = context.api_version;
    let rebalance_timeout_ms = if REBALANCE_TIMEOUT_VERSION <= version {
        request.rebalance_timeout_ms
    } else {
        request.session_timeout_ms
    };
    JoinGroup {
        group_id: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        group_instance_id: owned(request.group_instance_id),
        client_id: context.client_id.as_deref().unwrap_or_default().to_owned(),
        client_host: context.client_host(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| JoinProtocol {
                name: protocol.name.to_string(),
                metadata: own_bytes(&protocol.metadata),
            })
            .collect(),
        requires_known_member_id: KNOWN_MEMBER_ID_VERSION <= version,
        supports_skipping_assignment: SKIP_ASSIGNMENT_VERSION <= version,
    }
}

/// `SyncGroupRequest.areMandatoryProtocolTypeAndNamePresent`
fn names_protocol(request: &SyncGroupRequest, version: i16) -> bool {
    version < SYNC_PROTOCOL_VERSION || (request.protocol_type.is_some() && request.protocol_name.is_some())
}

fn syncing(request: SyncGroupRequest) -> SyncGroup {
    SyncGroup {
        group_id: request.group_id.to_string(),
        generation_id: request.generation_id,
        member_id: request.member_id.to_string(),
        group_instance_id: owned(request.group_instance_id),
        protocol_type: owned(request.protocol_type),
        protocol_name: owned(request.protocol_name),
        assignments: request
            .assignments
            .into_iter()
            .map(|of| (of.member_id.to_string(), own_bytes(&of.assignment)))
            .collect(),
    }
}

fn join_response(joined: JoinedGroup, version: i16) -> JoinGroupResponse {
    let protocol_name = match joined.protocol_name {
        None if version < NULL_PROTOCOL_VERSION => Some(String::new()),
        name => name,
    };
    let members = joined.members.into_iter();
    let members = members
        .map(|member| {
            let response = JoinGroupResponseMember::default()
                .with_member_id(StrBytes::from_string(member.member_id))
                .with_metadata(member.metadata);
            match member.group_instance_id {
                // Older leaders do not know what an instance is.
                Some(instance_id) if 5 <= version => {
                    response.with_group_instance_id(Some(StrBytes::from_string(instance_id)))
                }
                Some(_) | None => response,
            }
        })
        .collect();
    JoinGroupResponse::default()
        .with_error_code(joined.error.code())
        .with_generation_id(joined.generation_id)
        .with_protocol_type(joined.protocol_type.map(StrBytes::from_string))
        .with_protocol_name(protocol_name.map(StrBytes::from_string))
        .with_leader(StrBytes::from_string(joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(StrBytes::from_string(joined.member_id))
        .with_members(members)
}

fn leave_response(left: Result<Vec<LeftMember>, ErrorCode>, version: i16) -> LeaveGroupResponse {
    let response = LeaveGroupResponse::default();
    match left {
        Err(error) => response.with_error_code(error.code()),
        Ok(left) if version < BATCHED_LEAVE_VERSION => {
            let error = left.first().map_or(ErrorCode::None, |member| member.error);
            response.with_error_code(error.code())
        }
        Ok(left) => response.with_members(left.into_iter().map(member_response).collect()),
    }
}

fn member_response(left: LeftMember) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(StrBytes::from_string(left.member.member_id))
        .with_group_instance_id(left.member.group_instance_id.map(StrBytes::from_string))
        .with_error_code(left.error.code())
}

/// A copy for the group to keep: what is a part of the request keeps the block that it was received into.
fn own_bytes(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub(super) fn owned(text: Option<StrBytes>) -> Option<String> {
    text.map(|text| text.to_string())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use kafka_protocol::messages::ApiKey;
    use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
    use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;

    use super::*;
    use crate::server::affinity::Affinity;
    use crate::server::listener::ListenerContext;
    use crate::types::ShardId;
    use crate::wire::api;

    #[test]
    fn what_a_group_keeps_of_a_request_does_not_keep_its_frame() {
        let context = RequestContext {
            listener: Rc::new(ListenerContext { name: "PLAINTEXT".into(), is_protected: false }),
            peer: ([127, 0, 0, 1], 1).into(),
            affinity: Rc::new(Affinity::new(ShardId(0), 0, 0)),
            client_id: None,
            api: api::lookup(ApiKey::JoinGroup as i16).unwrap(),
            api_version: 9,
            correlation_id: 0,
        };
        let frame = Bytes::from(b"metadata, assignment".to_vec());
        let protocol = JoinGroupRequestProtocol::default().with_metadata(frame.slice(..8));
        let joining = joining(&context, JoinGroupRequest::default().with_protocols(vec![protocol]));
        let assignment = SyncGroupRequestAssignment::default().with_assignment(frame.slice(10..));
        let syncing = syncing(SyncGroupRequest::default().with_assignments(vec![assignment]));
        assert!(frame.is_unique(), "a part of the frame is still there");
        assert_eq!(joining.protocols[0].metadata, "metadata");
        assert_eq!(syncing.assignments[0].1, "assignment");
    }
}
