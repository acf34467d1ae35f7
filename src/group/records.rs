//! The records of `__consumer_offsets` in Kafka's formats, which lag exporters read and which a group brings
//! along from Kafka.
//!
//! A key starts with a 16-bit type (`CoordinatorRecordType`): 0 and 1 are an offset commit, 2 is a classic
//! group. Keys of other types belong to kinds of groups that are not known here; they come out as
//! [`GroupRecord::Unknown`] and change nothing. A null value is a tombstone.

use bytes::Bytes;

use super::codec::{Reader, Writer};
use super::consumer::records::ConsumerGroupRecord;
use crate::types::{Offset, Timestamp, TopicId, TopicName, Uuid};

pub use super::codec::GroupRecordError;

/// Types of keys.
const OFFSET_COMMIT_LEGACY: i16 = 0;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;

/// `OffsetCommitValue` as it is written: with a topic id (KIP-848), or with an expiry as old clients want.
const OFFSET_COMMIT_VERSION: i16 = 4;
const OFFSET_COMMIT_EXPIRING_VERSION: i16 = 1;
/// The tag of `OffsetCommitValue.topicId`.
const TOPIC_ID_TAG: u32 = 0;
/// `GroupMetadataValue` as it is written: the last that Kafka 2.3 and later can all read.
const GROUP_METADATA_VERSION: i16 = 3;
const GROUP_METADATA_VERSION_MAX: i16 = 3;

/// What a record takes in a batch besides its key and value, at most: lengths, attributes, deltas.
const RECORD_OVERHEAD_BYTES: usize = 32;

/// The shortest member of a classic group in bytes: empty strings, a session timeout, empty bytes.
const MEMBER_LEN_MIN: usize = 18;

/// A record, ready to be put into a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRecord {
    /// The key, never empty.
    pub key: Bytes,
    /// The value, or `None` for a tombstone.
    pub value: Option<Bytes>,
}

impl EncodedRecord {
    /// Bytes in a batch, at most.
    pub fn len_in_batch(&self) -> usize {
        RECORD_OVERHEAD_BYTES + self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// A change of a coordinator's durable state.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupRecord {
    /// An offset of a group, or that there is none any more.
    OffsetCommit {
        /// The group.
        group_id: String,
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: i32,
        /// The offset.
        value: Option<CommittedOffset>,
    },
    /// A classic group, or that it is gone.
    GroupMetadata {
        /// The group.
        group_id: String,
        /// The group's generation.
        value: Option<GroupMetadataValue>,
    },
    /// A change of a consumer group.
    Consumer {
        /// The group.
        group_id: String,
        /// The change.
        record: ConsumerGroupRecord,
    },
    /// A record of a kind of group that is not known here.
    Unknown {
        /// The type in the key.
        key_type: i16,
    },
}

/// A committed offset (`OffsetCommitValue`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to be read.
    pub offset: Offset,
    /// The epoch of the last record read, or -1.
    pub leader_epoch: i32,
    /// The client's note.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it may go, if the client said so (OffsetCommit v2 to v4).
    pub expire_timestamp: Option<Timestamp>,
    /// The topic's id, or zero.
    pub topic_id: TopicId,
}

/// A generation of a classic group (`GroupMetadataValue`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupMetadataValue {
    /// The protocol type; empty before the first member joined.
    pub protocol_type: String,
    /// The generation.
    pub generation_id: i32,
    /// The protocol chosen.
    pub protocol_name: Option<String>,
    /// The leader.
    pub leader: Option<String>,
    /// When the group came to this state; -1 when that is not known.
    pub current_state_timestamp: i64,
    /// The members with what they were assigned.
    pub members: Vec<MemberMetadata>,
}

/// A member of a classic group (`GroupMetadataValue.MemberMetadata`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberMetadata {
    /// The member.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub group_instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client is.
    pub client_host: String,
    /// How long it takes to join again; -1 for the session timeout.
    pub rebalance_timeout_ms: i32,
    /// Silence after which it is out.
    pub session_timeout_ms: i32,
    /// What it said with the chosen protocol.
    pub subscription: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}

impl GroupRecord {
    /// The record as Kafka writes it.
    pub fn encode(&self) -> EncodedRecord {
        match self {
            Self::OffsetCommit { group_id, topic, partition, value } => EncodedRecord {
                key: Writer::default()
                    .i16(OFFSET_COMMIT)
                    .string(group_id)
                    .string(topic.as_str())
                    .i32(*partition)
                    .finish(),
                value: value.as_ref().map(CommittedOffset::encode),
            },
            Self::GroupMetadata { group_id, value } => EncodedRecord {
                key: Writer::default().i16(GROUP_METADATA).string(group_id).finish(),
                value: value.as_ref().map(GroupMetadataValue::encode),
            },
            Self::Consumer { group_id, record } => {
                let (key, value) = record.encode(group_id);
                EncodedRecord { key, value }
            }
            Self::Unknown { key_type } => panic!("a record of type {key_type} is never written"),
        }
    }

    /// Reads a record of any version that Kafka has written.
    ///
    /// # Errors
    /// When the bytes are not what the key's type says.
    pub fn decode(key: Option<Bytes>, value: Option<Bytes>) -> Result<Self, GroupRecordError> {
        let mut key = Reader::new(key.ok_or(GroupRecordError::NoKey)?);
        match key.i16()? {
            OFFSET_COMMIT_LEGACY | OFFSET_COMMIT => {
                let group_id = key.string()?;
                let topic = key.string()?;
                let partition = key.i32()?;
                let topic = TopicName::new(&topic).map_err(|_| GroupRecordError::TopicName(topic))?;
                let value = value.map(CommittedOffset::decode).transpose()?;
                Ok(Self::OffsetCommit { group_id, topic, partition, value })
            }
            GROUP_METADATA => {
                let group_id = key.string()?;
                let value = value.map(GroupMetadataValue::decode).transpose()?;
                Ok(Self::GroupMetadata { group_id, value })
            }
            key_type => Ok(match ConsumerGroupRecord::decode(key_type, &mut key, value.as_ref())? {
                Some((group_id, record)) => Self::Consumer { group_id, record },
                None => Self::Unknown { key_type },
            }),
        }
    }
}

impl CommittedOffset {
    fn encode(&self) -> Bytes {
        match self.expire_timestamp {
            Some(expire_timestamp) => Writer::default()
                .i16(OFFSET_COMMIT_EXPIRING_VERSION)
                .i64(self.offset.0)
                .string(&self.metadata)
                .i64(self.commit_timestamp.0)
                .i64(expire_timestamp.0)
                .finish(),
            None => {
                let out = Writer::default()
                    .i16(OFFSET_COMMIT_VERSION)
                    .i64(self.offset.0)
                    .i32(self.leader_epoch)
                    .compact_string(&self.metadata)
                    .i64(self.commit_timestamp.0);
                if self.topic_id == Uuid::ZERO {
                    return out.unsigned_varint(0).finish();
                }
                let uuid_len = size_of::<Uuid>() as u32;
                out.unsigned_varint(1)
                    .unsigned_varint(TOPIC_ID_TAG)
                    .unsigned_varint(uuid_len)
                    .uuid(self.topic_id)
                    .finish()
            }
        }
    }

    fn decode(value: Bytes) -> Result<Self, GroupRecordError> {
        let mut value = Reader::new(value);
        let version = value.i16()?;
        if !(0..=OFFSET_COMMIT_VERSION).contains(&version) {
            return Err(GroupRecordError::UnknownVersion { found: version, max: OFFSET_COMMIT_VERSION });
        }
        let is_flexible = OFFSET_COMMIT_VERSION <= version;
        let offset = Offset(value.i64()?);
        let leader_epoch = if 3 <= version { value.i32()? } else { -1 };
        let metadata = if is_flexible { value.compact_string()? } else { value.string()? };
        let commit_timestamp = Timestamp(value.i64()?);
        let expire_timestamp = if version == 1 { Some(value.i64()?).filter(|&at| at != -1) } else { None };
        let mut topic_id = Uuid::ZERO;
        if is_flexible {
            for (tag, mut field) in value.tagged_fields()? {
                if tag == TOPIC_ID_TAG {
                    topic_id = field.uuid()?;
                }
            }
        }
        let expire_timestamp = expire_timestamp.map(Timestamp);
        Ok(Self { offset, leader_epoch, metadata, commit_timestamp, expire_timestamp, topic_id })
    }
}

impl GroupMetadataValue {
    fn encode(&self) -> Bytes {
        let mut out = Writer::default()
            .i16(GROUP_METADATA_VERSION)
            .string(&self.protocol_type)
            .i32(self.generation_id)
            .nullable_string(self.protocol_name.as_deref())
            .nullable_string(self.leader.as_deref())
            .i64(self.current_state_timestamp)
            .array_len(self.members.len());
        for member in &self.members {
            out = out
                .string(&member.member_id)
                .nullable_string(member.group_instance_id.as_deref())
                .string(&member.client_id)
                .string(&member.client_host)
                .i32(member.rebalance_timeout_ms)
                .i32(member.session_timeout_ms)
                .bytes(&member.subscription)
                .bytes(&member.assignment);
        }
        out.finish()
    }

    fn decode(value: Bytes) -> Result<Self, GroupRecordError> {
        let mut value = Reader::new(value);
        let version = value.i16()?;
        if !(0..=GROUP_METADATA_VERSION_MAX).contains(&version) {
            return Err(GroupRecordError::UnknownVersion { found: version, max: GROUP_METADATA_VERSION_MAX });
        }
        let protocol_type = value.string()?;
        let generation_id = value.i32()?;
        let protocol_name = value.nullable_string()?;
        let leader = value.nullable_string()?;
        let current_state_timestamp = if 2 <= version { value.i64()? } else { -1 };
        let count = value.array_len(MEMBER_LEN_MIN)?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            members.push(MemberMetadata {
                member_id: value.string()?,
                group_instance_id: if 3 <= version { value.nullable_string()? } else { None },
                client_id: value.string()?,
                client_host: value.string()?,
                rebalance_timeout_ms: if 1 <= version { value.i32()? } else { -1 },
                session_timeout_ms: value.i32()?,
                subscription: value.bytes()?,
                assignment: value.bytes()?,
            });
        }
        Ok(Self { protocol_type, generation_id, protocol_name, leader, current_state_timestamp, members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset_commit(value: Option<CommittedOffset>) -> GroupRecord {
        let topic = TopicName::new("orders").unwrap();
        GroupRecord::OffsetCommit { group_id: "billing".to_owned(), topic, partition: 3, value }
    }

    fn committed() -> CommittedOffset {
        CommittedOffset {
            offset: Offset(42),
            leader_epoch: 7,
            metadata: "note".to_owned(),
            commit_timestamp: Timestamp(1_000),
            expire_timestamp: None,
            topic_id: Uuid::ZERO,
        }
    }

    fn member() -> MemberMetadata {
        MemberMetadata {
            member_id: "m".to_owned(),
            group_instance_id: Some("i".to_owned()),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout_ms: 2,
            session_timeout_ms: 1,
            subscription: Bytes::from_static(b"sub"),
            assignment: Bytes::from_static(b"as"),
        }
    }

    fn check_round_trip(record: &GroupRecord) {
        let EncodedRecord { key, value } = record.encode();
        assert_eq!(GroupRecord::decode(Some(key), value).as_ref(), Ok(record));
    }

    #[test]
    fn records_round_trip() {
        let expire_timestamp = Some(Timestamp(9));
        let expiring = CommittedOffset { expire_timestamp, leader_epoch: -1, ..committed() };
        let with_id = CommittedOffset { topic_id: Uuid(77), ..committed() };
        for value in [None, Some(committed()), Some(expiring), Some(with_id)] {
            check_round_trip(&offset_commit(value));
        }
        let value = GroupMetadataValue {
            protocol_type: "consumer".to_owned(),
            generation_id: 5,
            protocol_name: Some("range".to_owned()),
            leader: Some("m".to_owned()),
            current_state_timestamp: 12,
            members: vec![member()],
        };
        for value in [None, Some(GroupMetadataValue::default()), Some(value)] {
            check_round_trip(&GroupRecord::GroupMetadata { group_id: "billing".to_owned(), value });
        }
    }

    /// Laid out by hand from `OffsetCommitKey.json` and `OffsetCommitValue.json`, version 4.
    #[test]
    fn an_offset_commit_is_laid_out_as_in_kafka() {
        let encoded = offset_commit(Some(CommittedOffset { topic_id: Uuid(1), ..committed() })).encode();
        assert_eq!(&encoded.key[..], b"\0\x01\0\x07billing\0\x06orders\0\0\0\x03");
        let value = b"\0\x04\0\0\0\0\0\0\0\x2a\0\0\0\x07\x05note\0\0\0\0\0\0\x03\xe8\
            \x01\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";
        assert_eq!(&encoded.value.unwrap()[..], value);
    }

    /// Laid out by hand from `GroupMetadataValue.json`, version 3.
    #[test]
    fn a_classic_group_is_laid_out_as_in_kafka() {
        let value = GroupMetadataValue {
            protocol_type: "consumer".to_owned(),
            generation_id: 1,
            protocol_name: Some("range".to_owned()),
            leader: None,
            current_state_timestamp: -1,
            members: vec![member()],
        };
        let encoded = GroupRecord::GroupMetadata { group_id: "g".to_owned(), value: Some(value) }.encode();
        assert_eq!(&encoded.key[..], b"\0\x02\0\x01g");
        let expected = b"\0\x03\0\x08consumer\0\0\0\x01\0\x05range\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
            \0\0\0\x01\0\x01m\0\x01i\0\x01c\0\x0a/127.0.0.1\0\0\0\x02\0\0\0\x01\
            \0\0\0\x03sub\0\0\0\x02as";
        assert_eq!(&encoded.value.unwrap()[..], &expected[..]);
    }

    #[test]
    fn broken_and_foreign_records_are_errors_not_panics() {
        let decode = |key: &'static [u8], value: Option<&'static [u8]>| {
            GroupRecord::decode(Some(Bytes::from_static(key)), value.map(Bytes::from_static))
        };
        assert_eq!(GroupRecord::decode(None, None), Err(GroupRecordError::NoKey));
        assert!(matches!(decode(b"\0", None), Err(GroupRecordError::Truncated { .. })));
        assert_eq!(decode(b"\0\x09\0\x01g", None), Ok(GroupRecord::Unknown { key_type: 9 }));
        let unknown = decode(b"\0\x02\0\x01g", Some(b"\0\x09"));
        assert_eq!(unknown, Err(GroupRecordError::UnknownVersion { found: 9, max: 3 }));
        // A million members in no bytes.
        let claimed = decode(b"\0\x02\0\x01g", Some(b"\0\0\0\0\0\0\0\0\xff\xff\xff\xff\0\x0f\x42\x40"));
        assert!(matches!(claimed, Err(GroupRecordError::Truncated { .. })));
        let whole = offset_commit(Some(committed())).encode();
        let value = whole.value.unwrap();
        for cut in 0..value.len() {
            assert!(GroupRecord::decode(Some(whole.key.clone()), Some(value.slice(..cut))).is_err(), "{cut}");
        }
    }
}
