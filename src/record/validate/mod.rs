//! What a leader accepts from a producer: the rules of Kafka's `LogValidator`,
//! `UnifiedLog.analyzeAndValidateRecords` and `ProduceRequest.validateRecords` for magic 2.
//!
//! A batch that passes is appended as the bytes it came in, but for offset, epoch and, where the topic
//! says so, the time. Only a topic with a codec of its own, or a producer that got its max timestamp
//! wrong, has it written anew.
//!
//! Records are walked over, not built: an uncompressed batch costs no allocation, a compressed one goes
//! through the window of a [`Scratch`] that its caller keeps.

mod error;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::types::{Offset, Timestamp};

use super::RecordError;
use super::batch::{self, BatchHeader, Batches, HEADER_LEN, TimestampType};
use super::bounds::Bounds;
use super::builder::{BatchBuilder, BatchFields};
use super::compression::{Codec, Decompressor};
use super::records::{HeaderRef, Record, RecordIter};
use super::skim::{RecordShape, SkimError, SliceSource, Source, WINDOW_BYTES, WindowSource, skim_record};
use error::RecordFaults;

pub use error::{InvalidBatch, RECORD_ERRORS_MAX, RecordFault};

/// What a topic asks of the batches it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRules {
    /// `max.message.bytes`: bytes of a whole batch.
    pub batch_bytes_max: usize,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far behind the broker's clock a producer's time may be.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far ahead it may be.
    pub timestamp_after_max_ms: i64,
    /// Whether every record needs a key: `cleanup.policy` includes `compact`.
    pub requires_keys: bool,
    /// `compression.type`
    pub compression: TargetCompression,
    /// Whether the request's version may carry zstd: Produce from version 7 on.
    pub allows_zstd: bool,
    /// Who checks the CRC.
    pub crc_check: CrcCheck,
}

impl Default for BatchRules {
    /// Kafka's defaults for a topic, and a Produce request of today.
    fn default() -> Self {
        Self {
            batch_bytes_max: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            requires_keys: false,
            compression: TargetCompression::Producer,
            allows_zstd: true,
            crc_check: CrcCheck::Here,
        }
    }
}

/// `compression.type` of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetCompression {
    /// As the producer compressed it.
    Producer,
    /// With this codec.
    Codec {
        /// The codec; `Codec::None` for `uncompressed`.
        codec: Codec,
        /// The codec's level.
        level: i32,
    },
}

/// Who checks the CRC of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrcCheck {
    /// [`validate_batch`].
    Here,
    /// The caller, with [`batch::copy_with_crc`] while it copies: the bytes then come from memory once.
    /// Batches that are compressed, rewritten or refused are checked here all the same, so that a flipped
    /// bit is never taken for a producer's mistake. [`Validated::is_crc_checked`] says what was done.
    WithCopy,
}

/// A batch that a leader may append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// The header under the topic's rules. Its CRC is that of the bytes before [`Self::append_time`] is
    /// set; its base offset is 0.
    pub header: BatchHeader,
    /// What to append.
    pub bytes: ValidatedBytes,
    /// The time to set with [`batch::set_append_time`] once the bytes are copied.
    pub append_time: Option<Timestamp>,
    /// Whether the bytes are known to match [`BatchHeader::crc`].
    pub is_crc_checked: bool,
}

impl Validated {
    /// What to append, given the bytes that were validated.
    pub fn batch<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match &self.bytes {
            ValidatedBytes::AsIs => input,
            ValidatedBytes::Rewritten(bytes) => bytes,
        }
    }
}

/// The bytes of a validated batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValidatedBytes {
    /// Those that were validated.
    AsIs,
    /// Others with the same records.
    Rewritten(Bytes),
}

/// Memory that validation reuses; one per shard.
#[derive(Debug, Default)]
pub struct Scratch {
    window: Vec<u8>,
    unpacked_bytes: usize,
}

impl Scratch {
    /// How much was unpacked since this was last asked.
    pub fn take_unpacked_bytes(&mut self) -> usize {
        std::mem::take(&mut self.unpacked_bytes)
    }

    fn window(&mut self) -> &mut [u8] {
        self.window.resize(WINDOW_BYTES, 0);
        &mut self.window
    }
}

/// Checks `records`, what a Produce request holds for one partition, against `rules` at the time `now`.
///
/// # Errors
/// The first rule that is broken, in Kafka's order.
pub fn validate_batch(
    records: &[u8],
    rules: &BatchRules,
    now: Timestamp,
    scratch: &mut Scratch,
) -> Result<Validated, InvalidBatch> {
    let validated = validate_within(Bounds::WHOLE, records, rules, now, scratch)?;
    Ok(validated.expect("the whole work is within its bounds"))
}

/// The same, unless it takes longer than a core may be kept from its other work: then `None`, and
/// [`validate_batch`] has to be called where that harms nobody.
///
/// # Errors
/// The first rule that is broken, in Kafka's order.
pub fn validate_batch_in_turn(
    records: &[u8],
    rules: &BatchRules,
    now: Timestamp,
    scratch: &mut Scratch,
) -> Result<Option<Validated>, InvalidBatch> {
    validate_within(Bounds::IN_TURN, records, rules, now, scratch)
}

/// `None` when the bounds do not suffice.
fn validate_within(
    bounds: Bounds,
    records: &[u8],
    rules: &BatchRules,
    now: Timestamp,
    scratch: &mut Scratch,
) -> Result<Option<Validated>, InvalidBatch> {
    let header = only_batch(records)?;
    let codec = header.attributes.compression()?;
    if codec == Codec::Zstd && !rules.allows_zstd {
        return Err(InvalidBatch::ZstdNotAllowed);
    }
    if header.base_offset != Offset::ZERO {
        return Err(InvalidBatch::BaseOffset { found: header.base_offset.0 });
    }
    if rules.batch_bytes_max < records.len() {
        return Err(InvalidBatch::TooLarge { max: rules.batch_bytes_max, found: records.len() });
    }
    let target = match rules.compression {
        TargetCompression::Producer => codec,
        TargetCompression::Codec { codec, .. } => codec,
    };
    let is_crc_checked = rules.crc_check == CrcCheck::Here || codec != Codec::None || target != codec;
    if is_crc_checked {
        check_crc(records, &header)?;
    }
    let check = RecordCheck::new(&header, rules, now);
    let checked = check_header(&header).and_then(|()| check_records(records, codec, check, bounds, scratch));
    let walked = match checked {
        Ok(walked) => walked,
        Err(InvalidBatch::Malformed(error)) if bounds.may_have_caused(&error) => return Ok(None),
        Err(_) if !is_crc_checked && !batch::crc_matches(records) => {
            return Err(crc_mismatch(records, &header));
        }
        Err(error) => return Err(error),
    };
    if target == codec {
        return finish(records, header, rules, now, walked.max_timestamp, is_crc_checked).map(Some);
    }
    if bounds.repacked_max < walked.bytes {
        return Ok(None);
    }
    recompress(records, &header, rules, target, now).map(Some)
}

/// `ProduceRequest.validateRecords`: exactly one batch, of magic 2.
///
/// Differs from Kafka, which drops a partial batch behind the first.
fn only_batch(records: &[u8]) -> Result<BatchHeader, InvalidBatch> {
    let (_, header, batch) = Batches::new(records).next().ok_or(InvalidBatch::NoBatch)??;
    if batch.len() != records.len() {
        return Err(InvalidBatch::MoreThanOneBatch { expected: batch.len(), found: records.len() });
    }
    Ok(header)
}

fn check_crc(records: &[u8], header: &BatchHeader) -> Result<(), InvalidBatch> {
    if batch::crc_matches(records) { Ok(()) } else { Err(crc_mismatch(records, header)) }
}

fn crc_mismatch(records: &[u8], header: &BatchHeader) -> InvalidBatch {
    RecordError::CrcMismatch { expected: header.crc, found: batch::compute_crc(records) }.into()
}

/// `LogValidator.validateBatch` for a client's batch.
fn check_header(header: &BatchHeader) -> Result<(), InvalidBatch> {
    let BatchHeader { record_count, last_offset_delta, base_sequence, .. } = *header;
    if record_count <= 0 || i64::from(last_offset_delta) + 1 != i64::from(record_count) {
        return Err(InvalidBatch::OffsetRange { record_count, last_offset_delta });
    }
    if header.attributes.is_control() {
        return Err(InvalidBatch::ControlBatch);
    }
    if header.producer_id.is_some() && base_sequence < 0 {
        return Err(InvalidBatch::BaseSequence { producer_id: header.producer_id.0, base_sequence });
    }
    Ok(())
}

/// What a walk over the records found.
#[derive(Debug, Clone, Copy)]
struct Walked {
    max_timestamp: Timestamp,
    /// Bytes of the records, unpacked.
    bytes: usize,
}

/// Walks over the records.
fn check_records(
    records: &[u8],
    codec: Codec,
    check: RecordCheck<'_>,
    bounds: Bounds,
    scratch: &mut Scratch,
) -> Result<Walked, InvalidBatch> {
    let packed = &records[HEADER_LEN..];
    if codec == Codec::None {
        return walk(&mut SliceSource::new(packed), check);
    }
    let decompressor = Decompressor::new(codec, packed, bounds.unpacked_max)?;
    let mut source = WindowSource::new(decompressor, scratch.window());
    let walked = walk(&mut source, check);
    let unpacked_bytes = source.position();
    scratch.unpacked_bytes += unpacked_bytes;
    walked
}

fn walk(source: &mut impl Source, mut check: RecordCheck<'_>) -> Result<Walked, InvalidBatch> {
    let expected = check.header.record_count;
    for index in 0..expected {
        let shape = skim_record(source).map_err(|error| error.of_record(index))?;
        check.record(index, shape)?;
    }
    let is_at_end = source.is_at_end().map_err(|error| match error {
        SkimError::Malformed(what) => RecordError::CountMismatch { expected, found: what },
        SkimError::Unpack(error) => error,
    })?;
    if !is_at_end {
        let found = "bytes are left behind the last one";
        return Err(RecordError::CountMismatch { expected, found }.into());
    }
    check.faults.into_result()?;
    Ok(Walked { max_timestamp: check.max_timestamp, bytes: source.position() })
}

/// `LogValidator.validateRecord`, with what it needs at hand.
struct RecordCheck<'a> {
    header: &'a BatchHeader,
    rules: &'a BatchRules,
    /// The producer's times that the topic allows.
    lowest: Timestamp,
    highest: Timestamp,
    max_timestamp: Timestamp,
    faults: RecordFaults,
}

impl<'a> RecordCheck<'a> {
    fn new(header: &'a BatchHeader, rules: &'a BatchRules, now: Timestamp) -> Self {
        Self {
            header,
            rules,
            lowest: Timestamp(now.0.saturating_sub(rules.timestamp_before_max_ms)),
            highest: now.saturating_add_ms(rules.timestamp_after_max_ms),
            max_timestamp: Timestamp::NONE,
            faults: RecordFaults::default(),
        }
    }

    fn record(&mut self, index: i32, shape: RecordShape) -> Result<(), InvalidBatch> {
        // Differs from Kafka, which stores uncompressed records with such deltas as they are, so that
        // two records share an offset, and packs compressed ones anew.
        if shape.offset_delta != index {
            let what = "its offset delta is not its index";
            return Err(RecordError::MalformedRecord { index: index as usize, what }.into());
        }
        let timestamp = self.header.timestamp_of(shape.timestamp_delta);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        if self.rules.requires_keys && !shape.has_key {
            self.faults.push_key_missing(index);
        } else if self.rules.timestamp_type == TimestampType::CreateTime && timestamp != Timestamp::NONE {
            if timestamp < self.lowest || self.highest < timestamp {
                self.faults.push_timestamp(index, timestamp, (self.lowest, self.highest));
            }
        } else if self.header.attributes.timestamp_type() == TimestampType::LogAppendTime {
            self.faults.push_append_time(index);
        }
        Ok(())
    }
}

/// Settles the timestamps of a batch that keeps its codec.
fn finish(
    records: &[u8],
    mut header: BatchHeader,
    rules: &BatchRules,
    now: Timestamp,
    max_timestamp: Timestamp,
    is_crc_checked: bool,
) -> Result<Validated, InvalidBatch> {
    if rules.timestamp_type == TimestampType::LogAppendTime {
        header.attributes = header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        header.max_timestamp = now;
        return Ok(Validated { header, bytes: ValidatedBytes::AsIs, append_time: Some(now), is_crc_checked });
    }
    let is_true = header.attributes.timestamp_type() == TimestampType::CreateTime
        && header.max_timestamp == max_timestamp;
    if is_true {
        return Ok(Validated { header, bytes: ValidatedBytes::AsIs, append_time: None, is_crc_checked });
    }
    if !is_crc_checked {
        check_crc(records, &header)?;
    }
    let mut corrected = records.to_vec();
    batch::set_max_timestamp(&mut corrected, max_timestamp);
    rewritten(corrected.into())
}

fn rewritten(bytes: Bytes) -> Result<Validated, InvalidBatch> {
    let header = BatchHeader::decode(&bytes)?;
    Ok(Validated { header, bytes: ValidatedBytes::Rewritten(bytes), append_time: None, is_crc_checked: true })
}

/// `LogValidator.buildRecordsAndAssignOffsets`: the same records under the topic's codec.
fn recompress(
    records: &[u8],
    header: &BatchHeader,
    rules: &BatchRules,
    codec: Codec,
    now: Timestamp,
) -> Result<Validated, InvalidBatch> {
    let level = match rules.compression {
        TargetCompression::Producer => None,
        TargetCompression::Codec { level, .. } => Some(level),
    };
    let mut builder = BatchBuilder::new(BatchFields {
        base_offset: header.base_offset,
        partition_leader_epoch: header.partition_leader_epoch,
        codec,
        level,
        timestamp_type: rules.timestamp_type,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        is_transactional: header.attributes.is_transactional(),
        is_control: false,
    });
    for record in RecordIter::new(&Bytes::copy_from_slice(records))? {
        let record = record?;
        let timestamp = match rules.timestamp_type {
            TimestampType::CreateTime => record.timestamp,
            TimestampType::LogAppendTime => now,
        };
        append_again(&mut builder, &record, timestamp);
    }
    let bytes = builder.build();
    if rules.batch_bytes_max < bytes.len() {
        return Err(InvalidBatch::TooLarge { max: rules.batch_bytes_max, found: bytes.len() });
    }
    rewritten(bytes)
}

fn append_again(builder: &mut BatchBuilder, record: &Record, timestamp: Timestamp) {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|header| HeaderRef { key: &header.key, value: header.value.as_deref() })
        .collect();
    builder.append(timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
}
