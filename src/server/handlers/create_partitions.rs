//! CreatePartitions: more partitions for topics that exist.

use std::time::Duration;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use kafka_protocol::messages::{CreatePartitionsRequest, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use crate::controller::{ApiError, CreatePartitions, CreatePartitionsResult, MorePartitions, Response};
use crate::rt::time;
use crate::server::Server;
use crate::server::errors::control_error_code;
use crate::shard::ControlRequest;
use crate::types::{ErrorCode, NodeId};

impl Server {
    pub(in crate::server) async fn create_partitions(
        &self,
        request: CreatePartitionsRequest,
    ) -> CreatePartitionsResponse {
        let names: Vec<_> = request.topics.iter().map(|topic| topic.name.to_string()).collect();
        let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        let topics = request.topics.into_iter().map(more_partitions).collect();
        let creation = CreatePartitions { topics, validate_only: request.validate_only };
        let asking = self.shard().ask_control(ControlRequest::CreatePartitions(creation));
        let refuse_all = |code: ErrorCode, message: String| {
            let refused = |topic| {
                let result = Err(ApiError::new(code, message.clone()));
                CreatePartitionsResult { topic, result }
            };
            names.into_iter().map(refused).collect()
        };
        let results = match time::timeout(timeout, asking).await {
            Ok(Ok(Response::CreatePartitions(results))) => results,
            Ok(Ok(other)) => panic!("control answered a creation of partitions with {other:?}"),
            Ok(Err(error)) => refuse_all(control_error_code(&error), error.to_string()),
            Err(_) => {
                let text = "The partitions were not there within the request's timeout; they may still come.";
                refuse_all(ErrorCode::RequestTimedOut, text.to_owned())
            }
        };
        let results = results.into_iter().map(topic_result).collect();
        CreatePartitionsResponse::default().with_results(results)
    }
}

fn more_partitions(topic: CreatePartitionsTopic) -> MorePartitions {
    let assignments = topic.assignments.map(|assignments| {
        let brokers =
            |ids: Vec<kafka_protocol::messages::BrokerId>| ids.into_iter().map(|id| NodeId(id.0)).collect();
        assignments.into_iter().map(|assignment| brokers(assignment.broker_ids)).collect()
    });
    MorePartitions { topic: topic.name.to_string(), count: topic.count, assignments }
}

fn topic_result(topic: CreatePartitionsResult) -> CreatePartitionsTopicResult {
    let result = CreatePartitionsTopicResult::default()
        .with_name(WireTopicName(StrBytes::from_string(topic.topic)))
        .with_error_message(None);
    match topic.result {
        Ok(()) => result,
        Err(error) => result
            .with_error_code(error.code.code())
            .with_error_message(Some(StrBytes::from_string(error.message))),
    }
}
