//! Fetch against the generated code as the oracle, in every version.

use bytes::{Bytes, BytesMut};
use corelog::types::{ErrorCode, LeaderEpoch, NodeId, Offset, Piece, ProducerId, Uuid};
use corelog::wire::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartitionResponse, FetchRequestView, FetchResponse,
    FetchTopicResponse, IsolationLevel, SnapshotId,
};
use corelog::wire::{CurrentLeader, NodeEndpoint, TopicRef};
use kafka_protocol::messages::{self as oracle, fetch_request, fetch_response};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const TOPIC_ID_FROM: i16 = 13;

fn text() -> impl Strategy<Value = StrBytes> {
    "[a-z.ä]{0,12}".prop_map(StrBytes::from_string)
}

fn tags() -> impl Strategy<Value = Vec<(i32, Bytes)>> {
    vec((20..900_i32, vec(any::<u8>(), 0..9).prop_map(Bytes::from)), 0..3)
}

/// A partition with the fields that `version` has.
fn partition(version: i16) -> impl Strategy<Value = fetch_request::FetchPartition> {
    let integers = (any::<i32>(), any::<i32>(), any::<i64>(), any::<i32>(), any::<i64>(), any::<i32>());
    (integers, any::<u128>(), any::<i64>(), tags()).prop_map(
        move |(integers, directory, high_watermark, tags)| {
            let (index, leader_epoch, fetch_offset, last_epoch, log_start_offset, max_bytes) = integers;
            let mut partition = fetch_request::FetchPartition::default()
                .with_partition(index)
                .with_fetch_offset(fetch_offset)
                .with_partition_max_bytes(max_bytes);
            if 5 <= version {
                partition.log_start_offset = log_start_offset;
            }
            if 9 <= version {
                partition.current_leader_epoch = leader_epoch;
            }
            if 12 <= version {
                partition.last_fetched_epoch = last_epoch;
                partition.unknown_tagged_fields = tags.into_iter().collect();
            }
            if 17 <= version {
                partition.replica_directory_id = uuid::Uuid::from_u128(directory);
            }
            if 18 <= version {
                partition.high_watermark = high_watermark;
            }
            partition
        },
    )
}

fn request(version: i16) -> impl Strategy<Value = oracle::FetchRequest> {
    let topic =
        (text(), any::<u128>(), vec(partition(version), 0..4)).prop_map(move |(name, id, partitions)| {
            let topic = fetch_request::FetchTopic::default().with_partitions(partitions);
            match version < TOPIC_ID_FROM {
                true => topic.with_topic(name.into()),
                false => topic.with_topic_id(uuid::Uuid::from_u128(id)),
            }
        });
    let forgotten =
        (text(), any::<u128>(), vec(any::<i32>(), 0..4)).prop_map(move |(name, id, partitions)| {
            let topic = fetch_request::ForgottenTopic::default().with_partitions(partitions);
            match version < TOPIC_ID_FROM {
                true => topic.with_topic(name.into()),
                false => topic.with_topic_id(uuid::Uuid::from_u128(id)),
            }
        });
    let integers =
        (any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>(), any::<i64>());
    (integers, 0..2_i8, vec(topic, 0..4), vec(forgotten, 0..3), text(), option::of(text()), tags()).prop_map(
        move |(integers, isolation_level, topics, forgotten, rack_id, cluster_id, tags)| {
            let (replica_id, max_wait_ms, min_bytes, max_bytes, session_id, session_epoch, replica_epoch) =
                integers;
            let mut request = oracle::FetchRequest::default()
                .with_max_wait_ms(max_wait_ms)
                .with_min_bytes(min_bytes)
                .with_max_bytes(max_bytes)
                .with_isolation_level(isolation_level)
                .with_topics(topics);
            if version < 15 {
                request.replica_id = replica_id.into();
            } else {
                request.replica_state = fetch_request::ReplicaState::default()
                    .with_replica_id(replica_id.into())
                    .with_replica_epoch(replica_epoch);
            }
            if 7 <= version {
                request.session_id = session_id;
                request.session_epoch = session_epoch;
                request.forgotten_topics_data = forgotten;
            }
            if 11 <= version {
                request.rack_id = rack_id;
            }
            if 12 <= version {
                request.cluster_id = cluster_id;
                request.unknown_tagged_fields = tags.into_iter().collect();
            }
            request
        },
    )
}

fn topic_ref(name: &oracle::TopicName, id: uuid::Uuid, version: i16) -> TopicRef {
    match version < TOPIC_ID_FROM {
        true => TopicRef::Name(name.0.clone()),
        false => TopicRef::Id(Uuid(id.as_u128())),
    }
}

fn assert_same_request(view: &FetchRequestView, expected: &oracle::FetchRequest, version: i16) {
    let replica = match version < 15 {
        true => (expected.replica_id.0, -1),
        false => (expected.replica_state.replica_id.0, expected.replica_state.replica_epoch),
    };
    assert_eq!((view.replica_id.0, view.replica_epoch), replica);
    assert_eq!(view.cluster_id, expected.cluster_id);
    assert_eq!((view.max_wait_ms, view.min_bytes), (expected.max_wait_ms, expected.min_bytes));
    assert_eq!(view.max_bytes, expected.max_bytes);
    assert_eq!(view.isolation_level == IsolationLevel::ReadCommitted, expected.isolation_level == 1);
    assert_eq!((view.session_id, view.session_epoch), (expected.session_id, expected.session_epoch));
    assert_eq!(view.rack_id, expected.rack_id);
    assert_eq!(view.topics.len(), expected.topics.len());
    for (topic, expected) in view.topics.iter().zip(&expected.topics) {
        assert_eq!(topic.topic, topic_ref(&expected.topic, expected.topic_id, version));
        assert_eq!(topic.partitions.len(), expected.partitions.len());
        for (ours, theirs) in topic.partitions.iter().zip(&expected.partitions) {
            assert_eq!(
                (ours.partition, ours.current_leader_epoch.0),
                (theirs.partition, theirs.current_leader_epoch)
            );
            assert_eq!(
                (ours.fetch_offset.0, ours.last_fetched_epoch.0),
                (theirs.fetch_offset, theirs.last_fetched_epoch)
            );
            assert_eq!(
                (ours.log_start_offset.0, ours.partition_max_bytes),
                (theirs.log_start_offset, theirs.partition_max_bytes)
            );
            assert_eq!(
                (ours.replica_directory_id.0, ours.high_watermark.0),
                (theirs.replica_directory_id.as_u128(), theirs.high_watermark)
            );
        }
    }
    assert_eq!(view.forgotten_topics.len(), expected.forgotten_topics_data.len());
    for (topic, expected) in view.forgotten_topics.iter().zip(&expected.forgotten_topics_data) {
        assert_eq!(topic.topic, topic_ref(&expected.topic, expected.topic_id, version));
        assert_eq!(topic.partitions, expected.partitions);
    }
}

fn pair() -> impl Strategy<Value = (i64, i32)> {
    // The schema leaves out a structure whose fields have their defaults.
    (0..i64::MAX, 0..i32::MAX)
}

fn partition_response() -> impl Strategy<Value = FetchPartitionResponse> {
    let aborted = (any::<i64>(), any::<i64>()).prop_map(|(id, offset)| AbortedTransaction {
        producer_id: ProducerId(id),
        first_offset: Offset(offset),
    });
    let integers = (any::<i32>(), 0..100_i16, any::<i64>(), any::<i64>(), any::<i64>(), any::<i32>());
    let tags = (option::of(pair()), option::of(pair()), option::of(pair()));
    let records = vec(vec(any::<u8>(), 0..200).prop_map(Bytes::from), 0..4);
    (integers, tags, option::of(vec(aborted, 0..4)), records).prop_map(
        |(integers, tags, aborted, records)| {
            let (partition, code, high_watermark, last_stable_offset, log_start_offset, replica) = integers;
            let (diverging, leader, snapshot) = tags;
            FetchPartitionResponse {
                partition,
                error_code: ErrorCode::from_code(code).unwrap(),
                high_watermark: Offset(high_watermark),
                last_stable_offset: Offset(last_stable_offset),
                log_start_offset: Offset(log_start_offset),
                diverging_epoch: diverging.map(|(end_offset, epoch)| EpochEndOffset {
                    epoch: LeaderEpoch(epoch),
                    end_offset: Offset(end_offset),
                }),
                current_leader: leader.map(|(id, epoch)| CurrentLeader {
                    leader_id: NodeId(id as i32),
                    leader_epoch: LeaderEpoch(epoch),
                }),
                snapshot_id: snapshot.map(|(end_offset, epoch)| SnapshotId {
                    end_offset: Offset(end_offset),
                    epoch: LeaderEpoch(epoch),
                }),
                aborted_transactions: aborted,
                preferred_read_replica: NodeId(replica),
                records: records.into_iter().map(Piece::Memory).collect(),
            }
        },
    )
}

fn endpoint() -> impl Strategy<Value = NodeEndpoint> {
    (any::<i32>(), "[a-z]{0,9}", any::<u16>(), option::of("[a-z]{0,9}"))
        .prop_map(|(id, host, port, rack)| NodeEndpoint { node_id: NodeId(id), host, port, rack })
}

fn response(version: i16) -> impl Strategy<Value = FetchResponse> {
    let topic =
        (text(), any::<u128>(), vec(partition_response(), 0..4)).prop_map(move |(name, id, partitions)| {
            let topic = match version < TOPIC_ID_FROM {
                true => TopicRef::Name(name),
                false => TopicRef::Id(Uuid(id)),
            };
            FetchTopicResponse { topic, partitions }
        });
    (any::<i32>(), 0..100_i16, any::<i32>(), vec(topic, 0..4), vec(endpoint(), 0..3)).prop_map(
        |(throttle_time_ms, code, session_id, topics, node_endpoints)| FetchResponse {
            throttle_time_ms,
            error_code: ErrorCode::from_code(code).unwrap(),
            session_id,
            topics,
            node_endpoints,
        },
    )
}

fn oracle_partition(ours: &FetchPartitionResponse, version: i16) -> fetch_response::PartitionData {
    let aborted = ours.aborted_transactions.as_ref().map(|aborted| {
        let theirs = aborted.iter().map(|transaction| {
            fetch_response::AbortedTransaction::default()
                .with_producer_id(transaction.producer_id.0.into())
                .with_first_offset(transaction.first_offset.0)
        });
        theirs.collect()
    });
    let mut theirs = fetch_response::PartitionData::default()
        .with_partition_index(ours.partition)
        .with_error_code(ours.error_code.code())
        .with_high_watermark(ours.high_watermark.0)
        .with_last_stable_offset(ours.last_stable_offset.0)
        .with_aborted_transactions(aborted)
        .with_records(Some(joined(&ours.records).into()));
    if 5 <= version {
        theirs.log_start_offset = ours.log_start_offset.0;
    }
    if 11 <= version {
        theirs.preferred_read_replica = ours.preferred_read_replica.0.into();
    }
    if 12 <= version {
        if let Some(diverging) = ours.diverging_epoch {
            theirs.diverging_epoch = fetch_response::EpochEndOffset::default()
                .with_epoch(diverging.epoch.0)
                .with_end_offset(diverging.end_offset.0);
        }
        if let Some(leader) = ours.current_leader {
            theirs.current_leader = fetch_response::LeaderIdAndEpoch::default()
                .with_leader_id(leader.leader_id.0.into())
                .with_leader_epoch(leader.leader_epoch.0);
        }
        if let Some(snapshot) = ours.snapshot_id {
            theirs.snapshot_id = fetch_response::SnapshotId::default()
                .with_end_offset(snapshot.end_offset.0)
                .with_epoch(snapshot.epoch.0);
        }
    }
    theirs
}

/// The same response in the generated types, without the fields that `version` has not got.
fn memory(piece: &Piece) -> &Bytes {
    match piece {
        Piece::Memory(bytes) => bytes,
        Piece::File(slice) => panic!("no file was handed in: {slice:?}"),
    }
}

fn joined(pieces: &[Piece]) -> Vec<u8> {
    pieces.iter().flat_map(memory).copied().collect()
}

fn oracle_response(response: &FetchResponse, version: i16) -> oracle::FetchResponse {
    let topic = |ours: &FetchTopicResponse| {
        let partitions = ours.partitions.iter().map(|partition| oracle_partition(partition, version));
        let theirs = fetch_response::FetchableTopicResponse::default().with_partitions(partitions.collect());
        match &ours.topic {
            TopicRef::Name(name) => theirs.with_topic(name.clone().into()),
            TopicRef::Id(id) => theirs.with_topic_id(uuid::Uuid::from_u128(id.0)),
        }
    };
    let mut theirs = oracle::FetchResponse::default()
        .with_throttle_time_ms(response.throttle_time_ms)
        .with_responses(response.topics.iter().map(topic).collect());
    if 7 <= version {
        theirs.error_code = response.error_code.code();
        theirs.session_id = response.session_id;
    }
    if 16 <= version {
        theirs.node_endpoints = response
            .node_endpoints
            .iter()
            .map(|endpoint| {
                fetch_response::NodeEndpoint::default()
                    .with_node_id(endpoint.node_id.0.into())
                    .with_host(StrBytes::from_string(endpoint.host.clone()))
                    .with_port(endpoint.port.into())
                    .with_rack(endpoint.rack.clone().map(StrBytes::from_string))
            })
            .collect();
    }
    theirs
}

proptest! {
    #[test]
    fn requests_decode_as_the_schema_says(
        (version, request) in (4..=18_i16).prop_flat_map(|version| (Just(version), request(version))),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).unwrap();
        let bytes = bytes.freeze();
        let view = FetchRequestView::decode(bytes.clone(), version).unwrap();
        assert_same_request(&view, &request, version);
        let cut = cut.index(bytes.len());
        prop_assert!(FetchRequestView::decode(bytes.slice(..cut), version).is_err());
    }

    #[test]
    fn damaged_requests_never_panic(
        (version, request) in (4..=18_i16).prop_flat_map(|version| (Just(version), request(version))),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).unwrap();
        for (position, value) in damage {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        let bytes = bytes.freeze();
        // The schema's decoder is asked only about bytes that ours found bounded: it would abort on others.
        if let Ok(view) = FetchRequestView::decode(bytes.clone(), version)
            && let Ok(theirs) = oracle::FetchRequest::decode(&mut bytes.clone(), version)
        {
            assert_same_request(&view, &theirs, version);
        }
    }

    #[test]
    fn responses_encode_as_the_schema_says(
        (version, response) in (4..=18_i16).prop_flat_map(|version| (Just(version), response(version))),
        correlation_id: i32,
    ) {
        let mut expected = BytesMut::new();
        oracle_response(&response, version).encode(&mut expected, version).unwrap();
        let chunks: Vec<_> = response
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .flat_map(|partition| &partition.records)
            .filter(|chunk| !chunk.is_empty())
            .map(|chunk| memory(chunk).as_ptr())
            .collect();
        let pieces = response.encode(version, correlation_id);
        for chunk in chunks {
            prop_assert!(pieces.iter().any(|piece| memory(piece).as_ptr() == chunk), "a copy was made");
        }
        let frame = joined(&pieces);
        let header_len = if 12 <= version { 5 } else { 4 };
        prop_assert_eq!(i32::from_be_bytes(*frame.first_chunk().unwrap()) as usize, frame.len() - 4);
        prop_assert_eq!(&frame[4..8], &correlation_id.to_be_bytes()[..]);
        prop_assert_eq!(&frame[4 + header_len..], &expected[..]);
    }
}
