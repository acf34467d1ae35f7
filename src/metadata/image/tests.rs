//! Random histories: every replica of one history is equal, and a snapshot of it is too.

use std::sync::Arc;

use super::testing::{random_history, random_image};
use super::*;
use crate::metadata::records::*;
use crate::types::{Prng, Uuid};

#[test]
fn replicas_of_one_history_are_equal() {
    for seed in 0..60 {
        let (image, deltas) = random_history(&mut Prng::new(seed), 60);
        let mut one_by_one = MetadataImage::new("cluster");
        for delta in &deltas {
            for (index, record) in delta.records.iter().enumerate() {
                one_by_one.apply(delta.first_offset + index as i64, record).unwrap();
            }
            one_by_one.advance(delta.end_offset(), delta.epoch).unwrap();
        }
        assert_eq!(one_by_one, image, "seed {seed}");
    }
}

#[test]
fn a_snapshot_gives_an_equal_image() {
    for seed in 0..60 {
        let image = random_image(&mut Prng::new(seed));
        let bytes: Vec<_> = image.to_records().map(|record| record.encode()).collect();
        let records: Vec<_> = bytes.iter().map(|bytes| MetadataRecord::decode(bytes).unwrap()).collect();
        let again =
            MetadataImage::from_snapshot("cluster", &records, image.end_offset(), image.epoch()).unwrap();
        assert_eq!(again, image, "seed {seed}");
        assert!(matches!(&records[0], MetadataRecord::FeatureLevel(first) if first.name == METADATA_VERSION));
    }
}

#[test]
fn changes_are_the_difference_between_before_and_after() {
    for seed in 0..60 {
        let (_, deltas) = random_history(&mut Prng::new(seed), 60);
        let mut image = MetadataImage::new("cluster");
        for delta in &deltas {
            let before = image.clone();
            let changes = image.apply_delta(delta).unwrap();
            let created = image.topics.keys().filter(|id| !before.topics.contains_key(id));
            assert!(created.eq(&changes.topics_created), "seed {seed}");
            let deleted: Vec<_> =
                before.topics.values().filter(|t| !image.topics.contains_key(&t.id())).collect();
            assert_eq!(changes.topics_deleted.len(), deleted.len(), "seed {seed}");
            assert!(
                deleted.iter().all(|topic| changes.topics_deleted.iter().any(|gone| gone.id() == topic.id()))
            );
            for topic in image.topics.values() {
                for partition in topic.partitions() {
                    if before.partition(topic.id(), partition.id) != Some(partition) {
                        assert!(
                            changes.partitions_changed.contains(&(topic.id(), partition.id)),
                            "seed {seed}"
                        );
                    }
                }
            }
            for &(topic, partition) in &changes.partitions_changed {
                assert!(image.partition(topic, partition).is_some(), "seed {seed}");
            }
        }
    }
}

fn image_with(records: &[MetadataRecord]) -> MetadataImage {
    let mut image = MetadataImage::new("cluster");
    for record in records {
        image.apply(image.end_offset(), record).unwrap();
    }
    image
}

fn apply_error(image: &mut MetadataImage, record: impl Into<MetadataRecord>) -> ImageError {
    image.apply(image.end_offset(), &record.into()).unwrap_err()
}

const TOPIC: Uuid = Uuid(100);

fn topic(name: &str, id: Uuid) -> TopicRecord {
    TopicRecord { name: name.to_owned(), topic_id: id }
}

fn partition(id: i32) -> PartitionRecord {
    PartitionRecord {
        partition_id: id,
        topic_id: TOPIC,
        replicas: vec![NodeId(1)],
        isr: vec![NodeId(1)],
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
        directories: vec![Uuid(200)],
        ..PartitionRecord::default()
    }
}

#[test]
fn only_a_named_leader_raises_the_leader_epoch() {
    let mut image = image_with(&[topic("a", TOPIC).into(), partition(0).into()]);
    let change =
        |leader| PartitionChangeRecord { partition_id: 0, topic_id: TOPIC, leader, ..Default::default() };
    for (leader, expected, leader_epoch) in
        [(LEADER_UNCHANGED, Some(NodeId(1)), 0), (NodeId(1), Some(NodeId(1)), 1), (NO_LEADER, None, 2)]
    {
        image.apply(image.end_offset(), &change(leader).into()).unwrap();
        let partition = image.partition(TOPIC, 0).unwrap();
        assert_eq!((partition.leader, partition.leader_epoch), (expected, LeaderEpoch(leader_epoch)));
    }
    assert_eq!(image.partition(TOPIC, 0).unwrap().partition_epoch, 3);
}

#[test]
fn records_that_do_not_fit_are_errors() {
    let mut image = image_with(&[topic("a", TOPIC).into(), partition(0).into()]);
    assert_eq!(
        apply_error(&mut image, topic("a", Uuid(7))),
        ImageError::TopicExists { name: "a".to_owned(), id: Uuid(7) }
    );
    assert!(matches!(apply_error(&mut image, topic("b", TOPIC)), ImageError::TopicExists { .. }));
    assert!(matches!(apply_error(&mut image, topic("b/c", Uuid(7))), ImageError::TopicName(_)));
    assert_eq!(
        apply_error(&mut image, RemoveTopicRecord { topic_id: Uuid(7) }),
        ImageError::UnknownTopic { id: Uuid(7) }
    );
    assert_eq!(
        apply_error(
            &mut image,
            PartitionChangeRecord { partition_id: 1, topic_id: TOPIC, ..PartitionChangeRecord::default() }
        ),
        ImageError::UnknownPartition { topic: TOPIC, partition: 1 }
    );
    let two_directories = PartitionRecord { directories: vec![Uuid(200), Uuid(201)], ..partition(1) };
    assert!(matches!(apply_error(&mut image, two_directories), ImageError::DirectoryCount { .. }));
    assert_eq!(
        apply_error(&mut image, FenceBrokerRecord { id: NodeId(3), epoch: 1 }),
        ImageError::UnknownBroker { id: NodeId(3) }
    );
    assert_eq!(
        apply_error(&mut image, FeatureLevelRecord { name: METADATA_VERSION.to_owned(), feature_level: 31 }),
        ImageError::MetadataVersion { found: 31, min: 7, max: 30 }
    );
    assert_eq!(apply_error(&mut image, EndTransactionRecord {}), ImageError::NotInTransaction);
    let end_offset = image.end_offset();
    assert_eq!(
        image.apply(Offset::ZERO, &NoOpRecord {}.into()),
        Err(ImageError::OffsetWentBack { end_offset, found: Offset::ZERO })
    );
}

#[test]
fn a_stale_broker_epoch_is_refused() {
    let register =
        RegisterBrokerRecord { broker_id: NodeId(1), broker_epoch: 5, ..RegisterBrokerRecord::default() };
    let mut image = image_with(&[register.into()]);
    assert_eq!(
        apply_error(&mut image, UnfenceBrokerRecord { id: NodeId(1), epoch: 4 }),
        ImageError::StaleBrokerEpoch { id: NodeId(1), registered: 5, found: 4 }
    );
}

#[test]
fn transactions_take_effect_at_their_end_or_never() {
    let mut image = image_with(&[BeginTransactionRecord::default().into(), topic("a", TOPIC).into()]);
    assert!(image.topic(TOPIC).is_none() && image.in_transaction());
    assert_eq!(apply_error(&mut image, BeginTransactionRecord::default()), ImageError::AlreadyInTransaction);

    let mut aborted = image.clone();
    aborted.apply(aborted.end_offset(), &AbortTransactionRecord::default().into()).unwrap();
    assert!(aborted.topic(TOPIC).is_none() && !aborted.in_transaction());

    let end =
        MetadataDelta::new(image.end_offset(), LeaderEpoch(1), Arc::new([EndTransactionRecord {}.into()]));
    let changes = image.apply_delta(&end).unwrap();
    assert!(image.topic(TOPIC).is_some());
    assert!(changes.topics_created.contains(&TOPIC), "changes show up with the end of the transaction");
}

#[test]
fn a_deleted_topic_takes_its_configs_along() {
    let config = ConfigRecord {
        resource_type: CONFIG_RESOURCE_TOPIC,
        resource_name: "a".to_owned(),
        name: "retention.ms".to_owned(),
        value: Some("5".to_owned()),
    };
    let mut image = image_with(&[topic("a", TOPIC).into(), config.into(), partition(0).into()]);
    assert_eq!(image.topic_configs("a").unwrap()["retention.ms"], "5");
    let delta = MetadataDelta::new(
        image.end_offset(),
        LeaderEpoch(0),
        Arc::new([RemoveTopicRecord { topic_id: TOPIC }.into()]),
    );
    let changes = image.apply_delta(&delta).unwrap();
    assert_eq!(image.topic_configs("a"), None);
    assert_eq!(image.topic_by_name("a"), None);
    assert_eq!(changes.topics_deleted[0].partitions().len(), 1);
    assert!(changes.partitions_changed.is_empty() && changes.configs_changed.is_empty());
}

#[test]
fn deltas_cross_cores() {
    fn assert_send<T: Send>() {}
    assert_send::<MetadataDelta>();
    assert_send::<MetadataImage>();
}
