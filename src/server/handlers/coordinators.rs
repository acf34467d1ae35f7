//! FindCoordinator, and how the handlers of groups reach the coordinator themselves.

use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest};
use kafka_protocol::protocol::StrBytes;

use super::RequestContext;
use super::offsets::unreachable_reply;
use crate::controller::{CreateTopics, NewTopic, Response};
use crate::group::{OFFSETS_TOPIC, Request, partition_of};
use crate::metadata::BrokerRegistration;
use crate::server::Server;
use crate::shard::{ControlRequest, GroupPart, GroupReply, PartitionId, ShardReply, ShardRequest};
use crate::types::{ErrorCode, ShardId};

/// From this version on FindCoordinator asks for several keys at once (KIP-699).
const BATCHED_COORDINATORS_VERSION: i16 = 4;
/// `FindCoordinatorRequest.CoordinatorType`
const KEY_TYPE_GROUP: i8 = 0;
const KEY_TYPE_TRANSACTION: i8 = 1;
/// Replicas of an internal topic when nobody says how many: Kafka's default.
const REPLICATION_FACTOR_MAX: i16 = 3;

/// Where a coordinator is, or why there is none.
type Found = Result<(i32, String, u16), (ErrorCode, String)>;

impl Server {
    pub(in crate::server) async fn find_coordinator(
        &self,
        context: &RequestContext,
        request: FindCoordinatorRequest,
    ) -> FindCoordinatorResponse {
        if request.key_type == KEY_TYPE_GROUP
            && let Err(error) = self.ensure_offsets_topic().await
        {
            tracing::warn!(target: "server", topic = OFFSETS_TOPIC, error, "cannot create the topic");
        }
        if BATCHED_COORDINATORS_VERSION <= context.api_version {
            let keys = request.coordinator_keys.into_iter();
            let coordinators = keys
                .map(|key| {
                    let found = self.coordinator(context, request.key_type, &key);
                    coordinator_of(key, found)
                })
                .collect();
            return FindCoordinatorResponse::default().with_coordinators(coordinators);
        }
        let found =
            coordinator_of(StrBytes::default(), self.coordinator(context, request.key_type, &request.key));
        let response = FindCoordinatorResponse::default()
            .with_error_code(found.error_code)
            .with_node_id(found.node_id)
            .with_host(found.host)
            .with_port(found.port);
        // The message exists from version 1 on.
        if context.api_version == 0 { response } else { response.with_error_message(found.error_message) }
    }

    fn coordinator(&self, context: &RequestContext, key_type: i8, key: &str) -> Found {
        match key_type {
            KEY_TYPE_GROUP => {}
            KEY_TYPE_TRANSACTION => {
                let text = "this broker has no transaction coordinator yet";
                return Err((ErrorCode::CoordinatorNotAvailable, text.to_owned()));
            }
            2 => return Err((ErrorCode::InvalidRequest, "share groups are not supported".to_owned())),
            other => return Err((ErrorCode::InvalidRequest, format!("unknown coordinator type {other}"))),
        }
        let image = self.shard().image();
        let unavailable = |text: String| (ErrorCode::CoordinatorNotAvailable, text);
        let topic = image
            .topic_by_name(OFFSETS_TOPIC)
            .ok_or_else(|| unavailable(format!("{OFFSETS_TOPIC} does not exist yet")))?;
        let index = partition_of(key, topic.partitions().len() as i32);
        let leader = topic.partition(index).and_then(|partition| partition.leader);
        let broker = leader.and_then(|leader| image.broker(leader)).filter(|broker| broker.is_active());
        let endpoint = broker.and_then(|broker: &BrokerRegistration| broker.endpoint(&context.listener.name));
        match (broker, endpoint) {
            (Some(broker), Some(endpoint)) => Ok((broker.id.0, endpoint.host.clone(), endpoint.port)),
            _ => Err(unavailable(format!("partition {index} of {OFFSETS_TOPIC} has no leader"))),
        }
    }

    /// Creates the offsets topic unless it is there.
    async fn ensure_offsets_topic(&self) -> Result<(), String> {
        if self.shard().image().topic_by_name(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        let creation = CreateTopics { topics: vec![self.offsets_topic()], validate_only: false };
        match self.shard().ask_control(ControlRequest::CreateTopics(creation)).await {
            Ok(Response::CreateTopics(results)) => {
                let refused = results.into_iter().filter_map(|topic| topic.result.err());
                match refused.into_iter().find(|error| error.code != ErrorCode::TopicAlreadyExists) {
                    None => Ok(()),
                    Some(error) => Err(error.to_string()),
                }
            }
            Ok(other) => panic!("control answered a creation with {other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The offsets topic as it is to be created (`GroupCoordinator.groupMetadataTopicConfigs`).
    ///
    /// Differs from Kafka: while nobody has set `offsets.topic.replication.factor`, there are as many
    /// replicas as brokers, up to Kafka's default, which Kafka refuses on fewer than three brokers.
    pub(super) fn offsets_topic(&self) -> NewTopic {
        let config = &self.config().groups.offsets_topic;
        let brokers = self.shard().image().brokers().filter(|broker| broker.is_active()).count();
        let at_hand = i16::try_from(brokers).unwrap_or(i16::MAX).clamp(1, REPLICATION_FACTOR_MAX);
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", config.segment_bytes.to_string()),
        ];
        NewTopic {
            partitions: config.partitions,
            replication_factor: config.replication_factor.unwrap_or(at_hand),
            configs: configs.into_iter().map(|(key, value)| (key.to_owned(), Some(value))).collect(),
            ..NewTopic::with_defaults(OFFSETS_TOPIC)
        }
    }

    /// The partition that holds a group, and the shard that owns it.
    pub(super) fn locate_group(&self, group_id: &str) -> Result<(ShardId, PartitionId), ErrorCode> {
        let image = self.shard().image();
        let topic = image.topic_by_name(OFFSETS_TOPIC).ok_or(ErrorCode::NotCoordinator)?;
        let index = partition_of(group_id, topic.partitions().len() as i32);
        self.shard().locate_by_name(OFFSETS_TOPIC, index).map_err(|_| ErrorCode::NotCoordinator)
    }

    /// Asks a group's coordinator.
    pub(super) async fn ask_group(&self, group_id: &str, request: Request) -> GroupReply {
        let (owner, id) = self.locate_group(group_id)?;
        match self.shard().ask(owner, ShardRequest::Groups(vec![GroupPart { id, request }])).await {
            Some(ShardReply::Groups(mut answers)) => {
                answers.pop().expect("a shard answers every part of a request")
            }
            Some(_) => unreachable_reply("Groups"),
            None => Err(ErrorCode::NotCoordinator),
        }
    }
}

fn coordinator_of(key: StrBytes, found: Found) -> Coordinator {
    let coordinator = Coordinator::default().with_key(key);
    match found {
        Ok((node_id, host, port)) => coordinator
            .with_node_id(BrokerId(node_id))
            .with_host(StrBytes::from_string(host))
            .with_port(i32::from(port)),
        Err((error, text)) => coordinator
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(text))),
    }
}
