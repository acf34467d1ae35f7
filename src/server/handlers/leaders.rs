//! ElectLeaders: on one node there is nobody else to elect, so that the answer follows from the metadata.

use kafka_protocol::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use kafka_protocol::messages::{ElectLeadersRequest, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use crate::controller::ApiError;
use crate::metadata::{MetadataImage, PartitionRegistration};
use crate::server::Server;
use crate::types::ErrorCode;

/// From this version on the request says which election is meant, and the response has an error of its own.
const ELECTION_TYPE_VERSION: i16 = 1;

/// `ElectionType`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Election {
    /// Leadership goes back to the first replica.
    Preferred,
    /// A replica that is not in sync leads where no other can.
    Unclean,
}

impl Server {
    pub(in crate::server) fn elect_leaders(
        &self,
        version: i16,
        request: ElectLeadersRequest,
    ) -> ElectLeadersResponse {
        let election = match request.election_type {
            _ if version < ELECTION_TYPE_VERSION => Election::Preferred,
            0 => Election::Preferred,
            1 => Election::Unclean,
            _ => {
                let code = ErrorCode::InvalidRequest.code();
                return ElectLeadersResponse::default().with_error_code(code);
            }
        };
        let image = self.shard().image();
        let results = match request.topic_partitions {
            Some(topics) => topics
                .into_iter()
                .map(|topic| {
                    let elected = topic.partitions.iter().map(|&partition| {
                        partition_result(partition, elect(&image, &topic.topic, partition, election))
                    });
                    let elected = elected.collect();
                    ReplicaElectionResult::default().with_topic(topic.topic).with_partition_result(elected)
                })
                .collect(),
            None => all_elections(&image, election),
        };
        ElectLeadersResponse::default().with_replica_election_results(results)
    }
}

/// Of all partitions, those whose leader is not the one wanted.
fn all_elections(image: &MetadataImage, election: Election) -> Vec<ReplicaElectionResult> {
    image
        .topics()
        .map(|topic| {
            let failed = topic.partitions().iter().filter_map(|partition| {
                let error = election_of(partition, election);
                (error != ErrorCode::ElectionNotNeeded)
                    .then(|| partition_result(partition.id, refusal(error)))
            });
            ReplicaElectionResult::default()
                .with_topic(WireTopicName(StrBytes::from_string(topic.name().to_string())))
                .with_partition_result(failed.collect())
        })
        .collect()
}

fn elect(image: &MetadataImage, topic: &str, partition: i32, election: Election) -> ApiError {
    let unknown = |message| ApiError::new(ErrorCode::UnknownTopicOrPartition, message);
    let Some(found) = image.topic_by_name(topic) else {
        return unknown(format!("No such topic as {topic}"));
    };
    match found.partition(partition) {
        None => unknown(format!("No such partition as {topic}-{partition}")),
        Some(found) => refusal(election_of(found, election)),
    }
}

/// The only replica leads already, or it cannot.
fn election_of(partition: &PartitionRegistration, election: Election) -> ErrorCode {
    let is_preferred = partition.leader.is_some() && partition.leader == partition.replicas.first().copied();
    match election {
        Election::Preferred if is_preferred => ErrorCode::ElectionNotNeeded,
        Election::Preferred => ErrorCode::PreferredLeaderNotAvailable,
        Election::Unclean if partition.leader.is_some() => ErrorCode::ElectionNotNeeded,
        Election::Unclean => ErrorCode::EligibleLeadersNotAvailable,
    }
}

fn refusal(code: ErrorCode) -> ApiError {
    let message = match code {
        ErrorCode::ElectionNotNeeded => "Leader election not needed for topic partition.",
        ErrorCode::PreferredLeaderNotAvailable => "The preferred leader was not available.",
        _ => "Eligible topic partition leaders are not available.",
    };
    ApiError::new(code, message)
}

fn partition_result(partition: i32, error: ApiError) -> PartitionResult {
    PartitionResult::default()
        .with_partition_id(partition)
        .with_error_code(error.code.code())
        .with_error_message(Some(StrBytes::from_string(error.message)))
}
