//! Record batches built by hand, so that each field can be wrong on purpose.

use super::wire::Body;

/// A record: its offset relative to the batch, and its value. No key, no headers.
#[derive(Debug, Clone)]
pub(crate) struct RawRecord {
    pub(crate) offset_delta: i32,
    pub(crate) value: Vec<u8>,
}

/// The fields of a record batch; [`RawBatch::of`] makes a right one.
#[derive(Debug, Clone)]
pub(crate) struct RawBatch {
    pub(crate) magic: i8,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
    pub(crate) records: Vec<RawRecord>,
}

impl RawBatch {
    /// An uncompressed batch with these values at `timestamp`.
    pub(crate) fn of(values: &[&[u8]], timestamp: i64) -> Self {
        let record =
            |(at, value): (usize, &&[u8])| RawRecord { offset_delta: at as i32, value: value.to_vec() };
        Self {
            magic: 2,
            attributes: 0,
            last_offset_delta: values.len() as i32 - 1,
            timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: values.len() as i32,
            records: values.iter().enumerate().map(record).collect(),
        }
    }

    /// The batch as it is sent, with a right length and checksum.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut checked = Body::new()
            .i16(self.attributes)
            .i32(self.last_offset_delta)
            .i64(self.timestamp)
            .i64(self.timestamp)
            .i64(self.producer_id)
            .i16(self.producer_epoch)
            .i32(self.base_sequence)
            .i32(self.record_count);
        for record in &self.records {
            checked.0.extend(encode_record(record));
        }
        let length = 4 + 1 + 4 + checked.0.len();
        let mut batch = Body::new().i64(0).i32(length as i32).i32(-1).i8(self.magic);
        batch = batch.i32(crc32c::crc32c(&checked.0) as i32);
        batch.0.extend(&checked.0);
        batch.0
    }
}

fn encode_record(record: &RawRecord) -> Vec<u8> {
    let mut fields = Body::new().i8(0);
    fields = varint(fields, 0);
    fields = varint(fields, record.offset_delta);
    fields = varint(fields, -1);
    fields = varint(fields, record.value.len() as i32);
    fields.0.extend(&record.value);
    fields = varint(fields, 0);
    let mut whole = varint(Body::new(), fields.0.len() as i32);
    whole.0.extend(&fields.0);
    whole.0
}

/// A zig-zag varint, as records have them.
fn varint(body: Body, value: i32) -> Body {
    body.uvarint(((value << 1) ^ (value >> 31)) as u32)
}
