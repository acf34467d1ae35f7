//! Produce: the split over shards in the first stage, the acknowledgements in the second.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::RequestContext;
use super::offsets::unreachable_reply;
use super::split::{Owner, Split, UNANSWERED};
use crate::server::Server;
use crate::server::errors::partition_error_code;
use crate::server::response::{Answer, CloseReason, Frame};
use crate::shard::{
    Acks, PartitionError, PartitionId, PendingProduce, ProducePart, ProduceParts, Produced, ShardReply,
    ShardRequest,
};
use crate::types::{ErrorCode, ShardId};
use crate::wire::TopicRef;
use crate::wire::produce::{
    ProducePartitionResponse, ProduceRequestView, ProduceResponse, ProduceTopicResponse,
};

/// zstd came with this version (KIP-110).
const ZSTD_VERSION: i16 = 7;

/// A shard's acknowledgements to come. The records already have their order.
enum PendingOwner {
    Here(PendingProduce),
    Elsewhere(Pin<Box<dyn Future<Output = Option<ShardReply>>>>),
}

/// One partition of the response, in request order.
struct PartitionAnswer {
    topic: TopicRef,
    partition: i32,
    outcome: Result<Produced, Refusal>,
}

/// Why a partition's records were not appended.
enum Refusal {
    Code(ErrorCode),
    Partition(PartitionError),
}

impl Server {
    /// The first stage: every shard has its records, in the order of the connection, when this returns.
    pub(in crate::server) fn begin_produce(
        self: &Rc<Self>,
        context: RequestContext,
        request: ProduceRequestView,
    ) -> Answer {
        let acks = match request.acks {
            0 => Acks::None,
            1 => Acks::Leader,
            -1 => Acks::All,
            _ => {
                let refused = self.refuse_produce(request, ErrorCode::InvalidRequiredAcks);
                return Answer::Now(encode(&context, refused));
            }
        };
        if request.transactional_id.is_some() {
            // Transactions need their coordinator, which this broker does not have yet.
            if acks == Acks::None {
                let what = "a transactional id, for which there is no coordinator".to_owned();
                return Answer::Failed(CloseReason::SilentFailure(what));
            }
            let refused = self.refuse_produce(request, ErrorCode::CoordinatorNotAvailable);
            return Answer::Now(encode(&context, refused));
        }
        let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        let allows_zstd = ZSTD_VERSION <= context.api_version;
        let (split, mut answers) = self.plan_produce(request);
        context.affinity.note(split.sole_owner());
        let pending: Vec<_> = split
            .into_owners()
            .into_iter()
            .map(|Owner { shard, places, parts }| {
                (places, self.append_at(shard, ProduceParts { acks, timeout, allows_zstd, parts }))
            })
            .collect();
        let finish = async move {
            for (places, pending) in pending {
                for (place, outcome) in places.into_iter().zip(pending.finish().await) {
                    answers[place].outcome = outcome.map_err(Refusal::Partition);
                }
            }
            answers
        };
        if acks == Acks::None {
            return Answer::Silent(Box::pin(async move { close_on_failure(&finish.await) }));
        }
        Answer::Later(Box::pin(async move { Ok(encode(&context, finish.await)) }))
    }

    fn append_at(&self, shard: ShardId, request: ProduceParts) -> PendingOwner {
        if usize::from(shard.0) == self.shard().index() {
            return PendingOwner::Here(self.shard().begin_produce(request));
        }
        PendingOwner::Elsewhere(Box::pin(self.shard().ask(shard, ShardRequest::Produce(request))))
    }

    fn plan_produce(&self, request: ProduceRequestView) -> (Split<usize, ProducePart>, Vec<PartitionAnswer>) {
        let mut split = Split::new();
        let mut answers = Vec::new();
        for topic in request.topics {
            for asked in topic.partitions {
                let outcome = match (self.locate_for_produce(&topic.topic, asked.index), asked.records) {
                    (Err(error), _) => Err(Refusal::Code(error)),
                    (Ok(_), None) => Err(Refusal::Code(ErrorCode::InvalidRecord)),
                    (Ok((shard, id)), Some(records)) => {
                        split.push(shard, answers.len(), ProducePart { id, records });
                        Err(Refusal::Code(UNANSWERED))
                    }
                };
                answers.push(PartitionAnswer { topic: topic.topic.clone(), partition: asked.index, outcome });
            }
        }
        (split, answers)
    }

    fn locate_for_produce(
        &self,
        topic: &TopicRef,
        partition: i32,
    ) -> Result<(ShardId, PartitionId), ErrorCode> {
        let (owner, id) = match topic {
            TopicRef::Name(name) => self.shard().locate_by_name(name, partition),
            TopicRef::Id(id) => self.shard().locate_by_id(*id, partition),
        }?;
        // The records of coordinators, which nobody else may write (`ReplicaManager.appendRecords`).
        if self.shard().image().topic(id.topic_id).is_some_and(|topic| topic.name().is_internal()) {
            return Err(ErrorCode::InvalidTopicException);
        }
        Ok((owner, id))
    }

    fn refuse_produce(&self, request: ProduceRequestView, error: ErrorCode) -> Vec<PartitionAnswer> {
        let refuse = |topic: &TopicRef, partition| PartitionAnswer {
            topic: topic.clone(),
            partition,
            outcome: Err(Refusal::Code(error)),
        };
        let topics = request.topics.iter();
        topics
            .flat_map(|topic| topic.partitions.iter().map(|asked| refuse(&topic.topic, asked.index)))
            .collect()
    }
}

impl PendingOwner {
    async fn finish(self) -> Vec<Result<Produced, PartitionError>> {
        match self {
            Self::Here(pending) => pending.finish().await,
            Self::Elsewhere(reply) => match reply.await {
                Some(ShardReply::Produce(results)) => results,
                Some(_) => unreachable_reply("Produce"),
                None => Vec::new(),
            },
        }
    }
}

/// A failed append without a response is said by closing the connection, as Kafka does.
fn close_on_failure(answers: &[PartitionAnswer]) -> Result<(), CloseReason> {
    for answer in answers {
        if let Err(refusal) = &answer.outcome {
            let (error, _) = describe(refusal);
            let what = format!("partition {} of {}: {error}", answer.partition, answer.topic);
            return Err(CloseReason::SilentFailure(what));
        }
    }
    Ok(())
}

fn encode(context: &RequestContext, answers: Vec<PartitionAnswer>) -> Frame {
    let mut topics: Vec<ProduceTopicResponse> = Vec::new();
    for answer in answers {
        let partition = partition_response(answer.partition, answer.outcome);
        match topics.last_mut().filter(|last| last.topic == answer.topic) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(ProduceTopicResponse { topic: answer.topic, partitions: vec![partition] }),
        }
    }
    let response = ProduceResponse { topics, throttle_time_ms: 0, node_endpoints: Vec::new() };
    vec![response.encode(context.api_version, context.correlation_id).into()]
}

fn partition_response(index: i32, outcome: Result<Produced, Refusal>) -> ProducePartitionResponse {
    match outcome {
        Ok(produced) => ProducePartitionResponse {
            base_offset: produced.base_offset,
            log_append_time: produced.log_append_time,
            log_start_offset: produced.log_start_offset,
            ..ProducePartitionResponse::error(index, ErrorCode::None)
        },
        Err(refusal) => {
            let (error, message) = describe(&refusal);
            let record_errors = match refusal {
                Refusal::Partition(PartitionError::Invalid(invalid)) => invalid.record_errors().to_vec(),
                Refusal::Partition(_) | Refusal::Code(_) => Vec::new(),
            };
            ProducePartitionResponse {
                record_errors,
                error_message: message,
                ..ProducePartitionResponse::error(index, error)
            }
        }
    }
}

fn describe(refusal: &Refusal) -> (ErrorCode, Option<String>) {
    match refusal {
        Refusal::Code(error) => (*error, None),
        Refusal::Partition(error) => (partition_error_code(error), Some(error.to_string())),
    }
}
