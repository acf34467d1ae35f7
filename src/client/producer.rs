//! Sending batches to the leaders of their partitions.

use bytes::Bytes;

use super::cluster::topic_name;
use super::connection::{ApiVersion, Connection};
use super::error::{ClientError, accepted};
use crate::types::{Offset, ProducerEpoch, ProducerId};
use crate::wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use crate::wire::messages::{ApiKey, InitProducerIdRequest, ProduceRequest};
use crate::wire::reply::read_produce_reply;

/// Which acknowledgement a Produce waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// None; there is no answer.
    None,
    /// The leader's.
    Leader,
    /// That of every replica in sync.
    All,
}

impl Acks {
    /// The number on the wire.
    pub fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// What a Produce asks for besides its batches.
#[derive(Debug, Clone, Copy)]
pub struct ProduceOptions {
    /// Which acknowledgement to wait for.
    pub acks: Acks,
    /// How long the broker may wait for it.
    pub timeout_ms: i32,
}

/// One batch for one partition.
#[derive(Debug, Clone)]
pub struct PartitionBatch<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's index.
    pub partition: i32,
    /// One record batch, or several.
    pub records: Bytes,
}

/// A Produce of one batch for each of some partitions; those of a topic stand together.
pub fn produce_request(batches: &[PartitionBatch<'_>], options: ProduceOptions) -> ProduceRequest {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for batch in batches {
        let data = PartitionProduceData::default()
            .with_index(batch.partition)
            .with_records(Some(batch.records.clone()));
        match topics.last_mut() {
            Some(topic) if topic.name.0.as_str() == batch.topic => topic.partition_data.push(data),
            _ => topics.push(
                TopicProduceData::default()
                    .with_name(topic_name(batch.topic))
                    .with_partition_data(vec![data]),
            ),
        }
    }
    ProduceRequest::default()
        .with_acks(options.acks.code())
        .with_timeout_ms(options.timeout_ms)
        .with_topic_data(topics)
}

/// Sends one batch to its leader; the offset of its first record, or `None` without acknowledgement.
pub async fn produce(
    leader: &Connection,
    batch: &PartitionBatch<'_>,
    options: ProduceOptions,
) -> Result<Option<Offset>, ClientError> {
    let spoken: ApiVersion = leader.version(ApiKey::Produce)?;
    let what = format!("produce to {}-{}", batch.topic, batch.partition);
    let request = produce_request(std::slice::from_ref(batch), options);
    if options.acks == Acks::None {
        leader.send_unanswered(spoken, &request)?;
        return Ok(None);
    }
    let body = leader.exchange(spoken, &request).await?;
    let mut answered = None;
    read_produce_reply(body, spoken.version, |partition| answered = Some(partition))
        .map_err(|error| ClientError::Malformed { address: leader.address().to_owned(), error })?;
    let Some(answered) = answered else {
        return Err(ClientError::Unavailable { what, detail: "the answer leaves it out".to_owned() });
    };
    let message = answered.error_message.as_ref().map(|message| message.as_str());
    accepted(answered.error_code, message, || what)?;
    Ok(Some(Offset(answered.base_offset)))
}

/// A new producer id, for idempotent batches.
pub async fn init_producer_id(connection: &Connection) -> Result<(ProducerId, ProducerEpoch), ClientError> {
    let request =
        InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    let response = connection.call(&request).await?;
    accepted(response.error_code, None, || "ask for a producer id".to_owned())?;
    Ok((ProducerId(response.producer_id.0), ProducerEpoch(response.producer_epoch)))
}
