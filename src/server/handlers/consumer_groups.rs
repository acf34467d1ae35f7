//! ConsumerGroupHeartbeat and ConsumerGroupDescribe: groups of the consumer protocol (KIP-848).

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment as DescribedAssignment, ConsumerGroupDescribeResponse, DescribedGroup, Member,
    TopicPartitions as DescribedTopicPartitions,
};
use kafka_protocol::messages::consumer_group_heartbeat_response::{
    Assignment as AssignedPartitions, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, GroupId, TopicName as WireTopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::groups::owned;
use super::offsets::unreachable_reply;
use super::operations::{OPERATIONS_NOT_REQUESTED, Resource};
use super::{RequestContext, retain_distinct};
use crate::group::consumer::{
    Assignment, ConsumerHeartbeat, DescribedConsumer, DescribedConsumerGroup, DescribedTopic,
    MemberInstruction, Refusal,
};
use crate::group::{Request, Response};
use crate::metadata::features::GROUP_VERSION;
use crate::server::Server;
use crate::types::{ErrorCode, Uuid};

/// From this version on a client brings its member id (KIP-1082).
const MEMBER_ID_VERSION: i16 = 1;
/// From this version on a description tells members of the classic protocol from the others.
const MEMBER_TYPE_VERSION: i16 = 1;
const MEMBER_TYPE_CLASSIC: i8 = 0;
const MEMBER_TYPE_CONSUMER: i8 = 1;

impl Server {
    pub(in crate::server) async fn consumer_group_heartbeat(
        &self,
        context: &RequestContext,
        request: ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        if let Some(reason) = self.consumer_protocol_is_off() {
            return refused_heartbeat(ErrorCode::UnsupportedVersion, Some(reason));
        }
        let group_id = request.group_id.to_string();
        let heartbeat = Request::ConsumerHeartbeat(heartbeat_of(context, request));
        // Before there is a group, its coordinator has to be found: that creates the topic.
        match self.ask_group(&group_id, heartbeat).await {
            Ok(Response::ConsumerHeartbeat(Ok(instruction))) => instructed(instruction),
            Ok(Response::ConsumerHeartbeat(Err(Refusal { error, message }))) => {
                refused_heartbeat(error, Some(message))
            }
            Ok(_) => unreachable_reply("ConsumerGroupHeartbeat"),
            Err(error) => refused_heartbeat(error, None),
        }
    }

    pub(in crate::server) async fn consumer_group_describe(
        &self,
        version: i16,
        mut request: ConsumerGroupDescribeRequest,
    ) -> ConsumerGroupDescribeResponse {
        retain_distinct(&mut request.group_ids, GroupId::clone);
        let response = ConsumerGroupDescribeResponse::default();
        if let Some(reason) = self.consumer_protocol_is_off() {
            let refuse =
                |group_id| undescribed(group_id, ErrorCode::UnsupportedVersion, Some(reason.clone()));
            return response.with_groups(request.group_ids.into_iter().map(refuse).collect());
        }
        let asks_for_operations = request.include_authorized_operations;
        let replies = self.ask_each(&request.group_ids, Request::DescribeConsumer).await;
        let groups = request.group_ids.into_iter().zip(replies);
        let groups = groups.map(|(group_id, reply)| match reply {
            Ok(Response::DescribeConsumer(Ok(group))) => described(group_id, group, version)
                .with_authorized_operations(Resource::Group.operations_if(asks_for_operations)),
            Ok(Response::DescribeConsumer(Err(Refusal { error, message }))) => {
                undescribed(group_id, error, Some(message))
            }
            Ok(_) => unreachable_reply("ConsumerGroupDescribe"),
            Err(error) => undescribed(group_id, error, None),
        });
        response.with_groups(groups.collect())
    }

    /// Why the protocol cannot be used (`KafkaApis.isConsumerGroupProtocolEnabled`).
    fn consumer_protocol_is_off(&self) -> Option<String> {
        if !self.config().groups.consumer.is_enabled {
            let key = "group.coordinator.rebalance.protocols";
            return Some(format!("The consumer group protocol is not among the broker's {key}."));
        }
        let level = self.shard().image().feature_level(GROUP_VERSION);
        (level < 1)
            .then(|| format!("The consumer group protocol needs {GROUP_VERSION}=1, the cluster has {level}."))
    }
}

fn heartbeat_of(context: &RequestContext, request: ConsumerGroupHeartbeatRequest) -> ConsumerHeartbeat {
    let names = |names: Vec<WireTopicName>| names.iter().map(|name| name.to_string()).collect();
    let owned_partitions = request.topic_partitions.map(|topics| {
        let mut partitions = Assignment::default();
        for topic in topics {
            partitions.extend(Uuid(topic.topic_id.as_u128()), topic.partitions);
        }
        partitions
    });
    ConsumerHeartbeat {
        group_id: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        instance_id: owned(request.instance_id),
        rack_id: owned(request.rack_id),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topic_names: request.subscribed_topic_names.map(names),
        topic_regex: owned(request.subscribed_topic_regex),
        server_assignor: owned(request.server_assignor),
        owned: owned_partitions,
        requires_member_id: MEMBER_ID_VERSION <= context.api_version,
        client_id: context.client_id.as_deref().unwrap_or_default().to_owned(),
        client_host: context.client_host(),
    }
}

fn instructed(instruction: MemberInstruction) -> ConsumerGroupHeartbeatResponse {
    let assignment = instruction.assignment.map(|assignment| {
        let topics = assignment.topics().map(|(topic, partitions)| {
            TopicPartitions::default()
                .with_topic_id(uuid::Uuid::from_u128(topic.0))
                .with_partitions(partitions.iter().copied().collect())
        });
        AssignedPartitions::default().with_topic_partitions(topics.collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(StrBytes::from_string(instruction.member_id)))
        .with_member_epoch(instruction.member_epoch)
        .with_heartbeat_interval_ms(instruction.heartbeat_interval_ms)
        .with_assignment(assignment)
}

fn refused_heartbeat(error: ErrorCode, message: Option<String>) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(error.code())
        .with_error_message(message.map(StrBytes::from_string))
}

fn described(group_id: GroupId, group: DescribedConsumerGroup, version: i16) -> DescribedGroup {
    let members = group.members.into_iter().map(|member| described_member(member, version));
    DescribedGroup::default()
        .with_group_id(group_id)
        .with_group_state(StrBytes::from_static_str(group.state))
        .with_group_epoch(group.epoch)
        .with_assignment_epoch(group.assignment_epoch)
        .with_assignor_name(StrBytes::from_string(group.assignor))
        .with_members(members.collect())
}

fn undescribed(group_id: GroupId, error: ErrorCode, message: Option<String>) -> DescribedGroup {
    DescribedGroup::default()
        .with_group_id(group_id)
        .with_error_code(error.code())
        .with_error_message(message.map(StrBytes::from_string))
        .with_authorized_operations(OPERATIONS_NOT_REQUESTED)
}

fn described_member(member: DescribedConsumer, version: i16) -> Member {
    let text = StrBytes::from_string;
    let names = member.topic_names.into_iter().map(|name| WireTopicName(text(name)));
    let described = Member::default()
        .with_member_id(text(member.member_id))
        .with_instance_id(member.instance_id.map(text))
        .with_rack_id(member.rack_id.map(text))
        .with_member_epoch(member.member_epoch)
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_subscribed_topic_names(names.collect())
        .with_subscribed_topic_regex(Some(text(member.topic_regex)))
        .with_assignment(described_assignment(member.assignment))
        .with_target_assignment(described_assignment(member.target_assignment));
    if version < MEMBER_TYPE_VERSION {
        return described;
    }
    described.with_member_type(if member.is_classic { MEMBER_TYPE_CLASSIC } else { MEMBER_TYPE_CONSUMER })
}

fn described_assignment(topics: Vec<DescribedTopic>) -> DescribedAssignment {
    let topics = topics.into_iter().map(|topic| {
        DescribedTopicPartitions::default()
            .with_topic_id(uuid::Uuid::from_u128(topic.id.0))
            .with_topic_name(WireTopicName(StrBytes::from_string(topic.name)))
            .with_partitions(topic.partitions)
    });
    DescribedAssignment::default().with_topic_partitions(topics.collect())
}
