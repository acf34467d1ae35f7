//! Requests of OffsetCommit and OffsetFetch up to version 10, which names topics by id (KIP-848).
//!
//! The generated requests have a place for the id and are decoded up to version 9 only; the responses know
//! all versions. Layouts: `OffsetCommitRequest.json` and `OffsetFetchRequest.json` of Kafka 4.3.

use bytes::Bytes;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest};

use super::WireError;
use super::messages::{MESSAGE_BYTES_MAX, decode};
use super::primitives::{Form, PARTITIONS_MAX, take_i8, take_i32, take_i64, take_u128};

/// The version of both APIs from which on topics have an id and no name.
pub const TOPIC_ID_VERSION: i16 = 10;

/// A tagged field of Corelog's own in OffsetFetch from version 8 on. In a request, empty, it asks for lags;
/// in the partitions of the response it holds one. Who does not know it skips it (KIP-482), and who does not
/// ask is not sent it. Kafka counts its tags from 0; those above 1,024 do not pass `wire::guarded`.
pub const LAG_TAG: i32 = 1_000;

/// A lag as [`LAG_TAG`] holds it: offsets, then the age of the oldest unread record in milliseconds or -1,
/// eight bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireLag {
    /// Offsets that were not read.
    pub offsets: i64,
    /// The age of the first of them in milliseconds; 0 when there are none, `None` when it is not known.
    pub oldest_unread_ms: Option<i64>,
}

impl WireLag {
    /// The field's bytes.
    pub fn encode(self) -> Bytes {
        let age = self.oldest_unread_ms.unwrap_or(-1);
        [self.offsets.to_be_bytes(), age.to_be_bytes()].concat().into()
    }

    /// Reads the field's bytes.
    ///
    /// # Errors
    /// `Truncated` when they are too few.
    pub fn decode(mut bytes: Bytes) -> Result<Self, WireError> {
        let (offsets, age) = (take_i64(&mut bytes)?, take_i64(&mut bytes)?);
        Ok(Self { offsets, oldest_unread_ms: Some(age).filter(|age| 0 <= *age) })
    }
}

const FORM: Form = Form { is_flexible: true };

/// The least bytes that a topic, a partition to commit and a group take.
const TOPIC_LEN_MIN: usize = 18;
const COMMIT_LEN_MIN: usize = 18;
const GROUP_LEN_MIN: usize = 8;

/// Decodes an OffsetCommit request; its topics have names, or ids from [`TOPIC_ID_VERSION`] on.
///
/// # Errors
/// `MessageTooLarge` above [`MESSAGE_BYTES_MAX`]; what is wrong with the bytes otherwise.
pub fn decode_offset_commit(bytes: Bytes, version: i16) -> Result<OffsetCommitRequest, WireError> {
    if version < TOPIC_ID_VERSION {
        return decode(bytes, version);
    }
    let mut bytes = bounded(bytes)?;
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(FORM.take_string(&mut bytes)?))
        .with_generation_id_or_member_epoch(take_i32(&mut bytes)?)
        .with_member_id(FORM.take_string(&mut bytes)?)
        .with_group_instance_id(FORM.take_nullable_string(&mut bytes)?);
    let mut partitions_left = PARTITIONS_MAX;
    let count = FORM.take_array_len(&mut bytes, TOPIC_LEN_MIN)?;
    let topics = repeat(count, || take_commits_of_topic(&mut bytes, &mut partitions_left))?;
    FORM.skip_tags(&mut bytes)?;
    Ok(request.with_topics(topics))
}

fn take_commits_of_topic(
    bytes: &mut Bytes,
    partitions_left: &mut usize,
) -> Result<OffsetCommitRequestTopic, WireError> {
    let topic = OffsetCommitRequestTopic::default().with_topic_id(take_uuid(bytes)?);
    let count = FORM.take_partition_count(bytes, COMMIT_LEN_MIN, partitions_left)?;
    let partitions = repeat(count, || {
        let commit = OffsetCommitRequestPartition::default()
            .with_partition_index(take_i32(bytes)?)
            .with_committed_offset(take_i64(bytes)?)
            .with_committed_leader_epoch(take_i32(bytes)?)
            .with_committed_metadata(FORM.take_nullable_string(bytes)?);
        FORM.skip_tags(bytes)?;
        Ok(commit)
    })?;
    FORM.skip_tags(bytes)?;
    Ok(topic.with_partitions(partitions))
}

/// Decodes an OffsetFetch request; its topics have names, or ids from [`TOPIC_ID_VERSION`] on.
///
/// # Errors
/// `MessageTooLarge` above [`MESSAGE_BYTES_MAX`]; what is wrong with the bytes otherwise.
pub fn decode_offset_fetch(bytes: Bytes, version: i16) -> Result<OffsetFetchRequest, WireError> {
    if version < TOPIC_ID_VERSION {
        return decode(bytes, version);
    }
    let mut bytes = bounded(bytes)?;
    let mut partitions_left = PARTITIONS_MAX;
    let count = FORM.take_array_len(&mut bytes, GROUP_LEN_MIN)?;
    let groups = repeat(count, || take_fetch_of_group(&mut bytes, &mut partitions_left))?;
    let require_stable = take_i8(&mut bytes)? != 0;
    FORM.skip_tags(&mut bytes)?;
    Ok(OffsetFetchRequest::default().with_groups(groups).with_require_stable(require_stable))
}

fn take_fetch_of_group(
    bytes: &mut Bytes,
    partitions_left: &mut usize,
) -> Result<OffsetFetchRequestGroup, WireError> {
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(FORM.take_string(bytes)?))
        .with_member_id(FORM.take_nullable_string(bytes)?)
        .with_member_epoch(take_i32(bytes)?);
    let topics = match FORM.take_nullable_array_len(bytes, TOPIC_LEN_MIN)? {
        None => None,
        Some(count) => Some(repeat(count, || take_fetch_of_topic(bytes, partitions_left))?),
    };
    FORM.skip_tags(bytes)?;
    Ok(group.with_topics(topics))
}

fn take_fetch_of_topic(
    bytes: &mut Bytes,
    partitions_left: &mut usize,
) -> Result<OffsetFetchRequestTopics, WireError> {
    let topic = OffsetFetchRequestTopics::default().with_topic_id(take_uuid(bytes)?);
    let count = FORM.take_partition_count(bytes, size_of::<i32>(), partitions_left)?;
    let partitions = repeat(count, || take_i32(bytes))?;
    FORM.skip_tags(bytes)?;
    Ok(topic.with_partition_indexes(partitions))
}

fn bounded(bytes: Bytes) -> Result<Bytes, WireError> {
    match MESSAGE_BYTES_MAX < bytes.len() {
        true => Err(WireError::MessageTooLarge { max: MESSAGE_BYTES_MAX, found: bytes.len() }),
        false => Ok(bytes),
    }
}

/// As many as an array has, whose length was checked.
fn repeat<T>(count: usize, take: impl FnMut() -> Result<T, WireError>) -> Result<Vec<T>, WireError> {
    std::iter::repeat_with(take).take(count).collect()
}

fn take_uuid(bytes: &mut Bytes) -> Result<uuid::Uuid, WireError> {
    take_u128(bytes).map(uuid::Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::offset_commit_response::{
        OffsetCommitResponsePartition, OffsetCommitResponseTopic,
    };
    use kafka_protocol::messages::offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    };
    use kafka_protocol::messages::{OffsetCommitResponse, OffsetFetchResponse};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;
    use crate::types::Uuid;
    use crate::wire::messages;

    /// Name and bytes of each message as the classes of Kafka 4.3.1 write them in version 10.
    const GOLDEN: &str = include_str!("../../tests/golden/group/offsets-v10-kafka-4.3.1.txt");

    fn golden(name: &str) -> Bytes {
        let line = GOLDEN.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        let digits = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
        (0..line.len()).step_by(2).map(digits).collect()
    }

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    fn group(name: &'static str) -> GroupId {
        GroupId(text(name))
    }

    /// The topics' ids in the golden file.
    fn ids() -> [uuid::Uuid; 2] {
        [0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10, 0xffff_ffff_ffff_ffff_0000_0000_0000_0007]
            .map(|bits| uuid::Uuid::from_bytes(Uuid(bits).to_bytes()))
    }

    #[test]
    fn commits_of_kafka_are_read() {
        let partition = |index: i32, note| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(index)
                .with_committed_offset(42 + i64::from(index))
                .with_committed_metadata(note)
        };
        let [one, two] = ids();
        let first = vec![partition(0, Some(text("note"))).with_committed_leader_epoch(3), partition(1, None)];
        let expected = OffsetCommitRequest::default()
            .with_group_id(group("readers"))
            .with_generation_id_or_member_epoch(5)
            .with_member_id(text("member-1"))
            .with_group_instance_id(Some(text("instance")))
            .with_topics(vec![
                OffsetCommitRequestTopic::default().with_topic_id(one).with_partitions(first),
                OffsetCommitRequestTopic::default().with_topic_id(two),
            ]);
        let found = decode_offset_commit(golden("OffsetCommitRequest"), TOPIC_ID_VERSION);
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn fetches_of_kafka_are_read() {
        let [one, two] = ids();
        let topic = |id, partitions| {
            OffsetFetchRequestTopics::default().with_topic_id(id).with_partition_indexes(partitions)
        };
        let some = OffsetFetchRequestGroup::default()
            .with_group_id(group("readers"))
            .with_member_id(Some(text("member-1")))
            .with_member_epoch(5)
            .with_topics(Some(vec![topic(one, vec![0, 1]), topic(two, vec![])]));
        let all = OffsetFetchRequestGroup::default().with_group_id(group("all")).with_topics(None);
        let expected = OffsetFetchRequest::default().with_groups(vec![some, all]).with_require_stable(true);
        let found = decode_offset_fetch(golden("OffsetFetchRequest"), TOPIC_ID_VERSION);
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn responses_are_written_as_kafka_writes_them() {
        let [one, _] = ids();
        let partition = OffsetCommitResponsePartition::default().with_partition_index(1).with_error_code(100);
        let topic = OffsetCommitResponseTopic::default().with_topic_id(one).with_partitions(vec![partition]);
        let committed = OffsetCommitResponse::default().with_topics(vec![topic]);
        let partition = OffsetFetchResponsePartitions::default()
            .with_committed_offset(42)
            .with_committed_leader_epoch(3)
            .with_metadata(Some(text("note")));
        let topic = OffsetFetchResponseTopics::default().with_topic_id(one).with_partitions(vec![partition]);
        let answered =
            OffsetFetchResponseGroup::default().with_group_id(group("readers")).with_topics(vec![topic]);
        let fetched = OffsetFetchResponse::default().with_groups(vec![answered]);
        fn written(message: &impl Encodable) -> Bytes {
            let mut out = bytes::BytesMut::new();
            messages::encode(message, TOPIC_ID_VERSION, &mut out).unwrap();
            out.freeze()
        }
        assert_eq!(written(&committed), golden("OffsetCommitResponse"));
        assert_eq!(written(&fetched), golden("OffsetFetchResponse"));
    }

    #[test]
    fn a_request_for_lags_passes_the_guard() {
        let group = OffsetFetchRequestGroup::default().with_group_id(group("readers")).with_topics(None);
        let request = OffsetFetchRequest::default()
            .with_groups(vec![group])
            .with_unknown_tagged_field(LAG_TAG, Bytes::new());
        for version in [8, 9] {
            let mut out = bytes::BytesMut::new();
            messages::encode(&request, version, &mut out).unwrap();
            assert_eq!(decode_offset_fetch(out.freeze(), version), Ok(request.clone()), "v{version}");
        }
    }

    #[test]
    fn lags_are_read_as_they_were_written() {
        for oldest_unread_ms in [None, Some(0), Some(90_000)] {
            let lag = WireLag { offsets: 7, oldest_unread_ms };
            assert_eq!(WireLag::decode(lag.encode()), Ok(lag));
            assert!(WireLag::decode(lag.encode().slice(1..)).is_err());
        }
    }

    #[test]
    fn earlier_versions_are_the_generated_ones() {
        let request = OffsetCommitRequest::default().with_group_id(group("readers"));
        for version in 2..TOPIC_ID_VERSION {
            let mut out = bytes::BytesMut::new();
            messages::encode(&request, version, &mut out).unwrap();
            let found = decode_offset_commit(out.freeze(), version);
            assert_eq!(found, Ok(request.clone()), "version {version}");
        }
    }

    #[test]
    fn cut_and_lying_requests_are_refused() {
        for name in ["OffsetCommitRequest", "OffsetFetchRequest"] {
            let whole = golden(name);
            for length in 0..whole.len() {
                let cut = whole.slice(..length);
                let is_refused = match name {
                    "OffsetCommitRequest" => decode_offset_commit(cut, TOPIC_ID_VERSION).is_err(),
                    _ => decode_offset_fetch(cut, TOPIC_ID_VERSION).is_err(),
                };
                assert!(is_refused, "{name} cut to {length} bytes");
            }
        }
        // Two thousand million groups in five bytes.
        let claim = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0, 0]);
        let refused = decode_offset_fetch(claim, TOPIC_ID_VERSION);
        assert!(matches!(refused, Err(WireError::TooManyElements { .. })), "{refused:?}");
        let long = Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]);
        let refused = decode_offset_commit(long, TOPIC_ID_VERSION);
        assert!(matches!(refused, Err(WireError::MessageTooLarge { .. })), "{refused:?}");
    }
}
