//! The guard in front of the generated decoders: lets honest messages through, survives any others.

use bytes::{Bytes, BytesMut};
use corelog::wire::messages::{self, StrBytes};
use kafka_protocol::messages as oracle;
use kafka_protocol::protocol::{Decodable, Encodable};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = StrBytes> {
    "[a-z]{0,200}".prop_map(StrBytes::from_string)
}

fn create_topics() -> impl Strategy<Value = oracle::CreateTopicsRequest> {
    use oracle::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
    let assignment = (any::<i32>(), vec(any::<i32>(), 0..4)).prop_map(|(index, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(index)
            .with_broker_ids(brokers.into_iter().map(Into::into).collect())
    });
    let config = (text(), option::of(text()))
        .prop_map(|(name, value)| CreatableTopicConfig::default().with_name(name).with_value(value));
    let topic = (text(), any::<i32>(), any::<i16>(), vec(assignment, 0..4), vec(config, 0..4)).prop_map(
        |(name, partitions, replication_factor, assignments, configs)| {
            CreatableTopic::default()
                .with_name(name.into())
                .with_num_partitions(partitions)
                .with_replication_factor(replication_factor)
                .with_assignments(assignments)
                .with_configs(configs)
        },
    );
    (vec(topic, 0..4), any::<i32>(), any::<bool>()).prop_map(|(topics, timeout_ms, validate_only)| {
        oracle::CreateTopicsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(timeout_ms)
            .with_validate_only(validate_only)
    })
}

fn encoded(message: &impl Encodable, version: i16) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).unwrap();
    out.freeze()
}

/// Every served API that the generated code decodes.
fn decode_all(bytes: &Bytes) {
    fn decode<T: Decodable>(bytes: &Bytes, versions: std::ops::RangeInclusive<i16>) {
        for version in versions {
            let _ = messages::decode::<T>(bytes.clone(), version);
        }
    }
    decode::<oracle::ListOffsetsRequest>(bytes, 1..=10);
    decode::<oracle::MetadataRequest>(bytes, 0..=13);
    decode::<oracle::FindCoordinatorRequest>(bytes, 0..=6);
    decode::<oracle::ApiVersionsRequest>(bytes, 0..=4);
    decode::<oracle::CreateTopicsRequest>(bytes, 2..=7);
    decode::<oracle::DeleteTopicsRequest>(bytes, 1..=6);
    decode::<oracle::InitProducerIdRequest>(bytes, 0..=5);
    decode::<oracle::OffsetForLeaderEpochRequest>(bytes, 2..=4);
    decode::<oracle::DescribeClusterRequest>(bytes, 0..=2);
    decode::<oracle::DeleteRecordsRequest>(bytes, 0..=2);
    decode::<oracle::DescribeConfigsRequest>(bytes, 1..=4);
    decode::<oracle::AlterConfigsRequest>(bytes, 0..=2);
    decode::<oracle::DescribeLogDirsRequest>(bytes, 1..=4);
    decode::<oracle::CreatePartitionsRequest>(bytes, 0..=3);
    decode::<oracle::IncrementalAlterConfigsRequest>(bytes, 0..=1);
    decode::<oracle::DescribeProducersRequest>(bytes, 0..=0);
    decode::<oracle::ListConfigResourcesRequest>(bytes, 0..=1);
    decode::<oracle::DescribeTopicPartitionsRequest>(bytes, 0..=0);
    decode::<oracle::AlterReplicaLogDirsRequest>(bytes, 1..=2);
    decode::<oracle::ElectLeadersRequest>(bytes, 0..=2);
    decode::<oracle::AlterPartitionReassignmentsRequest>(bytes, 0..=1);
    decode::<oracle::ListPartitionReassignmentsRequest>(bytes, 0..=0);
    decode::<oracle::DescribeQuorumRequest>(bytes, 0..=2);
    decode::<oracle::UpdateFeaturesRequest>(bytes, 0..=2);
    decode::<oracle::UnregisterBrokerRequest>(bytes, 0..=0);
}

proptest! {
    #[test]
    fn honest_messages_pass(request in create_topics(), version in 2..=7_i16) {
        let decoded = messages::decode::<oracle::CreateTopicsRequest>(encoded(&request, version), version);
        prop_assert_eq!(decoded, Ok(request));
    }

    #[test]
    fn damaged_messages_decode_as_without_the_guard_or_not_at_all(
        request in create_topics(),
        version in 2..=7_i16,
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&request, version).to_vec();
        for (position, value) in damage {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        let bytes = Bytes::from(bytes);
        if let Ok(guarded) = messages::decode::<oracle::CreateTopicsRequest>(bytes.clone(), version) {
            let unguarded = oracle::CreateTopicsRequest::decode(&mut bytes.clone(), version).unwrap();
            prop_assert_eq!(guarded, unguarded);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        decode_all(&bytes.into());
    }

    #[test]
    fn bytes_full_of_large_lengths_never_panic(
        bytes in vec(prop::sample::select(vec![0_u8, 1, 0x7f, 0x80, 0xff]), 0..300),
    ) {
        decode_all(&bytes.into());
    }
}
