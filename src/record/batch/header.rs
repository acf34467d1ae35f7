//! The header of a batch, decoded.

use crate::record::RecordError;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

use super::{ATTRIBUTES_AT, TimestampType};
use super::{
    Attributes, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, BATCH_LENGTH_AT, CRC_AT, LAST_OFFSET_DELTA_AT,
    LEADER_EPOCH_AT, MAGIC, MAGIC_AT, MAX_TIMESTAMP_AT, PRODUCER_EPOCH_AT, PRODUCER_ID_AT, RECORD_COUNT_AT,
};

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;

/// Bytes before the ones that the length field counts (`Records.LOG_OVERHEAD`).
pub const LOG_OVERHEAD: usize = 12;

/// The smallest value of the length field: a header without records.
const BATCH_LENGTH_MIN: i32 = (HEADER_LEN - LOG_OVERHEAD) as i32;

/// The fields of a batch header. A decoded header is as good as the bytes: only its length field and
/// magic were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record the producer put in; compaction may have removed it.
    pub base_offset: Offset,
    /// Bytes of the batch after the length field.
    pub batch_length: i32,
    /// The leader that assigned the offsets.
    pub partition_leader_epoch: LeaderEpoch,
    /// Always [`MAGIC`] in a decoded header.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type, transaction and control bits.
    pub attributes: Attributes,
    /// The last record's offset minus the base offset. Compaction keeps it.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from, in ms; the delete horizon where that bit is set.
    pub base_timestamp: Timestamp,
    /// The highest timestamp of the records, or the append time.
    pub max_timestamp: Timestamp,
    /// The idempotent producer, or none.
    pub producer_id: ProducerId,
    /// The producer's incarnation, or none.
    pub producer_epoch: ProducerEpoch,
    /// The sequence number of the first record; -1 without a producer id.
    pub base_sequence: i32,
    /// How many records are inside.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`, which need not hold the records.
    ///
    /// # Errors
    /// `Truncated` below 61 bytes, `UnsupportedMagic` for a batch of another format, `InvalidLength` when
    /// the length field cannot hold the header.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        // The magic decides what the other bytes mean, and the old formats may be shorter.
        if let Some(&magic) = bytes.get(MAGIC_AT)
            && magic as i8 != MAGIC
        {
            return Err(RecordError::UnsupportedMagic { found: magic as i8 });
        }
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(RecordError::Truncated { position: 0, expected: HEADER_LEN, found: bytes.len() });
        };
        let batch_length = i32_at(header, BATCH_LENGTH_AT);
        if batch_length < BATCH_LENGTH_MIN {
            return Err(RecordError::InvalidLength { min: BATCH_LENGTH_MIN, found: batch_length });
        }
        Ok(Self {
            base_offset: Offset(i64_at(header, 0)),
            batch_length,
            partition_leader_epoch: LeaderEpoch(i32_at(header, LEADER_EPOCH_AT)),
            magic: MAGIC,
            crc: i32_at(header, CRC_AT) as u32,
            attributes: Attributes(i16_at(header, ATTRIBUTES_AT)),
            last_offset_delta: i32_at(header, LAST_OFFSET_DELTA_AT),
            base_timestamp: Timestamp(i64_at(header, BASE_TIMESTAMP_AT)),
            max_timestamp: Timestamp(i64_at(header, MAX_TIMESTAMP_AT)),
            producer_id: ProducerId(i64_at(header, PRODUCER_ID_AT)),
            producer_epoch: ProducerEpoch(i16_at(header, PRODUCER_EPOCH_AT)),
            base_sequence: i32_at(header, BASE_SEQUENCE_AT),
            record_count: i32_at(header, RECORD_COUNT_AT),
        })
    }

    /// Writes the header, CRC included, over the first 61 bytes of `bytes`.
    pub fn encode(&self, bytes: &mut [u8; HEADER_LEN]) {
        bytes[..8].copy_from_slice(&self.base_offset.0.to_be_bytes());
        put(bytes, BATCH_LENGTH_AT, self.batch_length.to_be_bytes());
        put(bytes, LEADER_EPOCH_AT, self.partition_leader_epoch.0.to_be_bytes());
        put(bytes, MAGIC_AT, self.magic.to_be_bytes());
        put(bytes, CRC_AT, self.crc.to_be_bytes());
        put(bytes, ATTRIBUTES_AT, self.attributes.0.to_be_bytes());
        put(bytes, LAST_OFFSET_DELTA_AT, self.last_offset_delta.to_be_bytes());
        put(bytes, BASE_TIMESTAMP_AT, self.base_timestamp.0.to_be_bytes());
        put(bytes, MAX_TIMESTAMP_AT, self.max_timestamp.0.to_be_bytes());
        put(bytes, PRODUCER_ID_AT, self.producer_id.0.to_be_bytes());
        put(bytes, PRODUCER_EPOCH_AT, self.producer_epoch.0.to_be_bytes());
        put(bytes, BASE_SEQUENCE_AT, self.base_sequence.to_be_bytes());
        put(bytes, RECORD_COUNT_AT, self.record_count.to_be_bytes());
    }

    /// Bytes of the whole batch, at least [`HEADER_LEN`].
    pub fn total_len(&self) -> usize {
        LOG_OVERHEAD + self.batch_length as usize
    }

    /// The offset of the last record the producer put in. Saturates, so that a header of hostile bytes
    /// has one too.
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)))
    }

    /// The offset after the last one.
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// The sequence number of the last record; -1 without one. Numbers wrap from 2^31 - 1 to 0
    /// (`DefaultRecordBatch.incrementSequence`).
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        let unwrapped = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (unwrapped & i64::from(i32::MAX)) as i32
    }

    /// From when on compaction may remove the batch's tombstones or marker (KIP-534); `None` when no
    /// compaction has decided it yet.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// The timestamp of a record with this delta.
    pub fn timestamp_of(&self, timestamp_delta: i64) -> Timestamp {
        match self.attributes.timestamp_type() {
            TimestampType::LogAppendTime => self.max_timestamp,
            TimestampType::CreateTime => Timestamp(self.base_timestamp.0.wrapping_add(timestamp_delta)),
        }
    }
}

fn put<const LEN: usize>(bytes: &mut [u8; HEADER_LEN], at: usize, value: [u8; LEN]) {
    bytes[at..at + LEN].copy_from_slice(&value);
}

fn array_at<const LEN: usize>(header: &[u8; HEADER_LEN], at: usize) -> [u8; LEN] {
    *header[at..].first_chunk().expect("every field lies within the header")
}

fn i16_at(header: &[u8; HEADER_LEN], at: usize) -> i16 {
    i16::from_be_bytes(array_at(header, at))
}

fn i32_at(header: &[u8; HEADER_LEN], at: usize) -> i32 {
    i32::from_be_bytes(array_at(header, at))
}

fn i64_at(header: &[u8; HEADER_LEN], at: usize) -> i64 {
    i64::from_be_bytes(array_at(header, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BatchHeader {
        BatchHeader {
            base_offset: Offset(1_000),
            batch_length: 49,
            partition_leader_epoch: LeaderEpoch(3),
            magic: MAGIC,
            crc: 0xdead_beef,
            attributes: Attributes(0b1_1010),
            last_offset_delta: 4,
            base_timestamp: Timestamp(10),
            max_timestamp: Timestamp(20),
            producer_id: ProducerId(77),
            producer_epoch: ProducerEpoch(5),
            base_sequence: 9,
            record_count: 5,
        }
    }

    fn encoded(header: &BatchHeader) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        header.encode(&mut bytes);
        bytes
    }

    #[test]
    fn header_round_trips() {
        let bytes = encoded(&header());
        assert_eq!(BatchHeader::decode(&bytes), Ok(header()));
        assert_eq!(header().total_len(), HEADER_LEN);
        assert_eq!((header().last_offset(), header().next_offset()), (Offset(1_004), Offset(1_005)));
    }

    #[test]
    fn short_old_and_lying_headers_are_refused() {
        let good = encoded(&header());
        let truncated = RecordError::Truncated { position: 0, expected: HEADER_LEN, found: 60 };
        assert_eq!(BatchHeader::decode(&good[..60]), Err(truncated));
        let mut old = good;
        old[MAGIC_AT] = 1;
        assert_eq!(BatchHeader::decode(&old[..30]), Err(RecordError::UnsupportedMagic { found: 1 }));
        for length in [48, 0, -1, i32::MIN] {
            let bytes = encoded(&BatchHeader { batch_length: length, ..header() });
            let expected = RecordError::InvalidLength { min: 49, found: length };
            assert_eq!(BatchHeader::decode(&bytes), Err(expected));
        }
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let last = |base_sequence, last_offset_delta| {
            BatchHeader { base_sequence, last_offset_delta, ..header() }.last_sequence()
        };
        assert_eq!(last(0, 4), 4);
        assert_eq!(last(i32::MAX, 0), i32::MAX);
        assert_eq!(last(i32::MAX, 1), 0);
        assert_eq!(last(i32::MAX - 2, 9), 6);
        assert_eq!(last(-1, 9), -1);
    }

    #[test]
    fn offsets_of_hostile_headers_saturate() {
        let hostile = BatchHeader { base_offset: Offset(i64::MAX), ..header() };
        assert_eq!(hostile.next_offset(), Offset(i64::MAX));
    }
}
