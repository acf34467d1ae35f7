//! What Kafka wrote, read here. `tests/golden/metadata/README.md` tells where the files come from.

use bytes::Bytes;

use super::batch::{decode_batches, decode_record, whole_batches};
use super::{MetadataImage, SnapshotId, snapshot};
use crate::record::records::RecordIter;

const KAFKA_LOG: &[u8] = include_bytes!("../../tests/golden/metadata/kafka-4.3.1.log");
const KAFKA_SNAPSHOT: &[u8] =
    include_bytes!("../../tests/golden/metadata/00000000000000000185-0000000002.checkpoint");
const KAFKA_SNAPSHOT_NAME: &str = "00000000000000000185-0000000002.checkpoint";

#[test]
fn records_of_kafka_are_written_back_byte_for_byte() {
    let mut kinds = std::collections::BTreeSet::new();
    for bytes in [KAFKA_LOG, KAFKA_SNAPSHOT] {
        for batch in whole_batches(&Bytes::from_static(bytes)) {
            let records = RecordIter::new(&batch.unwrap()).unwrap();
            if records.header().attributes.is_control() {
                continue;
            }
            for record in records {
                let record = record.unwrap();
                let decoded = decode_record(&record).unwrap();
                let value = record.value.unwrap();
                // Frame version, key and version are one byte each.
                let version = i16::from(value[2]);
                assert_eq!(decoded.encode_version(version), value, "{decoded:?}");
                kinds.insert(decoded.name());
            }
        }
    }
    assert!(19 <= kinds.len(), "the files hold {kinds:?}");
}

#[test]
fn a_log_of_kafka_adds_up_to_kafkas_own_snapshot() {
    let id = SnapshotId::from_file_name(KAFKA_SNAPSHOT_NAME).unwrap();
    let expected = snapshot::decode("cluster", id, &Bytes::from_static(KAFKA_SNAPSHOT)).unwrap().image;
    let mut image = MetadataImage::new("cluster");
    for delta in decode_batches(&Bytes::from_static(KAFKA_LOG)) {
        let delta = delta.unwrap();
        if delta.end_offset() <= id.end_offset {
            image.apply_delta(&delta).unwrap();
        }
    }
    assert_eq!(image, expected);
    let text = |image: &MetadataImage| {
        let mut lines: Vec<_> = image.to_records().map(|record| format!("{record:?}")).collect();
        lines.sort();
        lines
    };
    assert_eq!(text(&image), text(&expected));
}
