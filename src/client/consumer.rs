//! Reading partitions: offsets by position or time, and fetches without sessions.

use super::cluster::topic_name;
use super::connection::Connection;
use super::error::{ClientError, accepted};
use crate::types::{Offset, Timestamp};
use crate::wire::messages::fetch_request::{FetchPartition, FetchTopic};
use crate::wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use crate::wire::messages::{ApiKey, BrokerId, FetchRequest, ListOffsetsRequest};
use crate::wire::reply::{FetchedPartition, read_fetch_reply};

/// A place in a partition to ask the offset of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first record.
    Earliest,
    /// The end: where the next record goes.
    Latest,
    /// The first record whose time is not earlier.
    AtTime(Timestamp),
}

impl OffsetSpec {
    /// `ListOffsetsRequest`: negative timestamps are places.
    fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::AtTime(time) => time.0,
        }
    }
}

/// The offset of a place in a partition; `None` when no record is so late.
pub async fn list_offset(
    leader: &Connection,
    topic: &str,
    partition: i32,
    spec: OffsetSpec,
) -> Result<Option<Offset>, ClientError> {
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(spec.timestamp());
    let topics = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topics]);
    let response = leader.call(&request).await?;
    let answered = response.topics.first().and_then(|topic| topic.partitions.first());
    let what = || format!("offset of {topic}-{partition}");
    let Some(answered) = answered else {
        return Err(ClientError::Unavailable { what: what(), detail: "the answer leaves it out".to_owned() });
    };
    accepted(answered.error_code, None, what)?;
    Ok((0 <= answered.offset).then_some(Offset(answered.offset)))
}

/// Bounds of a fetch.
#[derive(Debug, Clone, Copy)]
pub struct FetchOptions {
    /// How long the broker may wait for `min_bytes`.
    pub max_wait_ms: i32,
    /// Bytes that are worth an answer.
    pub min_bytes: i32,
    /// Most bytes in the answer; the first batch comes whole.
    pub max_bytes: i32,
    /// Most bytes of one partition.
    pub partition_max_bytes: i32,
}

/// A Fetch without a session of partitions of one leader, as `(topic, partition, offset)`; those of a topic
/// stand together.
pub fn fetch_request(partitions: &[(&str, i32, Offset)], options: FetchOptions) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for &(name, partition, offset) in partitions {
        let asked = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset.0)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(options.partition_max_bytes);
        match topics.last_mut() {
            Some(topic) if topic.topic.0.as_str() == name => topic.partitions.push(asked),
            _ => topics.push(FetchTopic::default().with_topic(topic_name(name)).with_partitions(vec![asked])),
        }
    }
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(options.max_wait_ms)
        .with_min_bytes(options.min_bytes)
        .with_max_bytes(options.max_bytes)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(topics)
}

/// Fetches from one leader. Errors of partitions are in the answer's parts.
pub async fn fetch(
    leader: &Connection,
    partitions: &[(&str, i32, Offset)],
    options: FetchOptions,
) -> Result<Vec<FetchedPartition>, ClientError> {
    let spoken = leader.version(ApiKey::Fetch)?;
    let body = leader.exchange(spoken, &fetch_request(partitions, options)).await?;
    let mut fetched = Vec::with_capacity(partitions.len());
    let code = read_fetch_reply(body, spoken.version, |partition| fetched.push(partition))
        .map_err(|error| ClientError::Malformed { address: leader.address().to_owned(), error })?;
    accepted(code, None, || "fetch".to_owned())?;
    Ok(fetched)
}
