//! The Fetch response.

use bytes::{BufMut, BytesMut};

use crate::types::{ErrorCode, LeaderEpoch, NodeId, Offset, Piece, ProducerId};
use crate::wire::frame::LENGTH_LEN;
use crate::wire::header::encode_response_header;
use crate::wire::primitives::{Form, put_uvarint};
use crate::wire::{CurrentLeader, NodeEndpoint, TopicRef};

use super::{LOG_START_OFFSET_FROM, NODE_ENDPOINTS_FROM, RACK_FROM, SESSION_FROM, TOPIC_ID_FROM, form, row};

/// A Fetch response. A version that has not got a field leaves it out.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub struct FetchTopicResponse {
    /// The topic.
    pub topic: TopicRef,
    /// The answers by partition.
    pub partitions: Vec<FetchPartitionResponse>,
}

/// The answer for one partition.
#[derive(Debug, Clone)]
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
    pub records: Vec<Piece>,
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
        self.records.iter().map(Piece::len).sum()
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
    pub fn encode(self, version: i16, correlation_id: i32) -> Vec<Piece> {
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
    records: Vec<(usize, Piece)>,
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

    fn put_records(&mut self, chunks: Vec<Piece>) {
        let position = self.fields.len();
        self.records
            .extend(chunks.into_iter().filter(|chunk| !chunk.is_empty()).map(|chunk| (position, chunk)));
    }

    fn finish(mut self) -> Vec<Piece> {
        let records_len: usize = self.records.iter().map(|(_, chunk)| chunk.len()).sum();
        let length = self.fields.len() - LENGTH_LEN + records_len;
        let length = i32::try_from(length).expect("fetch.max.bytes keeps a response below 2 GiB");
        self.fields[..LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
        let mut fields = self.fields.freeze();
        let mut pieces = Vec::with_capacity(2 * self.records.len() + 1);
        let mut written = 0;
        for (position, chunk) in self.records {
            if written < position {
                pieces.push(fields.split_to(position - written).into());
                written = position;
            }
            pieces.push(chunk);
        }
        if !fields.is_empty() {
            pieces.push(fields.into());
        }
        pieces
    }
}
