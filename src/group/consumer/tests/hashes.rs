//! The hash of a group's topics is Kafka's.

use super::bench::Bench;
use crate::group::consumer::metadata_hash::metadata_hash;
use crate::metadata::MetadataImage;
use crate::metadata::records::{PartitionRecord, RegisterBrokerRecord, TopicRecord};
use crate::types::{NodeId, Uuid};

fn image(topics: &[(&str, u128, &[&[&str]])]) -> MetadataImage {
    let mut image = MetadataImage::new("cluster");
    let mut brokers: Vec<String> = Vec::new();
    let apply = |image: &mut MetadataImage, record| image.apply(image.end_offset(), &record).unwrap();
    for (name, id, racks) in topics {
        let topic_id = Uuid(*id);
        apply(&mut image, TopicRecord { name: (*name).to_owned(), topic_id }.into());
        for (index, racks) in racks.iter().enumerate() {
            // One broker per rack, and one without a rack.
            let mut replicas = vec![NodeId(0)];
            for rack in *racks {
                let broker = brokers.iter().position(|known| known == rack).unwrap_or_else(|| {
                    brokers.push((*rack).to_owned());
                    let record = RegisterBrokerRecord {
                        broker_id: NodeId(brokers.len() as i32),
                        broker_epoch: image.end_offset().0,
                        rack: Some((*rack).to_owned()),
                        log_dirs: vec![Uuid(9)],
                        ..RegisterBrokerRecord::default()
                    };
                    apply(&mut image, record.into());
                    brokers.len() - 1
                });
                replicas.push(NodeId(broker as i32 + 1));
            }
            let record = PartitionRecord {
                partition_id: index as i32,
                topic_id,
                isr: replicas.clone(),
                leader: replicas[0],
                directories: replicas.iter().map(|_| Uuid(9)).collect(),
                replicas,
                ..PartitionRecord::default()
            };
            apply(&mut image, record.into());
        }
    }
    image
}

/// The numbers are from `tests/golden/group/README.md`, as Kafka's group hash of one or both topics.
#[test]
fn hashes_are_kafkas_with_and_without_racks() {
    let orders = ("orders", 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10, &[&["b", "a"][..], &[]][..]);
    let refunds = ("refunds", 0x1112_1314_1516_1718_191a_1b1c_1d1e_1f20, &[&[][..]][..]);
    let image = image(&[orders, refunds]);
    let hash = |names: &[&str]| metadata_hash(&image, names.iter().copied());
    assert_eq!(hash(&["orders", "refunds"]), -5_959_281_605_402_097_212);
    assert_eq!(hash(&["orders", "refunds", "unknown"]), -5_959_281_605_402_097_212);
    assert_eq!(hash(&["unknown"]), 0);
}

#[test]
fn more_partitions_are_another_hash() {
    let mut bench = Bench::eager();
    bench.add_partitions("orders", 1);
    let before = metadata_hash(&bench.image, ["orders"].into_iter());
    bench.add_partitions("orders", 1);
    assert_ne!(metadata_hash(&bench.image, ["orders"].into_iter()), before);
}
