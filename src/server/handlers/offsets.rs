//! ListOffsets and OffsetForLeaderEpoch: questions about offsets, split by owning shard.

use std::collections::HashMap;

use kafka_protocol::messages::list_offsets_request::ListOffsetsTopic;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{ListOffsetsRequest, OffsetForLeaderEpochRequest, TopicName as WireTopicName};

use super::split::{Split, UNANSWERED};
use crate::server::Server;
use crate::server::errors::partition_error_code;
use crate::shard::{EpochEndPart, ListOffsetPart, ShardReply, ShardRequest};
use crate::types::{ErrorCode, LeaderEpoch};

/// Special timestamps and the version that brought each (`ListOffsetsRequest`).
const SPECIAL_TIMESTAMPS: [(i64, i16); 5] = [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9)];

/// From this version on a ListOffsets response tells the epoch of the offset (KIP-320).
const LEADER_EPOCH_VERSION: i16 = 4;

impl Server {
    pub(in crate::server) async fn list_offsets(
        &self,
        version: i16,
        request: ListOffsetsRequest,
    ) -> ListOffsetsResponse {
        let mut split = Split::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        let repeated = repeated_partitions(&request.topics);
        for topic in request.topics {
            let is_repeated = &repeated[&topic.name];
            let mut answers = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let answer = ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index)
                    .with_timestamp(-1)
                    .with_offset(-1)
                    .with_leader_epoch(-1);
                if is_repeated[&asked.partition_index] {
                    // As for each of them in `ReplicaManager.fetchOffset`.
                    answers.push(answer.with_error_code(ErrorCode::InvalidRequest.code()));
                    continue;
                }
                if !is_known_timestamp(asked.timestamp, version) {
                    answers.push(answer.with_error_code(ErrorCode::UnsupportedVersion.code()));
                    continue;
                }
                match self.shard().locate_by_name(&topic.name, asked.partition_index) {
                    Err(error) => answers.push(answer.with_error_code(error.code())),
                    Ok((owner, id)) => {
                        let current_leader_epoch = LeaderEpoch(asked.current_leader_epoch);
                        let part = ListOffsetPart { id, current_leader_epoch, timestamp: asked.timestamp };
                        split.push(owner, (topics.len(), answers.len()), part);
                        answers.push(answer.with_error_code(UNANSWERED.code()));
                    }
                }
            }
            topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(answers));
        }
        for (positions, reply) in self.ask_all(split, ShardRequest::ListOffsets).await {
            let ShardReply::ListOffsets(found) = reply else { unreachable_reply("ListOffsets") };
            for ((topic, position), found) in positions.into_iter().zip(found) {
                let answer = &mut topics[topic].partitions[position];
                match found {
                    Ok(found) => {
                        answer.error_code = ErrorCode::None.code();
                        answer.timestamp = found.timestamp.0;
                        answer.offset = found.offset.0;
                        if LEADER_EPOCH_VERSION <= version {
                            answer.leader_epoch = found.leader_epoch.0;
                        }
                    }
                    Err(error) => answer.error_code = partition_error_code(&error).code(),
                }
            }
        }
        ListOffsetsResponse::default().with_topics(topics)
    }

    pub(in crate::server) async fn offset_for_leader_epoch(
        &self,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let mut split = Split::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut answers = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let answer = EpochEndOffset::default()
                    .with_partition(asked.partition)
                    .with_leader_epoch(-1)
                    .with_end_offset(-1);
                match self.shard().locate_by_name(&topic.topic, asked.partition) {
                    Err(error) => answers.push(answer.with_error_code(error.code())),
                    Ok((owner, id)) => {
                        let part = EpochEndPart {
                            id,
                            current_leader_epoch: LeaderEpoch(asked.current_leader_epoch),
                            leader_epoch: LeaderEpoch(asked.leader_epoch),
                        };
                        split.push(owner, (topics.len(), answers.len()), part);
                        answers.push(answer.with_error_code(UNANSWERED.code()));
                    }
                }
            }
            topics
                .push(OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(answers));
        }
        for (positions, reply) in self.ask_all(split, ShardRequest::EpochEnds).await {
            let ShardReply::EpochEnds(ends) = reply else { unreachable_reply("EpochEnds") };
            for ((topic, position), end) in positions.into_iter().zip(ends) {
                let answer = &mut topics[topic].partitions[position];
                match end {
                    Ok(end) => {
                        answer.error_code = ErrorCode::None.code();
                        answer.leader_epoch = end.leader_epoch.0;
                        answer.end_offset = end.end_offset.0;
                    }
                    Err(error) => answer.error_code = partition_error_code(&error).code(),
                }
            }
        }
        OffsetForLeaderEpochResponse::default().with_topics(topics)
    }
}

/// Which partitions are named, and whether more than once (`ListOffsetsRequest.duplicatePartitions`).
fn repeated_partitions(topics: &[ListOffsetsTopic]) -> HashMap<WireTopicName, HashMap<i32, bool>> {
    let mut named: HashMap<_, HashMap<_, _>> = HashMap::new();
    for topic in topics {
        let of_topic = named.entry(topic.name.clone()).or_default();
        for partition in &topic.partitions {
            let first_time = of_topic.entry(partition.partition_index);
            first_time.and_modify(|is_repeated| *is_repeated = true).or_insert(false);
        }
    }
    named
}

fn is_known_timestamp(timestamp: i64, version: i16) -> bool {
    0 <= timestamp
        || SPECIAL_TIMESTAMPS.iter().any(|&(special, since)| timestamp == special && since <= version)
}

/// A shard answers each request with the reply of its kind; anything else is a bug of ours.
pub(super) fn unreachable_reply(expected: &str) -> ! {
    panic!("a shard answered a {expected} request with a reply of another kind")
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    #[test]
    fn partitions_named_twice_are_found_wherever_their_topic_is_named() {
        let name = |name| WireTopicName(StrBytes::from_static_str(name));
        let topic = |topic, partitions: &[i32]| {
            let partitions = partitions.iter();
            ListOffsetsTopic::default().with_name(name(topic)).with_partitions(
                partitions
                    .map(|&index| ListOffsetsPartition::default().with_partition_index(index))
                    .collect(),
            )
        };
        let asked = [topic("a", &[0, 1, 2, 1]), topic("b", &[0]), topic("a", &[2, 3])];
        let repeated = repeated_partitions(&asked);
        assert_eq!(repeated[&name("a")], [(0, false), (1, true), (2, true), (3, false)].into());
        assert_eq!(repeated[&name("b")], [(0, false)].into());
    }
}
