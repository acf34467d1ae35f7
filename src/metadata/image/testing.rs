//! Random histories of the metadata log, for the tests of everything that reads it.

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
fn random_record(image: &MetadataImage, prng: &mut Prng) -> Option<MetadataRecord> {
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
pub(crate) fn random_history(prng: &mut Prng, batches: u64) -> (MetadataImage, Vec<MetadataDelta>) {
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

/// The image at the end of some history, outside of any transaction.
pub(crate) fn random_image(prng: &mut Prng) -> MetadataImage {
    let (mut image, _) = random_history(prng, 80);
    if image.in_transaction() {
        image.apply(image.end_offset(), &AbortTransactionRecord::default().into()).unwrap();
    }
    image
}
