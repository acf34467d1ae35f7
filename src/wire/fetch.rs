//! Fetch, versions 4 to 18: the request, and the response as pieces between which the records stay
//! where they are.

use bytes::{BufMut, Bytes, BytesMut};

use crate::types::{DirectoryId, ErrorCode, LeaderEpoch, NodeId, Offset, ProducerId, Uuid};

use super::WireError;
use super::api::{self, ApiRow};
use super::frame::LENGTH_LEN;
use super::header::encode_response_header;
use super::messages::{ApiKey, StrBytes};
use super::primitives::{
    Form, PARTITIONS_MAX, for_each_tagged_field, put_uvarint, take_i8, take_i32, take_i64, take_u128,
};
use super::topic_ref::{CurrentLeader, NodeEndpoint, TopicRef};

const LOG_START_OFFSET_FROM: i16 = 5;
/// KIP-227
const SESSION_FROM: i16 = 7;
const CURRENT_LEADER_EPOCH_FROM: i16 = 9;
/// KIP-392
const RACK_FROM: i16 = 11;
/// KIP-595
const LAST_FETCHED_EPOCH_FROM: i16 = 12;
/// KIP-516
const TOPIC_ID_FROM: i16 = 13;
/// KIP-903
const REPLICA_STATE_FROM: i16 = 15;
/// KIP-951
const NODE_ENDPOINTS_FROM: i16 = 16;

fn row() -> &'static ApiRow {
    api::lookup(ApiKey::Fetch as i16).expect("Fetch is served")
}

fn form(version: i16) -> Form {
    Form { is_flexible: row().is_flexible(version) }
}

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
        let count = form.take_partition_count(body, 16, partitions_left)?;
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
                0 if since(17) => partition.replica_directory_id = Uuid(take_u128(&mut field)?),
                1 if since(18) => partition.high_watermark = Offset(take_i64(&mut field)?),
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
        let count = form.take_partition_count(body, 4, partitions_left)?;
        let partitions = (0..count).map(|_| take_i32(body)).collect::<Result<_, _>>()?;
        form.skip_tags(body)?;
        topics.push(ForgottenTopic { topic, partitions });
    }
    Ok(topics)
}

/// A Fetch response. A version that has not got a field leaves it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResponse {
    /// How long the client should be silent, in ms.
    pub throttle_time_ms: i32,
    /// What is wrong with the request as a whole; from version 7 on.
    pub error_code: ErrorCode,
    /// The fetch session; 0 for none.
    pub session_id: i32,
    /// The answers by topic, each named as in the request.
    pub topics: Vec<FetchTopicResponse>,
    /// Where the leaders named in this response listen; from version 16 on.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The answers for one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchTopicResponse {
    /// The topic.
    pub topic: TopicRef,
    /// The answers by partition.
    pub partitions: Vec<FetchPartitionResponse>,
}

/// The answer for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPartitionResponse {
    /// The partition's index, as in the request.
    pub partition: i32,
    /// What came of it.
    pub error_code: ErrorCode,
    /// The end of what all in-sync replicas have; -1 when unknown.
    pub high_watermark: Offset,
    /// The end of what no open transaction precedes; -1 when unknown.
    pub last_stable_offset: Offset,
    /// The partition's first offset; -1 when unknown. From version 5 on.
    pub log_start_offset: Offset,
    /// Where the sender's log leaves ours; from version 12 on.
    pub diverging_epoch: Option<EpochEndOffset>,
    /// Who leads, after an error that says that we do not; from version 12 on.
    pub current_leader: Option<CurrentLeader>,
    /// The snapshot to fetch instead; from version 12 on.
    pub snapshot_id: Option<SnapshotId>,
    /// The transactions whose records a `ReadCommitted` consumer drops; `None` for any other.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// The replica to read from instead, or -1; from version 11 on.
    pub preferred_read_replica: NodeId,
    /// The batches: pieces of the log, sent one behind the other.
    pub records: Vec<Bytes>,
}

impl FetchPartitionResponse {
    /// An error, or no news: nothing is known and nothing sent.
    pub fn error(partition: i32, error_code: ErrorCode) -> Self {
        Self {
            partition,
            error_code,
            high_watermark: Offset::UNKNOWN,
            last_stable_offset: Offset::UNKNOWN,
            log_start_offset: Offset::UNKNOWN,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            aborted_transactions: None,
            preferred_read_replica: NodeId(-1),
            records: Vec::new(),
        }
    }

    /// Bytes of the batches.
    pub fn records_len(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

/// The largest common epoch of two logs and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEndOffset {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Its end, exclusive.
    pub end_offset: Offset,
}

/// A snapshot of the metadata log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotId {
    /// The end of what it holds, exclusive.
    pub end_offset: Offset,
    /// The epoch of its last record.
    pub epoch: LeaderEpoch,
}

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
}

impl FetchResponse {
    /// The whole frame, length and header first, as pieces to be sent one behind the other. The records
    /// among them are those that were handed in, not copies.
    pub fn encode(self, version: i16, correlation_id: i32) -> Vec<Bytes> {
        let mut pieces = Pieces::new(&self);
        encode_response_header(&mut pieces.fields, row(), version, correlation_id);
        self.encode_body(version, &mut pieces);
        pieces.finish()
    }

    fn encode_body(self, version: i16, pieces: &mut Pieces) {
        let form = form(version);
        pieces.fields.put_i32(self.throttle_time_ms);
        if SESSION_FROM <= version {
            pieces.fields.put_i16(self.error_code.code());
            pieces.fields.put_i32(self.session_id);
        }
        form.put_array_len(&mut pieces.fields, self.topics.len());
        for topic in self.topics {
            topic.topic.put(&mut pieces.fields, form, TOPIC_ID_FROM <= version);
            form.put_array_len(&mut pieces.fields, topic.partitions.len());
            for partition in topic.partitions {
                partition.encode(version, form, pieces);
            }
            form.put_no_tags(&mut pieces.fields);
        }
        let endpoints = if NODE_ENDPOINTS_FROM <= version { &self.node_endpoints[..] } else { &[] };
        NodeEndpoint::put_all(endpoints, &mut pieces.fields, form);
    }
}

impl FetchPartitionResponse {
    fn encode(self, version: i16, form: Form, pieces: &mut Pieces) {
        let out = &mut pieces.fields;
        out.put_i32(self.partition);
        out.put_i16(self.error_code.code());
        out.put_i64(self.high_watermark.0);
        out.put_i64(self.last_stable_offset.0);
        if LOG_START_OFFSET_FROM <= version {
            out.put_i64(self.log_start_offset.0);
        }
        encode_aborted_transactions(self.aborted_transactions.as_deref(), form, out);
        if RACK_FROM <= version {
            out.put_i32(self.preferred_read_replica.0);
        }
        // Never null: some clients take that for a broken response.
        form.put_bytes_len(out, self.records_len());
        let (diverging_epoch, current_leader, snapshot_id) =
            (self.diverging_epoch, self.current_leader, self.snapshot_id);
        pieces.put_records(self.records);
        if form.is_flexible {
            encode_partition_tags(diverging_epoch, current_leader, snapshot_id, &mut pieces.fields);
        }
    }
}

fn encode_aborted_transactions(aborted: Option<&[AbortedTransaction]>, form: Form, out: &mut BytesMut) {
    let Some(aborted) = aborted else { return form.put_null_array(out) };
    form.put_array_len(out, aborted.len());
    for transaction in aborted {
        out.put_i64(transaction.producer_id.0);
        out.put_i64(transaction.first_offset.0);
        form.put_no_tags(out);
    }
}

fn encode_partition_tags(
    diverging_epoch: Option<EpochEndOffset>,
    current_leader: Option<CurrentLeader>,
    snapshot_id: Option<SnapshotId>,
    out: &mut BytesMut,
) {
    let count = [diverging_epoch.is_some(), current_leader.is_some(), snapshot_id.is_some()];
    put_uvarint(out, count.into_iter().map(u32::from).sum());
    if let Some(diverging) = diverging_epoch {
        put_uvarint(out, 0);
        put_uvarint(out, 13);
        out.put_i32(diverging.epoch.0);
        out.put_i64(diverging.end_offset.0);
        out.put_u8(0);
    }
    if let Some(leader) = current_leader {
        leader.put_tag(out, 1);
    }
    if let Some(snapshot) = snapshot_id {
        put_uvarint(out, 2);
        put_uvarint(out, 13);
        out.put_i64(snapshot.end_offset.0);
        out.put_i32(snapshot.epoch.0);
        out.put_u8(0);
    }
}

/// A frame in the making: one buffer for all fields, and the records that belong between them.
struct Pieces {
    fields: BytesMut,
    /// Records, each with how many bytes of the fields stand before it.
    records: Vec<(usize, Bytes)>,
}

impl Pieces {
    fn new(response: &FetchResponse) -> Self {
        let partitions = || response.topics.iter().flat_map(|topic| &topic.partitions);
        let aborted: usize =
            partitions().filter_map(|partition| partition.aborted_transactions.as_ref()).map(Vec::len).sum();
        let chunks = partitions().map(|partition| partition.records.len()).sum();
        let fields_len = 64 + response.topics.len() * 64 + partitions().count() * 64 + aborted * 17;
        let mut fields = BytesMut::with_capacity(fields_len);
        // The frame's length comes last.
        fields.put_i32(0);
        Self { fields, records: Vec::with_capacity(chunks) }
    }

    fn put_records(&mut self, chunks: Vec<Bytes>) {
        let position = self.fields.len();
        self.records
            .extend(chunks.into_iter().filter(|chunk| !chunk.is_empty()).map(|chunk| (position, chunk)));
    }

    fn finish(mut self) -> Vec<Bytes> {
        let records_len: usize = self.records.iter().map(|(_, chunk)| chunk.len()).sum();
        let length = self.fields.len() - LENGTH_LEN + records_len;
        let length = i32::try_from(length).expect("fetch.max.bytes keeps a response below 2 GiB");
        self.fields[..LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
        let mut fields = self.fields.freeze();
        let mut pieces = Vec::with_capacity(2 * self.records.len() + 1);
        let mut written = 0;
        for (position, chunk) in self.records {
            if written < position {
                pieces.push(fields.split_to(position - written));
                written = position;
            }
            pieces.push(chunk);
        }
        if !fields.is_empty() {
            pieces.push(fields);
        }
        pieces
    }
}
