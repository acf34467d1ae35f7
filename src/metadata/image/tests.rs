//! Random histories: every replica of one history is equal, and a snapshot of it is too.

use std::sync::Arc;

use super::*;
use crate::metadata::features::bootstrap_records;
use crate::metadata::records::*;
use crate::types::{Prng, Uuid};

fn pick<'a, T>(prng: &mut Prng, items: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let items: Vec<_> = items.collect();
    (!items.is_empty()).then(|| items[prng.below(items.len() as u64) as usize])
}

fn random_nodes(prng: &mut Prng) -> Vec<NodeId> {
    (0..=prng.below(3)).map(|index| NodeId(index as i32)).collect()
}

fn random_uuid(prng: &mut Prng) -> Uuid {
    Uuid(u128::from(prng.next_u64()) << 64 | u128::from(prng.next_u64()))
}

fn kind_index(key: u32) -> usize {
    MetadataRecord::KINDS.iter().position(|&(found, ..)| found == key).unwrap()
}

/// Some record that fits `image`; `None` when the kind drawn has nothing to be about.
pub(super) fn random_record(image: &MetadataImage, prng: &mut Prng) -> Option<MetadataRecord> {
    let topic = pick(prng, image.topics.values());
    let broker = pick(prng, image.brokers.values());
    Some(match prng.below(22) {
        0..4 => {
            let name = format!("topic-{}", prng.below(30));
            if image.topic_id(&name).is_some() {
                return None;
            }
            TopicRecord { name, topic_id: random_uuid(prng) }.into()
        }
        4..8 => {
            let replicas = random_nodes(prng);
            PartitionRecord {
                partition_id: topic?.partitions().len() as i32,
                topic_id: topic?.id(),
                isr: replicas.clone(),
                leader: replicas[0],
                directories: replicas.iter().map(|_| random_uuid(prng)).collect(),
                replicas,
                leader_epoch: LeaderEpoch(0),
                partition_epoch: 0,
                ..PartitionRecord::default()
            }
            .into()
        }
        8..12 => {
            let partition = pick(prng, topic?.partitions().iter())?;
            PartitionChangeRecord {
                partition_id: partition.id,
                topic_id: topic?.id(),
                isr: prng.chance(1, 2).then(|| random_nodes(prng)),
                leader: NodeId(prng.below(4) as i32 - 2),
                eligible_leader_replicas: prng.chance(1, 4).then(|| random_nodes(prng)),
                leader_recovery_state: prng.below(3) as i8 - 1,
                ..PartitionChangeRecord::default()
            }
            .into()
        }
        12 => RemoveTopicRecord { topic_id: topic?.id() }.into(),
        13 => {
            let name = format!("config-{}", prng.below(3));
            let value = prng.chance(2, 3).then(|| prng.below(100).to_string());
            let resource =
                topic.map_or(ConfigResource::broker(None), |t| ConfigResource::topic(t.name().as_str()));
            ConfigRecord { resource_type: resource.resource_type, resource_name: resource.name, name, value }
                .into()
        }
        14 => {
            let record = RegisterBrokerRecord {
                broker_id: NodeId(prng.below(5) as i32),
                broker_epoch: image.end_offset().0,
                incarnation_id: random_uuid(prng),
                log_dirs: vec![random_uuid(prng)],
                ..RegisterBrokerRecord::default()
            };
            record.into()
        }
        15 => BrokerRegistrationChangeRecord {
            broker_id: broker?.id,
            broker_epoch: broker?.epoch,
            fenced: prng.below(3) as i8 - 1,
            in_controlled_shutdown: prng.below(2) as i8,
            ..BrokerRegistrationChangeRecord::default()
        }
        .into(),
        16 => UnregisterBrokerRecord { broker_id: broker?.id, broker_epoch: broker?.epoch }.into(),
        17 => ProducerIdsRecord {
            next_producer_id: ProducerId(image.next_producer_id().0 + 1_000),
            ..ProducerIdsRecord::default()
        }
        .into(),
        18 => FeatureLevelRecord {
            name: format!("feature-{}", prng.below(3)),
            feature_level: prng.below(3) as i16,
        }
        .into(),
        19 => ClearElrRecord { topic_name: topic?.name().to_string() }.into(),
        20 => {
            let keys = [10, 11, 14, 18, 19, 20, 21, 22, 26, 27, 29];
            let key = keys[prng.below(keys.len() as u64) as usize];
            MetadataRecord::random(kind_index(key), prng)
        }
        _ => {
            if image.in_transaction() {
                return Some(match prng.chance(1, 3) {
                    true => AbortTransactionRecord::default().into(),
                    false => EndTransactionRecord {}.into(),
                });
            }
            BeginTransactionRecord::default().into()
        }
    })
}

/// A history in batches. Inside of a transaction only records that fit whatever came before are drawn.
fn random_history(prng: &mut Prng, batches: u64) -> (MetadataImage, Vec<MetadataDelta>) {
    let mut image = MetadataImage::new("cluster");
    let mut deltas = vec![MetadataDelta::new(Offset::ZERO, LeaderEpoch(1), bootstrap_records().into())];
    image.apply_delta(&deltas[0]).unwrap();
    for _ in 0..batches {
        let mut records = Vec::new();
        let mut scratch = image.clone();
        for _ in 0..=prng.below(5) {
            let fits = |record: &MetadataRecord| {
                let mut ahead = scratch.clone();
                let committed = ahead.apply(ahead.end_offset(), record).is_ok();
                committed
                    && (!ahead.in_transaction()
                        || ahead.apply(ahead.end_offset(), &EndTransactionRecord {}.into()).is_ok())
            };
            let Some(record) = random_record(&scratch, prng).filter(fits) else { continue };
            scratch.apply(scratch.end_offset(), &record).unwrap();
            records.push(record);
        }
        let Some(_) = records.first() else { continue };
        let delta = MetadataDelta::new(image.end_offset(), LeaderEpoch(1), records.into());
        image.apply_delta(&delta).unwrap();
        deltas.push(delta);
    }
    (image, deltas)
}

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
        let (mut image, _) = random_history(&mut Prng::new(seed), 80);
        if image.in_transaction() {
            image.apply(image.end_offset(), &AbortTransactionRecord::default().into()).unwrap();
        }
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
