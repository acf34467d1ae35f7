//! DescribeTopicPartitions: topics and their partitions, a page at a time (KIP-966).

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use super::operations::Resource;
use crate::metadata::{BrokerRegistration, MetadataImage, PartitionRegistration, TopicImage};
use crate::server::Server;
use crate::types::{ErrorCode, NodeId, TopicName};

impl Server {
    /// The topics from the cursor on, in the order of their names, until a page is full.
    pub(in crate::server) fn describe_topic_partitions(
        &self,
        request: &DescribeTopicPartitionsRequest,
    ) -> DescribeTopicPartitionsResponse {
        let image = self.shard().image();
        let cursor = request.cursor.as_ref();
        let first = cursor.map_or("", |cursor| cursor.topic_name.as_str());
        let first_partition = cursor.map_or(0, |cursor| cursor.partition_index);
        let asks_for_all = request.topics.is_empty();
        let names: BTreeSet<&str> = if asks_for_all {
            image.topics().map(|topic| topic.name().as_str()).collect()
        } else {
            request.topics.iter().map(|topic| topic.name.as_str()).collect()
        };
        if first_partition < 0 || (!asks_for_all && cursor.is_some() && !names.contains(first)) {
            return refuse_all(request);
        }
        let limit = request.response_partition_limit.min(self.config().request_partitions_max).max(1);
        let mut page = Page { image: &image, left: limit as usize, topics: Vec::new(), next: None };
        for name in names.range(first..) {
            let from = if *name == first { first_partition } else { 0 };
            if !page.add(name, from) {
                break;
            }
        }
        DescribeTopicPartitionsResponse::default().with_topics(page.topics).with_next_cursor(page.next)
    }
}

/// Kafka answers a cursor that makes no sense once for every topic named.
fn refuse_all(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = |name: &WireTopicName| answer(ErrorCode::InvalidRequest, name.as_str());
    let topics = request.topics.iter().map(|topic| refused(&topic.name)).collect();
    DescribeTopicPartitionsResponse::default().with_topics(topics).with_next_cursor(None)
}

/// A response while it is filled.
struct Page<'a> {
    image: &'a MetadataImage,
    /// Partitions that still fit.
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next page begins.
    next: Option<Cursor>,
}

impl Page<'_> {
    /// Adds a topic from one of its partitions on, as far as it fits; `false` when the page is full.
    fn add(&mut self, name: &str, from: i32) -> bool {
        let Some(topic) = self.image.topic_by_name(name) else {
            let is_legal = TopicName::new(name).is_ok();
            let error =
                if is_legal { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
            self.topics.push(answer(error, name));
            return true;
        };
        let rest: Vec<_> = topic.partitions().iter().filter(|partition| from <= partition.id).collect();
        if self.left == 0 {
            self.next = rest.first().map(|partition| cursor(topic, partition));
            return self.next.is_none();
        }
        let shown = rest.len().min(self.left);
        self.left -= shown;
        let partitions = rest[..shown].iter().map(|partition| self.partition(partition)).collect();
        self.topics.push(
            answer(ErrorCode::None, name)
                .with_topic_id(uuid::Uuid::from_bytes(topic.id().to_bytes()))
                .with_is_internal(topic.name().is_internal())
                .with_partitions(partitions),
        );
        self.next = rest.get(shown).map(|partition| cursor(topic, partition));
        self.next.is_none()
    }

    fn partition(&self, partition: &PartitionRegistration) -> DescribeTopicPartitionsResponsePartition {
        let is_online = |id: &NodeId| self.image.broker(*id).is_some_and(BrokerRegistration::is_active);
        let nodes = |ids: &[NodeId]| ids.iter().map(|id| BrokerId(id.0)).collect::<Vec<_>>();
        let leader = partition.leader.filter(is_online);
        let error = if leader.is_some() { ErrorCode::None } else { ErrorCode::LeaderNotAvailable };
        let offline: Vec<_> = self.image.offline_replicas(partition).collect();
        DescribeTopicPartitionsResponsePartition::default()
            .with_error_code(error.code())
            .with_partition_index(partition.id)
            .with_leader_id(BrokerId(leader.map_or(-1, |id| id.0)))
            .with_leader_epoch(partition.leader_epoch.0)
            .with_replica_nodes(nodes(&partition.replicas))
            .with_isr_nodes(nodes(&partition.isr))
            .with_eligible_leader_replicas(Some(nodes(&partition.elr)))
            .with_last_known_elr(Some(nodes(&partition.last_known_elr)))
            .with_offline_replicas(nodes(&offline))
    }
}

fn answer(error: ErrorCode, name: &str) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(WireTopicName(StrBytes::from_string(name.to_owned()))))
        .with_topic_authorized_operations(Resource::Topic.operations())
}

fn cursor(topic: &TopicImage, partition: &PartitionRegistration) -> Cursor {
    Cursor::default()
        .with_topic_name(WireTopicName(StrBytes::from_string(topic.name().to_string())))
        .with_partition_index(partition.id)
}
