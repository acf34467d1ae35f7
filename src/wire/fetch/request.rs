//! The Fetch request.

use bytes::Bytes;

use crate::types::{DirectoryId, LeaderEpoch, NodeId, Offset, Uuid};
use crate::wire::messages::StrBytes;
use crate::wire::primitives::{
    PARTITIONS_MAX, for_each_tagged_field, take_i8, take_i32, take_i64, take_u128,
};
use crate::wire::{TopicRef, WireError};

use super::{
    CURRENT_LEADER_EPOCH_FROM, HIGH_WATERMARK_FROM, LAST_FETCHED_EPOCH_FROM, LOG_START_OFFSET_FROM,
    RACK_FROM, REPLICA_DIRECTORY_FROM, REPLICA_STATE_FROM, SESSION_FROM, TOPIC_ID_FROM, form,
};

/// Which records a consumer wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// Up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Up to the last stable offset, without those of aborted transactions.
    ReadCommitted,
}

/// A Fetch request. A field that the version has not got has the schema's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequestView {
    /// The cluster the sender believes in; replicas of the metadata log say so.
    pub cluster_id: Option<StrBytes>,
    /// The replica that asks, or -1 for a consumer.
    pub replica_id: NodeId,
    /// That replica's broker epoch, or -1.
    pub replica_epoch: i64,
    /// How long to wait for `min_bytes`, in ms.
    pub max_wait_ms: i32,
    /// How many bytes to wait for.
    pub min_bytes: i32,
    /// How many bytes to send at most, but for the first batch; `i32::MAX` for no bound.
    pub max_bytes: i32,
    /// What to leave out.
    pub isolation_level: IsolationLevel,
    /// The fetch session; 0 for none or a new one.
    pub session_id: i32,
    /// The request's number in the session; -1 for no session, 0 for a new one.
    pub session_epoch: i32,
    /// What to fetch, or in a session what changed.
    pub topics: Vec<FetchTopic>,
    /// What the session should drop.
    pub forgotten_topics: Vec<ForgottenTopic>,
    /// The consumer's rack; empty for none.
    pub rack_id: StrBytes,
}

/// What to fetch of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchTopic {
    /// The topic.
    pub topic: TopicRef,
    /// Its partitions, in the client's order.
    pub partitions: Vec<FetchPartition>,
}

/// What to fetch of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPartition {
    /// The partition's index; any number.
    pub partition: i32,
    /// The leader epoch the sender knows, or -1.
    pub current_leader_epoch: LeaderEpoch,
    /// The first offset to send.
    pub fetch_offset: Offset,
    /// The epoch of the record before it, or -1: lets the leader find where logs diverge.
    pub last_fetched_epoch: LeaderEpoch,
    /// The follower's first offset; -1 from consumers.
    pub log_start_offset: Offset,
    /// How many bytes to send of this partition, but for the first batch.
    pub partition_max_bytes: i32,
    /// The follower's directory, or zero.
    pub replica_directory_id: DirectoryId,
    /// The follower's high watermark; `i64::MAX` when it did not say (KIP-1166).
    pub high_watermark: Offset,
}

/// Partitions of one topic that a session should drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgottenTopic {
    /// The topic.
    pub topic: TopicRef,
    /// The partitions' indexes.
    pub partitions: Vec<i32>,
}

impl FetchRequestView {
    /// Decodes the body of a request of `version`, which the API table serves.
    ///
    /// # Errors
    /// Whatever [`WireError`] says about a body. Memory is taken for at most
    /// [`PARTITIONS_MAX`] partitions.
    pub fn decode(mut body: Bytes, version: i16) -> Result<Self, WireError> {
        let form = form(version);
        let body = &mut body;
        let replica_id = if version < REPLICA_STATE_FROM { take_i32(body)? } else { -1 };
        let max_wait_ms = take_i32(body)?;
        let min_bytes = take_i32(body)?;
        let max_bytes = take_i32(body)?;
        let isolation_level = decode_isolation_level(body)?;
        let (session_id, session_epoch) =
            if SESSION_FROM <= version { (take_i32(body)?, take_i32(body)?) } else { (0, -1) };
        let mut partitions_left = PARTITIONS_MAX;
        let topics = decode_topics(body, version, &mut partitions_left)?;
        let forgotten_topics = match SESSION_FROM <= version {
            true => decode_forgotten_topics(body, version, &mut partitions_left)?,
            false => Vec::new(),
        };
        let rack_id = if RACK_FROM <= version { form.take_string(body)? } else { StrBytes::default() };
        let mut request = Self {
            cluster_id: None,
            replica_id: NodeId(replica_id),
            replica_epoch: -1,
            max_wait_ms,
            min_bytes,
            max_bytes,
            isolation_level,
            session_id,
            session_epoch,
            topics,
            forgotten_topics,
            rack_id,
        };
        if form.is_flexible {
            for_each_tagged_field(body, |tag, field| request.take_tag(tag, field, version))?;
        }
        Ok(request)
    }

    fn take_tag(&mut self, tag: u32, mut field: Bytes, version: i16) -> Result<(), WireError> {
        match tag {
            0 => self.cluster_id = form(version).take_nullable_string(&mut field)?,
            1 if REPLICA_STATE_FROM <= version => {
                self.replica_id = NodeId(take_i32(&mut field)?);
                self.replica_epoch = take_i64(&mut field)?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn decode_isolation_level(body: &mut Bytes) -> Result<IsolationLevel, WireError> {
    match take_i8(body)? {
        0 => Ok(IsolationLevel::ReadUncommitted),
        1 => Ok(IsolationLevel::ReadCommitted),
        level => Err(WireError::malformed(format!("isolation level {level} does not exist"))),
    }
}

fn decode_topics(
    body: &mut Bytes,
    version: i16,
    partitions_left: &mut usize,
) -> Result<Vec<FetchTopic>, WireError> {
    let form = form(version);
    // A topic takes two bytes at least: an empty name and an empty array.
    let topic_count = form.take_array_len(body, 2)?;
    let mut topics = Vec::with_capacity(topic_count);
    for _ in 0..topic_count {
        let topic = TopicRef::take(body, form, TOPIC_ID_FROM <= version)?;
        // Index, offset and size at least.
        let count = topic.take_partition_count(body, form, 16, partitions_left)?;
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            partitions.push(decode_partition(body, version)?);
        }
        form.skip_tags(body)?;
        topics.push(FetchTopic { topic, partitions });
    }
    Ok(topics)
}

fn decode_partition(body: &mut Bytes, version: i16) -> Result<FetchPartition, WireError> {
    let since = |first: i16| first <= version;
    let mut partition = FetchPartition {
        partition: take_i32(body)?,
        current_leader_epoch: LeaderEpoch(if since(CURRENT_LEADER_EPOCH_FROM) {
            take_i32(body)?
        } else {
            -1
        }),
        fetch_offset: Offset(take_i64(body)?),
        last_fetched_epoch: LeaderEpoch(if since(LAST_FETCHED_EPOCH_FROM) { take_i32(body)? } else { -1 }),
        log_start_offset: Offset(if since(LOG_START_OFFSET_FROM) { take_i64(body)? } else { -1 }),
        partition_max_bytes: take_i32(body)?,
        replica_directory_id: DirectoryId::ZERO,
        high_watermark: Offset(i64::MAX),
    };
    if form(version).is_flexible {
        for_each_tagged_field(body, |tag, mut field| {
            match tag {
                0 if since(REPLICA_DIRECTORY_FROM) => {
                    partition.replica_directory_id = Uuid(take_u128(&mut field)?)
                }
                1 if since(HIGH_WATERMARK_FROM) => partition.high_watermark = Offset(take_i64(&mut field)?),
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(partition)
}

fn decode_forgotten_topics(
    body: &mut Bytes,
    version: i16,
    partitions_left: &mut usize,
) -> Result<Vec<ForgottenTopic>, WireError> {
    let form = form(version);
    let topic_count = form.take_array_len(body, 2)?;
    let mut topics = Vec::with_capacity(topic_count);
    for _ in 0..topic_count {
        let topic = TopicRef::take(body, form, TOPIC_ID_FROM <= version)?;
        let count = topic.take_partition_count(body, form, 4, partitions_left)?;
        let partitions = (0..count).map(|_| take_i32(body)).collect::<Result<_, _>>()?;
        form.skip_tags(body)?;
        topics.push(ForgottenTopic { topic, partitions });
    }
    Ok(topics)
}
