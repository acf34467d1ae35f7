//! The protocol inside of the classic protocol: what consumers tell their leader and the leader tells
//! them (`ConsumerProtocolSubscription.json`, `ConsumerProtocolAssignment.json`). Here the coordinator is
//! the leader.

use bytes::Bytes;

use super::assignment::Assignment;
use crate::group::codec::{GroupRecordError, Reader, Writer};
use crate::metadata::MetadataImage;

/// The highest version that Kafka writes. Fields of later ones follow those that are known.
const VERSION_MAX: i16 = 3;
/// A name and a number of partitions.
const TOPIC_LEN_MIN: usize = 6;

/// What a consumer says when it joins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subscription {
    pub(super) topics: Vec<String>,
    /// The partitions it reads, by the name of their topic (version 1).
    pub(super) owned: Vec<(String, Vec<i32>)>,
    /// `client.rack` (version 3); empty for none.
    pub(super) rack_id: Option<String>,
}

impl Subscription {
    pub(super) fn decode(metadata: &Bytes) -> Result<Self, GroupRecordError> {
        let mut input = Reader::new(metadata.clone());
        let version = version(&mut input)?;
        let mut subscription = Self::default();
        for _ in 0..input.array_len(size_of::<i16>())? {
            subscription.topics.push(input.string()?);
        }
        let _user_data = input.nullable_bytes()?;
        if 1 <= version {
            subscription.owned = topic_partitions(&mut input)?;
        }
        if 2 <= version {
            let _generation_id = input.i32()?;
        }
        if 3 <= version {
            subscription.rack_id = input.nullable_string()?.filter(|rack| !rack.is_empty());
        }
        Ok(subscription)
    }

    /// Those of its partitions whose topics exist.
    pub(super) fn owned_partitions(&self, image: &MetadataImage) -> Assignment {
        by_id(&self.owned, image)
    }
}

/// What a leader gave a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LeadersAssignment {
    pub(super) partitions: Vec<(String, Vec<i32>)>,
    /// Of a custom assignor.
    pub(super) user_data: Option<Bytes>,
}

impl LeadersAssignment {
    pub(super) fn decode(assignment: &Bytes) -> Result<Self, GroupRecordError> {
        let mut input = Reader::new(assignment.clone());
        version(&mut input)?;
        let partitions = topic_partitions(&mut input)?;
        Ok(Self { partitions, user_data: input.nullable_bytes()? })
    }

    /// Those of its partitions whose topics exist.
    pub(super) fn known_partitions(&self, image: &MetadataImage) -> Assignment {
        by_id(&self.partitions, image)
    }
}

/// An assignment as a member reads it whose subscription is `metadata`: in the version of that, without
/// topics that are gone.
pub(super) fn encode_assignment(
    assignment: &Assignment,
    metadata: &Bytes,
    image: &MetadataImage,
) -> Result<Bytes, GroupRecordError> {
    let version = version(&mut Reader::new(metadata.clone()))?;
    let named: Vec<_> = assignment
        .topics()
        .filter_map(|(id, partitions)| Some((image.topic(id)?.name(), partitions)))
        .collect();
    let mut out = Writer::default().i16(version).array_len(named.len());
    for (name, partitions) in named {
        out = out.string(name.as_str()).array_len(partitions.len());
        for &partition in partitions {
            out = out.i32(partition);
        }
    }
    // No user data.
    Ok(out.i32(-1).finish())
}

/// Reads the version; of a higher one the fields of the highest that is known are read
/// (`ConsumerProtocol.checkSubscriptionVersion`).
fn version(input: &mut Reader) -> Result<i16, GroupRecordError> {
    let found = input.i16()?;
    if found < 0 {
        return Err(GroupRecordError::UnknownVersion { found, max: VERSION_MAX });
    }
    Ok(found.min(VERSION_MAX))
}

fn topic_partitions(input: &mut Reader) -> Result<Vec<(String, Vec<i32>)>, GroupRecordError> {
    let mut topics = Vec::new();
    for _ in 0..input.array_len(TOPIC_LEN_MIN)? {
        let topic = input.string()?;
        let mut partitions = Vec::new();
        for _ in 0..input.array_len(size_of::<i32>())? {
            partitions.push(input.i32()?);
        }
        topics.push((topic, partitions));
    }
    Ok(topics)
}

fn by_id(topics: &[(String, Vec<i32>)], image: &MetadataImage) -> Assignment {
    let mut assignment = Assignment::default();
    for (name, partitions) in topics {
        if let Some(id) = image.topic_id(name) {
            assignment.extend(id, partitions.iter().copied());
        }
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_of_every_version_are_read() {
        let v0: &[u8] = b"\0\0\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff";
        let owned: &[u8] = b"\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\x03\0\0\0\x05";
        let v3 = [&b"\0\x03"[..], &v0[2..], owned, b"\0\0\0\x07\0\x04rack"].concat();
        let expected =
            Subscription { topics: vec!["a".to_owned(), "bc".to_owned()], ..Subscription::default() };
        let read = |bytes: &[u8]| Subscription::decode(&Bytes::copy_from_slice(bytes));
        assert_eq!(read(v0), Ok(expected.clone()));
        let expected = Subscription {
            owned: vec![("a".to_owned(), vec![3, 5])],
            rack_id: Some("rack".to_owned()),
            ..expected
        };
        assert_eq!(read(&v3), Ok(expected.clone()));
        let later = [&b"\0\x09"[..], &v3[2..], b"more"].concat();
        assert_eq!(read(&later), Ok(expected));
        assert!(read(b"\xff\xff").is_err() && read(b"\0\0\x7f\xff\xff\xff").is_err() && read(b"").is_err());
        for cut in 0..v3.len() {
            assert!(read(&v3[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn assignments_of_leaders_are_read() {
        let bytes = b"\0\x01\0\0\0\x01\0\x01a\0\0\0\x01\0\0\0\x03\0\0\0\x02ud";
        let read = LeadersAssignment::decode(&Bytes::from_static(bytes)).unwrap();
        assert_eq!(read.partitions, [("a".to_owned(), vec![3])]);
        assert_eq!(read.user_data.as_deref(), Some(&b"ud"[..]));
        assert!(LeadersAssignment::decode(&Bytes::from_static(b"\0\x01\0\0\0\x01")).is_err());
    }
}
