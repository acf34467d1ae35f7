//! Batches of the metadata log: records in, bytes out, and back.
//!
//! A batch of the metadata log is a plain Kafka batch whose records have no key and a
//! [`MetadataRecord`] as value; a control batch holds what the log itself needs to know, with Kafka's
//! control record key (version, type) and a flexible body. One batch is atomic: it is read whole or not
//! at all, since its CRC covers all of it.

use bytes::Bytes;

use crate::metadata::codec::{BodyProblem, Field, Reader};
use crate::metadata::image::MetadataDelta;
use crate::metadata::records::{MetadataRecord, MetadataRecordError};
use crate::metadata::schema::wire_structs;
use crate::record::RecordError;
use crate::record::batch::{Batches, crc_matches};
use crate::record::builder::{BatchBuilder, BatchFields};
use crate::record::records::{Record, RecordIter};
use crate::types::{LeaderEpoch, NodeId, Offset, Timestamp};

/// Why bytes are not a batch of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataBatchError {
    /// The bytes are no batch, or not a whole one.
    #[error("metadata batch: {0}")]
    Batch(#[from] RecordError),
    /// The batch is not what was written.
    #[error("the metadata batch at offset {base_offset} fails its CRC")]
    Crc {
        /// The offset in the batch's header.
        base_offset: Offset,
    },
    /// A record without a value, or a control record without a key.
    #[error("the metadata record at offset {offset} has no {part}")]
    Missing {
        /// The record's offset.
        offset: Offset,
        /// `key` or `value`.
        part: &'static str,
    },
    /// A record that this version of Corelog cannot read.
    #[error("offset {offset}: {source}")]
    Record {
        /// The record's offset.
        offset: Offset,
        /// What is wrong with it.
        source: MetadataRecordError,
    },
    /// A control record that this version of Corelog cannot read.
    #[error("the control record of type {control_type} at offset {offset}: {problem}")]
    Control {
        /// The record's offset.
        offset: Offset,
        /// The type in its key.
        control_type: i16,
        /// What is wrong with it.
        problem: BodyProblem,
    },
}

/// Where in the log a batch goes, and as of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlace {
    /// The offset of the batch's first record.
    pub base_offset: Offset,
    /// The epoch of the metadata log's leader.
    pub epoch: LeaderEpoch,
    /// The time of every record in the batch.
    pub timestamp: Timestamp,
}

impl BatchPlace {
    fn fields(self, is_control: bool) -> BatchFields {
        BatchFields {
            base_offset: self.base_offset,
            partition_leader_epoch: self.epoch,
            is_control,
            ..BatchFields::default()
        }
    }
}

/// One batch with `records`, of which there must be at least one.
pub fn encode_records(place: BatchPlace, records: &[MetadataRecord]) -> Bytes {
    assert!(!records.is_empty(), "a batch without records at offset {}", place.base_offset);
    let mut builder = BatchBuilder::new(place.fields(false));
    for record in records {
        builder.append(place.timestamp, None, Some(&record.encode()), &[]);
    }
    builder.build()
}

/// The control batch with which the leader of a new epoch starts (`LeaderChangeMessage`), for a quorum in
/// which `leader` is the only voter.
pub fn encode_leader_change(place: BatchPlace, leader: NodeId) -> Bytes {
    let voter = || vec![Voter { voter_id: leader }];
    let message =
        LeaderChangeMessage { version: 0, leader_id: leader, voters: voter(), granting_voters: voter() };
    encode_control(place, ControlType::LeaderChange, &message)
}

pub(super) fn encode_control(place: BatchPlace, control_type: ControlType, body: &impl Field) -> Bytes {
    let mut key = Vec::new();
    CONTROL_KEY_VERSION.encode(0, &mut key);
    (control_type as i16).encode(0, &mut key);
    let mut value = Vec::new();
    body.encode(0, &mut value);
    let mut builder = BatchBuilder::new(place.fields(true));
    builder.append(place.timestamp, Some(&key), Some(&value), &[]);
    builder.build()
}

/// Reads the batches that stand one behind the other in `bytes`, each checked against its CRC. A control
/// batch comes out as a delta without records. Stops at the first error.
pub fn decode_batches(bytes: &Bytes) -> impl Iterator<Item = Result<MetadataDelta, MetadataBatchError>> + '_ {
    whole_batches(bytes).map(|batch| {
        let records = RecordIter::new(&batch?)?;
        let header = *records.header();
        if header.attributes.is_control() || header.record_count == 0 {
            let (first, last) = (header.base_offset, header.last_offset());
            return Ok(MetadataDelta::control(first, last, header.partition_leader_epoch));
        }
        let decoded: Result<Vec<_>, MetadataBatchError> =
            records.map(|record| decode_record(&record?)).collect();
        Ok(MetadataDelta::new(header.base_offset, header.partition_leader_epoch, decoded?.into()))
    })
}

/// The batches of `bytes` whose CRC is right; an error for the first whose is not.
pub(super) fn whole_batches(bytes: &Bytes) -> impl Iterator<Item = Result<Bytes, MetadataBatchError>> + '_ {
    Batches::new(bytes).map(|batch| {
        let (position, header, batch) = batch?;
        if !crc_matches(batch) {
            return Err(MetadataBatchError::Crc { base_offset: header.base_offset });
        }
        Ok(bytes.slice(position..position + batch.len()))
    })
}

pub(super) fn decode_record(record: &Record) -> Result<MetadataRecord, MetadataBatchError> {
    let offset = record.offset;
    let value = record.value.as_ref().ok_or(MetadataBatchError::Missing { offset, part: "value" })?;
    MetadataRecord::decode(value).map_err(|source| MetadataBatchError::Record { offset, source })
}

/// The type in the key of a control record.
pub(super) fn control_type_of(record: &Record) -> Result<i16, MetadataBatchError> {
    let offset = record.offset;
    let key = record.key.as_ref().ok_or(MetadataBatchError::Missing { offset, part: "key" })?;
    let mut input = Reader::new(key);
    let read = i16::decode(0, &mut input).and_then(|_version| i16::decode(0, &mut input));
    read.map_err(|problem| MetadataBatchError::Control { offset, control_type: -1, problem })
}

/// The body of a control record.
pub(super) fn decode_control<T: Field>(
    record: &Record,
    control_type: ControlType,
) -> Result<T, MetadataBatchError> {
    let offset = record.offset;
    let value = record.value.as_ref().ok_or(MetadataBatchError::Missing { offset, part: "value" })?;
    T::decode(0, &mut Reader::new(value)).map_err(|problem| MetadataBatchError::Control {
        offset,
        control_type: control_type as i16,
        problem,
    })
}

/// `EndTransactionMarker` and its kin all have keys of version 0.
const CONTROL_KEY_VERSION: i16 = 0;

/// `ControlRecordType`, as far as this module writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlType {
    LeaderChange = 2,
    SnapshotHeader = 3,
    SnapshotFooter = 4,
}

wire_structs! {
    /// Version 0: a new leader, and who made it one.
    LeaderChangeMessage {
        /// The version of this message, once more.
        version: i16,
        /// The leader.
        leader_id: NodeId,
        /// All voters.
        voters: Vec<Voter>,
        /// The voters who voted for the leader.
        granting_voters: Vec<Voter>,
    }

    /// One voter of the quorum.
    Voter {
        /// The voter's node id.
        voter_id: NodeId,
    }

    /// The first record of a snapshot.
    SnapshotHeaderRecord {
        /// The version of this message, once more.
        version: i16,
        /// When the last record that the snapshot covers was appended, in milliseconds since 1970.
        last_contained_log_timestamp: i64,
    }

    /// The last record of a snapshot: without it, the file is not whole.
    SnapshotFooterRecord {
        /// The version of this message, once more.
        version: i16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::features::bootstrap_records;
    use crate::metadata::records::NoOpRecord;

    fn place(base_offset: i64) -> BatchPlace {
        BatchPlace { base_offset: Offset(base_offset), epoch: LeaderEpoch(3), timestamp: Timestamp(1_000) }
    }

    #[test]
    fn batches_round_trip_with_their_offsets() {
        let mut records = bootstrap_records();
        records.push(NoOpRecord {}.into());
        let log = [
            encode_leader_change(place(0), NodeId(1)),
            encode_records(place(1), &records),
            encode_records(place(3), &records[1..]),
        ]
        .concat();
        let deltas: Vec<_> = decode_batches(&log.into()).map(Result::unwrap).collect();
        let expected = [
            MetadataDelta::control(Offset(0), Offset(0), LeaderEpoch(3)),
            MetadataDelta::new(Offset(1), LeaderEpoch(3), records.clone().into()),
            MetadataDelta::new(Offset(3), LeaderEpoch(3), records[1..].to_vec().into()),
        ];
        assert_eq!(deltas, expected);
    }

    #[test]
    fn a_flipped_bit_or_a_torn_end_is_an_error() {
        let whole = encode_records(place(7), &bootstrap_records());
        for position in 20..whole.len() {
            let mut damaged = whole.to_vec();
            damaged[position] ^= 4;
            let first = decode_batches(&damaged.into()).next().unwrap();
            assert_eq!(first, Err(MetadataBatchError::Crc { base_offset: Offset(7) }), "byte {position}");
        }
        for len in 1..whole.len() {
            assert!(decode_batches(&whole.slice(..len)).next().unwrap().is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_names_its_offset() {
        let mut builder = BatchBuilder::new(place(5).fields(false));
        builder.append(Timestamp(0), None, Some(&MetadataRecord::from(NoOpRecord {}).encode()), &[]);
        builder.append(Timestamp(0), None, Some(&[1, 99, 0]), &[]);
        let error = decode_batches(&builder.build()).next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "offset 6: metadata record with unknown key 99, version 0");
        let mut builder = BatchBuilder::new(place(5).fields(false));
        builder.append(Timestamp(0), None, None, &[]);
        let error = decode_batches(&builder.build()).next().unwrap().unwrap_err();
        assert_eq!(error, MetadataBatchError::Missing { offset: Offset(5), part: "value" });
    }
}
