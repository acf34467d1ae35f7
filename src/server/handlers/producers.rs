//! DescribeProducers: which producers a partition's log remembers (KIP-664).

use kafka_protocol::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, ProducerId as WireProducerId};

use super::NamedPartitions;
use super::offsets::unreachable_reply;
use super::split::{Split, UNANSWERED};
use crate::log::ProducerSummary;
use crate::server::Server;
use crate::server::errors::partition_error_code;
use crate::shard::{ShardReply, ShardRequest};
use crate::types::{ErrorCode, TopicName};

impl Server {
    pub(in crate::server) async fn describe_producers(
        &self,
        request: DescribeProducersRequest,
    ) -> DescribeProducersResponse {
        let mut split = Split::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        let mut named = NamedPartitions::default();
        for mut topic in request.topics {
            named.retain_new(topic.name.clone(), &mut topic.partition_indexes);
            let mut answers = Vec::with_capacity(topic.partition_indexes.len());
            let is_legal = TopicName::new(&topic.name).is_ok();
            for partition in topic.partition_indexes {
                let answer =
                    PartitionResponse::default().with_partition_index(partition).with_error_message(None);
                let located = match is_legal {
                    true => self.shard().locate_by_name(&topic.name, partition),
                    false => Err(ErrorCode::InvalidTopicException),
                };
                match located {
                    Err(error) => answers.push(answer.with_error_code(error.code())),
                    Ok((owner, id)) => {
                        split.push(owner, (topics.len(), answers.len()), id);
                        answers.push(answer.with_error_code(UNANSWERED.code()));
                    }
                }
            }
            topics.push(TopicResponse::default().with_name(topic.name).with_partitions(answers));
        }
        for (places, reply) in self.ask_all(split, ShardRequest::Producers).await {
            let ShardReply::Producers(found) = reply else { unreachable_reply("Producers") };
            for ((topic, place), found) in places.into_iter().zip(found) {
                let answer: &mut PartitionResponse = &mut topics[topic].partitions[place];
                match found {
                    Ok(producers) => {
                        answer.error_code = ErrorCode::None.code();
                        answer.active_producers = producers.iter().map(producer_state).collect();
                    }
                    Err(error) => answer.error_code = partition_error_code(&error).code(),
                }
            }
        }
        DescribeProducersResponse::default().with_topics(topics)
    }
}

fn producer_state(producer: &ProducerSummary) -> ProducerState {
    ProducerState::default()
        .with_producer_id(WireProducerId(producer.producer_id.0))
        .with_producer_epoch(i32::from(producer.producer_epoch.0))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp.0)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.current_txn_first_offset.map_or(-1, |offset| offset.0))
}
