//! What is written of the metadata log stays as it was when Kafka's own tools last read it:
//! `tests/golden/metadata/README.md`.

use bytes::Bytes;

use corelog::metadata::batch::{BatchPlace, decode_batches, encode_leader_change, encode_records};
use corelog::metadata::features::{bootstrap_records, supported_features};
use corelog::metadata::records::*;
use corelog::metadata::snapshot::{self, SnapshotTimes};
use corelog::metadata::{MetadataImage, MetadataRecord};
use corelog::types::{LeaderEpoch, NodeId, Offset, ProducerId, Timestamp, Uuid};

const TOPIC: Uuid = Uuid(0x4f3a_91d2_5b6c_4d7e_8f90_a1b2_c3d4_e5f6);
const DIRECTORIES: [Uuid; 2] = [Uuid(0x6a01_0000_0000_4000_8000_0000_0000_0001), Uuid(u128::MAX >> 1)];

fn history() -> Vec<Vec<MetadataRecord>> {
    let register = RegisterBrokerRecord {
        broker_id: NodeId(1),
        incarnation_id: Uuid(77 << 64 | 12),
        broker_epoch: 2,
        end_points: vec![ListenerEndpoint {
            name: "PLAINTEXT".to_owned(),
            host: "localhost".to_owned(),
            port: 9092,
            security_protocol: 0,
        }],
        features: supported_features(),
        rack: Some("r1".to_owned()),
        log_dirs: DIRECTORIES.to_vec(),
        ..RegisterBrokerRecord::default()
    };
    let unfence = BrokerRegistrationChangeRecord {
        broker_id: NodeId(1),
        broker_epoch: 2,
        fenced: -1,
        ..BrokerRegistrationChangeRecord::default()
    };
    let config = ConfigRecord {
        resource_type: CONFIG_RESOURCE_TOPIC,
        resource_name: "orders".to_owned(),
        name: "retention.ms".to_owned(),
        value: Some("1000".to_owned()),
    };
    let partition = |partition_id| PartitionRecord {
        partition_id,
        topic_id: TOPIC,
        replicas: vec![NodeId(1)],
        isr: vec![NodeId(1)],
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
        directories: vec![DIRECTORIES[partition_id as usize % 2]],
        ..PartitionRecord::default()
    };
    let new_reign = PartitionChangeRecord {
        partition_id: 1,
        topic_id: TOPIC,
        leader: NodeId(1),
        ..PartitionChangeRecord::default()
    };
    let producer_ids =
        ProducerIdsRecord { broker_id: NodeId(1), broker_epoch: 2, next_producer_id: ProducerId(1_000) };
    let gone = TopicRecord { name: "gone".to_owned(), topic_id: Uuid(500) };
    vec![
        bootstrap_records(),
        vec![register.into()],
        vec![unfence.into()],
        vec![
            TopicRecord { name: "orders".to_owned(), topic_id: TOPIC }.into(),
            config.into(),
            partition(0).into(),
            partition(1).into(),
        ],
        vec![gone.into(), RemoveTopicRecord { topic_id: Uuid(500) }.into()],
        vec![producer_ids.into()],
        vec![new_reign.into()],
    ]
}

fn check_golden(name: &str, written: &[u8]) {
    let path = format!("{}/tests/golden/metadata/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("CORELOG_BLESS").is_some() {
        std::fs::write(&path, written).expect("the golden files can be written");
    }
    assert!(
        std::fs::read(&path).expect("the golden file is there") == written,
        "{path} differs from what is written now"
    );
}

#[test]
fn the_bytes_on_disk_stay_as_they_are() {
    let mut place =
        BatchPlace { base_offset: Offset(0), epoch: LeaderEpoch(1), timestamp: Timestamp(1_700_000_000_000) };
    let mut log = encode_leader_change(place, NodeId(1)).to_vec();
    for records in history() {
        place.base_offset = decode_batches(&log.clone().into()).last().unwrap().unwrap().end_offset();
        log.extend_from_slice(&encode_records(place, &records));
    }
    check_golden("corelog.log", &log);

    let mut image = MetadataImage::new("cluster");
    for delta in decode_batches(&log.into()) {
        image.apply_delta(&delta.unwrap()).unwrap();
    }
    let times = SnapshotTimes { last_contained: place.timestamp, now: Timestamp(1_700_000_000_123) };
    let bytes: Vec<Bytes> = snapshot::encode(&image, times).collect();
    check_golden("corelog.checkpoint", &bytes.concat());
}
