//! AlterPartitionReassignments, ListPartitionReassignments and AlterReplicaLogDirs: moving replicas, as far
//! as one node can, which is not at all. Every answer is the one that Kafka gives in the same situation.

use std::collections::BTreeSet;
use std::path::{self, Path};

use kafka_protocol::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};
use kafka_protocol::messages::list_partition_reassignments_response::{
    ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, BrokerId,
    ListPartitionReassignmentsRequest, TopicName as WireTopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::controller::ApiError;
use crate::metadata::{MetadataImage, PartitionRegistration, TopicImage};
use crate::server::Server;
use crate::shard::DescribedLogDir;
use crate::types::{ErrorCode, NodeId};

impl Server {
    pub(in crate::server) fn alter_partition_reassignments(
        &self,
        request: AlterPartitionReassignmentsRequest,
    ) -> AlterPartitionReassignmentsResponse {
        let image = self.shard().image();
        let responses = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|asked| {
                let replicas = asked.replicas.map(|ids| ids.into_iter().map(|id| NodeId(id.0)).collect());
                let answer = ReassignablePartitionResponse::default()
                    .with_partition_index(asked.partition_index)
                    .with_error_message(None);
                match check_reassignment(&image, &topic.name, asked.partition_index, replicas) {
                    Ok(()) => answer,
                    Err(error) => answer
                        .with_error_code(error.code.code())
                        .with_error_message(Some(StrBytes::from_string(error.message))),
                }
            });
            let partitions = partitions.collect();
            ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
        });
        AlterPartitionReassignmentsResponse::default()
            .with_error_message(None)
            .with_allow_replication_factor_change(request.allow_replication_factor_change)
            .with_responses(responses.collect())
    }

    pub(in crate::server) fn list_partition_reassignments(
        &self,
        request: &ListPartitionReassignmentsRequest,
    ) -> ListPartitionReassignmentsResponse {
        let image = self.shard().image();
        let ongoing: Vec<_> = match &request.topics {
            None => image.topics().filter_map(|topic| ongoing(topic, |_| true)).collect(),
            Some(topics) => topics
                .iter()
                .filter_map(|asked| {
                    let partitions: BTreeSet<i32> = asked.partition_indexes.iter().copied().collect();
                    ongoing(image.topic_by_name(&asked.name)?, |id| partitions.contains(&id))
                })
                .collect(),
        };
        ListPartitionReassignmentsResponse::default().with_error_message(None).with_topics(ongoing)
    }

    /// Partitions stay where they are: a replica that is in the directory named is there already, and no
    /// other directory takes it.
    ///
    /// Differs from Kafka, which moves it: other directories answer as if they were cordoned.
    pub(in crate::server) async fn alter_replica_log_dirs(
        &self,
        request: AlterReplicaLogDirsRequest,
    ) -> AlterReplicaLogDirsResponse {
        let dirs = self.all_log_dirs().await;
        let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
        for asked in request.dirs {
            for topic in asked.topics {
                let partitions = topic.partitions.iter().map(|&partition| {
                    let code = check_move(&dirs, &asked.path, &topic.name, partition);
                    AlterReplicaLogDirPartitionResult::default()
                        .with_partition_index(partition)
                        .with_error_code(code.code())
                });
                let partitions = partitions.collect::<Vec<_>>();
                match results.iter_mut().find(|known| known.topic_name == topic.name) {
                    Some(known) => known.partitions.extend(partitions),
                    None => results.push(
                        AlterReplicaLogDirTopicResult::default()
                            .with_topic_name(topic.name)
                            .with_partitions(partitions),
                    ),
                }
            }
        }
        AlterReplicaLogDirsResponse::default().with_results(results)
    }
}

/// Whether the replicas are what the partition has (`ReplicationControlManager.alterPartitionReassignment`).
fn check_reassignment(
    image: &MetadataImage,
    topic: &str,
    partition: i32,
    replicas: Option<Vec<NodeId>>,
) -> Result<(), ApiError> {
    let unknown = |message| ApiError::new(ErrorCode::UnknownTopicOrPartition, message);
    let found = image
        .topic_by_name(topic)
        .ok_or_else(|| unknown(format!("Unable to find a topic named {topic}.")))?
        .partition(partition)
        .ok_or_else(|| unknown(format!("Unable to find partition {topic}:{partition}.")))?;
    let Some(replicas) = replicas else {
        let message = "No partition reassignment is in progress.";
        return Err(ApiError::new(ErrorCode::NoReassignmentInProgress, message));
    };
    let invalid = |message| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    let mut seen = BTreeSet::new();
    if replicas.is_empty() {
        return invalid("The manual partition assignment includes an empty replica list.".to_owned());
    }
    for id in &replicas {
        if image.broker(*id).is_none() {
            return invalid(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
        if !seen.insert(id) {
            return invalid(format!(
                "The manual partition assignment includes the broker {id} more than once."
            ));
        }
    }
    if *found.replicas == replicas[..] {
        return Ok(());
    }
    invalid("Replicas cannot be moved to other brokers: this cluster has one.".to_owned())
}

fn ongoing(topic: &TopicImage, is_asked_for: impl Fn(i32) -> bool) -> Option<OngoingTopicReassignment> {
    let nodes = |ids: &[NodeId]| ids.iter().map(|id| BrokerId(id.0)).collect::<Vec<_>>();
    let moving = |partition: &&PartitionRegistration| {
        !(partition.adding_replicas.is_empty() && partition.removing_replicas.is_empty())
    };
    let partitions: Vec<_> = topic
        .partitions()
        .iter()
        .filter(|partition| is_asked_for(partition.id))
        .filter(moving)
        .map(|partition| {
            OngoingPartitionReassignment::default()
                .with_partition_index(partition.id)
                .with_replicas(nodes(&partition.replicas))
                .with_adding_replicas(nodes(&partition.adding_replicas))
                .with_removing_replicas(nodes(&partition.removing_replicas))
        })
        .collect();
    let name = WireTopicName(StrBytes::from_string(topic.name().to_string()));
    (!partitions.is_empty())
        .then(|| OngoingTopicReassignment::default().with_name(name).with_partitions(partitions))
}

fn check_move(dirs: &[DescribedLogDir], target: &str, topic: &str, partition: i32) -> ErrorCode {
    let is_target =
        |dir: &&DescribedLogDir| path::absolute(&dir.path).is_ok_and(|path| path == Path::new(target));
    let Some(target) = dirs.iter().find(is_target) else { return ErrorCode::LogDirNotFound };
    let holds = |dir: &DescribedLogDir| {
        dir.logs.iter().any(|log| log.name.topic.as_str() == topic && log.name.partition == partition)
    };
    if holds(target) {
        ErrorCode::None
    } else if dirs.iter().any(holds) {
        ErrorCode::InvalidReplicaAssignment
    } else {
        ErrorCode::ReplicaNotAvailable
    }
}
