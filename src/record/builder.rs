//! Writing batches: what producers, the metadata log, recompression and tests put together.

use bytes::Bytes;

use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

use super::batch::{
    ATTRIBUTES_AT, Attributes, BatchHeader, HEADER_LEN, LOG_OVERHEAD, MAGIC, TimestampType, compute_crc,
};
use super::compression::{self, Codec};
use super::records::HeaderRef;
use super::varint::{put_varlong, varlong_len};

/// The header fields that a batch's author chooses; the others follow from the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchFields {
    /// The offset of the first record; a leader overwrites it.
    pub base_offset: Offset,
    /// A leader overwrites it.
    pub partition_leader_epoch: LeaderEpoch,
    /// How to compress the records.
    pub codec: Codec,
    /// The codec's level; `None` for its default.
    pub level: Option<i32>,
    /// Whose time the records carry.
    pub timestamp_type: TimestampType,
    /// The idempotent producer, or none.
    pub producer_id: ProducerId,
    /// The producer's incarnation, or none.
    pub producer_epoch: ProducerEpoch,
    /// The first record's sequence number; -1 without a producer id.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub is_transactional: bool,
    /// Whether the records are control records.
    pub is_control: bool,
}

impl Default for BatchFields {
    /// A plain batch of producer's times at offset zero.
    fn default() -> Self {
        Self {
            base_offset: Offset::ZERO,
            partition_leader_epoch: LeaderEpoch::UNKNOWN,
            codec: Codec::None,
            level: None,
            timestamp_type: TimestampType::CreateTime,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: -1,
            is_transactional: false,
            is_control: false,
        }
    }
}

/// Puts records into one batch. Append, then [`build`](Self::build).
#[derive(Debug)]
pub struct BatchBuilder {
    fields: BatchFields,
    /// Room for the header, then the encoded records.
    bytes: Vec<u8>,
    record_count: i32,
    last_offset_delta: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    delete_horizon: Option<Timestamp>,
    /// The last offset delta to write, where it is not the last record's.
    kept_last_offset_delta: Option<i32>,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(fields: BatchFields) -> Self {
        Self {
            fields,
            bytes: vec![0; HEADER_LEN],
            record_count: 0,
            last_offset_delta: -1,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
            delete_horizon: None,
            kept_last_offset_delta: None,
        }
    }

    /// Has the batch carry the time from which on compaction may remove its tombstones and markers
    /// (KIP-534). It takes the place of the base timestamp, so it is to be set before the first record.
    pub fn set_delete_horizon(&mut self, horizon: Timestamp) {
        assert_eq!(self.record_count, 0, "timestamps count from the horizon");
        self.delete_horizon = Some(horizon);
        self.base_timestamp = horizon;
    }

    /// Has the batch end at this offset although its last records are gone, as compaction leaves it: the
    /// last sequence number follows from it.
    pub fn keep_last_offset_delta(&mut self, last_offset_delta: i32) {
        self.kept_last_offset_delta = Some(last_offset_delta);
    }

    /// Adds a record at the next offset.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) {
        self.append_at(self.last_offset_delta + 1, timestamp, key, value, headers);
    }

    /// Adds a record at `offset_delta` after the base offset, as compaction leaves them: deltas grow,
    /// with gaps.
    pub fn append_at(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) {
        let timestamp_delta = self.account(offset_delta, timestamp);
        put_record(&mut self.bytes, timestamp_delta, offset_delta, key, value, headers);
    }

    /// Adds a record whose key, value and headers are encoded already ([`raw`](super::raw)).
    pub fn append_encoded(&mut self, offset_delta: i32, timestamp: Timestamp, fields: &[u8]) {
        let timestamp_delta = self.account(offset_delta, timestamp);
        let deltas_len = varlong_len(timestamp_delta) + varlong_len(offset_delta.into());
        put_varlong(&mut self.bytes, (1 + deltas_len + fields.len()) as i64);
        self.bytes.push(0);
        put_varlong(&mut self.bytes, timestamp_delta);
        put_varlong(&mut self.bytes, offset_delta.into());
        self.bytes.extend_from_slice(fields);
    }

    /// Counts a record in; its timestamp delta.
    fn account(&mut self, offset_delta: i32, timestamp: Timestamp) -> i64 {
        assert!(self.last_offset_delta < offset_delta, "offsets grow within a batch");
        if self.record_count == 0 && self.delete_horizon.is_none() {
            self.base_timestamp = timestamp;
        }
        self.record_count += 1;
        self.last_offset_delta = offset_delta;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        timestamp.0.wrapping_sub(self.base_timestamp.0)
    }

    /// Records appended so far.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Bytes of the batch so far, before compression.
    pub fn uncompressed_len(&self) -> usize {
        self.bytes.len()
    }

    /// The finished batch.
    pub fn build(self) -> Bytes {
        let header = self.header();
        let batch = match self.fields.codec {
            Codec::None => self.bytes,
            codec => {
                let mut batch = vec![0; HEADER_LEN];
                let level = self.fields.level.unwrap_or(codec.default_level());
                compression::compress(codec, level, &self.bytes[HEADER_LEN..], &mut batch);
                batch
            }
        };
        seal(header, batch)
    }

    fn header(&self) -> BatchHeader {
        let fields = &self.fields;
        BatchHeader {
            base_offset: fields.base_offset,
            batch_length: 0,
            partition_leader_epoch: fields.partition_leader_epoch,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::default()
                .with_compression(fields.codec)
                .with_timestamp_type(fields.timestamp_type)
                .with_transactional(fields.is_transactional)
                .with_control(fields.is_control)
                .with_delete_horizon(self.delete_horizon.is_some()),
            last_offset_delta: self.kept_last_offset_delta.unwrap_or(self.last_offset_delta),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: fields.producer_id,
            producer_epoch: fields.producer_epoch,
            base_sequence: fields.base_sequence,
            record_count: self.record_count,
        }
    }
}

/// Writes `header` over the front of `batch`, with the length and the CRC that its bytes have.
pub(crate) fn seal(mut header: BatchHeader, mut batch: Vec<u8>) -> Bytes {
    header.batch_length =
        i32::try_from(batch.len() - LOG_OVERHEAD).expect("a batch is bounded by its author far below 2 GiB");
    header.crc = 0;
    write_header(&header, &mut batch);
    header.crc = compute_crc(&batch);
    write_header(&header, &mut batch);
    debug_assert!(ATTRIBUTES_AT < batch.len());
    batch.into()
}

fn write_header(header: &BatchHeader, batch: &mut [u8]) {
    header.encode(batch.first_chunk_mut().expect("a batch starts with room for its header"));
}

/// Appends one record in the format of magic 2: its length, then its fields.
fn put_record(
    out: &mut Vec<u8>,
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[HeaderRef<'_>],
) {
    let headers_len: usize =
        headers.iter().map(|header| bytes_len(Some(header.key)) + bytes_len(header.value)).sum();
    let body_len = 1
        + varlong_len(timestamp_delta)
        + varlong_len(offset_delta.into())
        + bytes_len(key)
        + bytes_len(value)
        + varlong_len(headers.len() as i64)
        + headers_len;
    put_varlong(out, body_len as i64);
    let body_at = out.len();
    // Record attributes: no bit has a meaning.
    out.push(0);
    put_varlong(out, timestamp_delta);
    put_varlong(out, offset_delta.into());
    put_bytes(out, key);
    put_bytes(out, value);
    put_varlong(out, headers.len() as i64);
    for header in headers {
        put_bytes(out, Some(header.key));
        put_bytes(out, header.value);
    }
    assert_eq!(out.len() - body_at, body_len, "the length field foretells the record");
}

fn bytes_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varlong_len(bytes.len() as i64) + bytes.len())
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varlong(out, -1),
        Some(bytes) => {
            put_varlong(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
