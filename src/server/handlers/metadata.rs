//! Metadata: what topics there are and who leads their partitions, with automatic creation.

use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use super::operations::{OPERATIONS_NOT_REQUESTED, Resource};
use super::{RequestContext, retain_distinct};
use crate::metadata::{BrokerRegistration, MetadataImage, TopicImage};
use crate::rt::task;
use crate::server::Server;
use crate::types::{ErrorCode, NodeId, TopicId, TopicName};

/// Before this version an empty list of topics means all of them, and null cannot be said.
const NULL_MEANS_ALL_VERSION: i16 = 1;
/// From this version on a topic may be asked for by its id (KIP-516).
const TOPIC_ID_VERSION: i16 = 12;

impl Server {
    pub(in crate::server) async fn metadata(
        &self,
        context: &RequestContext,
        request: MetadataRequest,
    ) -> MetadataResponse {
        let asks_for_all = match &request.topics {
            None => true,
            Some(topics) => topics.is_empty() && context.api_version < NULL_MEANS_ALL_VERSION,
        };
        let mut topics = if asks_for_all {
            let image = self.shard().image();
            let mut topics = Vec::with_capacity(image.topic_count());
            for topic in image.topics() {
                topics.push(answer_topic(&image, topic));
                task::yield_if_needed().await;
            }
            topics.sort_by(|left, right| left.name.cmp(&right.name));
            topics
        } else {
            let asked = request.topics.unwrap_or_default();
            // Versions 0 to 3 cannot say no to automatic creation (`MetadataRequest.allowAutoTopicCreation`).
            let may_create = context.api_version < 4 || request.allow_auto_topic_creation;
            match context.api_version < TOPIC_ID_VERSION && asked.iter().any(is_only_for_ids) {
                true => asked.into_iter().map(refused_as_invalid).collect(),
                false => self.named_topics(asked, may_create).await,
            }
        };
        if request.include_topic_authorized_operations {
            // Kafka tells them of topics that are not there, too.
            topics
                .iter_mut()
                .for_each(|topic| topic.topic_authorized_operations = Resource::Topic.operations());
        }
        let image = self.shard().image();
        let brokers = image
            .brokers()
            .filter(|broker| broker.is_active())
            .filter_map(|broker| {
                let endpoint = broker.endpoint(&context.listener.name)?;
                Some(
                    MetadataResponseBroker::default()
                        .with_node_id(BrokerId(broker.id.0))
                        .with_host(StrBytes::from_string(endpoint.host.clone()))
                        .with_port(i32::from(endpoint.port))
                        .with_rack(broker.rack.clone().map(StrBytes::from_string)),
                )
            })
            .collect();
        MetadataResponse::default()
            .with_brokers(brokers)
            .with_cluster_id(Some(StrBytes::from_string(image.cluster_id().to_string())))
            .with_controller_id(BrokerId(self.shard().node_id().0))
            .with_topics(topics)
            .with_cluster_authorized_operations(
                Resource::Cluster.operations_if(request.include_cluster_authorized_operations),
            )
    }

    /// Differs from Kafka: `AutoTopicCreationManager` answers UNKNOWN_TOPIC_OR_PARTITION at once, and clients
    /// ask again after a pause. Here the answer waits for the new topic, and their first records do not.
    async fn named_topics(
        &self,
        mut asked: Vec<MetadataRequestTopic>,
        may_create: bool,
    ) -> Vec<MetadataResponseTopic> {
        // `KafkaApis.handleTopicMetadataRequest` takes the names as a set.
        retain_distinct(&mut asked, |topic| (topic.topic_id, topic.name.clone()));
        let mut answers = Vec::with_capacity(asked.len());
        let mut missing = Vec::new();
        for topic in &asked {
            let answer = self.lookup(topic);
            if answer.error_code == ErrorCode::UnknownTopicOrPartition.code() {
                missing.push(answers.len());
            }
            answers.push(answer);
        }
        if missing.is_empty() || !may_create || !self.config().topic_creation.auto_create {
            return answers;
        }
        let names: Vec<_> =
            missing.iter().filter_map(|&place| TopicName::new(answers[place].name.as_ref()?).ok()).collect();
        let outcomes = self.auto_create(names).await;
        for place in missing {
            let created = self.lookup(&asked[place]);
            let name = answers[place].name.as_ref().map(|name| name.as_str());
            let error = name.and_then(|name| outcomes.get(name)).copied();
            answers[place] = match error {
                // The refusal of the controller says more than "unknown".
                Some(error) if created.error_code != ErrorCode::None.code() => {
                    created.with_error_code(error.code())
                }
                Some(_) | None => created,
            };
        }
        answers
    }

    fn lookup(&self, asked: &MetadataRequestTopic) -> MetadataResponseTopic {
        let image = self.shard().image();
        let refused = |error: ErrorCode| {
            MetadataResponseTopic::default()
                .with_error_code(error.code())
                .with_name(asked.name.clone())
                .with_topic_id(asked.topic_id)
                .with_topic_authorized_operations(OPERATIONS_NOT_REQUESTED)
        };
        let Some(name) = &asked.name else {
            let id = TopicId::from_bytes(*asked.topic_id.as_bytes());
            return match image.topic(id) {
                Some(topic) => answer_topic(&image, topic),
                None => refused(ErrorCode::UnknownTopicId),
            };
        };
        match image.topic_by_name(name) {
            Some(topic) => answer_topic(&image, topic),
            None if TopicName::new(name).is_err() => refused(ErrorCode::InvalidTopicException),
            None => refused(ErrorCode::UnknownTopicOrPartition),
        }
    }
}

/// Versions 10 and 11 have room for an id and for no name, but do not allow either
/// (`KafkaApis.handleTopicMetadataRequest`).
fn is_only_for_ids(asked: &MetadataRequestTopic) -> bool {
    asked.name.is_none() || !asked.topic_id.is_nil()
}

fn refused_as_invalid(asked: MetadataRequestTopic) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(ErrorCode::InvalidRequest.code())
        // A response of these versions cannot leave the name out.
        .with_name(Some(asked.name.unwrap_or_default()))
        .with_topic_id(asked.topic_id)
        .with_topic_authorized_operations(OPERATIONS_NOT_REQUESTED)
}

fn answer_topic(image: &MetadataImage, topic: &TopicImage) -> MetadataResponseTopic {
    let is_online = |id: &NodeId| image.broker(*id).is_some_and(BrokerRegistration::is_active);
    let node = |id: &NodeId| BrokerId(id.0);
    let partitions = topic
        .partitions()
        .iter()
        .map(|partition| {
            let leader = partition.leader.filter(is_online);
            let error = if leader.is_some() { ErrorCode::None } else { ErrorCode::LeaderNotAvailable };
            MetadataResponsePartition::default()
                .with_error_code(error.code())
                .with_partition_index(partition.id)
                .with_leader_id(BrokerId(leader.map_or(-1, |id| id.0)))
                .with_leader_epoch(partition.leader_epoch.0)
                .with_replica_nodes(partition.replicas.iter().map(node).collect())
                .with_isr_nodes(partition.isr.iter().map(node).collect())
                .with_offline_replicas(image.offline_replicas(partition).map(|id| node(&id)).collect())
        })
        .collect();
    MetadataResponseTopic::default()
        .with_name(Some(WireTopicName(StrBytes::from_string(topic.name().to_string()))))
        .with_topic_id(uuid::Uuid::from_bytes(topic.id().to_bytes()))
        .with_is_internal(topic.name().is_internal())
        .with_partitions(partitions)
        .with_topic_authorized_operations(OPERATIONS_NOT_REQUESTED)
}
