//! Segments: batches, and the records within.

use bytes::Bytes;

use super::Dump;
use crate::cli::CliError;
use crate::metadata::records::MetadataRecord;
use crate::record::batch::{BatchHeader, Batches, TimestampType, crc_matches};
use crate::record::records::{Record, RecordIter};

/// How much of a segment to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// A line a batch.
    Batches,
    /// Also a line a record.
    Records,
    /// Also a line a record, which is one of the metadata log.
    Metadata,
}

/// A batch of a segment, for the comparison with an index.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScannedBatch {
    pub(super) position: u64,
    pub(super) header: BatchHeader,
}

/// The batches up to the first that is broken.
pub(super) fn scan(bytes: &[u8]) -> Vec<ScannedBatch> {
    Batches::new(bytes)
        .map_while(Result::ok)
        .map(|(position, header, _)| ScannedBatch { position: position as u64, header })
        .collect()
}

/// Prints a segment and checks lengths, CRCs, counts and the order of offsets.
pub(super) fn dump(bytes: Bytes, base: Option<i64>, show: Show, dump: &mut Dump<'_>) -> Result<(), CliError> {
    if let Some(base) = base {
        dump.line(format_args!("Log starting offset: {base}"))?;
    }
    let mut least = base.unwrap_or(i64::MIN);
    let mut batches = Batches::new(&bytes);
    loop {
        let end = batches.position();
        match batches.next() {
            None => return Ok(()),
            Some(Ok((position, header, batch))) => {
                dump_batch(position, &header, batch, dump)?;
                if header.base_offset.0 < least {
                    let found = header.base_offset;
                    dump.problem(format!("position {position}: offset {found}, expected {least} or more"));
                }
                least = header.next_offset().0;
                let batch = bytes.slice(position..position + batch.len());
                dump_records(position, &batch, show, dump)?;
            }
            Some(Err(error)) => {
                let rest = &bytes[end..];
                // An active segment's last block is written padded; the zeros go when it is closed.
                if rest.iter().all(|&byte| byte == 0) {
                    return dump.line(format_args!("{} zero bytes from position {end} on", rest.len()));
                }
                dump.problem(format!("position {end}: {error}; {} bytes are left over", rest.len()));
                return Ok(());
            }
        }
    }
}

fn dump_batch(
    position: usize,
    header: &BatchHeader,
    batch: &[u8],
    dump: &mut Dump<'_>,
) -> Result<(), CliError> {
    let is_valid = crc_matches(batch);
    if !is_valid {
        dump.problem(format!(
            "position {position}: the CRC of the batch at offset {} is wrong",
            header.base_offset
        ));
    }
    let attributes = header.attributes;
    let codec = attributes.compression().map_or_else(|error| error.to_string(), |codec| codec.to_string());
    dump.line(format_args!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} \
         producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} position: {position} \
         {}: {} size: {} magic: {} compresscodec: {codec} crc: {} isvalid: {is_valid}",
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.base_sequence,
        header.last_sequence(),
        header.producer_id,
        header.producer_epoch,
        header.partition_leader_epoch,
        attributes.is_transactional(),
        attributes.is_control(),
        timestamp_name(attributes.timestamp_type()),
        header.max_timestamp,
        batch.len(),
        header.magic,
        header.crc,
    ))
}

fn timestamp_name(timestamp_type: TimestampType) -> &'static str {
    match timestamp_type {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

/// Unpacks the records in any case, so that a batch that cannot be unpacked is found.
fn dump_records(position: usize, batch: &Bytes, show: Show, dump: &mut Dump<'_>) -> Result<(), CliError> {
    let records = match RecordIter::new(batch) {
        Ok(records) => records,
        Err(error) => {
            dump.problem(format!("position {position}: {error}"));
            return Ok(());
        }
    };
    let is_control = records.header().attributes.is_control();
    for record in records {
        match record {
            Ok(record) if show == Show::Batches => drop(record),
            Ok(record) => dump_record(&record, show == Show::Metadata && !is_control, dump)?,
            Err(error) => {
                dump.problem(format!("position {position}: {error}"));
                return Ok(());
            }
        }
    }
    Ok(())
}

fn dump_record(record: &Record, is_metadata: bool, dump: &mut Dump<'_>) -> Result<(), CliError> {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(-1, |bytes| bytes.len() as i64);
    let headers: Vec<_> = record.headers.iter().map(|header| shown(&header.key)).collect();
    let payload = match (&record.value, is_metadata) {
        (Some(value), true) => match MetadataRecord::decode(value) {
            Ok(record) => format!("{record:?}"),
            Err(error) => {
                dump.problem(format!("offset {}: {error}", record.offset));
                shown(value)
            }
        },
        (Some(value), false) => shown(value),
        (None, _) => String::new(),
    };
    dump.line(format_args!(
        "| offset: {} timestamp: {} keySize: {} valueSize: {} headerKeys: [{}] key: {} payload: {payload}",
        record.offset,
        record.timestamp,
        length(&record.key),
        length(&record.value),
        headers.join(","),
        record.key.as_deref().map_or(String::new(), shown),
    ))
}

/// Text as it is, control characters and bytes that are no text escaped.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::builder::{BatchBuilder, BatchFields};
    use crate::types::{Offset, Timestamp};

    fn batch(base_offset: i64) -> Vec<u8> {
        let fields = BatchFields { base_offset: Offset(base_offset), ..BatchFields::default() };
        let mut builder = BatchBuilder::new(fields);
        builder.append(Timestamp(5), Some(b"k"), Some(b"v\n"), &[]);
        builder.append(Timestamp(6), None, None, &[]);
        builder.build().to_vec()
    }

    fn dumped(bytes: Vec<u8>, show: Show) -> (String, Vec<String>) {
        let mut text = Vec::new();
        let mut findings = Dump { out: Box::new(&mut text), problems: Vec::new(), is_unread: false };
        dump(Bytes::from(bytes), Some(0), show, &mut findings).unwrap();
        let problems = std::mem::take(&mut findings.problems);
        drop(findings);
        (String::from_utf8(text).unwrap(), problems)
    }

    #[test]
    fn sound_segments_have_no_problems() {
        let (text, problems) = dumped([batch(0), batch(2), vec![0; 100]].concat(), Show::Records);
        assert_eq!(problems, [""; 0]);
        assert!(text.contains("baseOffset: 2 lastOffset: 3 count: 2"), "{text}");
        assert!(text.contains(
            "| offset: 2 timestamp: 5 keySize: 1 valueSize: 2 headerKeys: [] key: k payload: v\\n"
        ));
        assert!(text.contains("100 zero bytes from position"), "{text}");
    }

    #[test]
    fn problems_are_named_with_their_position() {
        let len = batch(0).len();
        let mut flipped = [batch(0), batch(2)].concat();
        *flipped.last_mut().unwrap() ^= 1;
        let (_, problems) = dumped(flipped, Show::Batches);
        assert_eq!(problems[0], format!("position {len}: the CRC of the batch at offset 2 is wrong"));
        let (_, problems) = dumped([batch(0), batch(1)].concat(), Show::Batches);
        assert_eq!(problems, [format!("position {len}: offset 1, expected 2 or more")]);
        let (_, problems) = dumped([batch(0), batch(2)[..70].to_vec()].concat(), Show::Batches);
        assert!(problems[0].ends_with("70 bytes are left over"), "{problems:?}");
    }
}
