//! The 16 attribute bits of a batch.

use crate::record::RecordError;
use crate::record::compression::Codec;

/// Who set the timestamps of a batch (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer, record by record.
    #[default]
    CreateTime,
    /// The leader, once for the whole batch: its max timestamp.
    LogAppendTime,
}

/// The attributes of a batch: codec in bits 0 to 2, then one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC_MASK: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;
    const KNOWN: i16 = (1 << 7) - 1;

    /// How the records are compressed; codecs 5 to 7 do not exist.
    pub fn compression(self) -> Result<Codec, RecordError> {
        let id = (self.0 & Self::CODEC_MASK) as u8;
        Codec::from_id(id).ok_or(RecordError::UnknownCodec { found: id })
    }

    /// Who set the timestamps.
    pub fn timestamp_type(self) -> TimestampType {
        match self.0 & Self::LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the records are control records: transaction markers, leader changes, snapshot frames.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time at which compaction may remove tombstones (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same with another codec.
    pub fn with_compression(self, codec: Codec) -> Self {
        Self((self.0 & !Self::CODEC_MASK) | i16::from(codec.id()))
    }

    /// The same with another timestamp type. Bits without a meaning are cleared, as Kafka does whenever
    /// it writes attributes (`DefaultRecordBatch.computeAttributes`).
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        self.with_bit(Self::LOG_APPEND_TIME, timestamp_type == TimestampType::LogAppendTime)
    }

    /// The same with the transaction bit set or cleared.
    pub fn with_transactional(self, transactional: bool) -> Self {
        self.with_bit(Self::TRANSACTIONAL, transactional)
    }

    /// The same with the control bit set or cleared.
    pub fn with_control(self, control: bool) -> Self {
        self.with_bit(Self::CONTROL, control)
    }

    /// The same with the bit set or cleared that makes the base timestamp a delete horizon.
    pub fn with_delete_horizon(self, has_horizon: bool) -> Self {
        self.with_bit(Self::DELETE_HORIZON, has_horizon)
    }

    fn with_bit(self, bit: i16, set: bool) -> Self {
        let cleared = self.0 & Self::KNOWN & !bit;
        Self(if set { cleared | bit } else { cleared })
    }
}
