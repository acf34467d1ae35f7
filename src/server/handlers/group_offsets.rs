//! OffsetCommit, OffsetFetch and OffsetDelete: the offsets that groups keep.

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, TopicName as WireTopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::groups::owned;
use super::offsets::unreachable_reply;
use super::split::Split;
use super::{NamedPartitions, retain_distinct};
use crate::group::{
    CommitOffsets, DeleteOffsets, FetchOffsets, FetchedOffset, FetchedTopic, Lag, OffsetPartitions,
    OffsetToCommit, Request, Response,
};
use crate::metadata::{MetadataImage, TopicImage};
use crate::server::Server;
use crate::shard::{GroupPart, ShardReply, ShardRequest};
use crate::types::{ErrorCode, Offset, Uuid};
use crate::wire::offsets::{LAG_TAG, TOPIC_ID_VERSION, WireLag};

/// From this version on clients know GROUP_ID_NOT_FOUND in a commit (KIP-848).
const GROUP_NOT_FOUND_VERSION: i16 = 9;
/// From this version on an error of the whole group has a place of its own.
const GROUP_ERROR_VERSION: i16 = 2;
/// From this version on OffsetFetch tells the epoch of the last record read (KIP-320).
const LEADER_EPOCH_VERSION: i16 = 5;
/// From this version on OffsetFetch asks for several groups (KIP-709).
const BATCHED_FETCH_VERSION: i16 = 8;

impl Server {
    pub(in crate::server) async fn offset_commit(
        &self,
        version: i16,
        request: OffsetCommitRequest,
    ) -> OffsetCommitResponse {
        let group_id = request.group_id.to_string();
        let mut offsets = Vec::new();
        let mut places = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        let image = self.shard().image();
        for topic in request.topics {
            let (known, unknown) = match TOPIC_ID_VERSION <= version {
                true => (image.topic(our_id(topic.topic_id)), ErrorCode::UnknownTopicId),
                false => (image.topic_by_name(&topic.name), ErrorCode::UnknownTopicOrPartition),
            };
            let mut answers = Vec::with_capacity(topic.partitions.len());
            for commit in topic.partitions {
                let answer =
                    OffsetCommitResponsePartition::default().with_partition_index(commit.partition_index);
                let has_partition = known.map(|topic| topic.partition(commit.partition_index).is_some());
                let (Some(known), Some(true)) = (known, has_partition) else {
                    let error = if known.is_none() { unknown } else { ErrorCode::UnknownTopicOrPartition };
                    answers.push(answer.with_error_code(error.code()));
                    continue;
                };
                places.push((topics.len(), answers.len()));
                answers.push(answer);
                offsets.push(OffsetToCommit {
                    topic: known.name().clone(),
                    topic_id: known.id(),
                    partition: commit.partition_index,
                    offset: Offset(commit.committed_offset),
                    leader_epoch: commit.committed_leader_epoch,
                    metadata: owned(commit.committed_metadata).unwrap_or_default(),
                });
            }
            let answered = OffsetCommitResponseTopic::default().with_name(topic.name);
            topics.push(answered.with_topic_id(topic.topic_id).with_partitions(answers));
        }
        let commit = CommitOffsets {
            group_id: group_id.clone(),
            generation_id: request.generation_id_or_member_epoch,
            member_id: request.member_id.to_string(),
            group_instance_id: owned(request.group_instance_id),
            retention_time_ms: request.retention_time_ms,
            knows_group_not_found: GROUP_NOT_FOUND_VERSION <= version,
            offsets,
        };
        let errors = match self.ask_group(&group_id, Request::CommitOffsets(commit)).await {
            Ok(Response::CommitOffsets(Ok(errors))) => errors,
            Ok(Response::CommitOffsets(Err(error))) | Err(error) => vec![error; places.len()],
            Ok(_) => unreachable_reply("OffsetCommit"),
        };
        for ((topic, place), error) in places.into_iter().zip(errors) {
            topics[topic].partitions[place].error_code = error.code();
        }
        OffsetCommitResponse::default().with_topics(topics)
    }

    pub(in crate::server) async fn offset_fetch(
        &self,
        version: i16,
        request: OffsetFetchRequest,
    ) -> OffsetFetchResponse {
        if BATCHED_FETCH_VERSION <= version {
            let wants_lag = request.unknown_tagged_fields.contains_key(&LAG_TAG);
            let groups = self.fetch_groups(request.groups, version, wants_lag).await;
            return OffsetFetchResponse::default().with_groups(groups);
        }
        let asked: Option<Vec<_>> = request.topics.map(|topics| {
            let topics = topics.into_iter();
            let wanted = topics.map(|topic| {
                OffsetFetchRequestTopics::default()
                    .with_name(topic.name)
                    .with_partition_indexes(topic.partition_indexes)
            });
            wanted.collect()
        });
        let group =
            OffsetFetchRequestGroup::default().with_group_id(request.group_id).with_topics(asked.clone());
        let mut answers = self.fetch_groups(vec![group], version, false).await;
        let answer = answers.pop().expect("one group was asked for");
        single_group_response(answer, asked, version)
    }

    /// Asks the coordinators of all groups at once. Answers in the order of the request.
    async fn fetch_groups(
        &self,
        mut groups: Vec<OffsetFetchRequestGroup>,
        version: i16,
        wants_lag: bool,
    ) -> Vec<OffsetFetchResponseGroup> {
        retain_distinct(&mut groups, |group| group.group_id.clone());
        let image = self.shard().image();
        let mut split = Split::new();
        let mut answers = Vec::with_capacity(groups.len());
        let mut unknown_topics = Vec::with_capacity(groups.len());
        for mut group in groups {
            let mut named = NamedPartitions::default();
            for topic in group.topics.iter_mut().flatten() {
                named.retain_new((topic.topic_id, topic.name.clone()), &mut topic.partition_indexes);
            }
            let answer = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
            unknown_topics.push(take_unknown_topics(&mut group, version, &image));
            match self.locate_group(&group.group_id) {
                Err(error) => answers.push(answer.with_error_code(error.code())),
                Ok((owner, id)) => {
                    let wanted = FetchOffsets { wants_lag, ..wanted(group, version, &image) };
                    let request = Request::FetchOffsets(wanted);
                    split.push(owner, answers.len(), GroupPart { id, request });
                    answers.push(answer.with_error_code(ErrorCode::NotCoordinator.code()));
                }
            }
        }
        for (places, reply) in self.ask_all(split, ShardRequest::Groups).await {
            let ShardReply::Groups(replies) = reply else { unreachable_reply("OffsetFetch") };
            for (place, reply) in places.into_iter().zip(replies) {
                let answer = &mut answers[place];
                match reply {
                    Ok(Response::FetchOffsets(Ok(topics))) => {
                        answer.error_code = ErrorCode::None.code();
                        let known =
                            topics.into_iter().filter_map(|topic| fetched_topic(topic, version, &image));
                        answer.topics = known.chain(std::mem::take(&mut unknown_topics[place])).collect();
                    }
                    Ok(Response::FetchOffsets(Err(error))) | Err(error) => answer.error_code = error.code(),
                    Ok(_) => unreachable_reply("OffsetFetch"),
                }
            }
        }
        answers
    }

    pub(in crate::server) async fn offset_delete(
        &self,
        request: OffsetDeleteRequest,
    ) -> OffsetDeleteResponse {
        let group_id = request.group_id.to_string();
        let image = self.shard().image();
        let mut partitions = Vec::new();
        let mut places = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let known = image.topic_by_name(&topic.name);
            let mut answers = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let answer =
                    OffsetDeleteResponsePartition::default().with_partition_index(asked.partition_index);
                if known.and_then(|topic| topic.partition(asked.partition_index)).is_none() {
                    answers.push(answer.with_error_code(ErrorCode::UnknownTopicOrPartition.code()));
                    continue;
                }
                places.push((topics.len(), answers.len()));
                answers.push(answer);
                partitions.push((topic.name.to_string(), asked.partition_index));
            }
            topics.push(OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(answers));
        }
        let delete = DeleteOffsets { group_id: group_id.clone(), partitions };
        match self.ask_group(&group_id, Request::DeleteOffsets(delete)).await {
            Ok(Response::DeleteOffsets(Ok(errors))) => {
                for ((topic, place), error) in places.into_iter().zip(errors) {
                    topics[topic].partitions[place].error_code = error.code();
                }
                OffsetDeleteResponse::default().with_topics(topics)
            }
            Ok(Response::DeleteOffsets(Err(error))) | Err(error) => {
                OffsetDeleteResponse::default().with_error_code(error.code())
            }
            Ok(_) => unreachable_reply("OffsetDelete"),
        }
    }
}

/// What a client asks for. The topic's id keeps it from an offset of an earlier topic of the same name, whose
/// commit may have crossed the topic's deletion.
fn wanted(group: OffsetFetchRequestGroup, version: i16, image: &MetadataImage) -> FetchOffsets {
    let topics = group.topics.map(|topics| {
        let topics = topics.into_iter();
        let wanted = topics.map(|topic| {
            let (topic_id, name) = match known_by_id(&topic, version, image) {
                Some(known) => (known.id(), known.name().to_string()),
                None => (image.topic_id(&topic.name).unwrap_or(Uuid::ZERO), topic.name.to_string()),
            };
            OffsetPartitions { topic_id, topic: name, partitions: topic.partition_indexes }
        });
        wanted.collect()
    });
    FetchOffsets {
        group_id: group.group_id.to_string(),
        member_id: owned(group.member_id),
        member_epoch: group.member_epoch,
        topics,
        wants_lag: false,
    }
}

/// The topic that a request names by its id, where its version does.
fn known_by_id<'a>(
    topic: &OffsetFetchRequestTopics,
    version: i16,
    image: &'a MetadataImage,
) -> Option<&'a TopicImage> {
    if version < TOPIC_ID_VERSION {
        return None;
    }
    image.topic(our_id(topic.topic_id))
}

/// Takes the topics whose ids nobody knows out of a request; returns the answer about them.
fn take_unknown_topics(
    group: &mut OffsetFetchRequestGroup,
    version: i16,
    image: &MetadataImage,
) -> Vec<OffsetFetchResponseTopics> {
    let Some(topics) = group.topics.take() else { return Vec::new() };
    let is_known = |topic: &OffsetFetchRequestTopics| {
        known_by_id(topic, version, image).is_some() || version < TOPIC_ID_VERSION
    };
    let (known, unknown): (Vec<_>, Vec<_>) = topics.into_iter().partition(is_known);
    group.topics = Some(known);
    let refused = |partition| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(partition)
            .with_committed_offset(-1)
            .with_committed_leader_epoch(-1)
            .with_metadata(Some(StrBytes::default()))
            .with_error_code(ErrorCode::UnknownTopicId.code())
    };
    let unknown = unknown.into_iter().map(|topic| {
        OffsetFetchResponseTopics::default()
            .with_topic_id(topic.topic_id)
            .with_partitions(topic.partition_indexes.into_iter().map(refused).collect())
    });
    unknown.collect()
}

/// `None` for a topic that the version cannot name, since nobody knows its id
/// (`KafkaApis.fetchAllOffsetsForGroup`).
fn fetched_topic(
    topic: FetchedTopic,
    version: i16,
    image: &MetadataImage,
) -> Option<OffsetFetchResponseTopics> {
    let partitions = topic.partitions.into_iter();
    let answer = OffsetFetchResponseTopics::default()
        .with_partitions(partitions.map(|partition| fetched_partition(partition, version)).collect());
    if version < TOPIC_ID_VERSION {
        return Some(answer.with_name(WireTopicName(StrBytes::from_string(topic.topic))));
    }
    let id = Some(topic.topic_id).filter(|&id| id != Uuid::ZERO).or_else(|| image.topic_id(&topic.topic))?;
    Some(answer.with_topic_id(uuid::Uuid::from_bytes(id.to_bytes())))
}

fn wire_lag(lag: Lag) -> WireLag {
    WireLag { offsets: lag.offsets, oldest_unread_ms: lag.oldest_unread_ms }
}

fn our_id(id: uuid::Uuid) -> Uuid {
    Uuid::from_bytes(id.into_bytes())
}

fn fetched_partition(fetched: FetchedOffset, version: i16) -> OffsetFetchResponsePartitions {
    let epoch = if LEADER_EPOCH_VERSION <= version { fetched.leader_epoch } else { -1 };
    let partition = OffsetFetchResponsePartitions::default();
    let partition = match fetched.lag {
        Some(lag) => partition.with_unknown_tagged_field(LAG_TAG, wire_lag(lag).encode()),
        None => partition,
    };
    partition
        .with_partition_index(fetched.partition)
        .with_committed_offset(fetched.offset.0)
        .with_committed_leader_epoch(epoch)
        .with_metadata(Some(StrBytes::from_string(fetched.metadata)))
}

/// The answer in the form of the versions that ask for one group.
fn single_group_response(
    answer: OffsetFetchResponseGroup,
    asked: Option<Vec<OffsetFetchRequestTopics>>,
    version: i16,
) -> OffsetFetchResponse {
    let response = OffsetFetchResponse::default();
    if answer.error_code != ErrorCode::None.code() {
        if GROUP_ERROR_VERSION <= version {
            return response.with_error_code(answer.error_code);
        }
        let failed = |partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition)
                .with_committed_offset(-1)
                .with_metadata(Some(StrBytes::default()))
                .with_error_code(answer.error_code)
        };
        let topics = asked.unwrap_or_default().into_iter();
        let topics = topics.map(|topic| {
            OffsetFetchResponseTopic::default()
                .with_name(topic.name)
                .with_partitions(topic.partition_indexes.into_iter().map(failed).collect())
        });
        return response.with_topics(topics.collect());
    }
    let topics = answer.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
        });
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions.collect())
    });
    response.with_topics(topics.collect())
}

/// A group id as the wire has it.
pub(super) fn wire_group_id(group_id: String) -> GroupId {
    GroupId(StrBytes::from_string(group_id))
}
