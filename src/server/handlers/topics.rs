//! CreateTopics, DeleteTopics, and the automatic creation of topics that Metadata asks for.

use std::collections::HashMap;

use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use kafka_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use crate::config::ConfigEntry;
use crate::controller::{
    CreateTopicResult, CreateTopics, CreatedTopic, DeleteTopicResult, DeleteTopics, NewTopic,
    ReplicaAssignment, Response, TopicReference,
};
use crate::group::OFFSETS_TOPIC;
use crate::server::Server;
use crate::server::errors::control_error_code;
use crate::shard::ControlRequest;
use crate::types::{ErrorCode, NodeId, TopicId, TopicName, Uuid};

/// From this version on topics can be deleted by id (KIP-516).
const DELETE_BY_ID_VERSION: i16 = 6;
/// Older clients do not know TOPIC_DELETION_DISABLED (KIP-322).
const DELETION_DISABLED_VERSION: i16 = 3;
/// DeleteTopics answers in words from this version on.
const ERROR_MESSAGE_VERSION: i16 = 5;

impl Server {
    pub(in crate::server) async fn create_topics(
        &self,
        request: CreateTopicsRequest,
    ) -> CreateTopicsResponse {
        let names: Vec<_> = request.topics.iter().map(|topic| topic.name.clone()).collect();
        let topics = request.topics.into_iter().map(new_topic).collect();
        let creation = CreateTopics { topics, validate_only: request.validate_only };
        let topics = match self.shard().ask_control(ControlRequest::CreateTopics(creation)).await {
            Ok(Response::CreateTopics(results)) => results.into_iter().map(creatable_topic_result).collect(),
            Ok(other) => panic!("control answered a creation with {other:?}"),
            Err(error) => names
                .into_iter()
                .map(|name| {
                    CreatableTopicResult::default()
                        .with_name(name)
                        .with_error_code(control_error_code(&error).code())
                        .with_error_message(Some(StrBytes::from_string(error.to_string())))
                })
                .collect(),
        };
        CreateTopicsResponse::default().with_topics(topics)
    }

    pub(in crate::server) async fn delete_topics(
        &self,
        version: i16,
        request: DeleteTopicsRequest,
    ) -> DeleteTopicsResponse {
        let topics: Vec<_> = if DELETE_BY_ID_VERSION <= version {
            let topics = request.topics.into_iter();
            topics
                .map(|topic| TopicReference {
                    name: topic.name.map(|name| name.to_string()),
                    id: TopicId::from_bytes(*topic.topic_id.as_bytes()),
                })
                .collect()
        } else {
            let names = request.topic_names.into_iter();
            names.map(|name| TopicReference { name: Some(name.to_string()), id: Uuid::ZERO }).collect()
        };
        let asked = topics.clone();
        let results =
            match self.shard().ask_control(ControlRequest::DeleteTopics(DeleteTopics { topics })).await {
                Ok(Response::DeleteTopics(results)) => {
                    results.into_iter().map(|topic| deletable_topic_result(topic, version)).collect()
                }
                Ok(other) => panic!("control answered a deletion with {other:?}"),
                Err(error) => asked
                    .into_iter()
                    .map(|topic| {
                        deletable_topic(topic.name, topic.id)
                            .with_error_code(control_error_code(&error).code())
                    })
                    .collect(),
            };
        DeleteTopicsResponse::default().with_responses(results)
    }

    /// Creates topics with the broker's defaults. Returns the refusals by name; a topic that someone else
    /// has created meanwhile is none.
    pub(super) async fn auto_create(&self, names: Vec<TopicName>) -> HashMap<String, ErrorCode> {
        let new_topic = |name: &TopicName| match name.as_str() {
            OFFSETS_TOPIC => self.offsets_topic(),
            name => NewTopic::with_defaults(name),
        };
        let topics = names.iter().map(new_topic).collect();
        let creation = CreateTopics { topics, validate_only: false };
        let results = match self.shard().ask_control(ControlRequest::CreateTopics(creation)).await {
            Ok(Response::CreateTopics(results)) => results,
            Ok(other) => panic!("control answered a creation with {other:?}"),
            Err(error) => {
                let refused = |name: TopicName| (name.to_string(), control_error_code(&error));
                return names.into_iter().map(refused).collect();
            }
        };
        results
            .into_iter()
            .filter_map(|topic| Some((topic.name, topic.result.err()?.code)))
            .filter(|(_, code)| *code != ErrorCode::TopicAlreadyExists)
            .collect()
    }
}

fn new_topic(topic: kafka_protocol::messages::create_topics_request::CreatableTopic) -> NewTopic {
    NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|assignment| ReplicaAssignment {
                partition: assignment.partition_index,
                brokers: assignment.broker_ids.into_iter().map(|id| NodeId(id.0)).collect(),
            })
            .collect(),
        configs: topic
            .configs
            .into_iter()
            .map(|config| (config.name.to_string(), config.value.map(|value| value.to_string())))
            .collect(),
    }
}

fn creatable_topic_result(topic: CreateTopicResult) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_name(wire_name(&topic.name));
    match topic.result {
        Ok(CreatedTopic { id, partitions, replication_factor, configs }) => result
            .with_topic_id(uuid::Uuid::from_bytes(id.to_bytes()))
            .with_num_partitions(partitions)
            .with_replication_factor(replication_factor)
            .with_configs(Some(configs.into_iter().map(creatable_config).collect())),
        Err(error) => result
            .with_error_code(error.code.code())
            .with_error_message(Some(StrBytes::from_string(error.message)))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_configs(None),
    }
}

fn creatable_config(entry: ConfigEntry) -> CreatableTopicConfigs {
    CreatableTopicConfigs::default()
        .with_name(StrBytes::from_static_str(entry.name))
        .with_value(entry.value.map(StrBytes::from_string))
        .with_config_source(entry.source.code())
}

fn deletable_topic(name: Option<String>, id: TopicId) -> DeletableTopicResult {
    DeletableTopicResult::default()
        .with_name(name.map(|name| wire_name(&name)))
        .with_topic_id(uuid::Uuid::from_bytes(id.to_bytes()))
}

fn deletable_topic_result(topic: DeleteTopicResult, version: i16) -> DeletableTopicResult {
    let result = deletable_topic(topic.name, topic.id);
    match topic.result {
        Ok(()) => result,
        Err(error) => {
            let is_disabled = error.code == ErrorCode::TopicDeletionDisabled;
            let code = if is_disabled && version < DELETION_DISABLED_VERSION {
                ErrorCode::InvalidRequest
            } else {
                error.code
            };
            let result = result.with_error_code(code.code());
            if version < ERROR_MESSAGE_VERSION {
                return result;
            }
            result.with_error_message(Some(StrBytes::from_string(error.message)))
        }
    }
}

fn wire_name(name: &str) -> WireTopicName {
    WireTopicName(StrBytes::from_string(name.to_owned()))
}
