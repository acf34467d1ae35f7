//! The records of consumer groups in `__consumer_offsets`, in Kafka's formats
//! (`group-coordinator/src/main/resources/common/message/ConsumerGroup*.json` of 4.3).
//!
//! | key type | Kafka's name | holds |
//! |---|---|---|
//! | 3 | `ConsumerGroupMetadata` | the group's epoch and a hash of its topics |
//! | 4 | `ConsumerGroupPartitionMetadata` | the topics themselves, before 4.1; only tombstones are written |
//! | 5 | `ConsumerGroupMemberMetadata` | what a member is and subscribes to |
//! | 6 | `ConsumerGroupTargetAssignmentMetadata` | the epoch of the target |
//! | 7 | `ConsumerGroupTargetAssignmentMember` | a member's part of the target |
//! | 8 | `ConsumerGroupCurrentMemberAssignment` | what a member has and must give up |
//! | 16 | `ConsumerGroupRegularExpression` | the topics that a pattern stands for |
//!
//! Keys have no tagged fields, values do. All are of version 0; a field that an older Kafka does not know is
//! tagged, so that it passes over it.

use bytes::Bytes;

use crate::group::codec::{GroupRecordError, Reader, Writer};
use crate::metadata::codec::{self, BodyProblem, ByteField, Field};
use crate::metadata::schema::wire_structs;
use crate::types::TopicId;

const VALUE_VERSION: i16 = 0;

const EPOCH: i16 = 3;
const PARTITION_METADATA: i16 = 4;
const MEMBER: i16 = 5;
const TARGET_EPOCH: i16 = 6;
const TARGET: i16 = 7;
const CURRENT: i16 = 8;
const REGULAR_EXPRESSION: i16 = 16;

/// One change of a consumer group; a value that is `None` is a tombstone.
#[derive(Debug, Clone, PartialEq)]
pub enum ConsumerGroupRecord {
    /// The group's epoch; without one the group is gone.
    Epoch(Option<ConsumerGroupMetadataValue>),
    /// The topics as groups before 4.1 kept them.
    PartitionMetadata(Option<ConsumerGroupPartitionMetadataValue>),
    /// A member's subscription.
    Member {
        /// The member.
        member_id: String,
        /// What it is; `None` when it is gone.
        value: Option<ConsumerGroupMemberMetadataValue>,
    },
    /// The epoch of the target.
    TargetEpoch(Option<ConsumerGroupTargetAssignmentMetadataValue>),
    /// A member's part of the target.
    Target {
        /// The member.
        member_id: String,
        /// Its partitions.
        value: Option<ConsumerGroupTargetAssignmentMemberValue>,
    },
    /// What a member has.
    Current {
        /// The member.
        member_id: String,
        /// Its epoch and its partitions.
        value: Option<ConsumerGroupCurrentMemberAssignmentValue>,
    },
    /// What a pattern stands for.
    RegularExpression {
        /// The pattern.
        regex: String,
        /// Its topics.
        value: Option<ConsumerGroupRegularExpressionValue>,
    },
}

wire_structs! {
    /// The group's epoch.
    ConsumerGroupMetadataValue {
        /// Rises with every change of members, subscriptions or topics.
        epoch: i32,
    } + tagged {
        /// Of the topics subscribed to; 0 when none of them exists, or when the record is from before 4.1.
        0 metadata_hash: i64,
    }

    /// The topics of a group as it was written before 4.1 (KIP-1101).
    ConsumerGroupPartitionMetadataValue {
        /// The topics.
        topics: Vec<TopicMetadata>,
    }

    /// One topic of [`ConsumerGroupPartitionMetadataValue`].
    TopicMetadata {
        /// Its id.
        topic_id: TopicId,
        /// Its name.
        topic_name: String,
        /// How many partitions it had.
        num_partitions: i32,
        /// Racks of its partitions.
        partition_metadata: Vec<PartitionMetadata>,
    }

    /// Racks of one partition.
    PartitionMetadata {
        /// The partition.
        partition: i32,
        /// Where its replicas are.
        racks: Vec<String>,
    }

    /// What a member is.
    ConsumerGroupMemberMetadataValue {
        /// `group.instance.id` of a static member.
        instance_id: Option<String>,
        /// `client.rack`
        rack_id: Option<String>,
        /// What its client calls itself.
        client_id: String,
        /// Where its client is.
        client_host: String,
        /// Topics by name.
        subscribed_topic_names: Vec<String>,
        /// Topics by pattern; null or empty for none.
        subscribed_topic_regex: Option<String>,
        /// How long it may take to give up partitions.
        rebalance_timeout_ms: i32 = -1,
        /// The assignor it asks for.
        server_assignor: Option<String>,
    } + tagged {
        /// Set for a member that speaks the classic protocol.
        0 classic_member_metadata: NullableStruct<ClassicMemberMetadata>,
    }

    /// What a member of the classic protocol said when it joined.
    ClassicMemberMetadata {
        /// Silence after which it is out.
        session_timeout_ms: i32,
        /// What it can do, the best first.
        supported_protocols: Vec<ClassicProtocol>,
    }

    /// A protocol with its metadata.
    ClassicProtocol {
        /// The name, such as `range`.
        name: String,
        /// The subscription.
        metadata: ByteField,
    }

    /// The epoch of the target.
    ConsumerGroupTargetAssignmentMetadataValue {
        /// The group epoch that the target was computed for.
        assignment_epoch: i32,
    } + tagged {
        /// When it was computed (KIP-1263); 0 when that is not known.
        0 assignment_timestamp: i64,
    }

    /// A member's part of the target.
    ConsumerGroupTargetAssignmentMemberValue {
        /// The partitions by topic.
        topic_partitions: Vec<TargetTopicPartitions>,
    }

    /// Partitions of one topic.
    TargetTopicPartitions {
        /// The topic.
        topic_id: TopicId,
        /// The partitions.
        partitions: Vec<i32>,
    }

    /// What a member has.
    ConsumerGroupCurrentMemberAssignmentValue {
        /// The epoch it is expected to come with.
        member_epoch: i32,
        /// The epoch before, with which it comes when an answer was lost.
        previous_member_epoch: i32,
        /// `MemberState.value`
        state: i8,
        /// What it may read.
        assigned_partitions: Vec<CurrentTopicPartitions>,
        /// What it must stop reading before anyone else may start.
        partitions_pending_revocation: Vec<CurrentTopicPartitions>,
    }

    /// Partitions of one topic with the epochs at which the member got them.
    CurrentTopicPartitions {
        /// The topic.
        topic_id: TopicId,
        /// The partitions.
        partitions: Vec<i32>,
    } + tagged {
        /// As many as partitions (KIP-1251); null in records from before 4.3.
        0 assignment_epochs: Option<Vec<i32>>,
    }

    /// What a pattern stands for.
    ConsumerGroupRegularExpressionValue {
        /// The topics whose names match.
        topics: Vec<String>,
        /// The offset of the metadata that was searched.
        version: i64,
        /// When it was searched.
        timestamp: i64,
    }
}

/// A struct that may be null: one byte says whether it is there.
#[derive(Debug, Clone, PartialEq)]
pub struct NullableStruct<T>(pub Option<T>);

impl<T: Field> Field for NullableStruct<T> {
    fn absent() -> Self {
        Self(None)
    }

    fn encode(&self, version: i16, out: &mut Vec<u8>) {
        match &self.0 {
            Some(value) => {
                1_i8.encode(version, out);
                value.encode(version, out);
            }
            None => (-1_i8).encode(version, out),
        }
    }

    fn decode(version: i16, input: &mut codec::Reader<'_>) -> Result<Self, BodyProblem> {
        let is_null = i8::decode(version, input)? < 0;
        if is_null { Ok(Self(None)) } else { T::decode(version, input).map(|value| Self(Some(value))) }
    }

    #[cfg(test)]
    fn random(prng: &mut crate::types::Prng) -> Self {
        Self(prng.chance(1, 2).then(|| T::random(prng)))
    }
}

impl ConsumerGroupRecord {
    /// Whether this deletes something.
    pub(in crate::group) fn is_tombstone(&self) -> bool {
        match self {
            Self::Epoch(value) => value.is_none(),
            Self::PartitionMetadata(value) => value.is_none(),
            Self::Member { value, .. } => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::Target { value, .. } => value.is_none(),
            Self::Current { value, .. } => value.is_none(),
            Self::RegularExpression { value, .. } => value.is_none(),
        }
    }

    /// Key and value as Kafka writes them.
    pub(in crate::group) fn encode(&self, group_id: &str) -> (Bytes, Option<Bytes>) {
        let key = |key_type: i16| Writer::default().i16(key_type).string(group_id);
        match self {
            Self::Epoch(value) => (key(EPOCH).finish(), encode_value(value)),
            Self::PartitionMetadata(value) => (key(PARTITION_METADATA).finish(), encode_value(value)),
            Self::Member { member_id, value } => {
                (key(MEMBER).string(member_id).finish(), encode_value(value))
            }
            Self::TargetEpoch(value) => (key(TARGET_EPOCH).finish(), encode_value(value)),
            Self::Target { member_id, value } => {
                (key(TARGET).string(member_id).finish(), encode_value(value))
            }
            Self::Current { member_id, value } => {
                (key(CURRENT).string(member_id).finish(), encode_value(value))
            }
            Self::RegularExpression { regex, value } => {
                (key(REGULAR_EXPRESSION).string(regex).finish(), encode_value(value))
            }
        }
    }

    /// Reads a record whose key's type was read already: the group's id and the change; `None` when the type
    /// is not of consumer groups.
    pub(in crate::group) fn decode(
        key_type: i16,
        key: &mut Reader,
        value: Option<&Bytes>,
    ) -> Result<Option<(String, Self)>, GroupRecordError> {
        if !matches!(key_type, EPOCH..=CURRENT | REGULAR_EXPRESSION) {
            return Ok(None);
        }
        let group_id = key.string()?;
        let record = match key_type {
            EPOCH => Self::Epoch(decode_value(value)?),
            PARTITION_METADATA => Self::PartitionMetadata(decode_value(value)?),
            MEMBER => Self::Member { member_id: key.string()?, value: decode_value(value)? },
            TARGET_EPOCH => Self::TargetEpoch(decode_value(value)?),
            TARGET => Self::Target { member_id: key.string()?, value: decode_value(value)? },
            CURRENT => Self::Current { member_id: key.string()?, value: decode_value(value)? },
            _ => Self::RegularExpression { regex: key.string()?, value: decode_value(value)? },
        };
        Ok(Some((group_id, record)))
    }
}

fn encode_value<T: Field>(value: &Option<T>) -> Option<Bytes> {
    let value = value.as_ref()?;
    let mut out = VALUE_VERSION.to_be_bytes().to_vec();
    value.encode(VALUE_VERSION, &mut out);
    Some(out.into())
}

fn decode_value<T: Field>(value: Option<&Bytes>) -> Result<Option<T>, GroupRecordError> {
    let Some(bytes) = value else { return Ok(None) };
    let mut input = codec::Reader::new(bytes);
    let body = |problem| GroupRecordError::Body(problem);
    let version = i16::decode(0, &mut input).map_err(body)?;
    if version != VALUE_VERSION {
        return Err(GroupRecordError::UnknownVersion { found: version, max: VALUE_VERSION });
    }
    let value = T::decode(version, &mut input).map_err(body)?;
    input.finish().map_err(body)?;
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Prng, Uuid};

    const TOPIC: Uuid = Uuid(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    const OTHER: Uuid = Uuid(0x1112_1314_1516_1718_191a_1b1c_1d1e_1f20);

    fn decode(
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Option<(String, ConsumerGroupRecord)>, GroupRecordError> {
        let mut key = Reader::new(Bytes::copy_from_slice(key));
        let key_type = key.i16()?;
        ConsumerGroupRecord::decode(key_type, &mut key, value.map(Bytes::copy_from_slice).as_ref())
    }

    fn random(prng: &mut Prng) -> ConsumerGroupRecord {
        let some = prng.chance(4, 5);
        match prng.below(7) {
            0 => ConsumerGroupRecord::Epoch(some.then(|| Field::random(prng))),
            1 => ConsumerGroupRecord::PartitionMetadata(some.then(|| Field::random(prng))),
            2 => ConsumerGroupRecord::Member {
                member_id: Field::random(prng),
                value: some.then(|| Field::random(prng)),
            },
            3 => ConsumerGroupRecord::TargetEpoch(some.then(|| Field::random(prng))),
            4 => ConsumerGroupRecord::Target {
                member_id: Field::random(prng),
                value: some.then(|| Field::random(prng)),
            },
            5 => ConsumerGroupRecord::Current {
                member_id: Field::random(prng),
                value: some.then(|| Field::random(prng)),
            },
            _ => ConsumerGroupRecord::RegularExpression {
                regex: Field::random(prng),
                value: some.then(|| Field::random(prng)),
            },
        }
    }

    #[test]
    fn records_round_trip() {
        for seed in 0..1_000 {
            let mut prng = Prng::new(seed);
            let record = random(&mut prng);
            let (key, value) = record.encode("group");
            let read = decode(&key, value.as_deref());
            assert_eq!(read, Ok(Some(("group".to_owned(), record))), "seed {seed}");
        }
    }

    #[test]
    fn broken_and_foreign_records_are_errors_and_never_panics() {
        for seed in 0..300 {
            let mut prng = Prng::new(seed);
            let (key, value) = random(&mut prng).encode("group");
            for cut in 0..key.len() {
                assert!(decode(&key[..cut], value.as_deref()).is_err(), "key cut at {cut}, seed {seed}");
            }
            let Some(value) = value else { continue };
            for cut in 0..value.len() {
                assert!(decode(&key, Some(&value[..cut])).is_err(), "value cut at {cut}, seed {seed}");
            }
            for _ in 0..50 {
                let mut damaged = value.to_vec();
                let position = prng.below(damaged.len() as u64) as usize;
                damaged[position] = prng.next_u64() as u8;
                let _ = decode(&key, Some(&damaged));
            }
        }
        let newer = decode(b"\0\x03\0\x01g", Some(b"\0\x01\0\0\0\x01\0"));
        assert_eq!(newer, Err(GroupRecordError::UnknownVersion { found: 1, max: 0 }));
        assert_eq!(decode(b"\0\x09\0\x01g", None), Ok(None));
    }

    fn golden(name: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        let text = include_str!("../../../tests/golden/group/consumer-records-kafka-4.3.1.txt");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        let bytes = |hex: &str| -> Vec<u8> {
            let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
        };
        let (key, value) = line.split_once(' ').unwrap();
        (bytes(key), (value != "-").then(|| bytes(value)))
    }

    fn check_golden(name: &str, record: ConsumerGroupRecord) {
        let (key, value) = golden(name);
        let read = decode(&key, value.as_deref());
        assert_eq!(read, Ok(Some(("group".to_owned(), record.clone()))), "{name}");
        let (encoded_key, encoded_value) = record.encode("group");
        assert_eq!((&encoded_key[..], encoded_value.as_deref()), (&key[..], value.as_deref()), "{name}");
    }

    fn member(value: ConsumerGroupMemberMetadataValue) -> ConsumerGroupRecord {
        ConsumerGroupRecord::Member { member_id: "member".to_owned(), value: Some(value) }
    }

    #[test]
    fn epochs_are_written_as_by_kafka() {
        let value = ConsumerGroupMetadataValue { epoch: 7, metadata_hash: 0x0123_4567_89ab_cdef };
        check_golden("epoch", ConsumerGroupRecord::Epoch(Some(value)));
        let value = ConsumerGroupMetadataValue { epoch: 7, metadata_hash: 0 };
        check_golden("epoch-of-4.0", ConsumerGroupRecord::Epoch(Some(value)));
        check_golden("epoch-tombstone", ConsumerGroupRecord::Epoch(None));
        let value = ConsumerGroupTargetAssignmentMetadataValue {
            assignment_epoch: 7,
            assignment_timestamp: 1_700_000_000_000,
        };
        check_golden("target-epoch", ConsumerGroupRecord::TargetEpoch(Some(value)));
        let value =
            ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: 7, assignment_timestamp: 0 };
        check_golden("target-epoch-of-4.2", ConsumerGroupRecord::TargetEpoch(Some(value)));
    }

    #[test]
    fn members_are_written_as_by_kafka() {
        let protocol = ClassicProtocol { name: "range".to_owned(), metadata: ByteField(vec![0, 1, 2]) };
        let classic =
            ClassicMemberMetadata { session_timeout_ms: 45_000, supported_protocols: vec![protocol] };
        check_golden(
            "member",
            member(ConsumerGroupMemberMetadataValue {
                instance_id: Some("instance".to_owned()),
                rack_id: Some("rack".to_owned()),
                client_id: "client".to_owned(),
                client_host: "/127.0.0.1".to_owned(),
                subscribed_topic_names: vec!["orders".to_owned(), "refunds".to_owned()],
                subscribed_topic_regex: Some("or.*".to_owned()),
                rebalance_timeout_ms: 30_000,
                server_assignor: Some("range".to_owned()),
                classic_member_metadata: NullableStruct(Some(classic)),
            }),
        );
        check_golden(
            "member-bare",
            member(ConsumerGroupMemberMetadataValue {
                client_id: "client".to_owned(),
                client_host: "/127.0.0.1".to_owned(),
                ..ConsumerGroupMemberMetadataValue::default()
            }),
        );
    }

    #[test]
    fn assignments_are_written_as_by_kafka() {
        let target = |topic_id, partitions| TargetTopicPartitions { topic_id, partitions };
        check_golden(
            "target",
            ConsumerGroupRecord::Target {
                member_id: "member".to_owned(),
                value: Some(ConsumerGroupTargetAssignmentMemberValue {
                    topic_partitions: vec![target(TOPIC, vec![0, 2]), target(OTHER, vec![1])],
                }),
            },
        );
        let current = |topic_id, partitions, assignment_epochs| CurrentTopicPartitions {
            topic_id,
            partitions,
            assignment_epochs,
        };
        check_golden(
            "current",
            ConsumerGroupRecord::Current {
                member_id: "member".to_owned(),
                value: Some(ConsumerGroupCurrentMemberAssignmentValue {
                    member_epoch: 7,
                    previous_member_epoch: 6,
                    state: 1,
                    assigned_partitions: vec![current(TOPIC, vec![0, 2], Some(vec![5, 7]))],
                    partitions_pending_revocation: vec![current(OTHER, vec![1], None)],
                }),
            },
        );
    }

    #[test]
    fn topics_and_patterns_are_written_as_by_kafka() {
        let partition = PartitionMetadata { partition: 1, racks: vec!["a".to_owned(), "b".to_owned()] };
        let topic = TopicMetadata {
            topic_id: TOPIC,
            topic_name: "orders".to_owned(),
            num_partitions: 2,
            partition_metadata: vec![partition],
        };
        let value = ConsumerGroupPartitionMetadataValue { topics: vec![topic] };
        check_golden("partition-metadata", ConsumerGroupRecord::PartitionMetadata(Some(value)));
        let value = ConsumerGroupRegularExpressionValue {
            topics: vec!["orders".to_owned(), "orders2".to_owned()],
            version: 12,
            timestamp: 1_700_000_000_000,
        };
        check_golden(
            "regex",
            ConsumerGroupRecord::RegularExpression { regex: "or.*".to_owned(), value: Some(value) },
        );
    }
}
