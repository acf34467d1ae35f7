//! Produce, versions 3 to 13: the request without copying its records, and the response.

use bytes::{BufMut, Bytes, BytesMut};

use crate::record::validate::RecordFault;
use crate::types::{ErrorCode, Offset, Timestamp};

use super::WireError;
use super::api::{self, ApiRow};
use super::frame::LENGTH_LEN;
use super::header::encode_response_header;
use super::messages::{ApiKey, StrBytes};
use super::primitives::{Form, PARTITIONS_MAX, take_i16, take_i32};
use super::topic_ref::{CurrentLeader, NodeEndpoint, TopicRef};

/// The first version that names topics by id (KIP-516).
const TOPIC_ID_FROM: i16 = 13;
const LOG_START_OFFSET_FROM: i16 = 5;
/// KIP-467
const RECORD_ERRORS_FROM: i16 = 8;
/// KIP-951
const CURRENT_LEADER_FROM: i16 = 10;

fn row() -> &'static ApiRow {
    api::lookup(ApiKey::Produce as i16).expect("Produce is served")
}

fn form(version: i16) -> Form {
    Form { is_flexible: row().is_flexible(version) }
}

/// A Produce request. The records are slices of the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceRequestView {
    /// The transaction's producer, if the batches belong to one.
    pub transactional_id: Option<StrBytes>,
    /// What the client waits for: 0, 1 or -1; other values are the handler's to refuse.
    pub acks: i16,
    /// How long the broker may wait for replicas, in ms.
    pub timeout_ms: i32,
    /// The records by topic, in the client's order. A topic may be named twice.
    pub topics: Vec<ProduceTopic>,
}

/// The records for one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceTopic {
    /// The topic.
    pub topic: TopicRef,
    /// The records by partition. A partition may be named twice.
    pub partitions: Vec<ProducePartition>,
}

/// The records for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducePartition {
    /// The partition's index; any number.
    pub index: i32,
    /// What should be one batch.
    pub records: Option<Bytes>,
}

impl ProduceRequestView {
    /// Decodes the body of a request of `version`, which the API table serves.
    ///
    /// # Errors
    /// Whatever [`WireError`] says about a body. Memory is taken for at most
    /// [`PARTITIONS_MAX`] partitions.
    pub fn decode(mut body: Bytes, version: i16) -> Result<Self, WireError> {
        let form = form(version);
        let body = &mut body;
        let transactional_id = form.take_nullable_string(body)?;
        let acks = take_i16(body)?;
        let timeout_ms = take_i32(body)?;
        let mut partitions_left = PARTITIONS_MAX;
        // A topic takes two bytes at least: an empty name and an empty array.
        let topic_count = form.take_array_len(body, 2)?;
        let mut topics = Vec::with_capacity(topic_count);
        for _ in 0..topic_count {
            topics.push(decode_topic(body, version, &mut partitions_left)?);
        }
        form.skip_tags(body)?;
        Ok(Self { transactional_id, acks, timeout_ms, topics })
    }
}

fn decode_topic(
    body: &mut Bytes,
    version: i16,
    partitions_left: &mut usize,
) -> Result<ProduceTopic, WireError> {
    let form = form(version);
    let topic = TopicRef::take(body, form, TOPIC_ID_FROM <= version)?;
    // A partition takes five bytes at least: its index and a null.
    let count = topic.take_partition_count(body, form, 5, partitions_left)?;
    let mut partitions = Vec::with_capacity(count);
    for _ in 0..count {
        let index = take_i32(body)?;
        let records = form.take_nullable_bytes(body)?;
        form.skip_tags(body)?;
        partitions.push(ProducePartition { index, records });
    }
    form.skip_tags(body)?;
    Ok(ProduceTopic { topic, partitions })
}

/// A Produce response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceResponse {
    /// The answers by topic, each named as in the request.
    pub topics: Vec<ProduceTopicResponse>,
    /// How long the client should be silent, in ms.
    pub throttle_time_ms: i32,
    /// Where the leaders named in this response listen; from version 10 on.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The answers for one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceTopicResponse {
    /// The topic.
    pub topic: TopicRef,
    /// The answers by partition.
    pub partitions: Vec<ProducePartitionResponse>,
}

/// The answer for one partition. A version that has not got a field leaves it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducePartitionResponse {
    /// The partition's index, as in the request.
    pub index: i32,
    /// What came of it.
    pub error_code: ErrorCode,
    /// The offset of the batch's first record; -1 after an error.
    pub base_offset: Offset,
    /// The leader's time where the topic has it, else -1.
    pub log_append_time: Timestamp,
    /// The partition's first offset; -1 when unknown. From version 5 on.
    pub log_start_offset: Offset,
    /// The records to blame; from version 8 on.
    pub record_errors: Vec<RecordFault>,
    /// What came of it, in words; from version 8 on.
    pub error_message: Option<String>,
    /// Who leads, after an error that says that we do not; from version 10 on.
    pub current_leader: Option<CurrentLeader>,
}

impl ProducePartitionResponse {
    /// An error without further words.
    pub fn error(index: i32, error_code: ErrorCode) -> Self {
        Self {
            index,
            error_code,
            base_offset: Offset::UNKNOWN,
            log_append_time: Timestamp::NONE,
            log_start_offset: Offset::UNKNOWN,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: None,
        }
    }
}

impl ProduceResponse {
    /// The whole frame: length, header and body.
    pub fn encode(&self, version: i16, correlation_id: i32) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len_estimate());
        out.put_i32(0);
        encode_response_header(&mut out, row(), version, correlation_id);
        self.encode_body(version, &mut out);
        let length = i32::try_from(out.len() - LENGTH_LEN).expect("a Produce response is far below 2 GiB");
        out[..LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
        out.freeze()
    }

    fn encode_body(&self, version: i16, out: &mut BytesMut) {
        let form = form(version);
        form.put_array_len(out, self.topics.len());
        for topic in &self.topics {
            topic.topic.put(out, form, TOPIC_ID_FROM <= version);
            form.put_array_len(out, topic.partitions.len());
            for partition in &topic.partitions {
                partition.encode(version, form, out);
            }
            form.put_no_tags(out);
        }
        out.put_i32(self.throttle_time_ms);
        let endpoints = if CURRENT_LEADER_FROM <= version { &self.node_endpoints[..] } else { &[] };
        NodeEndpoint::put_all(endpoints, out, form);
    }

    /// Enough for a response without errors: one allocation.
    fn len_estimate(&self) -> usize {
        let partitions: usize = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        64 + self.topics.len() * 64 + partitions * 48
    }
}

impl ProducePartitionResponse {
    fn encode(&self, version: i16, form: Form, out: &mut BytesMut) {
        out.put_i32(self.index);
        out.put_i16(self.error_code.code());
        out.put_i64(self.base_offset.0);
        out.put_i64(self.log_append_time.0);
        if LOG_START_OFFSET_FROM <= version {
            out.put_i64(self.log_start_offset.0);
        }
        if RECORD_ERRORS_FROM <= version {
            form.put_array_len(out, self.record_errors.len());
            for fault in &self.record_errors {
                out.put_i32(fault.index);
                form.put_nullable_string(out, Some(&fault.message));
                form.put_no_tags(out);
            }
            form.put_nullable_string(out, self.error_message.as_deref());
        }
        match self.current_leader {
            Some(leader) if CURRENT_LEADER_FROM <= version => {
                out.put_u8(1);
                leader.put_tag(out, 0);
            }
            _ => form.put_no_tags(out),
        }
    }
}
