//! A hash of the topics that a group is subscribed to: when it changes, the group needs a new target
//! (KIP-1101).
//!
//! The value is Kafka's, bit for bit, so that a group that comes from Kafka is not rebalanced for it.

use xxhash_rust::xxh3::xxh3_64;

use crate::metadata::{MetadataImage, TopicImage};

/// `Utils.TOPIC_HASH_MAGIC_BYTE`
const TOPIC_MAGIC: u8 = 0;

/// The hash of those of `topic_names`, ascending, that exist; 0 when none does (`Utils.computeGroupHash`).
pub(super) fn metadata_hash<'a>(image: &MetadataImage, topic_names: impl Iterator<Item = &'a str>) -> i64 {
    let mut hashes = Vec::new();
    for topic in topic_names.filter_map(|name| image.topic_by_name(name)) {
        hashes.extend(topic_hash(image, topic).to_le_bytes());
    }
    if hashes.is_empty() { 0 } else { xxh3_64(&hashes).cast_signed() }
}

/// `Utils.computeTopicHash`: the bytes are those that hash4j's stream is fed with.
fn topic_hash(image: &MetadataImage, topic: &TopicImage) -> u64 {
    let mut input = vec![TOPIC_MAGIC];
    let id = topic.id().0;
    input.extend(((id >> 64) as u64).to_le_bytes());
    input.extend((id as u64).to_le_bytes());
    put_string(&mut input, topic.name().as_str());
    put_int(&mut input, topic.partitions().len());
    for (index, partition) in topic.partitions().iter().enumerate() {
        put_int(&mut input, index);
        let brokers = partition.replicas.iter().filter_map(|&id| image.broker(id));
        let mut racks: Vec<&str> = brokers.filter_map(|broker| broker.rack.as_deref()).collect();
        racks.sort_unstable();
        for rack in racks {
            put_int(&mut input, utf16_len(rack));
            put_string(&mut input, rack);
        }
    }
    xxh3_64(&input)
}

fn utf16_len(text: &str) -> usize {
    text.encode_utf16().count()
}

fn put_int(input: &mut Vec<u8>, value: usize) {
    input.extend(i32::try_from(value).expect("counts of partitions and characters fit").to_le_bytes());
}

/// Java's characters, then how many there were.
fn put_string(input: &mut Vec<u8>, text: &str) {
    input.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    put_int(input, utf16_len(text));
}
