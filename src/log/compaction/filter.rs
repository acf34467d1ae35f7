//! What compaction leaves of one batch (`Cleaner.cleanInto`, `MemoryRecords.filterTo`).
//!
//! A batch keeps its base offset, its last offset, its producer's fields, its leader epoch and its codec,
//! whatever is left of its records: an offset is never given another record, and the last sequence number of
//! a producer follows from the last offset of its last batch.

use std::sync::Arc;

use bytes::Bytes;

use crate::record::RecordError;
use crate::record::batch::{BatchHeader, HEADER_LEN, TimestampType};
use crate::record::bounds::Bounds;
use crate::record::builder::{BatchBuilder, BatchFields};
use crate::record::compression::{self, Codec};
use crate::record::raw::{RawRecord, RawRecords};
use crate::types::{Offset, Timestamp};

use super::offset_map::OffsetMap;

/// What holds for all batches of one cleaning.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) map: Arc<OffsetMap>,
    pub(super) now: Timestamp,
    /// `delete.retention.ms`
    pub(super) delete_retention_ms: i64,
    /// Where the cleaning ends.
    pub(super) end_offset: Offset,
}

/// What is known of a batch from the log around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchContext {
    /// Part of an aborted transaction, or a marker whose transaction has no records left.
    pub(super) may_discard: bool,
    /// The last batch of a producer that is remembered: its sequence or epoch is still needed.
    pub(super) is_last_of_producer: bool,
}

/// What is left of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filtered {
    /// Nothing.
    Dropped,
    /// All of it, byte for byte.
    AsIs,
    /// These bytes, with this many records in them.
    Rewritten(Bytes, usize),
}

/// Decides about one batch, whose CRC was checked; `None` when `bounds` do not suffice. `unpacked` is memory
/// to reuse.
pub(super) fn filter_batch(
    batch: &[u8],
    header: &BatchHeader,
    round: &Round,
    context: BatchContext,
    bounds: Bounds,
    unpacked: &mut Vec<u8>,
) -> Result<Option<Filtered>, RecordError> {
    let horizon_passed = header.delete_horizon().is_some_and(|horizon| horizon <= round.now);
    let discards_records = context.may_discard && (!header.attributes.is_control() || horizon_passed);
    // The last batch of a round stays, however empty: where the log goes on is not to be lost.
    let stays_empty = header.producer_id.is_some() && context.is_last_of_producer
        || header.next_offset() == round.end_offset;
    if discards_records {
        return Ok(Some(if stays_empty { emptied(header) } else { Filtered::Dropped }));
    }
    let Some(body) = unpack(batch, header, bounds, unpacked)? else { return Ok(None) };
    let found = survey(body, header, round)?;
    if found.retained == 0 {
        return Ok(Some(if stays_empty { emptied(header) } else { Filtered::Dropped }));
    }
    let is_emptied_marker = context.may_discard && header.attributes.is_control();
    let needs_horizon = (found.has_tombstones || is_emptied_marker) && header.delete_horizon().is_none();
    if found.retained == found.total && !needs_horizon {
        return Ok(Some(Filtered::AsIs));
    }
    if header.attributes.compression()? != Codec::None && bounds.repacked_max < body.len() {
        return Ok(None);
    }
    let horizon = match needs_horizon {
        true => Some(round.now.saturating_add_ms(round.delete_retention_ms)),
        false => header.delete_horizon(),
    };
    Ok(Some(Filtered::Rewritten(rewrite(body, header, round, horizon)?, found.retained)))
}

/// The unpacked records of a batch; `None` when `bounds` do not suffice.
pub(super) fn unpack<'a>(
    batch: &'a [u8],
    header: &BatchHeader,
    bounds: Bounds,
    unpacked: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, RecordError> {
    let packed = &batch[HEADER_LEN..];
    let codec = header.attributes.compression()?;
    if codec == Codec::None {
        return Ok(Some(packed));
    }
    unpacked.clear();
    match compression::decompress(codec, packed, bounds.unpacked_max, unpacked) {
        Ok(()) => Ok(Some(unpacked)),
        Err(error) if bounds.may_have_caused(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a first look at the records of a batch found.
#[derive(Debug, Default)]
struct Survey {
    total: usize,
    retained: usize,
    /// Among those that are retained.
    has_tombstones: bool,
}

fn survey(body: &[u8], header: &BatchHeader, round: &Round) -> Result<Survey, RecordError> {
    let mut found = Survey::default();
    let mut previous = -1;
    for record in RawRecords::new(body, header.record_count) {
        let record = record?;
        if record.offset_delta <= previous || header.last_offset_delta < record.offset_delta {
            let what = "its offset is not between those of its neighbours";
            return Err(RecordError::MalformedRecord { index: found.total, what });
        }
        previous = record.offset_delta;
        found.total += 1;
        if is_retained(&record, header, round) {
            found.retained += 1;
            found.has_tombstones |= !record.has_value;
        }
    }
    Ok(found)
}

/// `Cleaner.shouldRetainRecord`
fn is_retained(record: &RawRecord<'_>, header: &BatchHeader, round: &Round) -> bool {
    if header.attributes.is_control() {
        return true;
    }
    let offset = header.base_offset + i64::from(record.offset_delta);
    if round.map.latest_offset() < offset {
        return true;
    }
    // A topic may have been compacted only after records without keys were in it.
    let Some(key) = record.key else { return false };
    let is_latest = round.map.offset_of(key).is_none_or(|latest| latest <= offset);
    let keeps_tombstones = header.delete_horizon().is_none_or(|horizon| round.now < horizon);
    is_latest && (record.has_value || keeps_tombstones)
}

fn rewrite(
    body: &[u8],
    header: &BatchHeader,
    round: &Round,
    horizon: Option<Timestamp>,
) -> Result<Bytes, RecordError> {
    let mut builder = BatchBuilder::new(BatchFields {
        base_offset: header.base_offset,
        partition_leader_epoch: header.partition_leader_epoch,
        codec: header.attributes.compression()?,
        level: None,
        timestamp_type: header.attributes.timestamp_type(),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        is_transactional: header.attributes.is_transactional(),
        is_control: header.attributes.is_control(),
    });
    if let Some(horizon) = horizon {
        builder.set_delete_horizon(horizon);
    }
    for record in RawRecords::new(body, header.record_count) {
        let record = record?;
        if is_retained(&record, header, round) {
            let timestamp = header.timestamp_of(record.timestamp_delta);
            builder.append_encoded(record.offset_delta, timestamp, record.fields);
        }
    }
    builder.keep_last_offset_delta(header.last_offset_delta);
    Ok(builder.build())
}

/// A header without records (`DefaultRecordBatch.writeEmptyHeader`).
fn emptied(header: &BatchHeader) -> Filtered {
    if header.record_count == 0 && header.total_len() == HEADER_LEN {
        return Filtered::AsIs;
    }
    let timestamp_type: TimestampType = header.attributes.timestamp_type();
    let attributes = header.attributes.with_compression(Codec::None).with_delete_horizon(false);
    let empty = BatchHeader {
        attributes: attributes.with_timestamp_type(timestamp_type),
        base_timestamp: Timestamp::NONE,
        record_count: 0,
        ..*header
    };
    Filtered::Rewritten(crate::record::builder::seal(empty, vec![0; HEADER_LEN]), 0)
}
