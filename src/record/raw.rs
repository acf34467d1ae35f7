//! The records of a batch as they are encoded, for those who copy them: compaction.
//!
//! Of a record only what decides about it is decoded. What follows the offset delta, that is key, value and
//! headers, is handed on as it is.

use super::RecordError;
use super::varint::{read_varint, read_varlong};

/// A record within the unpacked bytes of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// What the record's timestamp adds to the batch's base timestamp, in ms.
    pub timestamp_delta: i64,
    /// What the record's offset adds to the batch's base offset.
    pub offset_delta: i32,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// Whether the value is not null: a keyed record without one is a tombstone.
    pub has_value: bool,
    /// Key, value and headers as they are encoded.
    pub fields: &'a [u8],
}

/// Walks over unpacked records. Ends after the first error; headers are not looked at.
#[derive(Debug)]
pub struct RawRecords<'a> {
    rest: &'a [u8],
    count: i32,
    index: i32,
    has_failed: bool,
}

impl<'a> RawRecords<'a> {
    /// The records in `body`, of which the batch's header counts `count`.
    pub fn new(body: &'a [u8], count: i32) -> Self {
        Self { rest: body, count, index: 0, has_failed: false }
    }

    fn read(&mut self) -> Result<RawRecord<'a>, &'static str> {
        let len = take_varint(&mut self.rest)?;
        let len = usize::try_from(len).map_err(|_| "its length is negative")?;
        let (mut body, rest) = self.rest.split_at_checked(len).ok_or("it is longer than the batch")?;
        self.rest = rest;
        // No bit of the record's attributes has a meaning.
        body = body.get(1..).ok_or("it ends before its attributes")?;
        let (timestamp_delta, len) = read_varlong(body).ok_or("its timestamp delta is broken")?;
        body = &body[len..];
        let offset_delta = take_varint(&mut body)?;
        let fields = body;
        let key = take_bytes(&mut body)?;
        let has_value = take_bytes(&mut body)?.is_some();
        Ok(RawRecord { timestamp_delta, offset_delta, key, has_value, fields })
    }
}

impl<'a> Iterator for RawRecords<'a> {
    type Item = Result<RawRecord<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let found = match (self.index < self.count, self.rest.is_empty()) {
            (false, true) => return None,
            (false, false) => Err("bytes are left behind the last one"),
            (true, true) => Err("the bytes end before the last one"),
            (true, false) => Ok(()),
        };
        if let Err(found) = found {
            self.has_failed = true;
            return Some(Err(RecordError::CountMismatch { expected: self.count, found }));
        }
        let index = self.index as usize;
        self.index += 1;
        let record = self.read().map_err(|what| RecordError::MalformedRecord { index, what });
        self.has_failed = record.is_err();
        Some(record)
    }
}

fn take_varint(body: &mut &[u8]) -> Result<i32, &'static str> {
    let (value, len) = read_varint(body).ok_or("a variable-length integer is broken")?;
    *body = &body[len..];
    Ok(value)
}

fn take_bytes<'a>(body: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let Ok(len) = usize::try_from(take_varint(body)?) else { return Ok(None) };
    let (bytes, rest) = body.split_at_checked(len).ok_or("a field is longer than the record")?;
    *body = rest;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::batch::{BatchHeader, HEADER_LEN};
    use crate::record::builder::{BatchBuilder, BatchFields};
    use crate::record::records::{HeaderRef, RecordIter};
    use crate::types::Timestamp;

    fn batch() -> bytes::Bytes {
        let mut builder = BatchBuilder::new(BatchFields::default());
        let headers = [HeaderRef { key: b"trace", value: Some(b"1") }];
        builder.append(Timestamp(100), Some(b"key"), Some(b"value"), &headers);
        builder.append_at(4, Timestamp(90), None, Some(b""), &[]);
        builder.append_at(7, Timestamp(110), Some(b"gone"), None, &[]);
        builder.build()
    }

    #[test]
    fn raw_records_are_the_records() {
        let batch = batch();
        let header = BatchHeader::decode(&batch).unwrap();
        let raw: Vec<_> =
            RawRecords::new(&batch[HEADER_LEN..], header.record_count).map(Result::unwrap).collect();
        let whole: Vec<_> = RecordIter::new(&batch).unwrap().map(Result::unwrap).collect();
        assert_eq!(raw.len(), whole.len());
        for (raw, whole) in raw.iter().zip(&whole) {
            assert_eq!(i64::from(raw.offset_delta), whole.offset.0);
            assert_eq!(header.timestamp_of(raw.timestamp_delta), whole.timestamp);
            assert_eq!(raw.key, whole.key.as_deref());
            assert_eq!(raw.has_value, whole.value.is_some());
        }
    }

    #[test]
    fn copied_fields_make_the_same_batch() {
        let batch = batch();
        let mut builder = BatchBuilder::new(BatchFields::default());
        for record in RawRecords::new(&batch[HEADER_LEN..], 3).map(Result::unwrap) {
            let timestamp = Timestamp(100 + record.timestamp_delta);
            builder.append_encoded(record.offset_delta, timestamp, record.fields);
        }
        assert_eq!(builder.build(), batch);
    }

    #[test]
    fn damage_is_an_error_and_ends_the_walk() {
        let batch = batch();
        let body = &batch[HEADER_LEN..];
        for (count, cut) in [(2, 0), (4, 0), (3, 1), (3, body.len())] {
            let mut records = RawRecords::new(&body[..body.len() - cut], count);
            assert!(records.by_ref().any(|record| record.is_err()), "{count} {cut}");
            assert!(records.next().is_none());
        }
        for at in 0..body.len() {
            let mut damaged = body.to_vec();
            damaged[at] ^= 0xff;
            assert!(RawRecords::new(&damaged, 3).count() <= 4);
        }
    }
}
