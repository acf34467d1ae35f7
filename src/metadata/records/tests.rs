//! The codec against itself, against broken input, and against bytes as Kafka writes them.

use super::*;
use crate::types::{LeaderEpoch, NodeId, Prng, ProducerId, Uuid};

#[test]
fn every_kind_round_trips_in_its_newest_version() {
    for seed in 0..500 {
        let mut prng = Prng::new(seed);
        for index in 0..MetadataRecord::KINDS.len() {
            let record = MetadataRecord::random(index, &mut prng);
            let bytes = record.encode();
            assert_eq!(MetadataRecord::decode(&bytes).unwrap(), record, "seed {seed}");
        }
    }
}

#[test]
fn older_versions_drop_what_they_lack_and_nothing_else() {
    for seed in 0..100 {
        let mut prng = Prng::new(seed);
        for (index, &(_, name, newest)) in MetadataRecord::KINDS.iter().enumerate() {
            let record = MetadataRecord::random(index, &mut prng);
            for version in 0..=newest {
                let bytes = record.encode_version(version);
                let read = MetadataRecord::decode(&bytes).unwrap();
                assert_eq!(read.encode_version(version), bytes, "{name} v{version}, seed {seed}");
            }
        }
    }
}

#[test]
fn broken_input_is_an_error_and_never_a_panic() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let index = prng.below(MetadataRecord::KINDS.len() as u64) as usize;
        let bytes = MetadataRecord::random(index, &mut prng).encode();
        for cut in 0..bytes.len() {
            assert!(MetadataRecord::decode(&bytes[..cut]).is_err(), "cut at {cut}, seed {seed}");
        }
        for _ in 0..200 {
            let mut damaged = bytes.clone();
            let position = prng.below(damaged.len() as u64) as usize;
            damaged[position] = prng.next_u64() as u8;
            let _ = MetadataRecord::decode(&damaged);
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(MetadataRecord::decode(&longer).is_err(), "seed {seed}");
    }
}

#[test]
fn unknown_frames_keys_and_versions_are_named() {
    let unknown_key = MetadataRecord::decode(&[1, 13, 2]).unwrap_err();
    assert_eq!(unknown_key, MetadataRecordError::UnknownKey { api_key: 13, version: 2 });
    assert_eq!(unknown_key.to_string(), "metadata record with unknown key 13, version 2");
    let unknown_version = MetadataRecord::decode(&[1, 2, 1]).unwrap_err();
    assert_eq!(
        unknown_version.to_string(),
        "metadata record TopicRecord (key 2) version 1, the newest known is 0"
    );
    assert_eq!(MetadataRecord::decode(&[0, 2, 0]), Err(MetadataRecordError::UnknownFrame { found: 0 }));
    assert!(matches!(
        MetadataRecord::decode(&[1, 2, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        Err(MetadataRecordError::UnknownVersion { .. })
    ));
    assert!(matches!(MetadataRecord::decode(&[]), Err(MetadataRecordError::Frame(_))));
}

fn check_golden(record: MetadataRecord, hex: &str) {
    let bytes: Vec<u8> = hex
        .split_whitespace()
        .collect::<String>()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(MetadataRecord::decode(&bytes).as_ref(), Ok(&record));
    assert_eq!(record.encode(), bytes, "{record:?}");
}

const TOPIC: Uuid = Uuid(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
const DIRECTORY: Uuid = Uuid(0x1112_1314_1516_1718_191a_1b1c_1d1e_1f20);

#[test]
fn golden_topic_records() {
    check_golden(
        TopicRecord { name: "foo".to_owned(), topic_id: TOPIC }.into(),
        "01 02 00  04 666f6f  0102030405060708090a0b0c0d0e0f10  00",
    );
    check_golden(
        RemoveTopicRecord { topic_id: TOPIC }.into(),
        "01 09 00  0102030405060708090a0b0c0d0e0f10  00",
    );
    let partition = PartitionRecord {
        partition_id: 3,
        topic_id: TOPIC,
        replicas: vec![NodeId(1), NodeId(2)],
        isr: vec![NodeId(1)],
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: 7,
        directories: vec![DIRECTORY, Uuid::DIRECTORY_UNASSIGNED],
        eligible_leader_replicas: Some(vec![NodeId(2)]),
        ..PartitionRecord::default()
    };
    check_golden(
        partition.into(),
        "01 03 02  00000003  0102030405060708090a0b0c0d0e0f10  03 00000001 00000002  02 00000001  01  01
         00000001  00000005  00000007
         03 1112131415161718191a1b1c1d1e1f20 00000000000000000000000000000000
         01  01 05 02 00000002",
    );
    let change = PartitionChangeRecord {
        partition_id: 3,
        topic_id: TOPIC,
        leader: NO_LEADER,
        isr: Some(vec![]),
        directories: Some(vec![DIRECTORY]),
        ..PartitionChangeRecord::default()
    };
    check_golden(
        change.into(),
        "01 05 02  00000003  0102030405060708090a0b0c0d0e0f10
         03  00 01 01  01 04 ffffffff  08 11 02 1112131415161718191a1b1c1d1e1f20",
    );
}

#[test]
fn golden_broker_records() {
    let listener = ListenerEndpoint {
        name: "PLAINTEXT".to_owned(),
        host: "h".to_owned(),
        port: 9092,
        security_protocol: 0,
    };
    let feature = SupportedFeature {
        name: "metadata.version".to_owned(),
        min_supported_version: 7,
        max_supported_version: 30,
    };
    let register = RegisterBrokerRecord {
        broker_id: NodeId(1),
        incarnation_id: TOPIC,
        broker_epoch: 9,
        end_points: vec![listener],
        features: vec![feature],
        rack: None,
        log_dirs: vec![DIRECTORY],
        ..RegisterBrokerRecord::default()
    };
    check_golden(
        register.into(),
        "01 00 04  00000001 00  0102030405060708090a0b0c0d0e0f10  0000000000000009
         02 0a 504c41494e54455854 02 68 2384 0000 00
         02 11 6d657461646174612e76657273696f6e 0007 001e 00
         00 01 00
         01  00 11 02 1112131415161718191a1b1c1d1e1f20",
    );
    let unfence = BrokerRegistrationChangeRecord {
        broker_id: NodeId(1),
        broker_epoch: 9,
        fenced: -1,
        ..BrokerRegistrationChangeRecord::default()
    };
    check_golden(unfence.into(), "01 11 03  00000001 0000000000000009  01 00 01 ff");
}

#[test]
fn golden_config_feature_and_producer_id_records() {
    let config = ConfigRecord {
        resource_type: CONFIG_RESOURCE_TOPIC,
        resource_name: "foo".to_owned(),
        name: "a.b".to_owned(),
        value: Some("c".to_owned()),
    };
    check_golden(config.clone().into(), "01 04 00  02  04 666f6f  04 612e62  02 63  00");
    check_golden(ConfigRecord { value: None, ..config }.into(), "01 04 00  02  04 666f6f  04 612e62  00  00");
    check_golden(
        FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 30 }.into(),
        "01 0c 00  11 6d657461646174612e76657273696f6e  001e  00",
    );
    check_golden(
        ProducerIdsRecord { broker_id: NodeId(1), broker_epoch: 9, next_producer_id: ProducerId(1000) }
            .into(),
        "01 0f 00  00000001  0000000000000009  00000000000003e8  00",
    );
    check_golden(NoOpRecord {}.into(), "01 14 00  00");
    check_golden(BeginTransactionRecord { name: Some("x".to_owned()) }.into(), "01 17 00  01 00 02 02 78");
}
