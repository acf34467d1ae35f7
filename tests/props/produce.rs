//! Produce against the generated code as the oracle, in every version.

use bytes::{Bytes, BytesMut};
use corelog::record::validate::RecordFault;
use corelog::types::{ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp, Uuid};
use corelog::wire::produce::{
    ProducePartitionResponse, ProduceRequestView, ProduceResponse, ProduceTopicResponse,
};
use corelog::wire::{CurrentLeader, NodeEndpoint, TopicRef};
use kafka_protocol::messages::{self as oracle, produce_request, produce_response};
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

fn request() -> impl Strategy<Value = oracle::ProduceRequest> {
    let partition =
        (any::<i32>(), option::of(vec(any::<u8>(), 0..200)), tags()).prop_map(|(index, records, tags)| {
            produce_request::PartitionProduceData::default()
                .with_index(index)
                .with_records(records.map(Bytes::from))
                .with_unknown_tagged_fields(tags.into_iter().collect())
        });
    let topic =
        (text(), any::<u128>(), vec(partition, 0..4), tags()).prop_map(|(name, id, partitions, tags)| {
            produce_request::TopicProduceData::default()
                .with_name(name.into())
                .with_topic_id(uuid::Uuid::from_u128(id))
                .with_partition_data(partitions)
                .with_unknown_tagged_fields(tags.into_iter().collect())
        });
    (option::of(text()), any::<i16>(), any::<i32>(), vec(topic, 0..4), tags()).prop_map(
        |(transactional_id, acks, timeout_ms, topics, tags)| {
            oracle::ProduceRequest::default()
                .with_transactional_id(transactional_id.map(Into::into))
                .with_acks(acks)
                .with_timeout_ms(timeout_ms)
                .with_topic_data(topics)
                .with_unknown_tagged_fields(tags.into_iter().collect())
        },
    )
}

/// The request without the fields that `version` has not got.
fn fit_request(mut request: oracle::ProduceRequest, version: i16) -> oracle::ProduceRequest {
    for topic in &mut request.topic_data {
        match version < TOPIC_ID_FROM {
            true => topic.topic_id = uuid::Uuid::nil(),
            false => topic.name = StrBytes::default().into(),
        }
    }
    request
}

fn assert_same_request(view: &ProduceRequestView, expected: &oracle::ProduceRequest, version: i16) {
    assert_eq!(view.transactional_id.as_deref(), expected.transactional_id.as_ref().map(|id| id.0.as_str()));
    assert_eq!((view.acks, view.timeout_ms), (expected.acks, expected.timeout_ms));
    assert_eq!(view.topics.len(), expected.topic_data.len());
    for (topic, expected) in view.topics.iter().zip(&expected.topic_data) {
        let name = match version < TOPIC_ID_FROM {
            true => TopicRef::Name(expected.name.0.clone()),
            false => TopicRef::Id(Uuid(expected.topic_id.as_u128())),
        };
        assert_eq!(topic.topic, name);
        let partitions: Vec<_> =
            topic.partitions.iter().map(|ours| (ours.index, ours.records.clone())).collect();
        let theirs: Vec<_> =
            expected.partition_data.iter().map(|it| (it.index, it.records.clone())).collect();
        assert_eq!(partitions, theirs);
    }
}

fn partition_response() -> impl Strategy<Value = ProducePartitionResponse> {
    let fault = (any::<i32>(), "[a-z]{0,9}").prop_map(|(index, message)| RecordFault { index, message });
    let leader = (any::<i32>(), any::<i32>())
        .prop_filter("the schema leaves out a leader of two -1", |pair| *pair != (-1, -1))
        .prop_map(|(id, epoch)| CurrentLeader { leader_id: NodeId(id), leader_epoch: LeaderEpoch(epoch) });
    let offsets = (any::<i64>(), any::<i64>(), any::<i64>());
    (any::<i32>(), 0..100_i16, offsets, vec(fault, 0..3), option::of("[a-z]{0,9}"), option::of(leader))
        .prop_map(
            |(index, code, (base_offset, time, start), record_errors, error_message, current_leader)| {
                ProducePartitionResponse {
                    index,
                    error_code: ErrorCode::from_code(code).unwrap(),
                    base_offset: Offset(base_offset),
                    log_append_time: Timestamp(time),
                    log_start_offset: Offset(start),
                    record_errors,
                    error_message,
                    current_leader,
                }
            },
        )
}

fn endpoint() -> impl Strategy<Value = NodeEndpoint> {
    (any::<i32>(), "[a-z]{0,9}", any::<u16>(), option::of("[a-z]{0,9}"))
        .prop_map(|(id, host, port, rack)| NodeEndpoint { node_id: NodeId(id), host, port, rack })
}

fn response(version: i16) -> impl Strategy<Value = ProduceResponse> {
    let topic =
        (text(), any::<u128>(), vec(partition_response(), 0..4)).prop_map(move |(name, id, partitions)| {
            let topic = match version < TOPIC_ID_FROM {
                true => TopicRef::Name(name),
                false => TopicRef::Id(Uuid(id)),
            };
            ProduceTopicResponse { topic, partitions }
        });
    (vec(topic, 0..4), any::<i32>(), vec(endpoint(), 0..3)).prop_map(
        |(topics, throttle_time_ms, node_endpoints)| ProduceResponse {
            topics,
            throttle_time_ms,
            node_endpoints,
        },
    )
}

/// The same response in the generated types, without the fields that `version` has not got.
fn oracle_response(response: &ProduceResponse, version: i16) -> oracle::ProduceResponse {
    let partition = |ours: &ProducePartitionResponse| {
        let mut theirs = produce_response::PartitionProduceResponse::default()
            .with_index(ours.index)
            .with_error_code(ours.error_code.code())
            .with_base_offset(ours.base_offset.0)
            .with_log_append_time_ms(ours.log_append_time.0);
        if 5 <= version {
            theirs.log_start_offset = ours.log_start_offset.0;
        }
        if 8 <= version {
            theirs.record_errors = ours.record_errors.iter().map(oracle_fault).collect();
            theirs.error_message = ours.error_message.clone().map(StrBytes::from_string);
        }
        if let Some(leader) = ours.current_leader.filter(|_| 10 <= version) {
            theirs.current_leader = produce_response::LeaderIdAndEpoch::default()
                .with_leader_id(leader.leader_id.0.into())
                .with_leader_epoch(leader.leader_epoch.0);
        }
        theirs
    };
    let topic = |ours: &ProduceTopicResponse| {
        let theirs = produce_response::TopicProduceResponse::default()
            .with_partition_responses(ours.partitions.iter().map(partition).collect());
        match &ours.topic {
            TopicRef::Name(name) => theirs.with_name(name.clone().into()),
            TopicRef::Id(id) => theirs.with_topic_id(uuid::Uuid::from_u128(id.0)),
        }
    };
    let endpoints = if 10 <= version { &response.node_endpoints[..] } else { &[] };
    oracle::ProduceResponse::default()
        .with_responses(response.topics.iter().map(topic).collect())
        .with_throttle_time_ms(response.throttle_time_ms)
        .with_node_endpoints(endpoints.iter().map(oracle_endpoint).collect())
}

fn oracle_fault(fault: &RecordFault) -> produce_response::BatchIndexAndErrorMessage {
    produce_response::BatchIndexAndErrorMessage::default()
        .with_batch_index(fault.index)
        .with_batch_index_error_message(Some(StrBytes::from_string(fault.message.clone())))
}

fn oracle_endpoint(endpoint: &NodeEndpoint) -> produce_response::NodeEndpoint {
    produce_response::NodeEndpoint::default()
        .with_node_id(endpoint.node_id.0.into())
        .with_host(StrBytes::from_string(endpoint.host.clone()))
        .with_port(endpoint.port.into())
        .with_rack(endpoint.rack.clone().map(StrBytes::from_string))
}

proptest! {
    #[test]
    fn requests_decode_as_the_schema_says(request in request(), version in 3..=13_i16) {
        let mut request = fit_request(request, version);
        if version < 9 {
            request = without_tags(request);
        }
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).unwrap();
        let view = ProduceRequestView::decode(bytes.freeze(), version).unwrap();
        assert_same_request(&view, &request, version);
    }

    #[test]
    fn cut_or_damaged_requests_never_panic(
        request in request(),
        version in 3..=13_i16,
        cut in any::<prop::sample::Index>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut request = fit_request(request, version);
        if version < 9 {
            request = without_tags(request);
        }
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).unwrap();
        let cut = cut.index(bytes.len());
        prop_assert!(ProduceRequestView::decode(Bytes::copy_from_slice(&bytes[..cut]), version).is_err());
        for (position, value) in damage {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        // Whatever comes out, it comes out the same way as from the schema's own decoder, but for bounds.
        let bytes = bytes.freeze();
        if let Ok(view) = ProduceRequestView::decode(bytes.clone(), version)
            && let Ok(theirs) = oracle::ProduceRequest::decode(&mut bytes.clone(), version)
        {
            assert_same_request(&view, &theirs, version);
        }
    }

    #[test]
    fn responses_encode_as_the_schema_says(
        (version, response) in (3..=13_i16).prop_flat_map(|version| (Just(version), response(version))),
        correlation_id: i32,
    ) {
        let frame = response.encode(version, correlation_id);
        let header_len = if 9 <= version { 5 } else { 4 };
        prop_assert_eq!(i32::from_be_bytes(*frame.first_chunk().unwrap()) as usize, frame.len() - 4);
        prop_assert_eq!(&frame[4..8], &correlation_id.to_be_bytes()[..]);
        let mut expected = BytesMut::new();
        oracle_response(&response, version).encode(&mut expected, version).unwrap();
        prop_assert_eq!(&frame[4 + header_len..], &expected[..]);
    }
}

fn without_tags(mut request: oracle::ProduceRequest) -> oracle::ProduceRequest {
    request.unknown_tagged_fields.clear();
    for topic in &mut request.topic_data {
        topic.unknown_tagged_fields.clear();
        for partition in &mut topic.partition_data {
            partition.unknown_tagged_fields.clear();
        }
    }
    request
}
