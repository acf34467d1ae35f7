//! Batches of Kafka's own library are read, and ours are those it was seen to read:
//! `tests/golden/batches/README.md`.

#![expect(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use corelog::record::batch::{self, BatchHeader};
use corelog::record::builder::{BatchBuilder, BatchFields};
use corelog::record::compression::Codec;
use corelog::record::control::{ControlType, EndTxnMarker};
use corelog::record::records::{HeaderRef, Record, RecordIter};
use corelog::record::validate::{BatchRules, Scratch, ValidatedBytes, validate_batch};
use corelog::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

const TIME: Timestamp = Timestamp(1_700_000_000_000);

fn golden(name: &str) -> Bytes {
    fs::read(path(name)).unwrap().into()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/batches").join(name)
}

fn fields(codec: Codec) -> BatchFields {
    BatchFields {
        base_offset: Offset(1_000),
        partition_leader_epoch: LeaderEpoch(9),
        codec,
        producer_id: ProducerId(77),
        producer_epoch: ProducerEpoch(3),
        base_sequence: 5,
        is_transactional: true,
        ..BatchFields::default()
    }
}

/// The records of `BatchGolden.java`.
fn batch_of_four(codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(fields(codec));
    let headers = [HeaderRef { key: b"trace", value: Some(b"1") }, HeaderRef { key: b"null", value: None }];
    builder.append(TIME, Some(b"key"), Some(b"value"), &headers);
    builder.append(Timestamp(TIME.0 - 5), None, Some(b""), &[]);
    builder.append(Timestamp(TIME.0 + 300), Some(b""), None, &[]);
    let large: Vec<_> = (0..70_000).map(|index| (index / 100) as u8).collect();
    builder.append(Timestamp(TIME.0 + 1), Some(b"large"), Some(&large), &[]);
    builder.build()
}

fn commit_marker() -> Bytes {
    let mut builder =
        BatchBuilder::new(BatchFields { base_sequence: -1, is_control: true, ..fields(Codec::None) });
    let value = EndTxnMarker { coordinator_epoch: 12 }.encode();
    builder.append(TIME, Some(&ControlType::Commit.to_key()), Some(&value), &[]);
    builder.build()
}

fn read(batch: &Bytes) -> Vec<Record> {
    RecordIter::new(batch).unwrap().map(Result::unwrap).collect()
}

#[test]
fn uncompressed_batches_are_byte_for_byte_kafkas() {
    assert_eq!(batch_of_four(Codec::None), golden("java-none.bin"));
    assert_eq!(commit_marker(), golden("java-commit-marker.bin"));
}

#[test]
fn kafkas_batches_are_read_under_every_codec() {
    let expected = read(&batch_of_four(Codec::None));
    for codec in Codec::ALL {
        let batch = golden(&format!("java-{codec}.bin"));
        assert!(batch::crc_matches(&batch), "{codec}");
        assert_eq!(read(&batch), expected, "{codec}");
        let header = BatchHeader::decode(&batch).unwrap();
        assert_eq!(header.attributes.compression(), Ok(codec));
    }
}

#[test]
fn kafkas_batches_are_valid_as_they_are() {
    for codec in Codec::ALL {
        let mut batch = golden(&format!("java-{codec}.bin")).to_vec();
        batch::set_base_offset(&mut batch, Offset::ZERO);
        let validated =
            validate_batch(&batch, &BatchRules::default(), TIME, &mut Scratch::default()).unwrap();
        assert_eq!(validated.bytes, ValidatedBytes::AsIs, "{codec}");
    }
}

#[test]
fn what_we_write_is_what_kafkas_library_read() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        assert_golden(&format!("corelog-{codec}.bin"), &batch_of_four(codec));
    }
}

/// Compares with a committed file, which `CORELOG_GOLDEN=write` replaces.
fn assert_golden(name: &str, bytes: &Bytes) {
    if std::env::var("CORELOG_GOLDEN").is_ok_and(|mode| mode == "write") {
        fs::write(path(name), bytes).unwrap();
    }
    assert!(*bytes == golden(name), "{name} changed: see tests/golden/batches/README.md");
}
