//! Fetch: sessions, the split over shards, the wait for enough bytes, and the response.

use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_lite::future::or;

use super::RequestContext;
use super::offsets::unreachable_reply;
use super::split::{Split, UNANSWERED};
use crate::rt::{task, time};
use crate::server::Server;
use crate::server::errors::partition_error_code;
use crate::server::response::{CloseReason, Frame};
use crate::shard::fetch_session::{
    FetchContext, FetchPartition, NO_SESSION, PartitionStatus, SessionRequest, TopicRef,
};
use crate::shard::{
    FetchPart, FetchParts, Fetched, PartitionId, ProbeParts, Probed, ShardReply, ShardRequest, WatchToken,
};
use crate::types::ErrorCode;
use crate::wire;
use crate::wire::fetch::{
    EpochEndOffset, FetchPartitionResponse, FetchRequestView, FetchResponse, FetchTopicResponse,
};
use crate::wire::messages::StrBytes;

/// From this version on topics are named by id (KIP-516).
const TOPIC_IDS_VERSION: i16 = 13;
/// From this version on clients know KAFKA_STORAGE_ERROR.
const STORAGE_ERROR_VERSION: i16 = 6;

/// What one shard reads for a fetch, and the places of its answers.
type Owner = super::split::Owner<usize, FetchPart>;

/// How long and for how much a fetch waits.
struct Patience {
    min_bytes: u64,
    max_bytes: usize,
    deadline: Instant,
}

impl Server {
    pub(in crate::server) async fn fetch(
        self: Rc<Self>,
        context: RequestContext,
        request: FetchRequestView,
    ) -> Result<Frame, CloseReason> {
        let now = time::monotonic_now();
        let uses_ids = TOPIC_IDS_VERSION <= context.api_version;
        let session = SessionRequest { id: request.session_id, epoch: request.session_epoch };
        let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(self.config().fetch_max_bytes);
        let mut patience = Patience {
            // More than fits the response never comes (`KafkaApis.handleFetchRequest`).
            min_bytes: u64::try_from(request.min_bytes).unwrap_or(0).min(max_bytes as u64),
            max_bytes,
            deadline: now + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        };
        let (asked, forgotten) = session_partitions(request);
        let begun = self.sessions.borrow_mut().begin(now, session, uses_ids, asked, &forgotten);
        let mut begun = match begun {
            Ok(begun) => begun,
            Err(error) => return Ok(encode(&context, error, NO_SESSION, Vec::new())),
        };
        let (split, mut answers) = self.plan_fetch(&begun.partitions).await;
        if answers.iter().any(|answer| matches!(answer, Answer::Unreadable(_))) {
            patience.deadline = now;
        }
        match begun.context {
            FetchContext::Sessionless => context.affinity.note(split.sole_owner()),
            // A client without a session asks for one again.
            FetchContext::Full if context.affinity.moves_before_session(split.sole_owner()) => {
                begun.context = FetchContext::Sessionless;
            }
            FetchContext::Full | FetchContext::Incremental { .. } => {}
        }
        let owners = split.into_owners();
        self.fetch_with_patience(&owners, &patience, &mut answers).await;
        trim(&mut answers, patience.max_bytes);

        let answered: Vec<_> = begun
            .partitions
            .into_iter()
            .zip(answers)
            .map(|(request, answer)| {
                let mut response = partition_response(request.partition, answer);
                response.error_code = known_to_client(response.error_code, context.api_version);
                (request, status(&response), response)
            })
            .collect();
        let statuses = answered.iter().map(|(request, status, _)| (request, *status));
        let now = time::monotonic_now();
        let finished = self.sessions.borrow_mut().finish(now, begun.context, statuses);
        let (session_id, included) = match finished {
            Ok(finished) => finished,
            Err(error) => return Ok(encode(&context, error, session.id, Vec::new())),
        };
        if session_id != NO_SESSION {
            // It is of this shard.
            context.affinity.stay();
        }
        let mut topics: Vec<FetchTopicResponse> = Vec::new();
        let mut last_topic = None;
        for ((request, _, response), _) in
            answered.into_iter().zip(included).filter(|(_, included)| *included)
        {
            match topics.last_mut().filter(|_| last_topic.as_ref() == Some(&request.topic)) {
                Some(last) => last.partitions.push(response),
                None => {
                    let topic = wire_topic(&request.topic);
                    topics.push(FetchTopicResponse { topic, partitions: vec![response] });
                }
            }
            last_topic = Some(request.topic);
        }
        Ok(encode(&context, ErrorCode::None, session_id, topics))
    }

    /// Splits a fetch by owning shard. Each partition has its answer prepared: what cannot be located says
    /// why, the rest says what holds when its shard does not reply.
    async fn plan_fetch(&self, partitions: &[FetchPartition]) -> (Split<usize, FetchPart>, Vec<Answer>) {
        let mut split = Split::new();
        let mut answers = Vec::with_capacity(partitions.len());
        for (place, request) in partitions.iter().enumerate() {
            let target = match &request.topic {
                TopicRef::Name(name) => self.shard().locate_by_name(name, request.partition),
                TopicRef::Id(id) => self.shard().locate_by_id(*id, request.partition),
            };
            match target {
                // As a read that fails in `ReplicaManager.fetchMessages`; unknown partitions are not read.
                Err(error @ (ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError)) => {
                    answers.push(Answer::Unreadable(error));
                }
                Err(error) => answers.push(Answer::Unlocated(error)),
                Ok((shard, id)) => {
                    answers.push(Answer::Unlocated(UNANSWERED));
                    split.push(shard, place, fetch_part(request, id));
                }
            }
            task::yield_if_needed().await;
        }
        (split, answers)
    }

    /// Reads until there are `min_bytes`, an error, or no time left (`DelayedFetch`).
    async fn fetch_with_patience(&self, owners: &[Owner], patience: &Patience, answers: &mut [Answer]) {
        let mut waiting = None;
        // There is enough, though one read may find less: it ends at the end of a segment.
        let mut is_last = owners.is_empty();
        loop {
            let found = self.fetch_once(owners, patience.max_bytes, answers).await;
            let left = patience.deadline.saturating_duration_since(time::monotonic_now());
            is_last |= left.is_zero() || self.drain.is_cancelled();
            if is_last || patience.min_bytes <= found.bytes || found.answer_now {
                return;
            }
            let waiting = waiting.get_or_insert_with(|| {
                let ids = |owner: &Owner| owner.parts.iter().map(|part| part.id).collect();
                self.shard().begin_waiting(owners.iter().map(|owner| (owner.shard, ids(owner))).collect())
            });
            let available = self.probe(owners, waiting.token()).await;
            is_last = patience.min_bytes <= available.bytes || available.answer_now;
            if !is_last {
                // Woken, out of time, or the broker stops: either way the next read decides.
                let _ = time::timeout(left, or(waiting.woken(), self.drain.cancelled())).await;
            }
        }
    }

    async fn fetch_once(&self, owners: &[Owner], max_bytes: usize, answers: &mut [Answer]) -> Probed {
        let all: usize = owners.iter().map(|owner| owner.parts.len()).sum();
        let ask = |owner: &Owner| {
            // Each shard fills its part of the response: what all find in excess would be read in vain.
            let max_bytes = max_bytes * owner.parts.len() / all;
            let parts = FetchParts { max_bytes, parts: owner.parts.clone() };
            self.shard().ask(owner.shard, ShardRequest::Fetch(parts))
        };
        let asked: Vec<_> = owners.iter().map(ask).collect();
        let mut found = Probed { bytes: 0, answer_now: false };
        for (owner, reply) in owners.iter().zip(asked) {
            let Some(reply) = reply.await else {
                found.answer_now = true;
                continue;
            };
            let ShardReply::Fetch(fetched) = reply else { unreachable_reply("Fetch") };
            for (place, fetched) in owner.places.iter().zip(fetched) {
                found.bytes += fetched.bytes as u64;
                found.answer_now |= fetched.error.is_some() || fetched.diverging.is_some();
                answers[*place] = Answer::Fetched(fetched);
                task::yield_if_needed().await;
            }
        }
        found
    }

    async fn probe(&self, owners: &[Owner], token: WatchToken) -> Probed {
        let ask = |owner: &Owner| {
            let parts = ProbeParts { parts: owner.parts.clone(), watch: Some(token) };
            self.shard().ask(owner.shard, ShardRequest::Probe(parts))
        };
        let asked: Vec<_> = owners.iter().map(ask).collect();
        let mut available = Probed { bytes: 0, answer_now: false };
        for reply in asked {
            let Some(reply) = reply.await else {
                available.answer_now = true;
                continue;
            };
            let ShardReply::Probe(probed) = reply else { unreachable_reply("Probe") };
            available.bytes += probed.bytes;
            available.answer_now |= probed.answer_now;
        }
        available
    }
}

/// The answer for one partition of a fetch.
enum Answer {
    /// Nobody knows the partition, or its shard is stopping.
    Unlocated(ErrorCode),
    /// It is not to be read here, and the client should hear of it at once.
    Unreadable(ErrorCode),
    /// The shard's.
    Fetched(Fetched),
}

fn fetch_part(request: &FetchPartition, id: PartitionId) -> FetchPart {
    FetchPart {
        id,
        fetch_offset: request.fetch_offset,
        current_leader_epoch: request.current_leader_epoch,
        last_fetched_epoch: request.last_fetched_epoch,
        max_bytes: usize::try_from(request.max_bytes).unwrap_or(0),
    }
}

/// Keeps the whole response within its limit although shards read side by side, each up to the limit.
/// The first partition that found anything keeps all of it: its first batch is to come whole.
fn trim(answers: &mut [Answer], max_bytes: usize) {
    let mut bytes_left = max_bytes;
    let mut is_first = true;
    for answer in answers {
        let Answer::Fetched(fetched) = answer else { continue };
        if fetched.bytes == 0 {
            continue;
        }
        if !is_first && bytes_left < fetched.bytes {
            fetched.chunks.clear();
            fetched.bytes = 0;
            bytes_left = 0;
            continue;
        }
        is_first = false;
        bytes_left = bytes_left.saturating_sub(fetched.bytes);
    }
}

fn partition_response(partition: i32, answer: Answer) -> FetchPartitionResponse {
    let fetched = match answer {
        Answer::Unlocated(error) | Answer::Unreadable(error) => {
            return FetchPartitionResponse::error(partition, error);
        }
        Answer::Fetched(fetched) => fetched,
    };
    if let Some(error) = &fetched.error {
        return FetchPartitionResponse::error(partition, partition_error_code(error));
    }
    FetchPartitionResponse {
        high_watermark: fetched.high_watermark,
        last_stable_offset: fetched.last_stable_offset,
        log_start_offset: fetched.log_start_offset,
        diverging_epoch: fetched.diverging.map(|(epoch, end_offset)| EpochEndOffset { epoch, end_offset }),
        records: fetched.chunks,
        ..FetchPartitionResponse::error(partition, ErrorCode::None)
    }
}

/// `KafkaApis.maybeDownConvertStorageError`: either way the client asks who leads, and again.
fn known_to_client(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::KafkaStorageError if version < STORAGE_ERROR_VERSION => ErrorCode::NotLeaderOrFollower,
        other => other,
    }
}

fn status(response: &FetchPartitionResponse) -> PartitionStatus {
    PartitionStatus {
        error: response.error_code,
        high_watermark: response.high_watermark,
        log_start_offset: response.log_start_offset,
        has_news: !response.records.is_empty() || response.diverging_epoch.is_some(),
    }
}

fn encode(
    context: &RequestContext,
    error_code: ErrorCode,
    session_id: i32,
    topics: Vec<FetchTopicResponse>,
) -> Frame {
    let response =
        FetchResponse { throttle_time_ms: 0, error_code, session_id, topics, node_endpoints: Vec::new() };
    response.encode(context.api_version, context.correlation_id)
}

/// What a session keeps of a request: nothing that pins the connection's read buffer.
fn session_partitions(request: FetchRequestView) -> (Vec<FetchPartition>, Vec<(TopicRef, i32)>) {
    let own = |topic: &wire::TopicRef| match topic {
        wire::TopicRef::Name(name) => TopicRef::Name(name.as_str().into()),
        wire::TopicRef::Id(id) => TopicRef::Id(*id),
    };
    let mut asked = Vec::new();
    for topic in &request.topics {
        let name = own(&topic.topic);
        asked.extend(topic.partitions.iter().map(|partition| FetchPartition {
            topic: name.clone(),
            partition: partition.partition,
            fetch_offset: partition.fetch_offset,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
            max_bytes: partition.partition_max_bytes,
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics {
        let name = own(&topic.topic);
        forgotten.extend(topic.partitions.iter().map(|partition| (name.clone(), *partition)));
    }
    (asked, forgotten)
}

fn wire_topic(topic: &TopicRef) -> wire::TopicRef {
    match topic {
        TopicRef::Name(name) => wire::TopicRef::Name(StrBytes::from_string(name.to_string())),
        TopicRef::Id(id) => wire::TopicRef::Id(*id),
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};

    use super::*;

    #[test]
    fn old_clients_are_not_told_of_storage_errors() {
        let check = |error, version, expected| assert_eq!(known_to_client(error, version), expected);
        check(ErrorCode::KafkaStorageError, 5, ErrorCode::NotLeaderOrFollower);
        check(ErrorCode::KafkaStorageError, 6, ErrorCode::KafkaStorageError);
        check(ErrorCode::UnknownTopicOrPartition, 4, ErrorCode::UnknownTopicOrPartition);
    }

    #[test]
    fn the_partitions_of_a_topic_share_its_name() {
        let mut body = BytesMut::new();
        body.put_slice(&[0xff; 4]);
        body.put_bytes(0, 4 + 4 + 4 + 1 + 4 + 4);
        // One topic of three partitions, and the same to forget.
        body.put_slice(b"\0\0\0\x01\0\x05topic\0\0\0\x03");
        body.put_bytes(0, 3 * 28);
        body.put_slice(b"\0\0\0\x01\0\x05topic\0\0\0\x03");
        body.put_bytes(0, 3 * 4 + 2);
        let request = FetchRequestView::decode(body.freeze(), 11).unwrap();
        let (asked, forgotten) = session_partitions(request);
        let asked: Vec<_> = asked.iter().map(|partition| &partition.topic).collect();
        let forgotten: Vec<_> = forgotten.iter().map(|(topic, _)| topic).collect();
        for topics in [asked, forgotten] {
            let names = topics.iter().map(|topic| match topic {
                TopicRef::Name(name) => name,
                TopicRef::Id(id) => panic!("topic {id:?} was named"),
            });
            let names: Vec<_> = names.collect();
            assert_eq!(names.len(), 3);
            assert!(names.iter().all(|name| Rc::ptr_eq(name, names[0])), "{topics:?}");
        }
    }
}
