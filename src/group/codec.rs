//! Kafka's fixed-width encoding as the records of `__consumer_offsets` use it, and as much of the flexible
//! one as offset commits do. Readers check every claimed length against the bytes that are there.

use bytes::Bytes;

use crate::metadata::codec::BodyProblem;
use crate::types::Uuid;

/// The longest string that a 16-bit length can say, and that Kafka's flexible writers let pass.
pub(super) const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Why bytes are not a record of `__consumer_offsets`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupRecordError {
    /// The bytes end inside of a field.
    #[error("{needed} bytes are needed, {remaining} are left")]
    Truncated {
        /// Bytes the field asked for.
        needed: usize,
        /// Bytes that were there.
        remaining: usize,
    },
    /// A length that is negative where the schema allows no null.
    #[error("a length of {0} where none below zero is allowed")]
    NegativeLength(i32),
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A value of a version that is not known.
    #[error("version {found} of the value, at most {max} is known")]
    UnknownVersion {
        /// The record's.
        found: i16,
        /// The highest known.
        max: i16,
    },
    /// A varint does not fit 32 bits.
    #[error("a varint is longer than 32 bits")]
    VarintTooLong,
    /// A topic name that Kafka would not take.
    #[error("'{0}' is not a topic name")]
    TopicName(String),
    /// The value does not follow its schema.
    #[error(transparent)]
    Body(#[from] BodyProblem),
    /// A record without a key.
    #[error("the record has no key")]
    NoKey,
}

/// Bytes being read front to back.
#[derive(Debug, Clone)]
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    fn take(&mut self, needed: usize) -> Result<Bytes, GroupRecordError> {
        if self.0.len() < needed {
            return Err(GroupRecordError::Truncated { needed, remaining: self.0.len() });
        }
        Ok(self.0.split_to(needed))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GroupRecordError> {
        let bytes = self.take(N)?;
        Ok(*bytes.first_chunk().expect("as many bytes as asked for were taken"))
    }

    pub(super) fn i16(&mut self) -> Result<i16, GroupRecordError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, GroupRecordError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, GroupRecordError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, GroupRecordError> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    pub(super) fn string(&mut self) -> Result<String, GroupRecordError> {
        self.nullable_string()?.ok_or(GroupRecordError::NegativeLength(-1))
    }

    pub(super) fn nullable_string(&mut self) -> Result<Option<String>, GroupRecordError> {
        match self.i16()? {
            -1 => Ok(None),
            len => self.text(i32::from(len)).map(Some),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, GroupRecordError> {
        let len = self.i32()?;
        self.take(usize::try_from(len).map_err(|_| GroupRecordError::NegativeLength(len))?)
    }

    pub(super) fn nullable_bytes(&mut self) -> Result<Option<Bytes>, GroupRecordError> {
        match self.i32()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| GroupRecordError::NegativeLength(len))?;
                self.take(len).map(Some)
            }
        }
    }

    /// The number of elements that follow, each of `element_len_min` bytes at least.
    pub(super) fn array_len(&mut self, element_len_min: usize) -> Result<usize, GroupRecordError> {
        let claimed = self.i32()?;
        let count = usize::try_from(claimed).map_err(|_| GroupRecordError::NegativeLength(claimed))?;
        let needed = count.saturating_mul(element_len_min);
        if self.0.len() < needed {
            return Err(GroupRecordError::Truncated { needed, remaining: self.0.len() });
        }
        Ok(count)
    }

    pub(super) fn compact_string(&mut self) -> Result<String, GroupRecordError> {
        let len = self.unsigned_varint()?.checked_sub(1).ok_or(GroupRecordError::NegativeLength(-1))?;
        self.text(i32::try_from(len).unwrap_or(i32::MAX))
    }

    pub(super) fn unsigned_varint(&mut self) -> Result<u32, GroupRecordError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            if shift == 28 && 0x0f < byte {
                return Err(GroupRecordError::VarintTooLong);
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(GroupRecordError::VarintTooLong)
    }

    /// The tagged fields, each with its own bytes.
    pub(super) fn tagged_fields(&mut self) -> Result<Vec<(u32, Reader)>, GroupRecordError> {
        let mut fields = Vec::new();
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let len = self.unsigned_varint()?;
            fields.push((tag, Self(self.take(len as usize)?)));
        }
        Ok(fields)
    }

    fn text(&mut self, len: i32) -> Result<String, GroupRecordError> {
        let len = usize::try_from(len).map_err(|_| GroupRecordError::NegativeLength(len))?;
        let bytes = self.take(len)?;
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| GroupRecordError::NotUtf8)
    }
}

/// Bytes being written.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn uuid(mut self, value: Uuid) -> Self {
        self.0.extend(value.to_bytes());
        self
    }

    pub(super) fn string(self, value: &str) -> Self {
        let len = i16::try_from(value.len()).expect("requests with longer strings are refused");
        let mut out = self.i16(len);
        out.0.extend(value.as_bytes());
        out
    }

    pub(super) fn nullable_string(self, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.string(value),
            None => self.i16(-1),
        }
    }

    pub(super) fn bytes(self, value: &[u8]) -> Self {
        let mut out = self.array_len(value.len());
        out.0.extend(value);
        out
    }

    pub(super) fn array_len(self, count: usize) -> Self {
        self.i32(i32::try_from(count).expect("a request's arrays are below 2 GiB"))
    }

    pub(super) fn unsigned_varint(mut self, mut value: u32) -> Self {
        while 0x7f < value {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    pub(super) fn compact_string(self, value: &str) -> Self {
        assert!(value.len() <= STRING_BYTES_MAX, "requests with longer strings are refused");
        let mut out = self.unsigned_varint(value.len() as u32 + 1);
        out.0.extend(value.as_bytes());
        out
    }

    pub(super) fn finish(self) -> Bytes {
        self.0.into()
    }
}
