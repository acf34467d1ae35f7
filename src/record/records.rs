//! The records inside of a batch.

use bytes::{Buf, Bytes};

use crate::types::{Offset, Timestamp};

use super::RecordError;
use super::batch::{BatchHeader, HEADER_LEN};
use super::compression::{self, Codec, DECOMPRESSED_BYTES_MAX};
use super::varint::{read_varint, read_varlong};

/// A header of a record to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// The header's name, UTF-8; may repeat within a record.
    pub key: &'a [u8],
    /// The header's value; null is not the empty value.
    pub value: Option<&'a [u8]>,
}

/// A header of a record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The header's name: UTF-8 from every known client, but not checked.
    pub key: Bytes,
    /// The header's value.
    pub value: Option<Bytes>,
}

/// A record that was read. Its fields are slices of the batch, or of the unpacked records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The record's offset, if the batch's base offset is assigned.
    pub offset: Offset,
    /// The producer's time, or the leader's where the batch says so.
    pub timestamp: Timestamp,
    /// The record's key.
    pub key: Option<Bytes>,
    /// The record's value; null marks a deletion on compacted topics.
    pub value: Option<Bytes>,
    /// The record's headers, in the producer's order.
    pub headers: Vec<Header>,
}

/// The records of one batch, in order. Unpacks compressed records as a whole when created, at most
/// [`DECOMPRESSED_BYTES_MAX`]. Ends after the first error.
///
/// Yields as many records as the header counts; fewer or more bytes than these need are an error.
#[derive(Debug)]
pub struct RecordIter {
    header: BatchHeader,
    body: Bytes,
    index: i32,
    failed: bool,
}

impl RecordIter {
    /// Reads the records of `batch`, one whole batch. Its CRC is not checked here.
    pub fn new(batch: &Bytes) -> Result<Self, RecordError> {
        let header = BatchHeader::decode(batch)?;
        if batch.len() != header.total_len() {
            return Err(RecordError::Truncated {
                position: 0,
                expected: header.total_len(),
                found: batch.len(),
            });
        }
        let packed = batch.slice(HEADER_LEN..);
        let body = match header.attributes.compression()? {
            Codec::None => packed,
            codec => {
                let mut body = Vec::new();
                compression::decompress(codec, &packed, DECOMPRESSED_BYTES_MAX, &mut body)?;
                body.into()
            }
        };
        Ok(Self { header, body, index: 0, failed: false })
    }

    /// The header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    fn read(&mut self) -> Result<Record, &'static str> {
        let len = take_varint(&mut self.body)?;
        let len = usize::try_from(len).map_err(|_| "its length is negative")?;
        if self.body.len() < len {
            return Err("it is longer than the batch");
        }
        let mut body = self.body.split_to(len);
        let record = decode_body(&self.header, &mut body)?;
        if !body.is_empty() {
            return Err("it has bytes behind its fields");
        }
        Ok(record)
    }
}

impl Iterator for RecordIter {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let expected = self.header.record_count;
        if expected <= self.index {
            if self.body.is_empty() {
                return None;
            }
            self.failed = true;
            return Some(Err(RecordError::CountMismatch {
                expected,
                found: "bytes are left behind the last one",
            }));
        }
        if self.body.is_empty() {
            self.failed = true;
            return Some(Err(RecordError::CountMismatch {
                expected,
                found: "the bytes end before the last one",
            }));
        }
        let index = self.index as usize;
        self.index += 1;
        let record = self.read().map_err(|what| RecordError::MalformedRecord { index, what });
        self.failed = record.is_err();
        Some(record)
    }
}

fn decode_body(header: &BatchHeader, body: &mut Bytes) -> Result<Record, &'static str> {
    if body.is_empty() {
        return Err("it ends before its attributes");
    }
    body.advance(1);
    let (timestamp_delta, len) = read_varlong(body).ok_or("its timestamp delta is broken")?;
    body.advance(len);
    let offset_delta = take_varint(body)?;
    let key = take_bytes(body)?;
    let value = take_bytes(body)?;
    let headers = decode_headers(body)?;
    Ok(Record {
        offset: Offset(header.base_offset.0.wrapping_add(offset_delta.into())),
        timestamp: header.timestamp_of(timestamp_delta),
        key,
        value,
        headers,
    })
}

fn decode_headers(body: &mut Bytes) -> Result<Vec<Header>, &'static str> {
    let count = usize::try_from(take_varint(body)?).map_err(|_| "its header count is negative")?;
    // A header takes two bytes at least: a count beyond that is a lie not to allocate for.
    if body.len() / 2 < count {
        return Err("its headers do not fit in");
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let key = take_bytes(body)?.ok_or("a header has no key")?;
        headers.push(Header { key, value: take_bytes(body)? });
    }
    Ok(headers)
}

fn take_varint(body: &mut Bytes) -> Result<i32, &'static str> {
    let (value, len) = read_varint(body).ok_or("a variable-length integer is broken")?;
    body.advance(len);
    Ok(value)
}

fn take_bytes(body: &mut Bytes) -> Result<Option<Bytes>, &'static str> {
    let len = take_varint(body)?;
    let Ok(len) = usize::try_from(len) else { return Ok(None) };
    if body.len() < len {
        return Err("a field is longer than the record");
    }
    Ok(Some(body.split_to(len)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::batch::TimestampType;
    use crate::record::builder::{BatchBuilder, BatchFields};

    fn batch(fields: BatchFields) -> Bytes {
        let mut builder = BatchBuilder::new(fields);
        let headers =
            [HeaderRef { key: b"trace", value: Some(b"1") }, HeaderRef { key: b"empty", value: None }];
        builder.append(Timestamp(100), Some(b"key"), Some(b"value"), &headers);
        builder.append(Timestamp(90), None, Some(b""), &[]);
        builder.append(Timestamp(110), Some(b"gone"), None, &[]);
        builder.build()
    }

    fn read(batch: &Bytes) -> Result<Vec<Record>, RecordError> {
        RecordIter::new(batch)?.collect()
    }

    #[test]
    fn records_round_trip_under_every_codec() {
        let plain = read(&batch(BatchFields { base_offset: Offset(7), ..BatchFields::default() })).unwrap();
        let offsets: Vec<_> = plain.iter().map(|record| (record.offset.0, record.timestamp.0)).collect();
        assert_eq!(offsets, [(7, 100), (8, 90), (9, 110)]);
        assert_eq!(plain[0].key.as_deref(), Some(&b"key"[..]));
        assert_eq!(plain[0].headers[0].value.as_deref(), Some(&b"1"[..]));
        assert_eq!(plain[0].headers[1], Header { key: Bytes::from_static(b"empty"), value: None });
        assert_eq!((&plain[1].key, plain[1].value.as_deref()), (&None, Some(&b""[..])));
        assert_eq!(plain[2].value, None);
        for codec in Codec::ALL {
            let fields = BatchFields { base_offset: Offset(7), codec, ..BatchFields::default() };
            assert_eq!(read(&batch(fields)).unwrap(), plain, "{codec}");
        }
    }

    #[test]
    fn append_time_covers_all_records() {
        let fields = BatchFields { timestamp_type: TimestampType::LogAppendTime, ..BatchFields::default() };
        assert!(read(&batch(fields)).unwrap().iter().all(|record| record.timestamp == Timestamp(110)));
    }

    #[test]
    fn count_must_match_the_bytes() {
        for (count, ok) in [(2, false), (3, true), (4, false), (i32::MAX, false), (-1, false)] {
            let mut bytes = batch(BatchFields::default()).to_vec();
            bytes[57..61].copy_from_slice(&i32::to_be_bytes(count));
            assert_eq!(read(&bytes.into()).is_ok(), ok, "{count}");
        }
    }

    #[test]
    fn cut_batch_is_refused() {
        let whole = batch(BatchFields::default());
        assert!(matches!(read(&whole.slice(..whole.len() - 1)), Err(RecordError::Truncated { .. })));
    }
}
