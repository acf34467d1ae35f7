//! DescribeQuorum and UnregisterBroker: the controllers and brokers behind the metadata.

use kafka_protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{
    BrokerId, DescribeQuorumRequest, UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::rt::time;
use crate::server::Server;
use crate::types::{ErrorCode, NodeId};

/// The only topic that has a quorum, with its only partition.
const METADATA_TOPIC: &str = "__cluster_metadata";
const METADATA_PARTITION: i32 = 0;
/// From these versions on times of replicas are told, and the nodes with error messages.
const TIMES_VERSION: i16 = 1;
const NODES_VERSION: i16 = 2;

impl Server {
    /// One voter, this node, which leads. The controller has no listener, so the node has no endpoint.
    pub(in crate::server) fn describe_quorum(
        &self,
        version: i16,
        request: DescribeQuorumRequest,
    ) -> DescribeQuorumResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let is_metadata = topic.topic_name.as_str() == METADATA_TOPIC;
            let partitions = topic.partitions.iter().map(|asked| {
                if is_metadata && asked.partition_index == METADATA_PARTITION {
                    self.metadata_quorum(version)
                } else {
                    PartitionData::default()
                        .with_partition_index(asked.partition_index)
                        .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
                }
            });
            let partitions = partitions.collect();
            TopicData::default().with_topic_name(topic.topic_name).with_partitions(partitions)
        });
        let response = DescribeQuorumResponse::default().with_topics(topics.collect());
        if version < NODES_VERSION {
            return response;
        }
        let node = Node::default().with_node_id(BrokerId(self.shard().node_id().0));
        response.with_error_message(None).with_nodes(vec![node])
    }

    /// As far as this shard has applied what is committed.
    fn metadata_quorum(&self, version: i16) -> PartitionData {
        let image = self.shard().image();
        let id = BrokerId(self.shard().node_id().0);
        let end_offset = image.end_offset().0;
        let voter = ReplicaState::default().with_replica_id(id).with_log_end_offset(end_offset);
        let voter = if version < TIMES_VERSION {
            voter
        } else {
            // A leader is caught up with itself.
            let now = time::wall_clock().0;
            voter.with_last_fetch_timestamp(now).with_last_caught_up_timestamp(now)
        };
        let partition = PartitionData::default()
            .with_partition_index(METADATA_PARTITION)
            .with_leader_id(id)
            .with_leader_epoch(image.epoch().0)
            .with_high_watermark(end_offset)
            .with_current_voters(vec![voter]);
        if version < NODES_VERSION { partition } else { partition.with_error_message(None) }
    }

    /// Differs from Kafka, which forgets a broker that is running until it registers again: the only broker
    /// is not forgotten.
    pub(in crate::server) fn unregister_broker(
        &self,
        request: &UnregisterBrokerRequest,
    ) -> UnregisterBrokerResponse {
        let id = NodeId(request.broker_id.0);
        let (code, message) = match self.shard().image().broker(id) {
            None => (ErrorCode::BrokerIdNotRegistered, format!("Broker ID {id} is not currently registered")),
            Some(_) => (
                ErrorCode::InvalidRequest,
                format!("Broker ID {id} is the cluster's only broker and is running"),
            ),
        };
        UnregisterBrokerResponse::default()
            .with_error_code(code.code())
            .with_error_message(Some(StrBytes::from_string(message)))
    }
}
