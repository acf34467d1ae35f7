//! DeleteRecords: log starts are moved forward by the shards that own the partitions.

use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::offsets::unreachable_reply;
use super::split::{Split, UNANSWERED};
use crate::server::Server;
use crate::server::errors::partition_error_code;
use crate::shard::{DeleteRecordsPart, ShardReply, ShardRequest};
use crate::types::{ErrorCode, Offset, TopicName};

/// `DeleteRecordsRequest.HIGH_WATERMARK`: everything that is there.
const HIGH_WATERMARK: i64 = -1;
/// `DeleteRecordsResponse.INVALID_LOW_WATERMARK`
const INVALID_LOW_WATERMARK: i64 = -1;

impl Server {
    pub(in crate::server) async fn delete_records(
        &self,
        request: DeleteRecordsRequest,
    ) -> DeleteRecordsResponse {
        let mut split = Split::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            // Groups and transactions would lose their state.
            let is_internal = TopicName::new(&topic.name).is_ok_and(|name| name.is_internal());
            let mut answers = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let answer = DeleteRecordsPartitionResult::default()
                    .with_partition_index(asked.partition_index)
                    .with_low_watermark(INVALID_LOW_WATERMARK);
                let located = self.shard().locate_by_name(&topic.name, asked.partition_index);
                match located {
                    Ok(_) if is_internal => {
                        answers.push(answer.with_error_code(ErrorCode::InvalidTopicException.code()));
                    }
                    Err(error) => answers.push(answer.with_error_code(error.code())),
                    Ok((owner, id)) => {
                        let before = (asked.offset != HIGH_WATERMARK).then_some(Offset(asked.offset));
                        split.push(owner, (topics.len(), answers.len()), DeleteRecordsPart { id, before });
                        answers.push(answer.with_error_code(UNANSWERED.code()));
                    }
                }
            }
            topics.push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(answers));
        }
        for (places, reply) in self.ask_all(split, ShardRequest::DeleteRecords).await {
            let ShardReply::DeleteRecords(starts) = reply else { unreachable_reply("DeleteRecords") };
            for ((topic, place), start) in places.into_iter().zip(starts) {
                let answer: &mut DeleteRecordsPartitionResult = &mut topics[topic].partitions[place];
                match start {
                    Ok(start) => {
                        answer.error_code = ErrorCode::None.code();
                        answer.low_watermark = start.0;
                    }
                    Err(error) => answer.error_code = partition_error_code(&error).code(),
                }
            }
        }
        DeleteRecordsResponse::default().with_topics(topics)
    }
}
